"""What a close yields: the columns that scorers read, and the scalars handed back to every contract."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
import numpy.typing as npt

from zmart_stream.market import windows
from zmart_stream.market.bars import HOUR, Field, FloatArray, IntArray, merged
from zmart_stream.market.columns import DayColumns, HourColumns
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.covariance import correlation_with, mean_return
from zmart_stream.market.indicators import EW_DECAY, EW_HALF_LIFE_H, Day, Hour, atr_of, macd_of, rsi_of
from zmart_stream.market.series import Series

WEEK = 168
DAY_HOURS = 24
LEAST_GROWTH_DAYS = 7


def hour_columns(hours: Series, rows: IntArray | None, member: npt.NDArray[np.bool_]) -> HourColumns:
    """Figures of the newest closed hour for `rows` (None: all); `member`: who is in the universe, over all rows."""
    ring, live = hours.ring, _pick(hours.live, rows)
    close = ring.window(Field.CLOSE)
    ret = windows.returns(close)
    own_close, own_ret = _pick(close, rows), _pick(ret, rows)
    high, low = _pick(ring.window(Field.HIGH, WEEK), rows), _pick(ring.window(Field.LOW, WEEK), rows)
    turnover = _pick(ring.window(Field.TURNOVER, WEEK), rows)
    week_ret = own_ret[-WEEK:]
    return HourColumns(
        seen=live[Hour.COUNT].copy(),
        close=live[Hour.PREVIOUS].copy(),
        ew_mean=np.where(live[Hour.WEIGHT] > 0.0, live[Hour.MEAN], nan),
        ew_var=np.where(live[Hour.WEIGHT] > 0.0, live[Hour.VARIANCE], nan),
        max_return=windows.largest(week_ret),
        drawdown=windows.drawdown(high, low, own_close[-WEEK:])[2],
        turnover_24=windows.total(turnover[-DAY_HOURS:]),
        base_close_24=_oldest_known(own_close[-DAY_HOURS - 1 :]),
        buy_24=windows.total(_pick(ring.window(Field.BUY, DAY_HOURS), rows)),
        sell_24=windows.total(_pick(ring.window(Field.SELL, DAY_HOURS), rows)),
        rsi=rsi_of(live[Hour.GAIN], live[Hour.LOSS], live[Hour.COUNT]),
        efficiency=windows.efficiency(own_close[-WEEK - 1 :]),
        amihud=windows.amihud(week_ret, turnover[-len(week_ret) :]),
        correlation=correlation_with(mean_return(ret, member), own_ret, EW_HALF_LIFE_H),
    )


def day_columns(hours: Series, days: Series, rows: IntArray | None, day_start: int) -> DayColumns:
    """Committed days with today (the closed hours since `day_start`, ns) as the provisional newest day."""
    today = today_bar(hours, rows, day_start)
    close = today[Field.CLOSE]
    state = _pick(days.live, rows).copy()
    seen = state[Day.COUNT].copy()
    closes = _pick(days.ring.window(Field.CLOSE, 19), rows)
    mean, std = windows.bollinger(*windows.moments(closes), close)
    days.step(state, today)
    turnover = _pick(days.ring.window(Field.TURNOVER, 30), rows)
    return DayColumns(
        seen=seen,
        close=close,
        high=today[Field.HIGH],
        low=today[Field.LOW],
        rsi=rsi_of(state[Day.GAIN], state[Day.LOSS], state[Day.COUNT]),
        macd=macd_of(state[Day.FAST], state[Day.SLOW], state[Day.COUNT]),
        atr=atr_of(state[Day.ATR], state[Day.COUNT]),
        boll_mean=mean,
        boll_std=std,
        turnover_7=windows.mean(turnover[-7:], LEAST_GROWTH_DAYS),
        turnover_20=windows.mean(turnover[-20:]),
        turnover_30=windows.mean(turnover, LEAST_GROWTH_DAYS),
    )


def today_bar(hours: Series, rows: IntArray | None, day_start: int) -> FloatArray:
    """The day so far, (fields, rows): its closed hours; flat at the newest close, without volume, if there is none."""
    ring = hours.ring
    count = (ring.end - day_start) // HOUR
    if count <= 0:
        close = _pick(hours.live, rows)[Hour.PREVIOUS]
        flat = np.zeros((len(Field), len(close)))
        flat[: Field.LOTS] = close
        flat[Field.WHOLE] = 1.0
        return flat
    return merged(np.stack([_pick(ring.window(field, count), rows) for field in Field]))


def hand_back_hours(states: Sequence[ContractState], hours: Series, rows: IntArray | None, day_start: int) -> None:
    """Set the hour-window and today slots of `states` (those of `rows`, None: all)."""
    ring, live = hours.ring, _pick(hours.live, rows)
    close = _pick(ring.window(Field.CLOSE), rows)
    high, low = _pick(ring.window(Field.HIGH, WEEK - 1), rows), _pick(ring.window(Field.LOW, WEEK - 1), rows)
    turnover = _pick(ring.window(Field.TURNOVER, DAY_HOURS), rows)
    worst = windows.drawdown(high, low, close[-WEEK + 1 :])
    moved = live[Hour.WEIGHT] > 0.0
    columns = (
        live[Hour.PREVIOUS],
        np.where(moved, live[Hour.MEAN], nan),
        np.where(moved, live[Hour.VARIANCE], nan),
        1.0 / (live[Hour.WEIGHT] * EW_DECAY + 1.0),
        windows.largest(windows.returns(close[-WEEK:])),
        *worst,
        windows.total(turnover[1:]),
        windows.total(turnover[:1]),
        _oldest_known(close[-DAY_HOURS:]),
        _oldest_known(close[-DAY_HOURS - 1 :]),
        windows.total(_pick(ring.window(Field.BUY, DAY_HOURS - 1), rows)),
        windows.total(_pick(ring.window(Field.SELL, DAY_HOURS - 1), rows)),
        live[Hour.GAIN],
        live[Hour.LOSS],
        live[Hour.COUNT],
    )
    for state, values in zip(states, np.stack(columns).T.tolist(), strict=True):
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
        ) = values
    _hand_back_today(states, hours, rows, day_start)


def _hand_back_today(states: Sequence[ContractState], hours: Series, rows: IntArray | None, day_start: int) -> None:
    today = today_bar(hours, rows, day_start)
    today[: Field.CLOSE, ~(today[Field.LOTS] > 0.0)] = nan
    wanted = today[[Field.OPEN, Field.HIGH, Field.LOW, Field.CLOSE, Field.TURNOVER]]
    for state, values in zip(states, wanted.T.tolist(), strict=True):
        state.d_open, state.d_high, state.d_low, state.d_close, state.d_turnover = values


def hand_back_days(states: Sequence[ContractState], days: Series, rows: IntArray | None) -> None:
    """Set the day-window slots of `states` (those of `rows`, None: all)."""
    live = _pick(days.live, rows)
    turnover = _pick(days.ring.window(Field.TURNOVER, 30), rows)
    columns = (
        live[Day.GAIN],
        live[Day.LOSS],
        live[Day.PREVIOUS],
        live[Day.FAST],
        live[Day.SLOW],
        live[Day.ATR],
        *windows.moments(_pick(days.ring.window(Field.CLOSE, 19), rows)),
        windows.mean(turnover[-7:], LEAST_GROWTH_DAYS),
        windows.mean(turnover[-20:]),
        windows.mean(turnover, LEAST_GROWTH_DAYS),
        live[Day.COUNT],
    )
    for state, values in zip(states, np.stack(columns).T.tolist(), strict=True):
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


def _pick(array: FloatArray, rows: IntArray | None) -> FloatArray:
    """The columns of `rows`; None: all of them, as a view."""
    return array if rows is None else np.ascontiguousarray(array[:, rows])


def _oldest_known(close: FloatArray) -> FloatArray:
    """The oldest close there is in the window of each row, nan without any."""
    known = ~np.isnan(close)
    return np.asarray(close[np.argmax(known, axis=0), np.arange(close.shape[1])])
