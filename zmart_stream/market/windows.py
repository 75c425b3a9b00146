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
    found = _ordered(x)
    gaps = np.isnan(found)
    if gaps.any():  # only such rows need the cleaning, which costs more than the sum
        some = np.ascontiguousarray(x[:, gaps])  # rows side by side: numpy adds pairwise along contiguous slots
        found[gaps] = _ordered(np.where(np.isnan(some), 0.0, some))
    return found


def mean(x: FloatArray, least: int = 1) -> FloatArray:
    """Mean of the values there are, nan with fewer than `least`."""
    count = np.add.reduce(~np.isnan(x), axis=0)
    return np.where(count >= least, total(x) / np.maximum(count, 1), nan)


def drawdown(high: FloatArray, low: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(high, low, max drawdown) of the window: the largest of 1 - close/high of a bar and 1 - low_j/high_i, i < j.

    Neighbours are joined pair by pair (`indicators.join_drawdown`), which costs a third of running maxima.
    """
    least = close / high  # smallest quotient instead of largest drawdown: one subtraction at the end
    while len(high) > 1:
        pairs = len(high) // 2 * 2
        left, right = slice(0, pairs, 2), slice(1, pairs, 2)
        across = low[right] / high[left]
        np.fmin(across, np.fmin(least[left], least[right]), out=across)
        ends = (np.fmax(high[left], high[right]), np.fmin(low[left], low[right]), across)
        if pairs < len(high):
            ends = (_with(ends[0], high[-1]), _with(ends[1], low[-1]), _with(across, least[-1]))
        high, low, least = ends
    some = ~np.isnan(least[0])
    return np.where(some, high[0], nan), np.where(some, low[0], nan), 1.0 - least[0]


def _with(bars: FloatArray, last: FloatArray) -> FloatArray:
    return np.concatenate((bars, last[None]))


def drawdown_before(
    bar: tuple[FloatArray, FloatArray, FloatArray], rest: tuple[FloatArray, FloatArray, FloatArray]
) -> FloatArray:
    """Max drawdown of `bar` (high, low, close) and the window after it, which `drawdown` described.

    Division and subtraction are monotone, so that this is what `drawdown` of the longer window gives, bit for bit.
    """
    high, _, close = bar
    _, low, worst = rest
    return np.asarray(np.fmax(np.fmax(1.0 - close / high, worst), 1.0 - low / high))


def efficiency(close: FloatArray) -> FloatArray:
    """Kaufman's ratio |last - first| / sum of |changes|, 0..1, over the closes there are; nan without any change."""
    path = total(np.abs(close[1:] - close[:-1]))
    known = ~np.isnan(close)
    first = close[np.argmax(known, axis=0), np.arange(close.shape[1])]
    return np.where(path > 0.0, np.abs(close[-1] - first) / np.where(path > 0.0, path, 1.0), nan)


def amihud(ret: FloatArray, turnover: FloatArray) -> FloatArray:
    """Mean of |return| / max(turnover, 1 USDT) over bars with volume: price move per USDT traded."""
    ratio = np.abs(ret)
    ratio /= np.maximum(turnover, EPSILON_USDT)
    known = (turnover > 0.0) & ~np.isnan(ret)
    ratio[~known] = 0.0
    count = np.add.reduce(known, axis=0)
    return np.where(count > 0, _ordered(ratio) / np.maximum(count, 1), nan)


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
