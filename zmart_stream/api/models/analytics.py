"""Queries and replies on the book's money: statistics, metrics, attribution, equity, optimisers, swaps, history.

Money is USDT, weights are percent of equity, returns, volatility, costs and effects are fractions, unless the name says
otherwise. A figure that cannot be given is null, with the reason beside it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from zmart_stream.api.models import (
    FIGURES,
    MAX_LIMIT,
    MAX_OFFSET,
    Document,
    Moment,
    PageReply,
    Query,
    Reference,
    Reply,
    Row,
    Time,
)
from zmart_stream.api.models.portfolio import ChangeRow

Window = Literal["1d", "7d", "30d", "all"]
Optimiser = Literal["equal", "score", "inverse_volatility", "min_variance", "risk_parity", "hrp", "max_diversification"]
Kind = Literal["fill", "replace", "remove", "add", "reweight", "rerank", "resize", "pin", "unpin", "block", "unblock"]


class WindowQuery(Query):
    """The time that is looked at, up to now."""

    window: Window = Field("all", description="The last day, week or month, or all since the ledger opened.")


class FigureRow(Row):
    """A figure, or null and why there is none."""

    value: float | None
    reason: str | None


class PositionRow(Row):
    """A holding's money since it entered; `earned_usdt` is price P&L and funding less costs."""

    symbol: str
    since: Time
    quantity: float
    mark: float
    value_usdt: float
    weight: float
    price_pnl_usdt: float
    funding_usdt: float
    costs_usdt: float
    earned_usdt: float


class SlopeRow(Row):
    """Basis points that a point of score is taken to earn, and what it did earn, with its 95 % interval."""

    configured: float
    swaps: int
    estimate: float | None
    low: float | None
    high: float | None
    reason: str | None


class LedgerRow(Row):
    """The paper ledger since it opened."""

    opened: Time | None
    marked: Time | None
    start_usdt: float
    equity_usdt: float
    cash_usdt: float
    gain: float = Field(alias="return")
    price_pnl_usdt: float
    funding_usdt: float
    costs_usdt: float
    traded_usdt: float
    first_book_usdt: float | None
    benchmark_usdt: float | None


class HonestyRow(Row):
    """What the book was worth against doing less; above 0 it did better."""

    against_benchmark_usdt: float | None
    against_first_book_usdt: float | None
    against_not_swapping_usdt: float
    slope: SlopeRow
    is_slope_proven: bool


class StatisticsReply(Reply):
    """The book and its money at a glance."""

    holdings: int
    places: int
    optimiser: str
    weights: Document
    scores: dict[str, float | None]
    risk: Document
    ledger: LedgerRow
    positions: list[PositionRow]
    honesty: HonestyRow


class MetricsReply(Reply):
    """Risk and performance over a window: `metrics` by name, and in `reasons` why those that are null are."""

    window: Window
    since: Time | None
    until: Time | None
    step_s: float
    observations: int
    metrics: dict[str, float | None]
    reasons: dict[str, str]


class ContributionRow(Row):
    """What a contract added to the return."""

    symbol: str
    sector: str | None
    contribution: float


class EffectRow(Row):
    """Brinson and Fachler's effects of a sector."""

    sector: str
    allocation: float
    selection: float
    interaction: float
    total: float


class AttributionReply(Reply):
    """Where the return came from: it is the sum of contributions, funding and costs."""

    window: Window
    since: Time | None
    until: Time | None
    reason: str
    gain: float | None = Field(alias="return")
    benchmark: float | None
    active: float | None
    funding: float | None
    costs: float | None
    active_funding: float | None
    active_costs: float | None
    contributions: list[ContributionRow]
    effects: list[EffectRow]


class EquityQuery(Query):
    """A span of the ledger, thinned evenly to so many points."""

    since: Moment | None = Field(None, description="First time; the ledger's start without it.")
    until: Moment | None = Field(None, description="Last time; now without it.")
    points: Annotated[int, Field(ge=2, le=5000), FIGURES] = Field(500, description="Points at most.")

    @model_validator(mode="after")
    def _runs_forward(self) -> EquityQuery:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("since is after until")
        return self


class PointRow(Row):
    """The ledger at the end of an hour, USDT; flows are since the point before: equity is its equity plus price P&L and
    funding less costs.
    """

    at: Time
    equity: float
    cash: float
    price_pnl: float
    funding: float
    costs: float
    traded: float
    first_book: float | None
    benchmark: float


class BalanceRow(Row):
    """Whether each point's equity is the one before plus price P&L and funding less costs, to 1e-8 USDT."""

    steps: int
    difference_usdt: float
    is_balanced: bool


class EquityReply(Reply):
    """The paper equity over time, beside the first book held and the benchmark."""

    points: list[PointRow]
    balance: BalanceRow


class SwapRow(Row):
    """One swap against not swapping."""

    id: str
    symbol_out: str
    symbol_in: str
    gap: float
    since: Time
    until: Time
    costs_usdt: float
    unswapped_usdt: float
    swapped_usdt: float
    earned_usdt: float
    earned_bps: float | None
    spread_bps: float | None
    is_final: bool


class SwapsReply(Reply):
    """What swaps earned, newest first, and what a point of score earned."""

    running: list[SwapRow]
    final: list[SwapRow]
    earned_usdt: dict[str, float]
    slope: SlopeRow


class OptimizeQuery(Query):
    """Which optimiser is asked."""

    optimiser: Optimiser | None = Field(None, description="One of them; each without it.")


class TradeRow(Row):
    """What a contract's weight would become, and what that costs."""

    symbol: str
    before: float
    after: float
    change: float
    usdt: float
    cost_usdt: float | None


class ProposalRow(Row):
    """What one optimiser would do now; `reason` says why the limits leave no weights."""

    name: Optimiser
    reason: str
    weights: dict[str, float]
    cash: float | None
    trades: list[TradeRow]
    turnover: float | None
    cost_usdt: float | None
    volatility: FigureRow
    effective_holdings: FigureRow
    diversification_ratio: FigureRow


class OptimizeReply(Reply):
    """The weights there are, and what optimisers would make of them; nothing is changed."""

    in_force: Optimiser
    present: Document
    optimisers: list[ProposalRow]


class HistoryQuery(Query):
    """Which changes of the book."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), FIGURES] = Field(100, description="Rows.")
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET), FIGURES] = Field(0, description="Rows left out before them.")
    symbol: Reference | None = Field(None, description="Only changes in which this contract came or left.")
    kind: Kind | None = Field(None, description="Only changes of this kind.")
    since: Moment | None = Field(None, description="Not before.")


class HistoryReply(PageReply):
    """Changes of the book, newest first; `total` counts those that were asked for."""

    changes: list[ChangeRow]
