"""Fetched bars on their way into the rings: warm-up, refill, repair, and the venue's running candle."""

from __future__ import annotations

from bisect import bisect_left
from math import nan
from typing import NamedTuple

import numpy as np

from zmart_stream.domain.bars import BarsAmended
from zmart_stream.domain.market import BarRow, Bars
from zmart_stream.market.bars import DAY, HOUR, BarRing, Field, FloatArray, merged
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.series import Series

HOURS_A_DAY = 24


class Amendment(NamedTuple):
    """Bars of one contract that `load` changed, as they were then: fields x bars."""

    ts: int
    symbol: str
    ring: BarRing
    first: int  # start (ns) of the ring's oldest bar
    slots: list[int]
    bars: FloatArray

    def message(self) -> BarsAmended | None:
        """What storage must learn: bars that equal the venue's; those still waiting for a repair come with it."""
        rows: tuple[BarRow, ...] = tuple(
            (self.first + slot * self.ring.interval, bar[0], bar[1], bar[2], bar[3], bar[4], bar[5])
            for slot, bar in zip(self.slots, self.bars.T.tolist(), strict=True)
            if bar[Field.WHOLE] == 1.0 and bar[Field.CLOSE] > 0.0
        )
        if not rows:
            return None
        return BarsAmended(ts=self.ts, symbol=self.symbol, interval_s=self.ring.interval_s, rows=rows)


def load_hours(state: ContractState, m: Bars, hours: Series, days: Series) -> list[Amendment]:
    """Take over hour bars: replace, rebuild the days they complete, take the running candle, recompute the row.

    The second amendment, if there is one, is of days.
    """
    changed = hours.replace(state, m)
    hours.recompute(state.row)
    for row in m.rows[bisect_left(m.rows, (hours.ring.end,)) :]:
        _take_candle(state, row, m.as_of, hours.ring.end)
    rebuilt = _rebuild_days(state.row, changed, hours, days)
    if not rebuilt:
        return [_amendment(state, hours, changed, m.ts)]
    days.recompute(state.row)
    return [_amendment(state, hours, changed, m.ts), _amendment(state, days, rebuilt, m.ts)]


def load_days(state: ContractState, m: Bars, days: Series) -> list[Amendment]:
    """Take over closed day bars and recompute the row; today stays the sum of its hours."""
    changed = days.replace(state, m)
    days.recompute(state.row)
    return [_amendment(state, days, changed, m.ts)]


def put_back(state: ContractState, m: BarsAmended, series: Series) -> None:
    """Refill from storage: amended bars replace what the blocks said."""
    column = series.ring.column(state.row)
    for start, open_, high, low, close, lots, turnover in m.rows:
        slot = series.ring.slot(start)
        if slot is not None:
            column[:, slot] = (open_, high, low, close, lots, turnover, nan, nan, nan, 1.0)


def follow_price(state: ContractState) -> None:
    """The provisional price after the bars changed: the forming bar's last trade, else the newest close there is."""
    known = state.h_close if state.h_close > 0.0 else state.prev_close
    if known > 0.0:
        state.price = known
        state.price_is_mid = False


def _take_candle(state: ContractState, row: BarRow, as_of: int, hour_start: int) -> None:
    """Give an open bar that was not seen from its start the venue's candle; trades after `as_of` add on top."""
    start, open_, high, low, close, lots, turnover = row
    if start not in (hour_start, hour_start + HOUR) or state.sees(start):
        return
    prefix = "h_" if start == hour_start else "n_"

    def own(name: str) -> float:
        value: float = getattr(state, prefix + name)
        return value

    if as_of < own("as_of"):
        return
    if turnover != turnover:
        turnover = state.notional(lots, (open_ + high + low + close) / 4.0)
    newer = own("ts") > as_of  # our newest trade came after the reply: it is the close
    candle = {
        "open": open_,
        "high": own("high") if own("high") > high else high,
        "low": own("low") if own("low") < low else low,
        "close": own("close") if newer else close,
        "lots": lots,
        "turnover": turnover,
        "buy": nan,
        "sell": nan,
        "count": nan,
        "first": 0,
        "as_of": as_of,
    }
    for name, value in candle.items():
        setattr(state, prefix + name, value)


def _rebuild_days(row: int, changed: list[int], hours: Series, days: Series) -> list[int]:
    """Day slots, not whole until now, that the whole hours of that day give; ascending."""
    if not changed:
        return []
    column = days.ring.column(row)
    first = max(hours.ring.start_of(changed[0]) // DAY * DAY, -(-hours.ring.start_of(0) // DAY) * DAY)
    last = min(hours.ring.start_of(changed[-1]) // DAY * DAY, hours.ring.end - DAY)
    found = [(days.ring.slot(start), hours.ring.slot(start)) for start in range(first, last + 1, DAY)]
    slots = [(day, hour) for day, hour in found if day is not None and column[Field.WHOLE, day] != 1.0]
    if not slots:
        return []
    picked = np.array([hour for _, hour in slots])[None, :] + np.arange(HOURS_A_DAY)[:, None]
    bars = merged(list(hours.ring.column(row)[:, picked]))
    rebuilt = []
    for (slot, _), bar in zip(slots, bars.T, strict=True):
        if bar[Field.WHOLE] == 1.0 and bar[Field.CLOSE] > 0.0:
            column[:, slot] = bar
            rebuilt.append(slot)
    return rebuilt


def _amendment(state: ContractState, series: Series, slots: list[int], ts: int) -> Amendment:
    ring = series.ring
    return Amendment(ts, state.symbol, ring, ring.start_of(0), slots, ring.column(state.row)[:, slots])
