"""A ring with its recursive states: live, and the anchor just before the ring's oldest bar.

The anchor is stepped by each bar that leaves the ring, so anchor + ring is always everything the live state has seen.
"""

from __future__ import annotations

from itertools import chain
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from zmart_stream.domain.errors import SnapshotError
from zmart_stream.domain.market import DAY_S, HOUR_S, Bars
from zmart_stream.market.bars import FIELDS, BarRing, Field, FloatArray, carried
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.indicators import (
    Day,
    Hour,
    empty_state,
    run_days,
    run_hours,
    step_day,
    step_hour,
)
from zmart_stream.market.trail import Trail

SAME = 1e-9
"""A fetched bar within this relative difference of a whole bar of ours is that bar."""


class Series:
    """Hour or day bars of every row: commit, replace, recompute."""

    def __init__(self, *, interval_s: int, slots: int) -> None:
        if interval_s not in (HOUR_S, DAY_S):
            raise ValueError(f"interval_s {interval_s}: hours or days")
        self.kind: type[Hour] | type[Day] = Hour if interval_s == HOUR_S else Day
        self.ring = BarRing(interval_s=interval_s, slots=slots)
        self.trail = Trail(self.ring)
        self._live = empty_state(self.kind, 64)
        self._anchor = empty_state(self.kind, 64)

    @property
    def live(self) -> FloatArray:
        """Recursive state after the newest bar, view of shape (len(kind), rows)."""
        return self._live[:, : self.ring.rows]

    @property
    def anchor(self) -> FloatArray:
        """Recursive state before the ring's oldest bar, view of shape (len(kind), rows)."""
        return self._anchor[:, : self.ring.rows]

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows."""
        self.ring.grow(rows)
        capacity = self._live.shape[1]
        if rows > capacity:
            more = empty_state(self.kind, max(rows, 2 * capacity) - capacity)
            self._live = np.concatenate((self._live, more), axis=1)
            self._anchor = np.concatenate((self._anchor, more), axis=1)

    def step(self, state: FloatArray, bars: FloatArray) -> None:
        """One bar of every row, `bars` (fields, rows), onto `state` in place."""
        if self.kind is Hour:
            step_hour(state, bars[Field.CLOSE])
        else:
            step_day(state, bars[Field.HIGH], bars[Field.LOW], bars[Field.CLOSE])

    def commit(self, bars: FloatArray) -> FloatArray:
        """Close one interval: `bars` (fields, rows), empty ones filled in place with the carried close; returned."""
        carried(bars, self.live[self.kind.PREVIOUS])
        self.step(self.anchor, self.ring.oldest())
        self.ring.append(bars)
        self.step(self.live, bars)
        return bars

    def recompute(self, row: int) -> float:
        """Live state of `row` = anchor + ring; the largest relative difference to what it was."""
        before: list[float] = self._live[:, row].tolist()
        state: list[float] = self._anchor[:, row].tolist()
        column = self.ring.column(row)
        if self.kind is Hour:
            run_hours(state, column[Field.CLOSE].tolist())
        else:
            run_days(state, zip(*column[Field.HIGH : Field.CLOSE + 1].tolist(), strict=True))
        self._live[:, row] = state
        return max(_difference(a, b) for a, b in zip(before, state, strict=True))

    def recompute_all(self) -> FloatArray:
        """`recompute` for every row at once: their differences, shape (rows,)."""
        before, state = self.live.copy(), self.anchor.copy()
        window = [self.ring.window(field) for field in Field]
        for slot in range(self.ring.slots):
            if self.kind is Hour:
                step_hour(state, window[Field.CLOSE][slot])
            else:
                step_day(state, window[Field.HIGH][slot], window[Field.LOW][slot], window[Field.CLOSE][slot])
        self.live[:] = state
        larger = np.fmax(np.abs(before), np.abs(state))
        apart = np.abs(before - state) / np.where(larger > 0.0, larger, 1.0)
        unlike = np.where(np.isnan(before) & np.isnan(state), 0.0, np.where(np.isnan(apart), 1.0, apart))
        return np.asarray(np.maximum.reduce(unlike, axis=0))

    def replace(self, state: ContractState, m: Bars) -> list[int]:
        """Take over the closed bars of `m` for one row; slots that changed, ascending. The live state is not touched.

        A whole bar of ours that the venue confirms stays, with its taker split. Intervals of `m` without a row are
        known to be empty. Empty bars that follow a changed one carry its close.
        """
        ring = self.ring
        first = ring.start_of(0)
        since = max(-(-m.since // ring.interval) * ring.interval, first)
        until = min(m.until, ring.end, m.as_of - m.as_of % ring.interval)
        if since >= until:
            return []
        low, high = (since - first) // ring.interval, -(-(until - first) // ring.interval)
        column = ring.column(state.row)
        own = column[:, low:high].copy()
        places, bars = fetched(state, m, slots=high - low, since=since, interval=ring.interval)
        whole = own[Field.WHOLE] == 1.0
        keep = whole & _same(own, bars)
        given = np.zeros(high - low, dtype=np.bool_)
        given[places] = True
        previous = column[Field.CLOSE, low - 1] if low else self._anchor[self.kind.PREVIOUS, state.row]
        if not given.all():
            _carry_over(bars, given, np.where(keep & given, own[Field.CLOSE], bars[Field.CLOSE]), float(previous))
            keep = whole & _same(own, bars)
        column[:, low:high] = np.where(keep, own, bars)
        changed: list[int] = (np.flatnonzero(~keep) + low).tolist()
        changed += _carry(column, high)
        self.trail.renew(state.row)
        return changed

    def snapshot(self) -> dict[str, Any]:
        """Live and anchor states, msgpack-able; the ring is stored apart."""
        return {"end": self.ring.end, "live": packed(self.live), "anchor": packed(self.anchor)}

    def restore(self, data: dict[str, Any]) -> None:
        """Inverse of `snapshot`."""
        live, anchor = unpacked(data["live"]), unpacked(data["anchor"])
        if live.shape != anchor.shape or len(live) != len(self.kind):
            raise SnapshotError("recursive states have another shape")
        self.grow(live.shape[1])
        self.live[:], self.anchor[:] = live, anchor
        self.ring.start_at(data["end"])


def packed(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """An array as plain values: shape, dtype, little-endian bytes."""
    little = array.dtype.newbyteorder("<")
    return {"shape": list(array.shape), "dtype": little.str, "data": array.astype(little, copy=False).tobytes()}


def unpacked(data: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Inverse of `packed`; raises SnapshotError if bytes and shape disagree."""
    try:
        return np.frombuffer(data["data"], dtype=data["dtype"]).reshape(data["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"array: {error}") from error


def fetched(
    state: ContractState, m: Bars, *, slots: int, since: int, interval: int
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Rows of `m` that fall on the `slots` intervals from `since` on: their places, and bars (fields, slots).

    A six-column kline has no turnover: lots at the mean of open, high, low, close. Other places hold an empty bar at
    price nan.
    """
    bars = np.zeros((FIELDS, slots))
    bars[:4], bars[Field.WHOLE] = nan, 1.0
    starts = np.fromiter([row[0] for row in m.rows], np.int64, len(m.rows)) - since
    values = np.fromiter(chain.from_iterable(m.rows), np.float64, 7 * len(m.rows)).reshape(-1, 7)
    wanted = (starts >= 0) & (starts < slots * interval) & (starts % interval == 0)
    places, (_, open_, high, low, close, lots, turnover) = starts[wanted] // interval, values[wanted].T
    worth = lots if state.inverse else lots * state.multiplier * ((open_ + high + low + close) / 4.0)
    bars[: Field.TURNOVER, places] = open_, high, low, close, lots
    bars[Field.TURNOVER, places] = np.where(np.isnan(turnover), worth, turnover)
    bars[Field.BUY : Field.WHOLE, places] = nan
    return places, bars


def _same(own: FloatArray, bars: FloatArray) -> npt.NDArray[np.bool_]:
    """Which of `own` (fields, slots) are the fetched `bars`, turnover and taker split aside."""
    a, b = own[: Field.TURNOVER], bars[: Field.TURNOVER]
    alike = (np.abs(a - b) <= SAME * np.abs(b)) | (np.isnan(a) & np.isnan(b))
    return np.asarray(np.logical_and.reduce(alike, axis=0))


def _carry_over(bars: FloatArray, given: npt.NDArray[np.bool_], closes: FloatArray, previous: float) -> None:
    """Give every bar that was not `given` the close before it: of `closes`, `previous` before the first."""
    newest = np.maximum.accumulate(np.where(given, np.arange(len(given)), -1))
    carried_close = np.where(newest >= 0, closes[np.maximum(newest, 0)], previous)
    bars[:4, ~given] = carried_close[~given]


def _carry(column: FloatArray, slot: int) -> list[int]:
    """From `slot` on, give the close before it to the bars without a trade until one traded; slots changed."""
    close = column[Field.CLOSE, slot - 1]
    changed = []
    while close > 0.0 and slot < column.shape[1] and not column[Field.LOTS, slot] > 0.0:
        if column[Field.CLOSE, slot] != close:
            whole = column[Field.WHOLE, slot]
            column[:, slot] = [*(close,) * 4, *(0.0,) * 5, whole if whole == 1.0 else 0.0]
            changed.append(slot)
        slot += 1
    return changed


def _difference(a: float, b: float) -> float:
    """Relative to the larger; one absent side is a whole difference."""
    if a == b or (a != a and b != b):
        return 0.0
    return abs(a - b) / max(abs(a), abs(b)) if a == a and b == b else 1.0
