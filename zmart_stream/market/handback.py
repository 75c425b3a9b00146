"""What bars give back to the contracts: the slots that `touch` reads, for all rows at a close, for one after a load.

One row alone goes in plain floats and short arrays: whole columns would cost it ten times as much. Both ways give the
same values bit for bit: sums run oldest first, and extremes do not depend on the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan

import numpy as np

from zmart_stream.market import windows
from zmart_stream.market.bars import HOUR, Field, FloatArray, IntArray
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.figures import DAY_HOURS, LEAST_GROWTH_DAYS, WEEK, Recent, pick
from zmart_stream.market.indicators import EW_DECAY, Day, Hour
from zmart_stream.market.series import Series


def hand_back_hours(states: Sequence[ContractState], hours: Series, rows: IntArray | None, known: Recent) -> None:
    """Set the hour-window and today slots of `states`: those of `rows` (None: all), of which `known` speaks too."""
    ring, live = hours.ring, pick(hours.live, rows)
    close, turnover, buy, sell = (
        pick(ring.window(field, DAY_HOURS + 1), rows) for field in (Field.CLOSE, Field.TURNOVER, Field.BUY, Field.SELL)
    )
    moved = live[Hour.WEIGHT] > 0.0
    today = known.today.copy()
    today[: Field.CLOSE, ~(today[Field.LOTS] > 0.0)] = nan
    columns = (
        live[Hour.PREVIOUS],
        np.where(moved, live[Hour.MEAN], nan),
        np.where(moved, live[Hour.VARIANCE], nan),
        1.0 / (live[Hour.WEIGHT] * EW_DECAY + 1.0),
        windows.largest(known.returns[-WEEK + 1 :]),
        *known.drawdown,
        windows.total(turnover[2:]),
        windows.total(turnover[1:2]),
        windows.oldest_known(close[1:]),
        windows.oldest_known(close),
        windows.total(buy[2:]),
        windows.total(sell[2:]),
        live[Hour.GAIN],
        live[Hour.LOSS],
        live[Hour.COUNT],
        *today[: Field.CLOSE + 1],
        today[Field.TURNOVER],
    )
    for state, values in zip(states, np.stack(columns).T.tolist(), strict=True):
        _set_hours(state, values)


def _set_hours(state: ContractState, values: Iterable[float]) -> None:
    (
        state.prev_close,
        state.ew_mean,
        state.ew_var,
        state.ew_gain,
        state.max_ret_167,
        state.dd_high,
        state.dd_low,
        state.dd_167,
        state.turnover_23,
        state.turnover_24th,
        state.base_close_24,
        state.base_close_25,
        state.buy_23,
        state.sell_23,
        state.hour_rsi_gain,
        state.hour_rsi_loss,
        state.hours_seen,
        state.d_open,
        state.d_high,
        state.d_low,
        state.d_close,
        state.d_turnover,
    ) = values


def hand_back_row_hours(state: ContractState, hours: Series, day_start: int) -> None:
    """`hand_back_hours` for one contract."""
    count, previous, mean, variance, weight, gain, loss = hours.live[:, state.row].tolist()
    bars = hours.ring.column(state.row)[:, -WEEK:].copy()
    close = bars[Field.CLOSE]
    closes: list[float] = close[-DAY_HOURS - 1 :].tolist()
    turnover, buy, sell = bars[Field.TURNOVER : Field.SELL + 1, -DAY_HOURS:].tolist()
    largest = float(np.fmax.reduce(close[1:] / close[:-1] - 1.0))
    values = (
        previous,
        mean if weight > 0.0 else nan,
        variance if weight > 0.0 else nan,
        1.0 / (weight * EW_DECAY + 1.0),
        largest,
        *_drawdown(bars[:, 1:]),
        _total(turnover[1:]),
        _total(turnover[:1]),
        _oldest(closes[1:]),
        _oldest(closes),
        _total(buy[1:]),
        _total(sell[1:]),
        gain,
        loss,
        count,
        *_today(bars, (hours.ring.end - day_start) // HOUR, previous),
    )
    _set_hours(state, values)


def _drawdown(bars: FloatArray) -> tuple[float, float, float]:
    """`windows.drawdown` of `bars` (fields, slots)."""
    high, low = bars[Field.HIGH], bars[Field.LOW]
    least = np.fmin(np.fmin.reduce(bars[Field.CLOSE] / high), np.fmin.reduce(low[1:] / np.fmax.accumulate(high)[:-1]))
    if np.isnan(least):
        return nan, nan, nan
    return float(np.fmax.reduce(high)), float(np.fmin.reduce(low)), float(1.0 - least)


def _today(bars: FloatArray, count: int, previous: float) -> tuple[float, float, float, float, float]:
    """(open, high, low, close, turnover) of the newest `count` hours, see `figures.today_bar`; nan without a trade."""
    if count <= 0:
        return nan, nan, nan, previous, 0.0
    day_open = day_high = day_low = nan
    turnover = 0.0
    closes = bars[Field.CLOSE, -count:].tolist()
    rows = bars[: Field.TURNOVER + 1, -count:].T.tolist()
    for open_, high, low, close, lots, value in rows:
        if close == close:
            turnover += value
        if lots > 0.0:
            day_open = day_open if day_open == day_open else open_
            day_high = day_high if day_high >= high else high
            day_low = day_low if day_low <= low else low
    return day_open, day_high, day_low, closes[-1], turnover


def hand_back_days(states: Sequence[ContractState], days: Series, rows: IntArray | None) -> None:
    """Set the day-window slots of `states` (those of `rows`, None: all)."""
    live = pick(days.live, rows)
    turnover = pick(days.ring.window(Field.TURNOVER, 30), rows)
    columns = (
        live[Day.GAIN],
        live[Day.LOSS],
        live[Day.PREVIOUS],
        live[Day.FAST],
        live[Day.SLOW],
        live[Day.ATR],
        *windows.moments(pick(days.ring.window(Field.CLOSE, 19), rows)),
        windows.mean(turnover[-7:], LEAST_GROWTH_DAYS),
        windows.mean(turnover[-20:]),
        windows.mean(turnover, LEAST_GROWTH_DAYS),
        live[Day.COUNT],
    )
    for state, values in zip(states, np.stack(columns).T.tolist(), strict=True):
        _set_days(state, values)


def _set_days(state: ContractState, values: Iterable[float]) -> None:
    (
        state.rsi_gain,
        state.rsi_loss,
        state.rsi_prev,
        state.ema12,
        state.ema26,
        state.atr,
        state.boll_mean19,
        state.boll_m2_19,
        state.day_turnover_7,
        state.day_turnover_20,
        state.day_turnover_30,
        state.days_seen,
    ) = values


def hand_back_row_days(state: ContractState, days: Series) -> None:
    """`hand_back_days` for one contract."""
    count, previous, gain, loss, fast, slow, atr = days.live[:, state.row].tolist()
    column = days.ring.column(state.row)
    closes: list[float] = column[Field.CLOSE, -19:].tolist()
    turnover: list[float] = column[Field.TURNOVER, -30:].tolist()
    centre = _sum(closes) / len(closes)
    deviations = [(close - centre) * (close - centre) for close in closes]
    values = (
        gain,
        loss,
        previous,
        fast,
        slow,
        atr,
        centre,
        _sum(deviations),
        _mean(turnover[-7:], LEAST_GROWTH_DAYS),
        _mean(turnover[-20:], 1),
        _mean(turnover, LEAST_GROWTH_DAYS),
        count,
    )
    _set_days(state, values)


def _sum(values: Iterable[float]) -> float:
    """Left to right without compensation, as columns are added."""
    total = 0.0
    for value in values:
        total += value
    return total


def _total(values: Sequence[float]) -> float:
    return _sum([value for value in values if value == value])


def _mean(values: Sequence[float], least: int) -> float:
    known = [value for value in values if value == value]
    return _sum(known) / len(known) if len(known) >= least else nan


def _oldest(closes: Sequence[float]) -> float:
    return next((close for close in closes if close == close), nan)
