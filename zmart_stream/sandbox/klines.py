"""Joins small bars into larger ones, exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zmart_stream.sandbox.expand import TickBars
from zmart_stream.sandbox.keyed import FloatArray, IntArray

GRANULARITIES = (1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10080)  # minutes
_WEEK = 10080
_MONDAY = 4 * 1440  # the epoch was a Thursday


class ValuedBars(NamedTuple):
    """Bars with their turnover where it does not follow from their value: Σ lots ÷ price on inverse contracts."""

    bars: TickBars
    money: FloatArray | None = None  # None on linear contracts


def bar_start(minute: int, granularity: int) -> int:
    """First minute (since the epoch) of the bar that holds `minute`; weeks begin on Monday."""
    shift = _MONDAY if granularity == _WEEK else 0
    return (minute - shift) // granularity * granularity + shift


def bar_starts(start_ms: int, end_ms: int, granularity: int) -> tuple[int, int]:
    """First bar start at or after `start_ms` and first one at or after `end_ms`, in minutes since the epoch."""
    first = bar_start(-(-start_ms // 60_000) + granularity - 1, granularity)
    return first, max(first, bar_start(-(-end_ms // 60_000) + granularity - 1, granularity))


def joined(source: ValuedBars, size: int) -> ValuedBars:
    """Every `size` consecutive bars as one; the length must be a multiple. Bars without trades count for nothing."""
    if size == 1:
        return source
    bars = TickBars(*(column.reshape(-1, size) for column in source.bars))
    traded = bars.lots > 0
    money = None if source.money is None else np.cumsum(source.money.reshape(-1, size), axis=1)[:, -1]
    if traded.all():
        ends = bars.open[:, 0], bars.high.max(axis=1), bars.low.min(axis=1), bars.close[:, -1]
        return ValuedBars(TickBars(*ends, bars.lots.sum(axis=1), bars.value.sum(axis=1)), money)
    rows = np.arange(len(traded))
    first = np.argmax(traded, axis=1)
    last = size - 1 - np.argmax(traded[:, ::-1], axis=1)
    high = np.where(traded, bars.high, 0).max(axis=1)
    low = np.where(traded, bars.low, np.iinfo(np.int64).max).min(axis=1)
    ends = bars.open[rows, first], high, low, bars.close[rows, last]
    return ValuedBars(TickBars(*ends, bars.lots.sum(axis=1), bars.value.sum(axis=1)), money)


def chained(*pieces: ValuedBars) -> ValuedBars:
    """The pieces one after the other."""
    columns = zip(*(piece.bars for piece in pieces), strict=True)
    money = [piece.money for piece in pieces if piece.money is not None]
    bars = TickBars(*(np.concatenate(column) for column in columns))
    return ValuedBars(bars, np.concatenate(money) if money else None)


def traded_rows(source: ValuedBars, starts: IntArray) -> tuple[ValuedBars, IntArray]:
    """Only the bars with trades, and their starts."""
    kept = np.flatnonzero(source.bars.lots > 0)
    if len(kept) == len(starts):
        return source, starts
    return ValuedBars(source.bars.take(kept), None if source.money is None else source.money[kept]), starts[kept]
