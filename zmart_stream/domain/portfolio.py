"""The book: what is held, and every change of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from zmart_stream.domain.message import Message

ChangeKind = Literal[
    "fill", "replace", "remove", "add", "reweight", "rerank", "resize", "pin", "unpin", "block", "unblock"
]


class Holding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A contract in the book."""

    id: str  # UUID of this stay in the book
    symbol: str
    rank: int  # 1..N, contiguous
    weight: float  # percent, two decimals
    since: int  # ns
    score: float | None  # at the last close
    pinned: bool = False
    replacement_candidate: bool = False
    flags: tuple[str, ...] = ()


class Portfolio(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The book as a whole; weights and cash sum to 100."""

    holdings: tuple[Holding, ...] = ()
    cash: float = 100.0


class PortfolioChange(Message, frozen=True, kw_only=True, gc=False):
    """One change of the book with everything needed to explain and to rebuild it."""

    id: str
    kind: ChangeKind
    reason: str  # stable code, e.g. first_fill, fill, replace, not_eligible, delisted, exit_score, operator
    symbol_in: str | None = None
    symbol_out: str | None = None
    before: Portfolio
    after: Portfolio
    numbers: dict[str, float | str | None] = msgspec.field(default_factory=dict)
    who: str = "machine"
    note: str = ""
    revision: int


class HoldChanged(Message, frozen=True, kw_only=True, gc=False):
    """The book holds (no rule acts), or acts again."""

    on: bool
    reason: str


class BookReady(Message, frozen=True, kw_only=True, gc=False):
    """The first fill is done."""

    size: int


class FlagsChanged(Message, frozen=True, kw_only=True, gc=False):
    """Flags or scores of holdings changed without a change of composition, rank or weight."""

    portfolio: Portfolio
