"""What detectors and agents may see, and what a model is asked through: Protocols that speak arrays.

The engine implements them; detectors and agents only ever read. Everything is as of `now`, the market time of the
message being taken; None or nan means not known, never a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from zmart_stream.domain.portfolio import Holding, Portfolio
from zmart_stream.domain.scores import ComponentScore
from zmart_stream.domain.signals import Plan
from zmart_stream.market.bars import FloatArray, IntArray
from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Closed bars of one contract, oldest first, shape (bars,); nan where nothing is known. Views: not to be changed.

    Prices in quote currency, `lots` in lots, `turnover` in quote currency. `end` (ns) is the end of the newest.
    """

    interval_s: int
    end: int
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    lots: FloatArray
    turnover: FloatArray


class PartView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One part of a score: raw value, percentile in the universe (0..100), and how fresh its input is."""

    raw: float
    pct: float
    freshness: float  # 1 = fresh, see numbers.md §3
    age_s: float | None


class SwapCost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whether a swap pays by the book's own rule (numbers.md §5 `pays`), the bonus of a signal included."""

    pays: bool
    gap: float  # points, bonus included
    earns_bps: float
    needs_bps: float  # nan when a leg has no price
    cost_bps: float  # of both legs


class VarChange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One-day 95 % value at risk of the book in percent of equity, before and after a change: normal, EW covariance."""

    before: float
    after: float


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a source's settled signals amount to; hits and misses decay with the half-life."""

    outcomes: int = 0  # ever, undecayed
    hits: float = 0.0
    misses: float = 0.0
    mean_net: float | None = None  # mean net forward return, fraction, decayed

    @property
    def hit_rate(self) -> float:
        """Mean of Beta(1 + hits, 1 + misses)."""
        return (1.0 + self.hits) / (2.0 + self.hits + self.misses)


class MarketView(Protocol):
    """The market as detectors see it."""

    @property
    def now(self) -> int:
        """Market time, ns."""
        ...

    def symbols(self) -> Sequence[str]:
        """Contracts of the universe, in row order."""
        ...

    def state(self, symbol: str) -> ContractState | None:
        """Everything known of a contract, to be read only; None for an unknown one."""
        ...

    def listed_days(self, symbol: str) -> float | None:
        """Days since its listing."""
        ...

    def day_bars(self, symbol: str, count: int) -> BarColumns:
        """The newest `count` closed UTC days (fewer if the ring holds fewer). Raises KeyError for an unknown symbol."""
        ...

    def hour_bars(self, symbol: str, count: int) -> BarColumns:
        """The newest `count` closed hours. Raises KeyError for an unknown symbol."""
        ...

    def bars(self) -> BarView:
        """Columns over all contracts, as scorers read them at a close; worth it for many contracts at once.

        Its rings `hours` and `days` cost nothing; the figures `hour` and `day` are made when asked for (milliseconds).
        """
        ...

    def closed(self, interval_s: int) -> int:
        """How many bars of 1 h (3600) or 1 d (86400) the newest close of the decision interval ended.

        0 at a quarter hour's close; 1 at each hour's, 4 where decisions fall every four hours. What looks at closed
        bars and asks this first sees none of them twice.
        """
        ...

    @property
    def closed_at(self) -> int:
        """End (ns) of the decision interval that closed newest."""
        ...

    @property
    def closed_since(self) -> int:
        """Start (ns) of that interval: the close before."""
        ...

    def day_rsi(self, rows: IntArray) -> FloatArray:
        """RSI(14) after each closed UTC day of some `rows`: shape (rows, days), oldest first; nan before bar 15."""
        ...

    def scores_before(self, name: str, bars: int = 4) -> FloatArray:
        """`before` of all contracts at once, shape (rows,); nan where not known."""
        ...

    def composite(self, symbol: str) -> float | None:
        """The composite, 0..100; None without one."""
        ...

    def component(self, symbol: str, name: str) -> ComponentScore | None:
        """A component's score and confidence now; None if it is unknown or off."""
        ...

    def before(self, symbol: str, name: str, bars: int = 4) -> float | None:
        """Score of a component (or "composite") `bars` decision closes ago, 0 = the newest close; None if not known."""
        ...

    def part(self, symbol: str, name: str) -> PartView | None:
        """A part by "component.part", e.g. "risk.volatility"; None while absent."""
        ...

    def freshness(self, symbol: str, moves: Moves) -> float:
        """1 = the input is fresh; below: stale; 0 for an unknown contract."""
        ...

    def age_s(self, symbol: str, moves: Moves) -> float | None:
        """Seconds since the input spoke; None if it never did."""
        ...


class BookView(MarketView, Protocol):
    """The market, the book and the past of sources, as agents see them."""

    def confidence(self, symbol: str) -> float:
        """C of the composite, 0..1; 0 for an unknown contract."""
        ...

    def cost_bps(self, symbol: str) -> float:
        """Of one trade of `probe_usdt`: taker fee, half spread, impact beyond the touch; nan without a spread."""
        ...

    def volatility(self, symbol: str) -> float:
        """EW volatility of a day's return (fraction), half-life 72 h; nan while unknown."""
        ...

    def drawdown(self, symbol: str) -> float:
        """Largest drawdown in a week (fraction >= 0); nan while unknown."""
        ...

    def correlation(self, symbol: str, without: str | None = None) -> float:
        """EW correlation (half-life 72 h) of its hour returns with the book's without it; nan for an empty book.

        `without`: the holding whose place a newcomer would take.
        """
        ...

    def portfolio(self) -> Portfolio:
        """The book: holdings by rank with weights (percent) and score at the last close, and cash."""
        ...

    def holding(self, symbol: str) -> Holding | None:
        """The holding of `symbol`, None if it is not held."""
        ...

    def free_places(self) -> int:
        """Places without a holding."""
        ...

    def weakest(self, place_for: str | None = None) -> Holding | None:
        """The unpinned holding with the lowest composite now (none known counts lowest); None if there is none.

        With `place_for` only among those in whose place the caps would let that contract in, whatever their age.
        """
        ...

    def replaceable_by(self, symbol: str) -> Holding | None:
        """The weakest holding whose place `symbol` may take: not pinned, old enough, and the caps hold then.

        None if there is none, or if `symbol` is held itself.
        """
        ...

    def best_candidate(self) -> str | None:
        """The highest contract that may enter: a free place, or a holding's; None if there is none."""
        ...

    def failing_gates(self, symbol: str) -> Sequence[str]:
        """Names of the eligibility gates that are shut, at a holding's limits if it is held."""
        ...

    def cap_breach(self, symbol: str, instead_of: str | None = None) -> str | None:
        """What the caps say against it in the book without `instead_of`, in words; None if nothing."""
        ...

    def swap_cost(self, symbol_out: str, symbol_in: str) -> SwapCost:
        """Whether replacing the one by the other pays with the bonus of a signal."""
        ...

    def var_after(self, plan: Plan) -> VarChange | None:
        """The book's VaR before and after `plan`; None while covariances are not known."""
        ...

    def record(self, owner: str, source: str) -> SourceRecord:
        """The past of a source; an empty record for an unknown one."""
        ...

    @property
    def horizon_s(self) -> float:
        """Seconds over which a signal's outcome is measured."""
        ...


class Predictor(Protocol):
    """A model behind the model scorer."""

    @property
    def schema(self) -> str:
        """Hash of the feature row it was trained on."""
        ...

    def predict(self, rows: FloatArray) -> FloatArray:
        """Expected relative return and volatility over the horizon, shape (rows, 2), for features (rows, features)."""
        ...
