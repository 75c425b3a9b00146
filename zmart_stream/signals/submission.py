"""From what was submitted to the signal that is judged and stored."""

from __future__ import annotations

from typing import Protocol

from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import Direction, Signal, SubmitSignal
from zmart_stream.signals.validation import MOST_EXPIRY_S, MOST_KEY, MOST_NAME, NS, symbol_of, writable

MOST_TYPE = 32


class Names(Protocol):
    """Who makes ids and knows contracts."""

    def new_id(self) -> str:
        """An id made of market time."""
        ...

    def find(self, name: str) -> str | None:
        """The contract of a symbol or of its UUID, None if there is none."""
        ...


def signal_of(command: SubmitSignal, names: Names, settings: SignalSettings, *, is_valid: bool) -> Signal:
    """The signal of `command`; of an invalid one what can be kept: text cut, figures out of range 0, no data."""
    direction: Direction = "SELL" if command.signal_direction == "SELL" else "BUY"
    key = command.idempotency_key
    return Signal(
        id=names.new_id(),
        source=writable(command.source_name[:MOST_NAME]),
        owner=command.owner,
        who=command.who,
        signal_type=writable(command.signal_type[:MOST_TYPE]),
        strength=_share(command.signal_strength),
        confidence=_share(command.confidence_level),
        direction=direction,
        symbol=symbol_of(command, names.find),
        data=command.signal_data if is_valid else {},
        idempotency_key=None if key is None else writable(key[:MOST_KEY]),
        received=command.ts,
        expires=_expires(command, settings) if is_valid else command.ts,
    )


def _share(value: float) -> float:
    return float(value) if 0.0 <= value <= 1.0 else 0.0


def _expires(command: SubmitSignal, settings: SignalSettings) -> int:
    if command.expires_at is not None:
        return command.expires_at
    seconds = settings.expires_s if command.expires_in_s is None else command.expires_in_s
    return command.ts + int(min(seconds, MOST_EXPIRY_S) * NS)
