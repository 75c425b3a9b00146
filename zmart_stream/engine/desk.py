"""The core as the signal processor needs it, and with it the book as agents see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan, sqrt

from zmart_stream.domain.portfolio import Holding, Portfolio
from zmart_stream.domain.signals import Plan
from zmart_stream.engine.book_risk import BookRisk
from zmart_stream.engine.ids import symbol_id
from zmart_stream.engine.market_view import CoreMarket
from zmart_stream.engine.score_trail import ScoreTrail
from zmart_stream.engine.stages import Stages
from zmart_stream.engine.warmup import NS, Start
from zmart_stream.market.bars import HOUR
from zmart_stream.market.views import SourceRecord, SwapCost, VarChange
from zmart_stream.portfolio.caps import Caps
from zmart_stream.portfolio.economics import Economics, judge_swap
from zmart_stream.portfolio.eligibility import failing
from zmart_stream.signals.scorecard import Scorecards

WARM_UP = "warm_up"
"""What signals wait for before a session's first judgement."""


class CoreView(CoreMarket):
    """`signals.processor.Desk`, and with it `market.views.BookView`, over the stages."""

    def __init__(
        self, stages: Stages, start: Start, trail: ScoreTrail, cards: Scorecards, now: Callable[[], int]
    ) -> None:
        super().__init__(stages, trail, now)
        self._start = start
        self._cards = cards
        self._risk = BookRisk(stages.market)
        self._ids: dict[str, str] = {}

    # -- one contract ------------------------------------------------------------------------------------------------

    def confidence(self, symbol: str) -> float:
        """C of the composite."""
        state = self.state(symbol)
        return 0.0 if state is None else self._stages.scoring.confidence(state.row)

    def cost_bps(self, symbol: str) -> float:
        """Of one trade; nan without a spread."""
        return self._stages.paper.leg(symbol).bps

    def paid_bps(self, symbol: str) -> float:
        """Of one trade, with an assumed spread where none is known."""
        return self._stages.paper.leg(symbol).paid_bps

    def volatility(self, symbol: str) -> float:
        """EW volatility of a day's return."""
        state = self.state(symbol)
        return nan if state is None or not state.ew_var >= 0.0 else sqrt(24.0 * state.ew_var)

    def drawdown(self, symbol: str) -> float:
        """Largest drawdown of the newest 167 closed hours."""
        state = self.state(symbol)
        return nan if state is None else state.dd_167

    def correlation(self, symbol: str, without: str | None = None) -> float:
        """With the rest of the book."""
        return self._risk.correlation(self.portfolio(), symbol, without or symbol)

    def mark(self, symbol: str) -> float:
        """Mark price, else last price; nan without either."""
        mark = self._stages.paper.mark(symbol)
        return nan if mark is None else mark

    def price_at(self, symbol: str, at: int) -> float:
        """The mark of now when `at` is at most an hour ago, else the close of the hour that held `at`.

        The mark also until that hour is closed; nan when the hour is older than the bars kept.
        """
        ago = self.now - at
        price = None if ago <= HOUR else self._stages.paper.price_at(symbol, at // HOUR * HOUR + HOUR)
        if price is None:
            return self.mark(symbol) if ago <= 2 * HOUR else nan
        return price

    # -- the book ----------------------------------------------------------------------------------------------------

    def portfolio(self) -> Portfolio:
        """The book."""
        return self._stages.symbols.portfolio

    def holding(self, symbol: str) -> Holding | None:
        """The holding of `symbol`."""
        return self._stages.symbols.holding(symbol)

    def free_places(self) -> int:
        """Places without a holding."""
        return max(0, self._stages.settings.portfolio.max_symbols - len(self.portfolio().holdings))

    def weakest(self, place_for: str | None = None) -> Holding | None:
        """The unpinned holding with the lowest composite."""
        return self._first_place(self._weakest_first(), place_for)

    def replaceable_by(self, symbol: str) -> Holding | None:
        """The weakest holding whose place `symbol` may take; none for a holding."""
        return None if self.holding(symbol) is not None else self._first_place(self._old_enough(), symbol)

    def best_candidate(self) -> str | None:
        """The highest contract that may enter."""
        stages, now = self._stages, self.now
        caps, held, places = self._caps(), self._held(), self._places()
        for row in stages.scoring.best_first():
            state = stages.market.states[row]
            symbol = state.symbol
            if symbol in held or stages.symbols.memory.is_barred(symbol, now):
                continue
            if not stages.symbols.is_eligible(stages.standing(state, now)):
                continue
            if any(caps.breach(symbol, [other for other in held if other != leaver]) is None for leaver in places):
                return symbol
        return None

    def failing_gates(self, symbol: str) -> list[str]:
        """Eligibility gates that are shut."""
        state = self.state(symbol)
        if state is None:
            return ["listed"]
        symbols = self._stages.symbols
        return [gate.name for gate in failing(symbols.gates(self._stages.standing(state, self.now)))]

    def cap_breach(self, symbol: str, instead_of: str | None = None) -> str | None:
        """What the caps say against it."""
        breach = self._caps().breach(symbol, [held for held in self._held() if held not in (instead_of, symbol)])
        return None if breach is None else breach.text

    def swap_cost(self, symbol_out: str, symbol_in: str) -> SwapCost:
        """Whether the swap pays with the bonus of a signal."""
        settings, paper = self._stages.settings.portfolio, self._stages.paper
        scores = [self.composite(symbol_in), self.composite(symbol_out)]
        gap = nan if scores[0] is None or scores[1] is None else scores[0] - scores[1]
        economics = Economics(bps_per_point=settings.bps_per_point, cost_safety=settings.cost_safety)
        legs = paper.leg(symbol_out), paper.leg(symbol_in)
        told = judge_swap(gap, *legs, economics, extra_points=settings.signal_points)
        return SwapCost(
            pays=told.pays, gap=told.gap, earns_bps=told.earns_bps, needs_bps=told.needs_bps, cost_bps=told.cost_bps
        )

    def var_after(self, plan: Plan) -> VarChange | None:
        """VaR of a day at 95 %, of the normal distribution, from EW covariances of hour returns."""
        present = {holding.symbol: holding.weight for holding in self.portfolio().holdings}
        changed = self._changed(present, plan)
        before, after = self._risk.daily_var(present), self._risk.daily_var(changed)
        return VarChange(before=before, after=after) if before - before == after - after == 0.0 else None

    # -- signals -----------------------------------------------------------------------------------------------------

    def record(self, owner: str, source: str) -> SourceRecord:
        """The past of a source."""
        return self._cards.source(owner, source, self.now)

    @property
    def horizon_s(self) -> float:
        """Seconds over which outcomes are measured."""
        return self._stages.settings.signals.outcome_horizon_s

    def new_id(self) -> str:
        """An id made of market time."""
        return self._stages.ids.new(self.now)

    def find(self, name: str) -> str | None:
        """The contract of a symbol or of its UUID."""
        states = self._stages.market.states
        if name in self._stages.market.by_symbol:
            return name
        for state in states[len(self._ids) :]:  # rows appear and stay
            self._ids[symbol_id(state.symbol)] = state.symbol
        return self._ids.get(name)

    def waits_for(self) -> str:
        """Why nothing is judged now."""
        if not self._start.may_judge(self.now):
            return WARM_UP
        return self._stages.symbols.hold.code or ""

    # -- parts -------------------------------------------------------------------------------------------------------

    def _held(self) -> list[str]:
        return [holding.symbol for holding in self.portfolio().holdings]

    def _caps(self) -> Caps:
        stages = self._stages
        return Caps(stages.settings.portfolio, stages.sector, stages.correlation)

    def _weakest_first(self) -> list[Holding]:
        """Unpinned holdings, the lowest composite first; one without a composite is the weakest."""
        unpinned = [holding for holding in self.portfolio().holdings if not holding.pinned]
        return sorted(unpinned, key=lambda holding: (_or_less(self.composite(holding.symbol)), -holding.rank))

    def _first_place(self, holdings: list[Holding], place_for: str | None) -> Holding | None:
        """The first of `holdings` in whose place the caps let a contract in; None as the contract: the first."""
        if place_for is None:
            return next(iter(holdings), None)
        caps, held = self._caps(), self._held()
        for holding in holdings:
            if caps.breach(place_for, [other for other in held if other != holding.symbol]) is None:
                return holding
        return None

    def _old_enough(self) -> list[Holding]:
        """Of these, those that may be replaced."""
        min_hold, now = int(self._stages.settings.portfolio.min_hold_s * NS), self.now
        return [holding for holding in self._weakest_first() if now - holding.since >= min_hold]

    def _places(self) -> list[str]:
        """Places that a newcomer may take, by who holds them ("" = nobody); all of them when none may be taken now.

        Then the book names the limit that stops the signal, which says more than that there is no candidate.
        """
        if self.free_places() > 0:
            return [""]
        return [holding.symbol for holding in self._old_enough()] or self._held()

    def _changed(self, present: Mapping[str, float], plan: Plan) -> dict[str, float]:
        """Roughly the weights (percent) after `plan`: what is invested stays, others make room or take over."""
        weights, symbol = dict(present), plan.symbol
        if symbol is None or plan.action == "NONE":
            return weights
        settings, invested = self._stages.settings, sum(present.values())
        if plan.action == "REPLACE" and plan.symbol_out in weights:
            weights[symbol] = weights.pop(plan.symbol_out)
            return weights
        most, cash = settings.portfolio.max_weight, settings.portfolio.cash
        if plan.action == "REMOVE":
            weights.pop(symbol, None)
            invested = min(100.0 - cash, len(weights) * most)
        elif plan.action == "ADD":
            weights[symbol] = sum(weights.values()) / len(weights) if weights else most
            invested = min(100.0 - cash, len(weights) * most)
        elif symbol in weights:
            signals = settings.signals
            weights[symbol] *= signals.tilt_up if plan.action == "WEIGHT_UP" else signals.tilt_down
        total = sum(weights.values())
        return {held: weight * invested / total for held, weight in weights.items()} if total > 0.0 else {}


def _or_less(value: float | None) -> float:
    return -1.0 if value is None else value
