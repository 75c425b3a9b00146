"""All parts of closed bars against plain batch formulas: TA-Lib on day and hour bars, NumPy for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import talib

from tests.contracts.checks import check_scorer, max_drawdown
from tests.contracts.recorded import recorded_hours
from tests.contracts.small_market import BUY, CLOSE, HIGH, LOTS, LOW, SELL, TURNOVER, Floats, History
from zmart_stream.scoring.fundamental import FundamentalScorer
from zmart_stream.scoring.risk import RiskScorer
from zmart_stream.scoring.structure import StructureScorer
from zmart_stream.scoring.technical import TechnicalScorer

WEEK = 168
HALF_LIFE = 72.0
SEEDS = [13, 14]


def returns(hours: Floats) -> Floats:
    return hours[1:, CLOSE] / hours[:-1, CLOSE] - 1.0


def ew_variance(x: Floats) -> float:
    weights = 0.5 ** (np.arange(len(x))[::-1] / HALF_LIFE)
    mean = np.average(x, weights=weights)
    return float(np.average((x - mean) ** 2, weights=weights))


def macd_line(close: Floats) -> float:
    """TA-Lib's, which speaks from bar 34 on; before that its two averages, seeded as it does at bar 26."""
    if len(close) >= 34:
        return float(talib.MACD(close, 12, 26, 9)[0][-1])
    fast, slow = close[14:26].mean(), close[:26].mean()
    for price in close[26:]:
        fast, slow = fast + (price - fast) * 2 / 13, slow + (price - slow) * 2 / 27
    return float(fast - slow)


def technical(histories: Mapping[str, History]) -> dict[str, Floats]:
    rows = [_technical(history.hours, history.days) for history in histories.values()]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _technical(hours: Floats, days: Floats) -> dict[str, float]:
    close = days[:, CLOSE]
    upper, middle, _ = talib.BBANDS(close, 20, 2, 2)
    macd = macd_line(close)
    atr = talib.ATR(days[:, HIGH], days[:, LOW], close, 14)[-1]
    bands = (close[-1] - middle[-1]) / (upper[-1] - middle[-1])
    surge = np.tanh(2 * np.log((hours[-24:, TURNOVER].sum() + 1) / (days[-21:-1, TURNOVER].mean() + 1)))
    daily = np.sqrt(24 * ew_variance(returns(hours)))
    split = hours[-24:][~np.isnan(hours[-24:, BUY])]
    buy, sell = split[:, BUY].sum(), split[:, SELL].sum()
    return {
        "rsi": talib.RSI(close, 14)[-1],
        "macd": macd / atr,
        "bollinger": np.clip(bands, -1, 1),
        "volume": surge * np.tanh((hours[-1, CLOSE] / hours[-25, CLOSE] - 1) / daily),
        "flow": (buy - sell) / (buy + sell) if buy + sell > 0 else np.nan,
        "stretch": -talib.RSI(hours[:, CLOSE], 14)[-1],
    }


def fundamental(histories: Mapping[str, History]) -> dict[str, Floats]:
    growth = []
    for history in histories.values():
        closed = history.days[:-1, TURNOVER]
        growth.append(np.log((closed[-7:].mean() + 1) / (closed[-30:].mean() + 1)))
    return {"volume_growth": np.array(growth)}


def structure(histories: Mapping[str, History]) -> dict[str, Floats]:
    paths = [history.hours[-WEEK - 1 :, CLOSE] for history in histories.values()]
    return {"efficiency": np.array([abs(p[-1] - p[0]) / np.abs(np.diff(p)).sum() for p in paths])}


def risk(histories: Mapping[str, History]) -> dict[str, Floats]:
    ring = np.array([returns(history.hours[-240:]) for history in histories.values()])
    common = ring.mean(axis=0)
    rows = [_risk(history.hours, own, common) for history, own in zip(histories.values(), ring, strict=True)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _risk(hours: Floats, own: Floats, common: Floats) -> dict[str, float]:
    week, moved = hours[-WEEK:], returns(hours)[-WEEK:]
    traded = week[:, LOTS] > 0
    weights = 0.5 ** (np.arange(len(own))[::-1] / HALF_LIFE)
    covariance = np.cov(np.stack([own, common]), aweights=weights, ddof=0)
    return {
        "volatility": -np.sqrt(8760 * ew_variance(returns(hours))),
        "max": -moved.max(),
        "drawdown": -max_drawdown(week),
        "liquidity": -np.log((np.abs(moved) / np.maximum(week[:, TURNOVER], 1))[traded].mean()),
        "correlation": -covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]),
    }


CASES = [
    (TechnicalScorer, technical),
    (FundamentalScorer, fundamental),
    (StructureScorer, structure),
    (RiskScorer, risk),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "batch"), CASES)
def test_a_long_random_stream(kind: type, batch, seed: int) -> None:  # type: ignore[no-untyped-def]  # the batch formula is any callable
    check_scorer(kind, batch=batch, seed=seed, hours=54)


@pytest.mark.parametrize(("kind", "batch"), CASES)
def test_recorded_bars(kind: type, batch, shared_data: Path) -> None:  # type: ignore[no-untyped-def]  # the batch formula is any callable
    check_scorer(kind, batch=batch, recorded=recorded_hours(shared_data), hours=30)
