"""What every window over closed hours is summed of, computed once a bar instead of once a window.

Rings of the same shape as the bars': a close adds one line, a repaired contract renews its column. Nothing here is
state: all of it follows from the bars, value by value, whenever it is computed.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from zmart_stream.market.bars import BarRing, Field, FloatArray

EPSILON_USDT = 1.0
"""Floor of a turnover in a denominator (numbers.md)."""


class Trace(IntEnum):
    """Figures of a bar beside the one before it."""

    RETURN = 0  # close / previous close - 1, nan where either is unknown
    STEP = 1  # |close - previous close|, 0 where unknown
    RATIO = 2  # |return| / max(turnover, 1 USDT), 0 without volume
    TRADED = 3  # 1 where RATIO counts


class Trail:
    """`Trace` of every bar of `ring` but its oldest, for every row."""

    def __init__(self, ring: BarRing) -> None:
        self._ring = ring
        self._end = 0  # end (ns) of the newest bar traced, 0: all is to be traced
        self._head = 0
        self._data: FloatArray = np.zeros((len(Trace), 0, 0))
        self._version = 0

    @property
    def version(self) -> int:
        """Another number as soon as a trace may be another; what was made of traces holds while it stays."""
        self._follow()
        return self._version

    def forget(self) -> None:
        """Bars of unknown rows changed: everything is traced anew at the next use."""
        self._end = 0

    def renew(self, row: int) -> None:
        """The bars of `row` changed."""
        self._follow()
        column = self._ring.column(row)
        traces = traced(column[Field.CLOSE], column[Field.TURNOVER, 1:])
        self._data[:, self._head - traces.shape[1] : self._head, row] = traces
        self._version += 1

    def window(self, trace: Trace, bars: int | None = None) -> FloatArray:
        """View of the newest `bars` (default all there are: the ring's slots - 1) of every row, oldest first."""
        self._follow()
        size = self._ring.slots - 1 if bars is None else bars
        return self._data[trace, self._head - size : self._head, : self._ring.rows]

    def _follow(self) -> None:
        """Trace the bars closed since the last use."""
        ring = self._ring
        missing = (ring.end - self._end) // ring.interval
        room = missing == 0 or self._head + missing <= self._data.shape[1]
        if not self._end or missing >= ring.slots or not room or self._data.shape[2] < ring.rows:
            self._trace_all()
        elif missing:
            close, turnover = ring.window(Field.CLOSE, missing + 1), ring.window(Field.TURNOVER, missing)
            self._data[:, self._head : self._head + missing, : ring.rows] = traced(close, turnover)
            self._head += missing
            self._end = ring.end
            self._version += 1

    def _trace_all(self) -> None:
        ring = self._ring
        size = ring.slots - 1
        if self._data.shape[2] < ring.rows:
            rows = max(64, ring.rows + ring.rows // 4)
            self._data = np.zeros((len(Trace), size + max(24, size // 2), rows))
            self._data[Trace.RETURN] = np.nan
        self._data[:, :size, : ring.rows] = traced(ring.window(Field.CLOSE), ring.window(Field.TURNOVER, size))
        self._head, self._end = size, ring.end
        self._version += 1


def traced(close: FloatArray, turnover: FloatArray) -> FloatArray:
    """All of `Trace`, shape (traces, bars, ...): `close` has one bar more than `turnover`, the oldest."""
    out = np.empty((len(Trace), *turnover.shape))
    ret, step, ratio, known = out
    np.divide(close[1:], close[:-1], out=ret)
    ret -= 1.0
    np.abs(close[1:] - close[:-1], out=step)
    np.abs(ret, out=ratio)
    ratio /= np.maximum(turnover, EPSILON_USDT)
    counts = (turnover > 0.0) & (ret == ret)
    known[...] = counts
    ratio[~counts] = 0.0
    step[step != step] = 0.0
    return out
