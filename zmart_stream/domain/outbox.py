"""What has to be sent to the outside, and where that stands: on disk with what it tells of."""

from __future__ import annotations

from typing import Literal

import msgspec

from zmart_stream.domain.message import Message

EntryState = Literal["pending", "delivered", "dead"]


class OutboxEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something to be sent to one endpoint. `payload` is the body; times are real, ns UTC."""

    id: str  # UUID
    event_id: str  # the same at every attempt; once an endpoint
    event_type: str
    endpoint: str
    payload: str
    created: int
    next_attempt: int
    attempts: int = 0
    state: EntryState = "pending"
    done: int | None = None
    last_error: str = ""


class OutboxFilled(Message, frozen=True, kw_only=True, gc=False):
    """What has to be sent: put it with the messages that it tells of, and it is on disk when they are."""

    entries: tuple[OutboxEntry, ...]


class OutboxMoved(Message, frozen=True, kw_only=True, gc=False):
    """Attempts were made: state, attempts, next attempt and last error of the entries as they are now."""

    entries: tuple[OutboxEntry, ...]
