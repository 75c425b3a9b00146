"""Ids that say when and in which session they were made, without a clock and without chance."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

_SYMBOLS = UUID("5f0c2a6e-93b1-5d3f-8a57-6b0d6f2f5c11")
_SESSION_BITS = 24
_SEQUENCE_BITS = 50
_RAND_B_BITS = 62


def symbol_id(symbol: str) -> str:
    """The UUIDv5 of a contract: the same on every machine, for ever."""
    return str(uuid5(_SYMBOLS, symbol))


class IdSource:
    """UUIDv7 (RFC 9562) whose 74 "random" bits are the session number (24) and a sequence within it (50).

    Two sessions of one store never share a number, so ids never collide; within one they sort by time.
    """

    def __init__(self, session: int) -> None:
        self.session = session
        self.sequence = 0
        self.last = ""

    def begin(self, session: int) -> None:
        """Number a new session; `last` is kept."""
        self.session, self.sequence = session, 0

    def new(self, ts: int) -> str:
        """The next id at market time `ts` (ns)."""
        self.sequence += 1
        tail = ((self.session % (1 << _SESSION_BITS)) << _SEQUENCE_BITS) | (self.sequence % (1 << _SEQUENCE_BITS))
        value = (ts // 1_000_000) % (1 << 48) << 80
        value |= 0x7 << 76 | (tail >> _RAND_B_BITS) << 64
        value |= 0b10 << _RAND_B_BITS | tail % (1 << _RAND_B_BITS)
        self.last = str(UUID(int=value))
        return self.last

    def snapshot(self) -> dict[str, Any]:
        """Session, sequence and the last id made."""
        return {"session": self.session, "sequence": self.sequence, "last": self.last}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        self.session = state["session"]
        self.sequence = state["sequence"]
        self.last = state["last"]
