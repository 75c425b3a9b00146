"""What a market must be able to tell the venue: the contract between price models and the server.

Every method is a pure function of its arguments and of the market's own seed or record, so that any
two venues started from the same market serve the same history, whenever they start.
Times are `int` nanoseconds UTC of venue time unless a name says otherwise; prices are floats that lie
on the contract's tick; sizes are whole lots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


class Print(NamedTuple):
    """One match on the tape."""

    ts: int  # ns, millisecond resolution
    price: float
    lots: int
    side: str  # taker side: "buy" or "sell"
    sequence: int  # trade sequence: rises, skips, is a function of venue time alone


class Quotes(NamedTuple):
    """An order book picture: `(price, lots)` rows, bids descending, asks ascending; a side may be empty."""

    bids: list[tuple[float, int]]
    asks: list[tuple[float, int]]


class FundingState(NamedTuple):
    """The funding clock of one perpetual at an instant."""

    rate: float  # running estimate for the present interval, fraction per interval
    last_rate: float  # rate of the last settlement
    last_time: int  # ns of the last settlement
    next_time: int  # ns of the next settlement
    interval: int  # ns
    cap: float
    floor: float


class DayStats(NamedTuple):
    """The rolling 24 h figures of one contract."""

    last: float | None  # None if never traded
    high: float
    low: float
    open: float  # price 24 h before
    lots: int
    turnover: float  # quote currency (linear), base coin (inverse)


Bars = npt.NDArray[np.float64]
"""Shape (n, 7): start ms, open, high, low, close, lots, turnover; ascending; intervals without trades are absent."""


class Market(Protocol):
    """Prices, books and facts of every listed contract as pure functions of venue time."""

    name: str  # "synthetic" or the record's file name
    seed: int
    start: int  # ns: the venue time at which a fresh venue begins
    end: int | None  # ns: where a record ends and the venue's clock stops; None = never

    def symbols(self, now: int) -> tuple[str, ...]:
        """Symbols listed at `now`, in a fixed order (most liquid first)."""
        ...

    def contract_row(self, symbol: str, now: int) -> dict[str, Any]:
        """The full `contracts/active` row (protocol §1.5, every field) as JSON values at `now`."""
        ...

    def contract_rows(self, symbols: Sequence[str], now: int) -> list[dict[str, Any]]:
        """The rows of several contracts at once, in the same order."""
        ...

    def prints(self, symbol: str, minute: int) -> list[Print]:
        """All trades of the minute (minutes since the epoch), in order; they aggregate to that minute's bar exactly."""
        ...

    def bars(self, symbol: str, granularity: int, start_ms: int, end_ms: int) -> Bars:
        """Whole bars of `granularity` minutes whose start lies in [start_ms, end_ms), consistent at every level.

        The market has no clock: the caller puts `running_bar` in place of a bar that holds its present.
        """
        ...

    def running_bar(self, symbol: str, granularity: int, now: int) -> list[float] | None:
        """The bar that contains `now`, built from the trades up to and including `now`; None if there were none."""
        ...

    def quotes(self, symbol: str, now: int, levels: int) -> Quotes:
        """The book at `now`, best `levels` a side."""
        ...

    def quotes_of(self, symbols: Sequence[str], now: int, levels: int) -> list[Quotes]:
        """`quotes` of several contracts at one instant, in the same order."""
        ...

    def mark_index(self, symbol: str, now: int) -> tuple[float, float]:
        """(mark price, index price)."""
        ...

    def funding(self, symbol: str, now: int) -> FundingState | None:
        """The funding clock, None for dated contracts."""
        ...

    def settlements(self, symbol: str, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
        """Settled rates with settlement time (ms) in [start_ms, end_ms], ascending."""
        ...

    def open_interest(self, symbol: str, now: int) -> int:
        """Open interest in lots."""
        ...

    def day_stats(self, symbol: str, now: int) -> DayStats:
        """Rolling 24 h figures."""
        ...
