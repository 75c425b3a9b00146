"""Technical: trend, place in its range and volume, on day bars with today's provisional (numbers.md §3)."""

from __future__ import annotations

from math import log, nan, sqrt, tanh

import numpy as np

from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.market.indicators import (
    BOLLINGER,
    FAST_GAIN,
    SLOW,
    SLOW_GAIN,
    WILDER,
    provisional_atr,
    provisional_macd,
    provisional_rsi,
)
from zmart_stream.scoring.base import FloatArray, Part, PartScorer, percent

EPSILON_USDT = 1.0
ROOT_24 = sqrt(24.0)
KEEP = WILDER - 1


class TechnicalScorer(PartScorer):
    """RSI, MACD in ATRs, Bollinger, volume behind the move; taker flow and hourly stretch are shown without weight."""

    def __init__(self) -> None:
        self.name = "technical"
        self.parts = PARTS
        self.touches = {
            "rsi": rsi,
            "macd": macd,
            "bollinger": bollinger,
            "volume": volume,
            "flow": flow,
            "stretch": stretch,
        }
        self.fused = {("rsi", "macd", "bollinger", "volume"): at_each_trade}
        self.closes = {
            "rsi": lambda bars: bars.day.rsi,
            "macd": close_macd,
            "bollinger": close_bollinger,
            "volume": close_volume,
            "flow": close_flow,
            "stretch": lambda bars: -bars.hour.rsi,
        }


# From the 27th day bar on, the provisional steps of `indicators` are written out here, and `at_each_trade` has the four
# weighted parts in one piece: calls would cost as much again. The tests hold all of them equal.


def at_each_trade(c: ContractState) -> tuple[float, float, float, float]:
    """`rsi`, `macd`, `bollinger` and `volume` at once."""
    if not c.days_seen > SLOW:
        return rsi(c), macd(c), bollinger(c), volume(c)
    price, previous = c.price, c.rsi_prev
    high, low, hour_high = c.d_high, c.d_low, c.h_high
    if hour_high == hour_high:
        if not high >= hour_high:
            high = hour_high
        if not low <= c.h_low:
            low = c.h_low
    elif high != high:
        high = low = price
    spread = (previous if previous > high else high) - (previous if previous < low else low)  # the true range
    atr = (c.atr * KEEP + spread) / WILDER
    fast, slow = c.ema12, c.ema26
    trend = (fast + FAST_GAIN * (price - fast) - (slow + SLOW_GAIN * (price - slow))) / atr if atr > 0.0 else nan
    mean19 = c.boll_mean19
    d = price - mean19
    mean = mean19 + d / BOLLINGER
    deviation = sqrt((c.boll_m2_19 + d * d * (BOLLINGER - 1) / BOLLINGER) / BOLLINGER)
    place = (price - mean) / (2.0 * deviation) if deviation >= 1e-13 * mean and deviation > 0.0 else nan
    place = -1.0 if place < -1.0 else 1.0 if place > 1.0 else place
    change = price - previous
    gain, loss = c.rsi_gain * KEEP, c.rsi_loss * KEEP
    if change > 0.0:
        gain += change
    else:
        loss -= change
    total = gain + loss
    return 100.0 * gain / total if total > 0.0 else nan, trend, place, volume(c)


def rsi(c: ContractState) -> float:
    """RSI(14) on day bars, 0..100."""
    price = c.price
    if not c.days_seen > SLOW:
        return provisional_rsi(c.rsi_gain, c.rsi_loss, c.rsi_prev, c.days_seen, price)
    change = price - c.rsi_prev
    gain, loss = c.rsi_gain * KEEP, c.rsi_loss * KEEP
    if change > 0.0:
        gain += change
    else:
        loss -= change
    total = gain + loss
    return 100.0 * gain / total if total > 0.0 else nan


def macd(c: ContractState) -> float:
    """MACD line(12, 26) in units of ATR(14), day bars."""
    price = c.price
    if not c.days_seen > SLOW:
        return _young_macd(c)
    high, low, hour_high = c.d_high, c.d_low, c.h_high
    if hour_high == hour_high:
        if not high >= hour_high:
            high = hour_high
        if not low <= c.h_low:
            low = c.h_low
    elif high != high:
        high = low = price
    previous = c.rsi_prev
    spread = (previous if previous > high else high) - (previous if previous < low else low)  # the true range
    atr = (c.atr * KEEP + spread) / WILDER
    fast, slow = c.ema12, c.ema26
    return (fast + FAST_GAIN * (price - fast) - (slow + SLOW_GAIN * (price - slow))) / atr if atr > 0.0 else nan


def _young_macd(c: ContractState) -> float:
    high, low, price, _ = c.today()
    atr = provisional_atr(c.atr, c.rsi_prev, c.days_seen, high, low)
    return provisional_macd(c.ema12, c.ema26, c.days_seen, price) / atr if atr > 0.0 else nan


def close_macd(bars: BarView) -> FloatArray:
    """`macd` of all rows."""
    return quotient(bars.day.macd, bars.day.atr)


