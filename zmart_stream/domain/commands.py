"""What an operator or the runner may ask of the core: imperative, captured like any other input."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import CoreSettings


class Command(Message, frozen=True, kw_only=True, gc=False):
    """A request; `request_id` ties the answer to it, `who` names the asker."""

    request_id: str
    who: str = "operator"


class AddHolding(Command, frozen=True, kw_only=True, gc=False):
    """Take `symbol` into the book."""

    symbol: str
    note: str = ""


class RemoveHolding(Command, frozen=True, kw_only=True, gc=False):
    """Take `symbol` out of the book; only an operator brings it back."""

    symbol: str
    note: str = ""


class ReplaceHolding(Command, frozen=True, kw_only=True, gc=False):
    """Replace `symbol_out` by `symbol_in`."""

    symbol_out: str
    symbol_in: str
    note: str = ""


class Rebalance(Command, frozen=True, kw_only=True, gc=False):
    """Set the weights to their targets now."""

    note: str = ""


class PinHolding(Command, frozen=True, kw_only=True, gc=False):
    """Let the machine never replace or remove `symbol`, short of its delisting."""

    symbol: str
    note: str = ""


class UnpinHolding(Command, frozen=True, kw_only=True, gc=False):
    """End a pin."""

    symbol: str
    note: str = ""


class BlockSymbol(Command, frozen=True, kw_only=True, gc=False):
    """Keep `symbol` out of the book: not eligible until it is unblocked."""

    symbol: str
    note: str = ""


class UnblockSymbol(Command, frozen=True, kw_only=True, gc=False):
    """End a block, and the bar that an operator's removal left."""

    symbol: str
    note: str = ""


class Pause(Command, frozen=True, kw_only=True, gc=False):
    """The book holds until `Resume`; everything else goes on."""

    note: str = ""


class Resume(Command, frozen=True, kw_only=True, gc=False):
    """End a `Pause`."""

    note: str = ""


class ReleaseSource(Command, frozen=True, kw_only=True, gc=False):
    """Let the name of a signals' source go: it belongs to whoever uses it next."""

    source_name: str
    note: str = ""


class Recalculate(Command, frozen=True, kw_only=True, gc=False):
    """Recompute committed state from the ring for one symbol, or for all (None)."""

    symbol: str | None = None


class Reconfigure(Command, frozen=True, kw_only=True, gc=False):
    """Use `settings` from the next message on."""

    settings: CoreSettings
    revision: int
    changed: tuple[str, ...] = ()


class DisablePlugin(Command, frozen=True, kw_only=True, gc=False):
    """Leave a plug-in out from now on (overran its time budget three times in a row)."""

    kind: Literal["scorer", "detector", "agent"]
    name: str
    reason: str


class StorageDegraded(Message, frozen=True, kw_only=True, gc=False):
    """Commits fail or the writer's queue is nearly full: the book holds."""

    reason: str


class StorageRecovered(Message, frozen=True, kw_only=True, gc=False):
    """Commits succeed again."""


class CommandDone(Message, frozen=True, kw_only=True, gc=False):
    """The core's answer to a command: accepted, or refused with a stable code and the reason in words."""

    request_id: str
    accepted: bool
    code: str = "ok"
    detail: str = ""
    facts: dict[str, Any] = msgspec.field(default_factory=dict)  # figures behind a refusal, JSON-ready


class PluginDisabled(Message, frozen=True, kw_only=True, gc=False):
    """A plug-in is left out from now on."""

    kind: str
    name: str
    reason: str


class Reconfigured(Message, frozen=True, kw_only=True, gc=False):
    """A new configuration revision is in force."""

    revision: int
    changed: tuple[str, ...]
