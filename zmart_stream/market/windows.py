"""Windowed figures of closed bars, from the ring itself, all rows at once: nothing to drift, nothing to anchor.

Arrays are (slots, rows), oldest first, nan where a row has no bar; results have one value per row, nan for none.
"""

from __future__ import annotations

from math import nan

import numpy as np

from zmart_stream.market.bars import FloatArray
from zmart_stream.market.indicators import BOLLINGER

EPSILON_USDT = 1.0
"""Floor of a turnover in a denominator (numbers.md)."""


def returns(close: FloatArray) -> FloatArray:
    """Simple returns between neighbouring bars: one slot fewer than `close`."""
    return close[1:] / close[:-1] - 1.0


def largest(x: FloatArray) -> FloatArray:
    """Largest value of each row."""
    found = np.fmax.reduce(x, axis=0, initial=-np.inf)
    return np.where(found > -np.inf, found, nan)


def total(x: FloatArray) -> FloatArray:
    """Sum of the values there are, 0 where there are none."""
    return _ordered(np.where(np.isnan(x), 0.0, x))


def mean(x: FloatArray, least: int = 1) -> FloatArray:
    """Mean of the values there are, nan with fewer than `least`."""
    count = np.add.reduce(~np.isnan(x), axis=0)
    return np.where(count >= least, total(x) / np.maximum(count, 1), nan)


def drawdown(high: FloatArray, low: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(high, low, max drawdown) of the window: the largest of 1 - close/high of a bar and 1 - low_j/high_i, i < j."""
    peak = np.fmax.accumulate(high, axis=0)
    worst = np.fmax.reduce(1.0 - close / high, axis=0, initial=-np.inf)
    across = np.fmax.reduce(1.0 - low[1:] / peak[:-1], axis=0, initial=-np.inf)
    worst = np.fmax(worst, across)
    lowest = np.fmin.reduce(low, axis=0, initial=np.inf)
    some = worst > -np.inf
    return np.where(some, peak[-1], nan), np.where(some, lowest, nan), np.where(some, worst, nan)


def efficiency(close: FloatArray) -> FloatArray:
    """Kaufman's ratio |last - first| / sum of |changes|, 0..1, over the closes there are; nan without any change."""
    path = total(np.abs(close[1:] - close[:-1]))
    known = ~np.isnan(close)
    first = close[np.argmax(known, axis=0), np.arange(close.shape[1])]
    return np.where(path > 0.0, np.abs(close[-1] - first) / np.where(path > 0.0, path, 1.0), nan)


def amihud(ret: FloatArray, turnover: FloatArray) -> FloatArray:
    """Mean of |return| / max(turnover, 1 USDT) over bars with volume: price move per USDT traded."""
    ratio = np.where(turnover > 0.0, np.abs(ret) / np.maximum(turnover, EPSILON_USDT), nan)
    return mean(ratio)


def moments(close: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(mean, sum of squared deviations), two passes, nan where any value is missing."""
    centre = _ordered(close) / len(close)
    return centre, _ordered((close - centre) ** 2)


def bollinger(mean19: FloatArray, m2_19: FloatArray, price: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(mean, population deviation) of 19 closes and `price`, as `indicators.provisional_bollinger`."""
    d = price - mean19
    centre = mean19 + d / BOLLINGER
    deviation = np.sqrt((m2_19 + d * d * (BOLLINGER - 1) / BOLLINGER) / BOLLINGER)
    return centre, np.where(deviation < 1e-13 * centre, 0.0, deviation)


def _ordered(x: FloatArray) -> FloatArray:
    """Sum over the slots, oldest first, whatever the number of rows: a single row would be summed pairwise."""
    return np.asarray(np.add.accumulate(x, axis=0)[-1] if x.shape[1] == 1 else np.add.reduce(x, axis=0))
