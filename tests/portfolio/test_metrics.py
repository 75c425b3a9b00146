"""Every figure against empyrical or its closed form; without enough history there is a reason instead."""

from __future__ import annotations

from collections.abc import Callable
from math import nan, sqrt
from pathlib import Path

import empyrical
import numpy as np
import pytest

from tests.contracts.recorded import recorded_hours
from zmart_stream.portfolio.account import UNIT, Stay
from zmart_stream.portfolio.attribution import Period
from zmart_stream.portfolio.metrics import (
    Curve,
    average_hold_h,
    beta,
    correlation,
    diversification_ratio,
    drawdown,
    effective_holdings,
    expected_shortfall,
    hit_rate,
    performance,
    portfolio_metrics,
    total_return,
    value_at_risk,
)
from zmart_stream.portfolio.weights.problem import FloatArray

DAY_S = 86_400.0
HOUR_NS = 3_600 * 10**9


def curve(returns: FloatArray, step_s: float = DAY_S, seed: int = 3) -> Curve:
    rng = np.random.default_rng(seed)
    market = 0.5 * returns + rng.normal(size=len(returns)) * 0.01
    return Curve(returns=returns, step_s=step_s, benchmark=market, reference=market * 2 - 0.001)


def check_against_empyrical(made: Curve) -> None:
    found = {name: figure.value for name, figure in performance(made).items()}
    returns, year = made.returns, made.steps_a_year
    expected = {
        "return": empyrical.cum_returns_final(returns),
        "volatility": empyrical.annual_volatility(returns, annualization=year),
        "sharpe": empyrical.sharpe_ratio(returns, annualization=year),
        "sortino": empyrical.sortino_ratio(returns, annualization=year),
        "calmar": empyrical.calmar_ratio(returns, annualization=year),
        "max_drawdown": -empyrical.max_drawdown(returns),
        "var_95": -empyrical.value_at_risk(returns, 0.05),
        "cvar_95": -empyrical.conditional_value_at_risk(returns, 0.05),
        "var_99": -empyrical.value_at_risk(returns, 0.01),
        "cvar_99": -empyrical.conditional_value_at_risk(returns, 0.01),
        "beta_benchmark": empyrical.beta(returns, made.benchmark),
        "beta_reference": empyrical.beta(returns, made.reference),
        "correlation_benchmark": np.corrcoef(returns, made.benchmark)[0, 1],
        "correlation_reference": np.corrcoef(returns, made.reference)[0, 1],
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-9, abs=1e-12), name


def test_figures_are_empyricals_on_random_returns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for scale in (0.001, 0.05):
        check_against_empyrical(curve(rng.standard_t(4, size=700) * scale + scale / 10))


def test_figures_are_empyricals_on_recorded_returns(shared_data: Path) -> None:
    bars = recorded_hours(shared_data)
    length = min(len(b) for b in bars.values())
    assert length > 500, "too short for the tails"
    close = np.mean([b[:length, 3] / b[0, 3] for b in bars.values()], axis=0)
    check_against_empyrical(curve(close[1:] / close[:-1] - 1.0, step_s=3600.0))


def test_calmar_follows_the_compound_yearly_growth() -> None:
    returns = np.array([0.01] * 40 + [-0.05] + [0.01] * 40)
    grown = 1.01**80 * 0.95
    assert performance(curve(returns))["calmar"].value == pytest.approx((grown ** (365 / 81) - 1) / 0.05)


def test_drawdown_runs_from_the_high_to_the_recovery() -> None:
    fall = drawdown(np.array([0.10, -0.20, 0.05, -0.10, 0.50, 0.10, -0.01]))
    assert fall.depth == pytest.approx(1 - 0.8 * 1.05 * 0.9)
    assert (fall.length, fall.is_over) == (4, True)
    open_end = drawdown(np.array([-0.10, -0.10, 0.05]))
    assert open_end.depth == pytest.approx(0.19)
    assert (open_end.length, open_end.is_over) == (3, False)
    assert drawdown(np.array([0.1, 0.0, 0.2])).depth == 0.0


@pytest.mark.parametrize(
    ("figure", "level", "least"),
    [
        (value_at_risk, 0.95, 100),
        (expected_shortfall, 0.95, 100),
        (value_at_risk, 0.99, 500),
        (expected_shortfall, 0.99, 500),
    ],
)
def test_tails_need_their_observations(figure: Callable[..., object], level: float, least: int) -> None:
    returns = np.linspace(-0.1, 0.1, least)
    missing = figure(returns[:-1], level)
    assert (missing.value, missing.reason) == (None, f"{least - 1} returns, {least} are needed")
    assert figure(returns, level).value > 0.0


