"""What a close yields: the columns that scorers read."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from zmart_stream.market import windows
from zmart_stream.market.bars import HOUR, Field, FloatArray, IntArray, merged
from zmart_stream.market.columns import DayColumns, HourColumns
from zmart_stream.market.covariance import correlation_with
from zmart_stream.market.indicators import EW_HALF_LIFE_H, Day, Hour, atr_of, macd_of, rsi_of
from zmart_stream.market.series import Series
from zmart_stream.market.trail import Trace

WEEK = 168
DAY_HOURS = 24
LEAST_GROWTH_DAYS = 7


@dataclass(frozen=True, slots=True)
class Recent:
    """What both the columns of a close and what is handed back are made of."""

    returns: FloatArray  # (slots - 1, rows)
    drawdown: tuple[FloatArray, FloatArray, FloatArray]  # high, low, max drawdown of the newest 167 bars
    today: FloatArray  # (fields, rows), see `today_bar`


def recent(hours: Series, rows: IntArray, day_start: int) -> Recent:
    """Of some `rows`; `day_start` (ns) of the forming hour's UTC day."""
    ring = hours.ring
    high, low, close = (pick(ring.window(field, WEEK - 1), rows) for field in (Field.HIGH, Field.LOW, Field.CLOSE))
    returns = pick(hours.trail.window(Trace.RETURN), rows)
    return Recent(returns, windows.drawdown(high, low, close), today_bar(hours, rows, day_start))


def hour_columns(hours: Series, rows: IntArray | None, known: Recent, market: FloatArray) -> HourColumns:
    """Figures of the newest closed hour for `rows` (None: all); `market`: the universe's mean return, (slots - 1,)."""
    ring, live = hours.ring, pick(hours.live, rows)
    high, low, close = (pick(ring.window(field, WEEK + 1), rows) for field in (Field.HIGH, Field.LOW, Field.CLOSE))
    step, ratio, traded = (pick(hours.trail.window(t, WEEK), rows) for t in (Trace.STEP, Trace.RATIO, Trace.TRADED))
    return HourColumns(
        seen=live[Hour.COUNT].copy(),
        close=live[Hour.PREVIOUS].copy(),
        ew_mean=np.where(live[Hour.WEIGHT] > 0.0, live[Hour.MEAN], nan),
        ew_var=np.where(live[Hour.WEIGHT] > 0.0, live[Hour.VARIANCE], nan),
        max_return=windows.largest(known.returns[-WEEK:]),
        drawdown=windows.drawdown_before((high[-WEEK], low[-WEEK], close[-WEEK]), known.drawdown),
        turnover_24=windows.total(pick(ring.window(Field.TURNOVER, DAY_HOURS), rows)),
        base_close_24=windows.oldest_known(close[-DAY_HOURS - 1 :]),
        buy_24=windows.total(pick(ring.window(Field.BUY, DAY_HOURS), rows)),
        sell_24=windows.total(pick(ring.window(Field.SELL, DAY_HOURS), rows)),
        rsi=rsi_of(live[Hour.GAIN], live[Hour.LOSS], live[Hour.COUNT]),
        efficiency=windows.efficiency(close, step),
        amihud=windows.amihud(ratio, traded),
        correlation=correlation_with(market, known.returns, EW_HALF_LIFE_H),
    )


def day_columns(days: Series, rows: IntArray | None, today: FloatArray) -> DayColumns:
    """Committed days of `rows` (None: all) with `today` (fields, rows) as the provisional newest day."""
    close = today[Field.CLOSE]
    state = pick(days.live, rows).copy()
    seen = state[Day.COUNT].copy()
    closes = pick(days.ring.window(Field.CLOSE, 19), rows)
    mean, std = windows.bollinger(*windows.moments(closes), close)
    days.step(state, today)
    turnover = pick(days.ring.window(Field.TURNOVER, 30), rows)
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
    """The day so far, (fields up to turnover, rows): its closed hours; flat at the newest close if there is none."""
    ring = hours.ring
    count = (ring.end - day_start) // HOUR
    if count <= 0:
        close = pick(hours.live, rows)[Hour.PREVIOUS]
        flat = np.zeros((Field.BUY, len(close)))
        flat[: Field.LOTS] = close
        return flat
    return merged([pick(ring.window(field, count), rows) for field in Field if field < Field.BUY])


def pick(array: FloatArray, rows: IntArray | None) -> FloatArray:
    """The columns of `rows`; None: all of them, as a view."""
    return array if rows is None else np.ascontiguousarray(array[:, rows])
