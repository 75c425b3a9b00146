"""Recursive indicators: one step for all rows when a bar closes, one provisional step for a single contract.

Definitions, seeding and first valid bar are TA-Lib's: RSI(14) and ATR(14) after Wilder, MACD line of EMA(12) and
EMA(26), Bollinger(20, 2) with population deviation. A seed is accumulated as a sum of shares (change / 14, close / 26),
so that seeding and stepping are the same state. EW moments are normalised (weights lambda^age / their sum) and updated
in West's incremental form; no E[x^2] - E[x]^2 anywhere.

Vector and scalar steps do the same additions and multiplications in the same order and therefore agree bit for bit:
that is what lets a single row be recomputed from its anchor in plain Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from math import nan, sqrt

import numpy as np

from zmart_stream.market.bars import FloatArray

WILDER = 14
FAST = 12
SLOW = 26
BOLLINGER = 20
FAST_GAIN = 2.0 / (FAST + 1)
SLOW_GAIN = 2.0 / (SLOW + 1)
EW_HALF_LIFE_H = 72.0
EW_DECAY = 2.0 ** (-1.0 / EW_HALF_LIFE_H)

# decaying averages below this are 0: subnormal numbers cost 20 times as much to compute with
TINY = 1e-290

Drawdown = tuple[float, float, float]
"""(high, low, drawdown) of a stretch of bars; drawdown is a fraction >= 0."""


class Hour(IntEnum):
    """Rows of the recursive state over hour bars."""

    COUNT = 0
    PREVIOUS = 1
    MEAN = 2
    VARIANCE = 3
    WEIGHT = 4
    GAIN = 5
    LOSS = 6


class Day(IntEnum):
    """Rows of the recursive state over day bars."""

    COUNT = 0
    PREVIOUS = 1
    GAIN = 2
    LOSS = 3
    FAST = 4
    SLOW = 5
    ATR = 6


def empty_state(kind: type[Hour] | type[Day], rows: int) -> FloatArray:
    """The state before the first bar, shape (len(kind), rows)."""
    state = np.zeros((len(kind), rows))
    state[kind.PREVIOUS] = nan
    return state


def step_hour(state: FloatArray, close: FloatArray) -> None:
    """Commit one hour bar of every row to `state` (len(Hour), rows) in place; rows whose close is nan stay."""
    count, previous, mean, variance, weight, gain, loss = state
    part = close > 0.0
    moved = part & (count > 0.0)
    x = close / previous - 1.0
    total = weight * EW_DECAY + 1.0
    share = 1.0 / total
    d = x - mean
    new_mean = mean + share * d
    new_variance = (1.0 - share) * (variance + share * d * d)
    state[Hour.MEAN] = np.where(moved, np.where(np.abs(new_mean) < TINY, 0.0, new_mean), mean)
    state[Hour.VARIANCE] = np.where(moved, np.where(new_variance < TINY, 0.0, new_variance), variance)
    state[Hour.WEIGHT] = np.where(moved, total, weight)
    change = close - previous
    state[Hour.GAIN] = np.where(moved, _wilder(gain, np.maximum(change, 0.0), count), gain)
    state[Hour.LOSS] = np.where(moved, _wilder(loss, np.maximum(-change, 0.0), count), loss)
    state[Hour.PREVIOUS] = np.where(part, close, previous)
    state[Hour.COUNT] = np.where(part, count + 1.0, count)


def step_day(state: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray) -> None:
    """Commit one day bar of every row to `state` (len(Day), rows) in place; rows whose close is nan stay."""
    count, previous, gain, loss, fast, slow, atr = state
    part = close > 0.0
    moved = part & (count > 0.0)
    change = close - previous
    new_gain = _wilder(gain, np.maximum(change, 0.0), count)
    new_loss = _wilder(loss, np.maximum(-change, 0.0), count)
    true_range = np.maximum(high - low, np.maximum(np.abs(high - previous), np.abs(low - previous)))
    new_atr = _wilder(atr, true_range, count)
    seeding = count < SLOW
    fast_seed = np.where(count >= SLOW - FAST, fast + close / FAST, fast)
    new_fast = np.where(seeding, fast_seed, fast + FAST_GAIN * (close - fast))
    new_slow = np.where(seeding, slow + close / SLOW, slow + SLOW_GAIN * (close - slow))
    state[Day.GAIN] = np.where(moved, new_gain, gain)
    state[Day.LOSS] = np.where(moved, new_loss, loss)
    state[Day.ATR] = np.where(moved, new_atr, atr)
    state[Day.FAST] = np.where(part, new_fast, fast)
    state[Day.SLOW] = np.where(part, new_slow, slow)
    state[Day.PREVIOUS] = np.where(part, close, previous)
    state[Day.COUNT] = np.where(part, count + 1.0, count)


def _wilder(average: FloatArray, x: FloatArray, count: FloatArray) -> FloatArray:
    stepped = np.where(count <= WILDER, average + x / WILDER, (average * (WILDER - 1) + x) / WILDER)
    return np.where(stepped < TINY, 0.0, stepped)


def run_hours(state: list[float], closes: Iterable[float]) -> None:
    """`step_hour` for one row, bar after bar: `state` holds len(Hour) floats, changed in place.

    Wilder's step is written out: a history has hundreds of bars, and a call costs as much as the arithmetic.
    """
    count, previous, mean, variance, weight, gain, loss = state
    for close in closes:
        if not close > 0.0:
            continue
        if count > 0.0:
            weight = weight * EW_DECAY + 1.0
            share = 1.0 / weight
            d = close / previous - 1.0 - mean
            mean += share * d
            variance = (1.0 - share) * (variance + share * d * d)
            if -TINY < mean < TINY:
                mean = 0.0
            if variance < TINY:
                variance = 0.0
            change = close - previous
            rise, fall = (change, 0.0) if change > 0.0 else (0.0, -change if change < 0.0 else 0.0)
            if count <= WILDER:
                gain, loss = gain + rise / WILDER, loss + fall / WILDER
            else:
                gain, loss = (gain * (WILDER - 1) + rise) / WILDER, (loss * (WILDER - 1) + fall) / WILDER
            gain = 0.0 if gain < TINY else gain
            loss = 0.0 if loss < TINY else loss
        previous = close
        count += 1.0
    state[:] = (count, previous, mean, variance, weight, gain, loss)


def run_days(state: list[float], bars: Iterable[tuple[float, float, float]]) -> None:
    """`step_day` for one row, bar after bar of (high, low, close): `state` holds len(Day) floats, changed in place."""
    count, previous, gain, loss, fast, slow, atr = state
    for high, low, close in bars:
        if not close > 0.0:
            continue
        if count > 0.0:
            change = close - previous
            gain = wilder(gain, change if change > 0.0 else 0.0, count)
            loss = wilder(loss, -change if change < 0.0 else 0.0, count)
            atr = wilder(atr, max(high - low, abs(high - previous), abs(low - previous)), count)
        if count < SLOW:
            if count >= SLOW - FAST:
                fast += close / FAST
            slow += close / SLOW
        else:
            fast += FAST_GAIN * (close - fast)
            slow += SLOW_GAIN * (close - slow)
        previous = close
        count += 1.0
    state[:] = (count, previous, gain, loss, fast, slow, atr)


def wilder(average: float, x: float, count: float) -> float:
    """Wilder's average after `x`, its `count`-th value (from 1); up to the 14th a share of the seed's mean."""
    stepped = average + x / WILDER if count <= WILDER else (average * (WILDER - 1) + x) / WILDER
    return 0.0 if stepped < TINY else stepped


def provisional_rsi(gain: float, loss: float, previous: float, seen: float, price: float) -> float:
    """RSI(14), 0..100, as if a bar closed at `price` after `seen` bars; nan before bar 15 and without any change."""
    if seen < WILDER:
        return nan
    change = price - previous
    gain = wilder(gain, change if change > 0.0 else 0.0, seen)
    total = gain + wilder(loss, -change if change < 0.0 else 0.0, seen)
    return 100.0 * gain / total if total > 0.0 else nan


def provisional_macd(fast: float, slow: float, seen: float, price: float) -> float:
    """MACD line, in price units, as if a bar closed at `price` after `seen` bars; nan before bar 26."""
    if seen < SLOW - 1:
        return nan
    if seen < SLOW:
        return (fast + price / FAST) - (slow + price / SLOW)
    return (fast + FAST_GAIN * (price - fast)) - (slow + SLOW_GAIN * (price - slow))


def provisional_atr(atr: float, previous: float, seen: float, high: float, low: float) -> float:
    """ATR(14), in price units, as if a bar of that `high` and `low` closed after `seen` bars; nan before bar 15."""
    if seen < WILDER:
        return nan
    return wilder(atr, max(high - low, abs(high - previous), abs(low - previous)), seen)


def provisional_bollinger(mean19: float, m2_19: float, price: float) -> tuple[float, float]:
    """(mean, population deviation) of the newest 19 closes and `price`; a deviation that is only rounding is 0."""
    d = price - mean19
    mean = mean19 + d / BOLLINGER
    deviation = sqrt((m2_19 + d * d * (BOLLINGER - 1) / BOLLINGER) / BOLLINGER)
    return mean, 0.0 if deviation < 1e-13 * mean else deviation


def provisional_ew_variance(mean: float, variance: float, gain: float, x: float) -> float:
    """EW variance as if the next return were `x`; `gain` is the weight it gets (`ContractState.ew_gain`)."""
    d = x - mean
    return (1.0 - gain) * (variance + gain * d * d)


def join_drawdown(left: Drawdown, right: Drawdown) -> Drawdown:
    """The monoid: an earlier stretch and the one after it; nan in `left` (no bars yet) gives `right`."""
    high, low, worst = left
    if not high > 0.0:
        return right
    across = 1.0 - right[1] / high
    worst = max(worst, right[2], across)
    return (high if high > right[0] else right[0]), (low if low < right[1] else right[1]), worst


def rsi_of(gain: FloatArray, loss: FloatArray, count: FloatArray) -> FloatArray:
    """RSI(14) of committed averages after `count` bars, nan before bar 15 and without any change."""
    total = gain + loss
    valid = (count > WILDER) & (total > 0.0)
    return np.where(valid, 100.0 * gain / np.where(valid, total, 1.0), nan)


def rsi_path(anchor: FloatArray, close: FloatArray) -> FloatArray:
    """RSI(14) after each bar of `close` (bars, rows), shape as `close`; `anchor` (len(Day), rows): the state before.

    Rows whose close is nan stay as they are.
    """
    count, previous, gain, loss = anchor[: Day.LOSS + 1]
    part = close > 0.0
    before = np.concatenate((previous[np.newaxis], close[:-1]))  # a row's bars have no gap: empty ones are carried
    change = np.where(part & (before > 0.0), close - before, 0.0)
    seen = count + np.cumsum(part, axis=0)
    keep = np.where(part & (seen > WILDER + 1), (WILDER - 1) / WILDER, 1.0)
    averages = np.stack((np.maximum(change, 0.0), np.maximum(-change, 0.0)), axis=1) / WILDER  # (bars, 2, rows)
    state = np.stack((gain, loss))
    for bar in range(len(averages)):
        state = averages[bar] = state * keep[bar] + averages[bar]
    return rsi_of(averages[:, 0], averages[:, 1], seen)


def macd_of(fast: FloatArray, slow: FloatArray, count: FloatArray) -> FloatArray:
    """MACD line after `count` bars, nan before bar 26."""
    return np.where(count >= SLOW, fast - slow, nan)


def atr_of(atr: FloatArray, count: FloatArray) -> FloatArray:
    """ATR(14) after `count` bars, nan before bar 15."""
    return np.where(count > WILDER, atr, nan)
