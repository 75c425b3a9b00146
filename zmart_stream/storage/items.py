"""What the runner hands to the writer beside domain messages."""

from __future__ import annotations

from typing import Any

import msgspec

from zmart_stream.domain.message import Message


class SnapshotTaken(Message, frozen=True, kw_only=True, gc=False):
    """The engine's small state at `ts`: a copy that nobody changes any more, packed and compressed off the loop."""

    state: dict[str, Any] | bytes


class SymbolFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What we, not the venue, say of a contract."""

    symbol: str
    eligible: bool  # the operator lets the machine manage it
    sector: str | None
    market_cap_category: str | None  # large, mid, small, micro


class SymbolsJudged(Message, frozen=True, kw_only=True, gc=False):
    """Sector and size class of contracts, as of `ts`."""

    rows: tuple[SymbolFacts, ...]


class OverridesRecorded(Message, frozen=True, kw_only=True, gc=False):
    """Settings recorded over the file: dotted key -> value; None forgets the key."""

    who: str
    values: dict[str, Any]


class UserRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A token as a user. Times in ns UTC; `token_hash` is the hex SHA-256."""

    id: str
    name: str
    scopes: tuple[str, ...]
    token_hash: str
    created: int
    revoked: int | None = None


class UsersRecorded(Message, frozen=True, kw_only=True, gc=False):
    """All tokens as they are now; those revoked first."""

    users: tuple[UserRecord, ...]
