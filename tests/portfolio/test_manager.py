"""When weights are found anew and by what risk; the ledger's figures against empyrical on recorded prices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import empyrical
import msgspec
import numpy as np
import pytest

from tests.contracts.recorded import recorded_hours
from tests.portfolio.builders import DAY, HOUR, T0, standings, uncorrelated
from zmart_stream.domain.commands import AddHolding, Rebalance
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookTraded, EquityMarked, PortfolioChange
from zmart_stream.domain.settings import CoreSettings, PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.account import UNIT
from zmart_stream.portfolio.analyses import Analyses
from zmart_stream.portfolio.economics import Leg, price_leg
from zmart_stream.portfolio.manager import PortfolioManager
from zmart_stream.portfolio.reports import Reports
from zmart_stream.portfolio.symbols import SymbolManager
from zmart_stream.portfolio.weighing import LEAST_BARS, risk_of
from zmart_stream.portfolio.weights.problem import FloatArray

SCORES = {"AUSDTM": 80.0, "BUSDTM": 70.0, "CUSDTM": 60.0, "DUSDTM": 55.0}


class Pit:
    """A market with prices of its own: one row of `closes` an hour, the newest last."""

    def __init__(self, closes: dict[str, FloatArray]) -> None:
        self._closes = closes
        self.bar = 240

    def marks(self) -> dict[str, float]:
        return {symbol: float(prices[self.bar]) for symbol, prices in self._closes.items()}

    def mark(self, symbol: str) -> float | None:
        return self.marks().get(symbol)

    def universe(self) -> list[str]:
        return list(self._closes)

    def sectors(self) -> dict[str, str | None]:
        return {symbol: ("one" if n % 2 else "two") for n, symbol in enumerate(self._closes)}

    def leg(self, symbol: str) -> Leg:
        return price_leg(symbol, taker_fee=6e-4, spread_bps=2.0, impact_bps=3.0)

    def is_gone(self, symbol: str) -> bool:
        return symbol not in self._closes

    def returns(self, symbols: Sequence[str]) -> FloatArray:
        window = np.column_stack([self._closes[s][self.bar - 240 : self.bar + 1] for s in symbols])
        return np.asarray(window[1:] / window[:-1] - 1.0)

    def price_at(self, symbol: str, end: int) -> float | None:
        return None


class Desk:
    """Book and manager over a pit, an hour a step."""

    def __init__(self, pit: Pit, scores: dict[str, float | None], **settings: Any) -> None:
        core = CoreSettings(portfolio=PortfolioSettings(entry_score=0.0, exit_score=0.0, **settings))
        numbers = count(1)

        def new_id(ts: int) -> str:
            return f"{ts:020d}-{next(numbers):06d}"

        self.pit, self.ts = pit, T0 + 9 * HOUR
        self._make = lambda: PortfolioManager(core, self.symbols, pit, new_id=new_id)
        self.symbols = SymbolManager(core, new_id=new_id, correlation=uncorrelated, price=pit.leg)
        self.manager = self._make()
        self.standings: dict[str, Standing] = standings(scores)
        self.opening = self.manager.after(self.ts, self._fill(), self.standings)

    def _fill(self) -> list[Message]:
        return self.symbols.first_fill(self.ts, self.standings)

    def hour(self) -> list[Message]:
        self.ts += HOUR
        self.pit.bar += 1
        told = self.manager.mark(self.ts, self.ts)
        composed = self.symbols.close(self.ts, self.standings)
        return [*told, *composed, *self.manager.close(self.ts, self.ts, composed, self.standings)]

    def begin_again(self) -> None:
        """Another manager goes on with the snapshot of this one."""
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(self.manager.snapshot()))
        self.manager = self._make()
        self.manager.restore(state)

    @property
    def weights(self) -> dict[str, float]:
        return {holding.symbol: holding.weight for holding in self.symbols.portfolio.holdings}


def walk(seed: int, scale: dict[str, float], bars: int = 400) -> dict[str, FloatArray]:
    rng = np.random.default_rng(seed)
    return {s: 100.0 * np.exp(np.cumsum(rng.normal(size=bars) * size)) for s, size in scale.items()}


def desk(seed: int = 1, scale: dict[str, float] | None = None, **settings: Any) -> Desk:
    return Desk(
        Pit(walk(seed, scale or dict.fromkeys(SCORES, 0.002))), dict(SCORES), **{"max_weight": 60.0, **settings}
    )


def reasons(told: Sequence[Message]) -> list[str]:
    return [m.reason for m in told if isinstance(m, PortfolioChange) and m.kind == "reweight"]


def trades(told: Sequence[Message]) -> list[BookTraded]:
    return [m for m in told if isinstance(m, BookTraded)]


def test_calm_contracts_weigh_more_and_the_account_says_by_which_optimiser() -> None:
    found = desk(scale={"AUSDTM": 0.001, "BUSDTM": 0.002, "CUSDTM": 0.004, "DUSDTM": 0.008})
    weights = found.weights
    assert weights["AUSDTM"] > weights["BUSDTM"] > weights["CUSDTM"] > weights["DUSDTM"]
    change = next(m for m in found.opening if isinstance(m, PortfolioChange))
    assert (change.reason, change.numbers["optimiser"]) == ("composition", "risk_parity")


def test_weights_come_anew_once_a_day_also_when_the_first_close_of_it_was_held() -> None:
    found = desk()
    while (found.ts + HOUR) % DAY:
        assert reasons(found.hour()) == []
    found.symbols.hold.begin("paused", "")
    assert trades(found.hour()) == []
    found.symbols.hold.end("paused")
    assert reasons(found.hour()) == ["daily"]
    assert reasons(found.hour()) == []


def test_only_an_operator_moves_the_weights_of_a_book_that_is_not_automatic() -> None:
    found = desk()
    found.manager.reconfigure(CoreSettings(portfolio=PortfolioSettings(automatic=False, max_weight=60.0)))
    assert all(trades(found.hour()) == [] for _ in range(30))
    assert trades(found.manager.rebalance(Rebalance(ts=found.ts, request_id="1"), found.standings))


def test_a_tilt_multiplies_a_target_for_its_time() -> None:
    found = desk(optimiser="equal")
    found.manager.tilt("CUSDTM", 1.25, found.ts + 3 * HOUR)
    told = found.manager.reweigh(found.ts, found.standings, reason="tilt", who="signal:7")
    tilted = found.weights
    assert tilted["CUSDTM"] == pytest.approx(100 * 1.25 / 4.25, abs=0.01)
    assert [m.who for m in told if isinstance(m, PortfolioChange)] == ["signal:7"]
    found.begin_again()
    assert [found.weights for _ in range(2) if not reasons(found.hour())] == [tilted, tilted]
    assert reasons(found.hour()) == ["tilt"]
    assert set(found.weights.values()) == {25.0}
    with pytest.raises(CommandRefusedError, match="not held"):
        found.manager.tilt("ZUSDTM", 1.25, found.ts)


def test_a_tilt_ends_also_in_a_book_that_is_not_automatic() -> None:
    found = desk(optimiser="equal", automatic=False)
    found.manager.tilt("CUSDTM", 1.25, found.ts + 2 * HOUR)
    found.manager.reweigh(found.ts, found.standings, reason="signal", who="signal:7")
    assert [reasons(found.hour()) for _ in range(4)] == [[], ["tilt"], [], []]
    assert set(found.weights.values()) == {25.0}


def test_a_tilt_stays_inside_the_limits() -> None:
    found = desk(optimiser="equal", max_weight=26.0)
    found.manager.tilt("AUSDTM", 1.25, found.ts + DAY)
    found.manager.reweigh(found.ts, found.standings, reason="tilt")
    assert found.weights["AUSDTM"] == 26.0


def test_what_changed_while_the_book_held_is_weighed_when_it_acts_again() -> None:
    found = desk(max_symbols=3, scale={"AUSDTM": 0.001, "BUSDTM": 0.002, "CUSDTM": 0.004, "DUSDTM": 0.008})
    found.symbols.hold.begin("paused", "")
    found.symbols.reconfigure(
        CoreSettings(portfolio=PortfolioSettings(max_symbols=4, max_weight=60.0, entry_score=0.0, exit_score=0.0)),
        revision=2,
    )
    told = found.symbols.command(AddHolding(ts=found.ts, request_id="1", symbol="DUSDTM"), found.standings)
    followed = found.manager.after(found.ts, told, found.standings)
    assert reasons(followed) == []
    assert trades(followed)[0].weights == found.weights
    found.symbols.hold.end("paused")
    assert reasons(found.hour()) == ["composition"]


def test_a_newcomer_with_few_bars_is_taken_to_be_the_most_volatile_and_alone() -> None:
    returns = np.diff(np.log(np.column_stack(list(walk(3, {"A": 0.002, "B": 0.004, "C": 0.001}).values()))), axis=0)
    returns[: -(LEAST_BARS - 1), 2] = np.nan
    risk = risk_of(("A", "B", "C"), returns, 72.0)
    assert risk.assumed == ("C",)
    known = risk_of(("A", "B"), returns[:, :2], 72.0)
    assert known.assumed == ()
    assert risk.covariance[2, 2] >= max(risk.covariance[0, 0], risk.covariance[1, 1]) * 0.999
    assert risk.covariance[2, :2].tolist() == [0.0, 0.0]
    nobody = risk_of(("A", "B"), np.full((239, 2), np.nan), 72.0)
    assert nobody.assumed == ("A", "B")
    assert np.array_equal(nobody.covariance, np.eye(2) * nobody.covariance[0, 0])


def test_snapshots_go_on_where_they_were_taken() -> None:
    straight, broken = desk(7), desk(7)
    for step in range(60):
        expected, found = straight.hour(), broken.hour()
        assert found == expected
        if step % 7 == 3:
            broken.begin_again()
    assert broken.manager.snapshot() == straight.manager.snapshot()


def test_metrics_of_a_recorded_market_are_empyricals(shared_data: Path) -> None:
    hours = recorded_hours(shared_data)
    closes = {symbol.replace("BTC", "XBT"): bars[:, 3] for symbol, bars in hours.items()}
    bars = min(len(prices) for prices in closes.values())
    found = Desk(
        Pit({symbol: prices[:bars] for symbol, prices in closes.items()}),
        {symbol: 60.0 - n for n, symbol in enumerate(closes)},
        max_symbols=8,
    )
    equity = [m.equity for m in found.opening if isinstance(m, EquityMarked)]
    while found.pit.bar < bars - 1:
        equity += [m.equity for m in found.hour() if isinstance(m, EquityMarked)]
    assert len(equity) > 400
    returns = np.diff(equity) / np.array(equity[:-1])
    analyses = Analyses(found.manager, found.pit)
    week = {name: figure["value"] for name, figure in analyses.metrics("7d", found.ts)["figures"].items()}
    recent, year = returns[-168:], 365.0 * 24
    assert week["return"] == pytest.approx(empyrical.cum_returns_final(recent))
    assert week["volatility"] == pytest.approx(empyrical.annual_volatility(recent, annualization=year))
    assert week["sharpe"] == pytest.approx(empyrical.sharpe_ratio(recent, annualization=year))
    assert week["sortino"] == pytest.approx(empyrical.sortino_ratio(recent, annualization=year))
    assert week["max_drawdown"] == pytest.approx(-empyrical.max_drawdown(recent))
    assert week["var_95"] == pytest.approx(-empyrical.value_at_risk(recent, 0.05))
    assert week["cvar_95"] == pytest.approx(-empyrical.conditional_value_at_risk(recent, 0.05))
    xbt = closes["XBTUSDTM"][found.pit.bar - 168 : found.pit.bar + 1]
    assert week["beta_reference"] == pytest.approx(empyrical.beta(recent, np.diff(xbt) / xbt[:-1]))
    whole = {name: figure["value"] for name, figure in analyses.metrics("all", found.ts)["figures"].items()}
    assert whole["return"] == pytest.approx(equity[-1] / equity[0] - 1.0)
    ends = [n for n in range(1, len(equity)) if (T0 + 9 * HOUR + n * HOUR) % DAY == 0]
    levels = np.array([equity[0], *(equity[n] for n in ends), *([] if ends[-1] == len(equity) - 1 else [equity[-1]])])
    daily = np.diff(levels) / levels[:-1]
    assert whole["volatility"] == pytest.approx(empyrical.annual_volatility(daily, annualization=365))
    assert whole["calmar"] == pytest.approx(empyrical.calmar_ratio(daily, annualization=365))
    told = analyses.attribution("all", found.ts)
    assert sum(c["contribution"] for c in told["contributions"]) + told["funding"] + told["costs"] == pytest.approx(
        told["return"], abs=1e-12
    )
    money = Reports(found.manager).statistics(found.ts, found.standings)["ledger"]
    assert money["equity_usdt"] == round(equity[-1] / UNIT, 2)
    start, moved = money["start_usdt"], money["price_pnl_usdt"] + money["funding_usdt"] - money["costs_usdt"]
    assert start + moved == pytest.approx(money["equity_usdt"], abs=0.03)