def test_too_little_history_gives_reasons_and_no_numbers() -> None:
    short = performance(curve(np.array([0.01, -0.02, 0.03])))
    assert short["return"].value == pytest.approx(1.01 * 0.98 * 1.03 - 1)
    for name in ("volatility", "sharpe", "sortino", "calmar", "beta_reference", "correlation_benchmark"):
        assert (short[name].value, short[name].reason) == (None, "3 returns, 20 are needed"), name
    day = performance(curve(np.array([0.01, -0.02] * 12), step_s=3600.0))
    assert day["calmar"].reason == "1.0 days of history, 7 are needed"
    assert performance(curve(np.zeros(0)))["return"].reason == "0 returns, 1 are needed"


def test_what_does_not_vary_has_no_ratio() -> None:
    flat = performance(curve(np.zeros(30)))
    assert flat["sharpe"].reason == "the returns do not vary"
    assert flat["sortino"].reason == "there was no loss"
    assert flat["calmar"].reason == "there was no drawdown"
    assert beta(np.arange(30.0), np.ones(30)).reason == "the returns do not vary"
    assert correlation(np.ones(30), np.arange(30.0)).reason == "the returns do not vary"


def test_unknown_reference_returns_are_left_out() -> None:
    rng = np.random.default_rng(5)
    market = rng.normal(size=60)
    returns = 1.5 * market
    market[::2] = nan
    assert beta(returns, market).value == pytest.approx(1.5)
    market[:30] = nan
    assert beta(returns, market).reason == "15 returns, 20 are needed"


def test_concentration_and_diversification() -> None:
    assert effective_holdings([25.0, 25.0, 25.0]).value == pytest.approx(3.0)
    assert effective_holdings([50.0, 25.0, 25.0]).value == pytest.approx(1 / (0.25 + 2 * 0.0625))
    assert effective_holdings([]).reason == "nothing is held"
    four = np.eye(4) * 0.04
    assert diversification_ratio(np.full(4, 25.0), four).value == pytest.approx(2.0)
    assert diversification_ratio(np.full(2, 50.0), np.full((2, 2), 0.04)).value == pytest.approx(1.0)
    assert diversification_ratio(np.zeros(0), np.zeros((0, 0))).value is None


def test_hits_and_holds_count_finished_stays_net_of_costs() -> None:
    def stay(earned: int, hours: int) -> Stay:
        return Stay(
            symbol="A", since=0, until=hours * HOUR_NS, price_pnl=earned * UNIT + 7, funding=-3, costs=4 + (earned == 0)
        )

    stays = [stay(5, 10), stay(-2, 20), stay(0, 60)]
    assert hit_rate(stays).value == pytest.approx(1 / 3)
    assert average_hold_h(stays).value == pytest.approx(30.0)
    assert hit_rate([]).reason == "no holding has left the book"


def test_a_window_reports_everything_and_only_its_own_stays() -> None:
    rng = np.random.default_rng(8)
    periods = [
        Period(
            start=i * HOUR_NS,
            end=(i + 1) * HOUR_NS,
            gain=float(gain),
            benchmark=float(gain) / 2,
            contributions={},
            funding=-0.0001,
            costs=-0.0002,
            effects={},
            active_funding=0.0,
            active_costs=0.0,
            traded=0.05,
        )
        for i, gain in enumerate(rng.normal(size=48) * 0.01, start=100)
    ]
    old = Stay(symbol="A", since=0, until=100 * HOUR_NS, price_pnl=-1, funding=0, costs=0)
    new = Stay(symbol="B", since=0, until=120 * HOUR_NS, price_pnl=1, funding=0, costs=0)
    found = portfolio_metrics(
        periods, 3600.0, stays=[old, new], weights={"A": 60.0, "B": 40.0}, covariance=np.diag([0.01, 0.01])
    )
    returns = np.array([p.gain for p in periods])
    grown = np.concatenate(([1.0], np.cumprod(1 + returns)))[:-1]
    assert found["return"].value == pytest.approx(total_return(returns))
    assert found["turnover"].value == pytest.approx(0.025 * grown.sum())
    assert found["costs"].value == pytest.approx(0.0002 * grown.sum())
    assert found["funding"].value == pytest.approx(-0.0001 * grown.sum())
    assert found["hit_rate"].value == 1.0
    assert found["average_hold_h"].value == pytest.approx(120.0)
    assert found["effective_holdings"].value == pytest.approx(1 / (0.36 + 0.16))
    assert found["diversification_ratio"].value == pytest.approx(1 / sqrt(0.52))
    assert found["beta_reference"].reason == "0 returns, 20 are needed"
    nothing = portfolio_metrics([], 3600.0, stays=[old], weights={}, covariance=None)
    assert {figure.value for figure in nothing.values()} == {None}
    assert all(figure.reason for figure in nothing.values())
