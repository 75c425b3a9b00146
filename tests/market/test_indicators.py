"""TA-Lib's definitions, at every price level; vector, scalar and provisional steps agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.market.a_market import LEVELS, candles, recorded_hours
from zmart_stream.market import windows
from zmart_stream.market.bars import FloatArray
from zmart_stream.market.indicators import (
    EW_DECAY,
    Day,
    Hour,
    atr_of,
    empty_state,
    join_drawdown,
    macd_of,
    provisional_atr,
    provisional_bollinger,
    provisional_ew_variance,
    provisional_macd,
    provisional_rsi,
    rsi_of,
    run_days,
    run_hours,
    step_day,
    step_hour,
)

talib = pytest.importorskip("talib", reason="TA-Lib is a test dependency")


def lines(bars: FloatArray) -> dict[str, FloatArray]:
    """Our committed RSI, ATR, MACD line and Bollinger mean and deviation after each bar of one series."""
    close = bars[3]
    state = [0.0, np.nan, 0.0, 0.0, 0.0, 0.0, 0.0]
    out: dict[str, Any] = {name: [] for name in ("rsi", "atr", "macd")}
    for values in bars[1:4].T.tolist():
        run_days(state, [tuple(values)])
        after = np.array(state)
        out["rsi"].append(rsi_of(after[Day.GAIN], after[Day.LOSS], after[Day.COUNT]))
        out["atr"].append(atr_of(after[Day.ATR], after[Day.COUNT]))
        out["macd"].append(macd_of(after[Day.FAST], after[Day.SLOW], after[Day.COUNT]))
    if len(close) > 19:
        moments = windows.moments(np.lib.stride_tricks.sliding_window_view(close, 19)[:-1].T)
        unseen = np.full(19, np.nan)
        out["mean"], out["std"] = (np.concatenate((unseen, x)) for x in windows.bollinger(*moments, close[19:]))
    return {name: np.array(values) for name, values in out.items()}


def assert_equals_talib(bars: FloatArray) -> None:
    _, high, low, close, _ = bars
    ours = lines(bars)
    upper, middle, _ = talib.BBANDS(close / close[0], 20, 2, 2)  # TA-Lib's own deviation loses digits at 1e-8 and 1e5
    theirs = {
        "rsi": talib.RSI(close, 14),
        "atr": talib.ATR(high, low, close, 14),
        "macd": talib.MACD(close, 12, 26, 9)[0],
        "mean": middle * close[0],
        "std": (upper - middle) / 2 * close[0],
    }
    for name, b in theirs.items():
        a = ours[name]
        # TA-Lib shows the line only once its signal exists: from bar 34 on
        first = 33 if name == "macd" else int(np.argmax(~np.isnan(b)))
        assert np.isnan(a[: {"macd": 25}.get(name, first)]).all(), name
        assert not np.isnan(a[{"macd": 25}.get(name, first) :]).any(), name
        scale = 100.0 if name == "rsi" else close[first:]
        slack = 1e-9 * np.maximum(np.abs(b[first:]), scale * 1e-3)
        if name == "std":  # sqrt(E[x^2] - E[x]^2) on their side: 1e-16 under the root
            slack = np.maximum(slack, 1e-7 * scale)
        worst = np.max(np.abs(a[first:] - b[first:]) / slack)
        assert worst <= 1.0, (name, worst)


@pytest.mark.parametrize("level", LEVELS)
def test_random_bars_give_talibs_values(level: float, seed: int) -> None:
    assert_equals_talib(candles(np.random.default_rng(seed), level, 300))


def test_recorded_bars_give_talibs_values(shared_data: Path) -> None:
    for bars in recorded_hours(shared_data).values():
        assert_equals_talib(bars)


@pytest.mark.parametrize("level", LEVELS)
def test_bollinger_equals_two_pass_deviation(level: float, seed: int) -> None:
    bars = candles(np.random.default_rng(seed), level, 120)
    ours = lines(bars)
    for k in range(19, 120):
        window = bars[3, k - 19 : k + 1]
        assert ours["std"][k] == pytest.approx(np.std(window), rel=1e-11)
        assert ours["mean"][k] == pytest.approx(np.mean(window), rel=1e-13)


def test_macd_seed_is_the_mean_of_bars_15_to_26_less_the_mean_of_1_to_26(seed: int) -> None:
    close = candles(np.random.default_rng(seed), 10.0, 26)[3]
    ours = lines(np.stack([close] * 5))["macd"]
    assert ours[25] == pytest.approx(np.mean(close[14:26]) - np.mean(close), abs=1e-12)


@pytest.mark.parametrize("count", [0, 1, 5, 13, 14, 15, 24, 25, 26, 27, 60])
def test_provisional_day_equals_committing_it(count: int, seed: int) -> None:
    bars = candles(np.random.default_rng(seed), 250.0, count + 1)
    state = [0.0, np.nan, 0.0, 0.0, 0.0, 0.0, 0.0]
    for k in range(count):
        run_days(state, [tuple(bars[1:4, k].tolist())])
    seen, previous, gain, loss, fast, slow, atr = state
    high, low, close = bars[1:4, count].tolist()
    committed = lines(bars)
    np.testing.assert_array_equal(provisional_rsi(gain, loss, previous, seen, close), committed["rsi"][-1])
    np.testing.assert_array_equal(provisional_macd(fast, slow, seen, close), committed["macd"][-1])
    np.testing.assert_array_equal(provisional_atr(atr, previous, seen, high, low), committed["atr"][-1])


def test_vector_and_scalar_steps_agree_bit_for_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.stack([candles(rng, level, 400) for level in LEVELS], axis=2)
    rows[:, :50, 2] = np.nan  # a row that starts later
    hour, day = empty_state(Hour, len(LEVELS)), empty_state(Day, len(LEVELS))
    hours, days = hour.T.tolist(), day.T.tolist()
    for _, high, low, close, _ in rows.transpose(1, 0, 2):
        step_hour(hour, close)
        step_day(day, high, low, close)
        for k in range(len(LEVELS)):
            run_hours(hours[k], (float(close[k]),))
            run_days(days[k], [(float(high[k]), float(low[k]), float(close[k]))])
    np.testing.assert_array_equal(hour, np.array(hours).T)
    np.testing.assert_array_equal(day, np.array(days).T)
    assert hour[Hour.COUNT].tolist() == [400.0, 400.0, 350.0, 400.0, 400.0, 400.0, 400.0]


@pytest.mark.parametrize("level", LEVELS)
def test_ew_moments_equal_the_weighted_batch(level: float, seed: int) -> None:
    close = candles(np.random.default_rng(seed), level, 700)[3]
    state = [0.0, np.nan, 0.0, 0.0, 0.0, 0.0, 0.0]
    for value in close[:-1].tolist():
        run_hours(state, (value,))
    _, previous, mean, variance, weight, _, _ = state
    share = 1.0 / (weight * EW_DECAY + 1.0)
    returns = close[1:] / close[:-1] - 1.0

    def batch(x: FloatArray) -> tuple[float, float]:
        weights = EW_DECAY ** np.arange(len(x) - 1, -1, -1)
        centre = np.average(x, weights=weights)
        return float(centre), float(np.average((x - centre) ** 2, weights=weights))

    assert (mean, variance) == pytest.approx(batch(returns[:-1]), rel=1e-9)
    provisional = provisional_ew_variance(mean, variance, share, close[-1] / previous - 1.0)
    assert provisional == pytest.approx(batch(returns)[1], rel=1e-9)


def test_decaying_averages_end_at_zero_and_never_at_a_subnormal() -> None:
    state, column = [0.0, np.nan, 0.0, 0.0, 0.0, 0.0, 0.0], empty_state(Hour, 1)
    for k in range(100_000):
        close = 1.0 if k != 1 else 1.5
        run_hours(state, (close,))
        assert all(x == 0.0 or abs(x) > 1e-300 for x in state[Hour.MEAN :])
    for close in (1.0, 1.5):
        step_hour(column, np.array([close]))
    column[[Hour.MEAN, Hour.VARIANCE, Hour.GAIN, Hour.LOSS]] *= 1e-285
    for _ in range(2000):
        step_hour(column, np.array([1.5]))
        assert all(x == 0.0 or abs(x) > 1e-300 for x in column[Hour.MEAN :, 0])
    assert column[Hour.GAIN, 0] == column[Hour.MEAN, 0] == 0.0
    assert state[Hour.GAIN] == state[Hour.LOSS] == state[Hour.VARIANCE] == state[Hour.MEAN] == 0.0
    assert np.isnan(rsi_of(column[Hour.GAIN], column[Hour.LOSS], column[Hour.COUNT])[0])


def test_drawdown_monoid_is_associative_and_equals_the_batch(seed: int) -> None:
    bars = candles(np.random.default_rng(seed), 50.0, 200)
    leaves = [(h, low, 1.0 - c / h) for h, low, c in bars[1:4].T.tolist()]
    whole = (np.nan, np.nan, np.nan)
    for leaf in leaves:
        whole = join_drawdown(whole, leaf)
    left, right = leaves[0], leaves[77]
    for leaf in leaves[1:77]:
        left = join_drawdown(left, leaf)
    for leaf in leaves[78:]:
        right = join_drawdown(right, leaf)
    assert join_drawdown(left, right) == whole
    across = max(1.0 - bars[2, j] / bars[1, i] for j in range(200) for i in range(j))
    assert whole[2] == max(across, *(leaf[2] for leaf in leaves))
    high, low, worst = windows.drawdown(*(bars[k][:, None] for k in (1, 2, 3)))
    assert (high[0], low[0], worst[0]) == whole


def test_bollinger_of_a_flat_market_has_no_deviation() -> None:
    mean, m2 = windows.moments(np.full((19, 1), 60_000.1))
    assert provisional_bollinger(float(mean[0]), float(m2[0]), 60_000.1)[1] == 0.0
