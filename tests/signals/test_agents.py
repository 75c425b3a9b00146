"""The built-in agents one by one, over a view whose figures are set: what moves an opinion, and what silences it."""

from __future__ import annotations

from math import isclose, nan
from typing import Any

import pytest

from zmart_stream.domain.portfolio import Holding, Portfolio
from zmart_stream.domain.scores import ComponentScore
from zmart_stream.domain.signals import Action, Direction, Plan, Signal
from zmart_stream.market.contract_state import Moves
from zmart_stream.market.views import SwapCost, VarChange
from zmart_stream.signals.agents.fit import FitAgent
from zmart_stream.signals.agents.fundamental import FundamentalAgent
from zmart_stream.signals.agents.risk import RiskAgent
from zmart_stream.signals.agents.structure import StructureAgent
from zmart_stream.signals.agents.technical import TechnicalAgent
from zmart_stream.signals.base import Case


class Figures:
    """A `BookView` that says what it was told to say."""

    horizon_s = 86_400.0

    def __init__(self, **told: Any) -> None:
        self.now_score: ComponentScore | None = ComponentScore(name="any", score=70.0, confidence=1.0)
        self.past: float | None = 70.0
        self.stale: tuple[Moves, ...] = ()
        self.cost, self.vol, self.fall, self.corr = 10.0, 0.05, 0.1, 0.5
        self.var: VarChange | None = VarChange(before=3.0, after=4.0)
        self.composites: dict[str, float] = {"AUSDTM": 70.0, "BUSDTM": 50.0}
        self.held: tuple[str, ...] = ("BUSDTM",)
        self.shut: list[str] = []
        self.breach: str | None = None
        self.swap = SwapCost(pays=True, gap=20.0, earns_bps=40.0, needs_bps=20.0, cost_bps=16.0)
        self.best: str | None = None
        for name, value in told.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    def component(self, _symbol: str, _name: str) -> ComponentScore | None:
        return self.now_score

    def before(self, _symbol: str, _name: str, _bars: int = 4) -> float | None:
        return self.past

    def freshness(self, _symbol: str, moves: Moves) -> float:
        return 0.5 if moves in self.stale else 1.0

    def age_s(self, _symbol: str, _moves: Moves) -> float | None:
        return 3.0

    def cost_bps(self, _symbol: str) -> float:
        return self.cost

    def volatility(self, _symbol: str) -> float:
        return self.vol

    def drawdown(self, _symbol: str) -> float:
        return self.fall

    def correlation(self, _symbol: str, without: str | None = None) -> float:
        return self.corr if without is None else 0.0

    def var_after(self, _plan: Plan) -> VarChange | None:
        return self.var

    def composite(self, symbol: str) -> float | None:
        return self.composites.get(symbol)

    def portfolio(self) -> Portfolio:
        rows = [Holding(id=s, symbol=s, rank=n, weight=10.0, since=0, score=None) for n, s in enumerate(self.held, 1)]
        return Portfolio(holdings=tuple(rows), cash=100.0 - 10.0 * len(rows))

    def failing_gates(self, _symbol: str) -> list[str]:
        return self.shut

    def cap_breach(self, _symbol: str, _instead_of: str | None = None) -> str | None:
        return self.breach

    def swap_cost(self, _out: str, _into: str) -> SwapCost:
        return self.swap

    def best_candidate(self) -> str | None:
        return self.best


def case(
    direction: Direction = "BUY", action: Action = "ADD", *, out: str | None = None, strength: float = 0.8
) -> Case:
    signal = Signal(
        id="1",
        source="tests",
        owner="tests",
        who="tests",
        signal_type="CHECK",
        strength=strength,
        confidence=0.7,
        direction=direction,
        symbol="AUSDTM",
        received=0,
        expires=1,
    )
    return Case(signal=signal, symbol="AUSDTM", plan=Plan(action=action, symbol="AUSDTM", symbol_out=out))


def said(agent: Any, what: Case, **told: Any) -> Any:
    return agent.judge(what, Figures(**told))


def component(score: float | None, confidence: float = 1.0) -> ComponentScore:
    return ComponentScore(name="any", score=score, confidence=confidence)


@pytest.mark.parametrize(("agent", "needs"), [(TechnicalAgent(), Moves.TRADE), (FundamentalAgent(), Moves.POLL)])
def test_a_component_speaks_for_its_direction_by_level_and_change(agent: Any, needs: Moves) -> None:
    level = 0.5 + 0.4 * 0.6 * 0.4  # 70 for four bars: level 0.4, no change
    assert isclose(said(agent, case()).p, level)
    assert isclose(said(agent, case("SELL", "REMOVE")).p, 1.0 - level)
    assert isclose(said(agent, case(), past=60.0).p, level + 0.4 * 0.4 * 0.5)
    assert isclose(said(agent, case(), past=90.0).p, level - 0.4 * 0.4)
    assert isclose(said(agent, case(), past=None).p, 0.5 + 0.4 * 0.4)
    assert isclose(said(agent, case(), now_score=component(70.0, 0.5)).p, 0.5 + (level - 0.5) / 2)
    assert set(said(agent, case()).ages) == {moves.name.lower() for moves in agent.feeds_on}
    for silent in ({"stale": (needs,)}, {"now_score": None}, {"now_score": component(None)}):
        assert said(agent, case(), **silent).stance == "abstain", silent
    assert said(agent, case(), now_score=component(70.0, 0.29)).stance == "abstain"


