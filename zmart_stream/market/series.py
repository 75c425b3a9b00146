"""A ring with its recursive states: live, and the anchor just before the ring's oldest bar.

The anchor is stepped by each bar that leaves the ring, so anchor + ring is always everything the live state has seen.
"""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np

from zmart_stream.domain.errors import SnapshotError
from zmart_stream.domain.market import DAY_S, HOUR_S, Bars
from zmart_stream.market.bars import BarRing, Field, FloatArray, carried
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.indicators import (
    Day,
    Hour,
    empty_state,
    step_day,
    step_day_scalar,
    step_hour,
    step_hour_scalar,
)

SAME = 1e-9
"""A fetched bar within this relative difference of a whole bar of ours is that bar."""


class Series:
    """Hour or day bars of every row: commit, replace, recompute."""

    def __init__(self, *, interval_s: int, slots: int) -> None:
        if interval_s not in (HOUR_S, DAY_S):
            raise ValueError(f"interval_s {interval_s}: hours or days")
        self.kind: type[Hour] | type[Day] = Hour if interval_s == HOUR_S else Day
        self.ring = BarRing(interval_s=interval_s, slots=slots)
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
        before = self._live[:, row].tolist()
        state: list[float] = self._anchor[:, row].tolist()
        column = self.ring.column(row)
        closes: list[float] = column[Field.CLOSE].tolist()
        if self.kind is Hour:
            for close in closes:
                step_hour_scalar(state, close)
        else:
            highs, lows = column[Field.HIGH].tolist(), column[Field.LOW].tolist()
            for high, low, close in zip(highs, lows, closes, strict=True):
                step_day_scalar(state, high, low, close)
        self._live[:, row] = state
        return max(_difference(a, b) for a, b in zip(before, state, strict=True))

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
        own: list[list[float]] = ring.column(state.row).T.tolist()
        given = {row[0]: row for row in m.rows}
        previous = own[low - 1][Field.CLOSE] if low else float(self._anchor[self.kind.PREVIOUS, state.row])
        changed = []
        for slot in range(low, high):
            row = given.get(first + slot * ring.interval)
            if row is not None:
                bar = [*row[1:6], _turnover(state, row), nan, nan, nan, 1.0]
            else:
                bar = [*(previous,) * 4, *(0.0,) * 5, 1.0]
            if own[slot][Field.WHOLE] != 1.0 or not _same(own[slot], bar):
                own[slot] = bar
                changed.append(slot)
            previous = own[slot][Field.CLOSE]
        changed += _carry(own, high, previous)
        if changed:
            ring.column(state.row)[:, changed] = np.array([own[slot] for slot in changed]).T
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
    return {"shape": list(array.shape), "dtype": little.str, "data": np.ascontiguousarray(array, little).tobytes()}


def unpacked(data: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Inverse of `packed`; raises SnapshotError if bytes and shape disagree."""
    try:
        return np.frombuffer(data["data"], dtype=data["dtype"]).reshape(data["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"array: {error}") from error


def _turnover(state: ContractState, row: tuple[int, float, float, float, float, float, float]) -> float:
    """The row's turnover; a six-column kline has none: lots at the mean of open, high, low, close."""
    _, open_, high, low, close, lots, turnover = row
    return turnover if turnover == turnover else state.notional(lots, (open_ + high + low + close) / 4.0)


def _same(own: list[float], bar: list[float]) -> bool:
    return all(
        abs(a - b) <= SAME * abs(b) or (a != a and b != b)
        for a, b in zip(own[: Field.TURNOVER], bar[: Field.TURNOVER], strict=True)
    )


def _carry(bars: list[list[float]], slot: int, close: float) -> list[int]:
    """From `slot` on, give `close` to the bars without a trade until one traded; slots changed."""
    changed = []
    while close > 0.0 and slot < len(bars) and not bars[slot][Field.LOTS] > 0.0:
        if bars[slot][Field.CLOSE] != close:
            whole = bars[slot][Field.WHOLE]
            bars[slot] = [*(close,) * 4, *(0.0,) * 5, whole if whole == 1.0 else 0.0]
            changed.append(slot)
        slot += 1
    return changed


def _difference(a: float, b: float) -> float:
    """Relative to the larger; one absent side is a whole difference."""
    if a == b or (a != a and b != b):
        return 0.0
    return abs(a - b) / max(abs(a), abs(b)) if a == a and b == b else 1.0
