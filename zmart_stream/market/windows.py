"""Windowed figures of closed bars, from the ring itself, all rows at once: nothing to drift, nothing to anchor.

Arrays are (slots, rows), oldest first, nan where a row has no bar; results have one value per row, nan for none.
"""

from __future__ import annotations

from math import nan

import numpy as np

from zmart_stream.market.bars import FloatArray
from zmart_stream.market.indicators import BOLLINGER

Ends = tuple[FloatArray, FloatArray, FloatArray]
"""(high, low, smallest of close/high and of a low over an earlier high) of a stretch of bars."""


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

    Neighbours are joined pair by pair: fewer and shorter passes than running extremes take.
    """
    ends: Ends = (high, low, close / high)
    while len(ends[0]) > 1:
        pairs = len(ends[0]) // 2 * 2
        left, right = slice(0, pairs, 2), slice(1, pairs, 2)
        joined = join((ends[0][left], ends[1][left], ends[2][left]), (ends[0][right], ends[1][right], ends[2][right]))
        if pairs < len(ends[0]):
            joined = (_with(joined[0], ends[0]), _with(joined[1], ends[1]), _with(joined[2], ends[2]))
        ends = joined
    return drawdown_of((ends[0][0], ends[1][0], ends[2][0]))


def join(left: Ends, right: Ends) -> Ends:
    """The monoid of `indicators.join_drawdown`, with the smallest quotient in place of the largest drawdown."""
    across = right[1] / left[0]
    np.fmin(across, np.fmin(left[2], right[2]), out=across)
    return np.fmax(left[0], right[0]), np.fmin(left[1], right[1]), across


def drawdown_of(ends: Ends) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(high, low, max drawdown), nan where no bar is known."""
    some = ~np.isnan(ends[2])
    return np.where(some, ends[0], nan), np.where(some, ends[1], nan), 1.0 - ends[2]


def _with(bars: FloatArray, longer: FloatArray) -> FloatArray:
    return np.concatenate((bars, longer[-1:]))


def drawdown_before(
    bar: tuple[FloatArray, FloatArray, FloatArray], rest: tuple[FloatArray, FloatArray, FloatArray]
) -> FloatArray:
    """Max drawdown of `bar` (high, low, close) and the window after it, which `drawdown` described.

    Division and subtraction are monotone, so that this is what `drawdown` of the longer window gives, bit for bit.
    """
    high, _, close = bar
    _, low, worst = rest
    return np.asarray(np.fmax(np.fmax(1.0 - close / high, worst), 1.0 - low / high))


def efficiency(close: FloatArray, steps: FloatArray) -> FloatArray:
    """Kaufman's ratio |last - first| / sum of |changes|, 0..1, over the closes there are; nan without any change.

    `steps`: the changes' sizes, one bar fewer than `close`, 0 where unknown.
    """
    path = _ordered(steps)
    return np.where(path > 0.0, np.abs(close[-1] - oldest_known(close)) / np.where(path > 0.0, path, 1.0), nan)


def oldest_known(close: FloatArray) -> FloatArray:
    """The oldest close there is in the window of each row, nan without any."""
    first = close[0]
    if np.isnan(first).any():
        known = ~np.isnan(close)
        first = close[np.argmax(known, axis=0), np.arange(close.shape[1])]
    return np.asarray(first)


def amihud(ratio: FloatArray, traded: FloatArray) -> FloatArray:
    """Mean of |return| / max(turnover, 1 USDT) over bars with volume (`traded`): price move per USDT traded."""
    count = _ordered(traded)
    return np.where(count > 0.0, _ordered(ratio) / np.maximum(count, 1.0), nan)


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