def bollinger(c: ContractState) -> float:
    """2·%B − 1 of (20, 2) on day bars, clipped to ±1: distance from the mean in bands."""
    d = c.price - c.boll_mean19
    mean = c.boll_mean19 + d / BOLLINGER
    deviation = sqrt((c.boll_m2_19 + d * d * (BOLLINGER - 1) / BOLLINGER) / BOLLINGER)
    if not deviation >= 1e-13 * mean or deviation == 0.0:  # less is rounding
        return nan
    x = (c.price - mean) / (2.0 * deviation)
    return -1.0 if x < -1.0 else 1.0 if x > 1.0 else x


def close_bollinger(bars: BarView) -> FloatArray:
    """`bollinger` of all rows."""
    day = bars.day
    distance = quotient(day.close - day.boll_mean, 2.0 * day.boll_std)
    return np.minimum(np.maximum(distance, -1.0), 1.0)


def volume(c: ContractState) -> float:
    """tanh(2·ln(24 h turnover / mean daily turnover of 20 d)) × tanh(24 h return / daily EW volatility).

    Turnover and return both leave the oldest hour as the forming one passes, so that nothing jumps when an hour opens.
    """
    price, gain = c.price, c.ew_gain
    d = price / c.prev_close - 1.0 - c.ew_mean
    variance = (1.0 - gain) * (c.ew_var + gain * d * d)
    if not variance > 0.0:
        return nan
    turnover = c.turnover_23 + c.h_turnover + (1.0 - c.elapsed) * c.turnover_24th
    surge = tanh(2.0 * log((turnover + EPSILON_USDT) / (c.day_turnover_20 + EPSILON_USDT)))
    base = c.base_close_25
    base += c.elapsed * (c.base_close_24 - base)
    return surge * tanh((price / base - 1.0) / (ROOT_24 * sqrt(variance)))


def close_volume(bars: BarView) -> FloatArray:
    """`volume` of all rows."""
    hour = bars.hour
    surge = np.tanh(2.0 * np.log((hour.turnover_24 + EPSILON_USDT) / (bars.day.turnover_20 + EPSILON_USDT)))
    move = quotient(hour.close / hour.base_close_24 - 1.0, ROOT_24 * np.sqrt(hour.ew_var))
    return surge * np.tanh(move)


def flow(c: ContractState) -> float:
    """(buy − sell) / (buy + sell) lots of takers over 24 h, of the bars whose split is known."""
    split = c.h_buy == c.h_buy and c.h_sell == c.h_sell
    buy = c.buy_23 + c.h_buy if split else c.buy_23
    sell = c.sell_23 + c.h_sell if split else c.sell_23
    return (buy - sell) / (buy + sell) if buy + sell > 0.0 else nan


def close_flow(bars: BarView) -> FloatArray:
    """`flow` of all rows."""
    return quotient(bars.hour.buy_24 - bars.hour.sell_24, bars.hour.buy_24 + bars.hour.sell_24)


def stretch(c: ContractState) -> float:
    """−RSI(14) on hour bars: short-term reversal."""
    return -provisional_rsi(c.hour_rsi_gain, c.hour_rsi_loss, c.prev_close, c.hours_seen, c.price)


def quotient(a: FloatArray, b: FloatArray) -> FloatArray:
    """a / b where b > 0, nan elsewhere."""
    result: FloatArray = np.divide(a, b, out=np.full(len(a), nan), where=b > 0.0)
    return result


def _rsi_reference(x: float) -> float:
    return 2.0 * x / 100.0 - 1.0


def _stretch_reference(x: float) -> float:
    return 2.0 * x / 100.0 + 1.0  # x = −RSI


def _tanh_half(x: float) -> float:
    return tanh(x / 2.0)


# `needed` counts closed bars: today is the one more that makes an indicator's first valid bar
PARTS = (
    Part(
        name="rsi",
        weight=0.30,
        moves=Moves.TRADE,
        location=0.0,
        scale=0.25,
        to_reference=_rsi_reference,
        seen="days_seen",
        needed=14.0,
        unit="RSI",
        text="stronger by RSI than {pct} % of contracts",
    ),
    Part(
        name="macd",
        weight=0.30,
        moves=Moves.TRADE,
        location=-0.05,
        scale=0.34,
        to_reference=_tanh_half,
        seen="days_seen",
        needed=25.0,
        unit="ATR",
        text="more trend in its MACD than {pct} % of contracts",
    ),
    Part(
        name="bollinger",
        weight=0.20,
        moves=Moves.TRADE,
        location=0.0,
        scale=0.66,
        seen="days_seen",
        needed=19.0,
        unit="bands",
        text="higher in its Bollinger bands than {pct} % of contracts",
    ),
    Part(
        name="volume",
        weight=0.20,
        moves=Moves.TRADE,
        location=0.06,
        scale=0.88,
        seen="days_seen",
        needed=20.0,
        half=True,
        text="more volume behind its move than {pct} % of contracts",
    ),
    Part(
        name="flow",
        weight=0.0,
        moves=Moves.TRADE,
        location=0.0,
        scale=0.10,
        seen="hours_seen",
        needed=24.0,
        half=True,
        unit="%",
        to_unit=percent,
        text="more taker buying than {pct} % of contracts",
    ),
    Part(
        name="stretch",
        weight=0.0,
        moves=Moves.TRADE,
        location=0.0,
        scale=0.25,
        to_reference=_stretch_reference,
        seen="hours_seen",
        needed=14.0,
        unit="−RSI",
        text="less stretched upwards than {pct} % of contracts",
    ),
)
