"""Rings of closed bars: columns over all rows, every row closed at once.

A field is stored time-major, so that a close writes one contiguous line and every window is one contiguous block of
memory; readers get the transposed view (rows x slots, oldest to newest).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from zmart_stream.domain.bars import BarBlock

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

NS = 1_000_000_000
HOUR = 3600 * NS
DAY = 86400 * NS


class Field(IntEnum):
    """Order of the fields in a ring and in a `BarBlock`."""

    OPEN = 0
    HIGH = 1
    LOW = 2
    CLOSE = 3
    LOTS = 4
    TURNOVER = 5
    BUY = 6
    SELL = 7
    COUNT = 8
    WHOLE = 9


FIELDS = len(Field)


class BarRing:
    """The newest `slots` closed bars of every row, fields as in `Field`; nan where nothing is known.

    WHOLE is 1.0 for a bar known to equal the venue's (also for an interval known to have had no trade), 0.0 for one
    that waits for its repair, nan for one never asked for. `end` is the end (ns) of the newest slot, 0 while empty.
    """

    def __init__(self, *, interval_s: int, slots: int) -> None:
        self.interval_s = interval_s
        self.interval = interval_s * NS
        self.slots = slots
        self.rows = 0
        self.end = 0
        self._slack = max(24, slots // 2)
        self._data: FloatArray = np.full((FIELDS, slots + self._slack, 64), np.nan)
        self._head = slots  # the window is [head - slots, head)

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows; new ones know nothing."""
        capacity = self._data.shape[2]
        if rows > capacity:
            wider = np.full((FIELDS, self._data.shape[1], max(rows, 2 * capacity)), np.nan)
            wider[:, :, :capacity] = self._data
            self._data = wider
        self.rows = max(self.rows, rows)

    def start_at(self, end: int) -> None:
        """Place the (empty) ring so that the next bar to close starts at `end` (ns)."""
        self.end = end

    def window(self, field: Field, slots: int | None = None) -> FloatArray:
        """View of the newest `slots` (default all) bars of every row: shape (slots, rows), oldest first."""
        return self._data[field, self._head - (slots or self.slots) : self._head, : self.rows]

    def column(self, row: int) -> FloatArray:
        """View of one row: shape (fields, slots), oldest first."""
        return self._data[:, self._head - self.slots : self._head, row]

    def oldest(self) -> FloatArray:
        """Copy of the bars that the next `append` pushes out: shape (fields, rows)."""
        return self._data[:, self._head - self.slots, : self.rows].copy()

    def append(self, bars: FloatArray) -> None:
        """Close one interval of every row; `bars` has shape (fields, rows). The oldest slot leaves the window."""
        if self._head == self._data.shape[1]:
            keep = self._data[:, self._head - self.slots + 1 : self._head].copy()
            self._data[:, : self.slots - 1] = keep
            self._head = self.slots - 1
        self._data[:, self._head, : self.rows] = bars
        self._data[:, self._head, self.rows :] = np.nan
        self._head += 1
        self.end += self.interval

    def slot(self, start: int) -> int | None:
        """Index in the window of the bar that starts at `start` (ns), None if it is not held."""
        index = self.slots - (self.end - start) // self.interval
        return index if 0 <= index < self.slots and (self.end - start) % self.interval == 0 else None

    def start_of(self, slot: int) -> int:
        """Start (ns) of the bar in `slot` of the window."""
        return self.end - (self.slots - slot) * self.interval

    def block(self, slot: int, symbols: list[str], ts: int) -> BarBlock | None:
        """The bars of one slot as they are stored, rows without a bar left out; None if no row has one."""
        bars = self._data[:, self._head - self.slots + slot, : self.rows]
        known = np.flatnonzero(~np.isnan(bars[Field.CLOSE]))
        if not known.size:
            return None
        return BarBlock(
            ts=ts,
            interval_s=self.interval_s,
            start=self.start_of(slot),
            symbols=tuple(symbols[row] for row in known.tolist()),
            columns=np.ascontiguousarray(bars[:, known], dtype="<f8").tobytes(),
        )

    def take(self, block: BarBlock, columns: list[int], rows: list[int]) -> bool:
        """Put `columns` of a stored block back into `rows`; False if its interval is not in the window."""
        slot = self.slot(block.start)
        if slot is None:
            return False
        bars = np.frombuffer(block.columns, dtype="<f8").reshape(FIELDS, len(block.symbols))
        self._data[:, self._head - self.slots + slot, rows] = bars[:, columns]
        return True

    def whole_content(self) -> FloatArray:
        """Copy of the window, shape (fields, slots, rows), for a snapshot."""
        return self._data[:, self._head - self.slots : self._head, : self.rows].copy()

    def replace_content(self, content: FloatArray, end: int) -> None:
        """Inverse of `whole_content`."""
        self.grow(content.shape[2])
        self._head = self.slots
        self._data[:, : self.slots, : content.shape[2]] = content
        self.end = end


def carried(bars: FloatArray, previous_close: FloatArray) -> FloatArray:
    """`bars` (fields, rows) with the previous close carried into intervals without a trade, volume 0, in place."""
    empty = np.isnan(bars[Field.CLOSE])
    bars[:4, empty] = previous_close[empty]
    return bars


def merged(hours: Sequence[FloatArray]) -> FloatArray:
    """One bar from `hours`, the fields in order, each (slots >= 1, rows): the hours' sum, shape (fields, rows).

    Open, high and low come from hours that traded, as the venue's own day bar has them; a row without any trade
    is flat at its carried close. WHOLE: 1 if every hour is whole, nan if one was never asked for, else 0.
    Fields after turnover may be left out.
    """
    closes = hours[Field.CLOSE]
    traded = hours[Field.LOTS] > 0.0
    out = np.empty((len(hours), closes.shape[1]))
    close = closes[-1]
    first = np.argmax(traded, axis=0)
    some = traded.any(axis=0)
    pick = np.arange(closes.shape[1])
    out[Field.OPEN] = np.where(some, hours[Field.OPEN][first, pick], close)
    high = np.fmax.reduce(np.where(traded, hours[Field.HIGH], -np.inf), axis=0, initial=-np.inf)
    low = np.fmin.reduce(np.where(traded, hours[Field.LOW], np.inf), axis=0, initial=np.inf)
    out[Field.HIGH] = np.where(some, high, close)
    out[Field.LOW] = np.where(some, low, close)
    out[Field.CLOSE] = close
    absent = np.isnan(closes)
    for field in range(Field.LOTS, min(len(hours), Field.WHOLE)):
        values = np.where(absent, 0.0, hours[field])
        out[field] = np.add.accumulate(values, axis=0)[-1]  # in order, whatever the number of rows
    if len(hours) == FIELDS:
        out[Field.WHOLE] = np.minimum.reduce(hours[Field.WHOLE], axis=0, initial=1.0)
    return out