def test_structure_is_even_where_the_cost_is_all_that_the_signal_can_bear() -> None:
    agent = StructureAgent()
    bearable = 0.25 * 1e4 * 0.05 * 0.8
    assert isclose(said(agent, case(), cost=bearable / 2).p, 0.5)  # in and out again
    assert isclose(said(agent, case("SELL", "REMOVE"), cost=bearable).p, 0.5)
    assert isclose(said(agent, case("BUY", "REPLACE", out="BUSDTM"), cost=bearable / 2).p, 0.5)
    dear, cheap = said(agent, case(), cost=80.0), said(agent, case(), cost=5.0)
    assert (dear.stance, dear.reasons[0].code, cheap.stance) == ("reject", "too_dear", "approve")
    assert said(agent, case(strength=0.4)).p < said(agent, case(strength=0.8)).p < said(agent, case(), vol=0.1).p
    assert said(agent, case(strength=0.0)).p == 0.02
    assert cheap.ages == {"ticker": 3.0, "depth": 3.0, "trade": 3.0}
    for silent in ({"cost": nan}, {"vol": nan}, {"stale": (Moves.TICKER,)}):
        assert said(agent, case(), **silent).stance == "abstain", silent


def test_risk_vetoes_a_buy_beyond_a_limit_and_never_a_sell() -> None:
    agent = RiskAgent()
    calm = said(agent, case())
    load = (0.05 / 0.15 + 0.1 / 0.5 + 0.5 / 0.95 + 4.0 / 12.0) / 4
    assert isclose(calm.p, 0.5 + 0.4 * (1 - 2 * load))
    assert not calm.veto
    assert isclose(said(agent, case("SELL", "REMOVE")).p, 1.0 - calm.p)
    beyond = ({"vol": 0.16}, {"fall": 0.51}, {"corr": 0.96}, {"var": VarChange(before=12.5, after=12.6)})
    for told in beyond:
        vetoed = said(agent, case(), **told)
        assert vetoed.veto, told
        assert vetoed.reasons[0].code == "beyond_limit"
        assert vetoed.p < calm.p
        assert not said(agent, case("SELL", "REMOVE"), **told).veto
    assert not said(agent, case(), var=VarChange(before=13.0, after=12.5)).veto, "the change lowers the VaR"
    assert isclose(said(agent, case(), corr=-0.9).p, said(agent, case(), corr=0.0).p)
    assert not said(agent, case("BUY", "REPLACE", out="BUSDTM"), corr=0.96).veto, "the one it moves with leaves"
    assert said(agent, case(), corr=nan, fall=nan, var=None).stance != "abstain"
    for silent in ({"vol": nan}, {"stale": (Moves.TRADE,)}):
        assert said(agent, case(), **silent).stance == "abstain", silent


def test_fit_follows_what_the_book_would_do() -> None:
    agent = FitAgent()
    assert isclose(said(agent, case()).p, 0.5 + 0.4 * 20 / 25)
    assert said(agent, case(), shut=["spread"]).p == said(agent, case(), breach="4 of 4 in layer1").p == 0.05
    replaces = case("BUY", "REPLACE", out="BUSDTM")
    assert isclose(said(agent, replaces).p, 0.9)  # earns twice what it needs
    dear = SwapCost(pays=False, gap=5.0, earns_bps=10.0, needs_bps=20.0, cost_bps=16.0)
    assert isclose(said(agent, replaces, swap=dear).p, 0.5 - 0.4 * 0.5)
    unpriced = SwapCost(pays=False, gap=5.0, earns_bps=10.0, needs_bps=nan, cost_bps=nan)
    assert said(agent, replaces, swap=unpriced).stance == "abstain"
    removes = case("SELL", "REMOVE")
    assert isclose(said(agent, removes).p, 0.5 - 0.4 * 20 / 25)
    assert isclose(said(agent, removes, best="CUSDTM", composites={"AUSDTM": 60.0, "CUSDTM": 70.0}).p, 0.5 + 0.4 * 0.4)
    assert isclose(said(agent, removes, composites={}).p, 0.9)
    up, down = case("BUY", "WEIGHT_UP"), case("SELL", "WEIGHT_DOWN")
    both = ("AUSDTM", "BUSDTM")
    assert isclose(said(agent, up, held=both).p, 0.5 + 0.4 * 10 / 25)
    assert isclose(said(agent, down, held=both).p, 0.5 - 0.4 * 10 / 25)
    assert said(agent, case("SELL", "NONE")).stance == said(agent, case(), composites={}).stance == "abstain"
    for what in (removes, up, down):
        for moves in (Moves.TRADE, Moves.TICKER):
            assert said(agent, what, stale=(moves,)).stance == "abstain", "a stale composite says nothing of a holding"
        assert said(agent, what).ages == {"trade": 3.0, "ticker": 3.0}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (TechnicalAgent, {"level": 1.1}),
        (TechnicalAgent, {"change_points": 0.0}),
        (FundamentalAgent, {"bars": 0}),
        (StructureAgent, {"share": 0.0}),
        (RiskAgent, {"max_drawdown": nan}),
        (FitAgent, {"points": 0.0}),
    ],
)
def test_options_out_of_range_are_refused(kind: Any, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"is not|is below"):
        kind(**options)
