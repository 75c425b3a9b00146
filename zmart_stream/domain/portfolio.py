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
    blocked: tuple[str, ...] = ()  # symbols that an operator keeps out, in the order of their blocking


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


class WeightsKept(Message, frozen=True, kw_only=True, gc=False):
    """No weights keep the limits: the present ones stay, scaled to the holdings."""

    reason: str


class SwapAccount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The swap that a trade carries out."""

    id: str
    """Of the PortfolioChange."""
    symbol_out: str
    symbol_in: str
    gap: float
    """Points by which the one outscored the other."""


class PaperQuote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a paper trade in a contract is priced at."""

    price: float
    """Quote currency per base unit."""
    cost_bps: float
    """Taker fee, half spread and impact beyond the touch, of the amount traded."""


class BookTraded(Message, frozen=True, kw_only=True, gc=False):
    """The paper book moved to new weights: all that the ledger needs to make the same trades again."""

    id: str
    weights: dict[str, float]
    """Percent of equity by symbol after it; the rest is cash."""
    quotes: dict[str, PaperQuote]
    costs: int
    """Units of 1e-8 USDT, at least 0."""
    swap: SwapAccount | None = None
    completes_first_fill: bool = False


class SwapMeasured(Message, frozen=True, kw_only=True, gc=False):
    """What a swap earned against the un-swapped book: at its start, and for good at its horizon.

    Money in units of 1e-8 USDT.
    """

    swap: SwapAccount
    since: int
    until: int
    """ns; when it becomes final."""
    start: int
    costs: int
    unswapped: int
    swapped: int
    spread_bps: float | None
    """Return of the contract that came less that of the one that left, before costs; None: not known."""
    is_final: bool


class FundingPaid(Message, frozen=True, kw_only=True, gc=False):
    """A settlement that the book paid or received."""

    symbol: str
    settled: int
    """ns."""
    rate: float
    value: int
    """Held at the settlement, units of 1e-8 USDT."""
    amount: int
    """Above 0: received; units of 1e-8 USDT."""


class EquityMarked(Message, frozen=True, kw_only=True, gc=False):
    """The ledger at a bar's end: equity = equity before + price P&L + funding - costs. Units of 1e-8 USDT."""

    end: int
    """ns."""
    equity: int
    cash: int
    price_pnl: int
    funding: int
    costs: int
    traded: int
    first_book: int | None
    """The first book held ever since; None before it is complete."""
    benchmark: int
    """What the same start would be in the benchmark."""


class FlagsChanged(Message, frozen=True, kw_only=True, gc=False):
    """Flags or scores of holdings changed without a change of composition, rank or weight."""

    portfolio: Portfolio
