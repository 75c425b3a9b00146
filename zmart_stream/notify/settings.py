"""The dials of notifications, and who is told what."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Literal

import msgspec

Importance = Literal["low", "normal", "high"]
IMPORTANCE: tuple[Importance, ...] = ("low", "normal", "high")
"""In ascending order."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What one endpoint wants to hear, and how much of it."""

    types: frozenset[str] = frozenset()
    """Event types; none: all of them."""
    symbols: frozenset[str] = frozenset()
    """Contracts; none: all. What is about no contract passes."""
    importance: Importance = "normal"
    """The least."""
    most: int = 60
    """Messages in one window; what comes beyond them waits for its end, and becomes one digest."""
    window_s: float = 60.0


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An address that takes signed messages."""

    name: str
    url: str
    keys: tuple[bytes, ...]
    """Every one signs, so that a receiver may still have the old one or the new one already."""
    rules: Rules = Rules()


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A way to a person, by an Apprise address, which is a secret as a whole."""

    name: str
    url: str
    rules: Rules = Rules(most=5, window_s=600.0)


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send, and how often to try."""

    webhooks: tuple[Webhook, ...] = ()
    channels: tuple[Channel, ...] = ()
    allow_loopback: bool = False
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Addresses besides public ones that a webhook's name may stand for."""
    timeout_s: float = 5.0
    """Of one attempt at a webhook; a channel has `channel_timeout_s`."""
    channel_timeout_s: float = 30.0
    attempts: int = 30
    """After so many without success an entry is dead."""
    backoff_s: float = 1.0
    """Before the second attempt at most; doubled with each, drawn evenly from 0 to that."""
    backoff_most_s: float = 3600.0
    failures_to_open: int = 5
    """In a row; then the endpoint is left alone for a while."""
    open_s: float = 30.0
    """For how long at first; doubled with each probe that fails, up to `backoff_most_s`."""
    most_pending: int = 1000
    """Entries that wait for one endpoint; when there are more, all but the first become one digest."""
