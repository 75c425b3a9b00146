"""Risk: volatility, lottery-like jumps, drawdown, illiquidity, dependence on the universe (numbers.md §3)."""

from __future__ import annotations

from math import exp, nan, sqrt

import numpy as np

from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.scoring.base import FloatArray, Part, PartScorer

HOURS_A_YEAR = 8760.0
ROOT_YEAR = sqrt(HOURS_A_YEAR)


class RiskScorer(PartScorer):
    """Safety: less risk is a higher score."""

    def __init__(self) -> None:
        self.name = "risk"
        self.parts = PARTS
        self.touches = {"volatility": volatility, "max": largest, "drawdown": drawdown}
        self.fused = {("volatility", "max", "drawdown"): at_each_trade}
        self.closes = {
            "volatility": lambda bars: -ROOT_YEAR * np.sqrt(bars.hour.ew_var),
            "max": lambda bars: -bars.hour.max_return,
            "drawdown": lambda bars: -bars.hour.drawdown,
            "liquidity": close_liquidity,
            "correlation": lambda bars: -bars.hour.correlation,
        }


def at_each_trade(c: ContractState) -> tuple[float, float, float]:
    """`volatility`, `largest` and `drawdown` at once: the three calls would cost as much as what they compute."""
    price, gain, past = c.price, c.ew_gain, c.max_ret_167
    now = price / c.prev_close - 1.0
    d = now - c.ew_mean
    high, low, peak = c.h_high, c.h_low, c.dd_high
    worst = 1.0 - price / high
    if high != high:
        worst, low = price - price, price
    if peak > 0.0:
        across = 1.0 - low / peak
        worst = across if across > worst else worst
        worst = c.dd_167 if c.dd_167 > worst else worst
    return -ROOT_YEAR * sqrt((1.0 - gain) * (c.ew_var + gain * d * d)), -past if past > now else -now, -worst


def volatility(c: ContractState) -> float:
    """−annualised EW volatility of 1 h returns, half-life 72 h."""
    gain = c.ew_gain  # indicators.provisional_ew_variance, written out: this runs at every trade
    d = c.price / c.prev_close - 1.0 - c.ew_mean
    return -ROOT_YEAR * sqrt((1.0 - gain) * (c.ew_var + gain * d * d))


def largest(c: ContractState) -> float:
    """−largest 1 h return in 168 h."""
    now = c.price / c.prev_close - 1.0
    past = c.max_ret_167
    return -past if past > now else -now


def drawdown(c: ContractState) -> float:
    """−max drawdown in 168 h, a fraction; an hour without a trade is flat at the carried price."""
    price, high, low, past = c.price, c.h_high, c.h_low, c.dd_high
    worst = 1.0 - price / high  # indicators.join_drawdown of 167 bars and the forming one, written out
    if high != high:
        worst, low = price - price, price
    if past > 0.0:
        across = 1.0 - low / past
        worst = across if across > worst else worst
        worst = c.dd_167 if c.dd_167 > worst else worst
    return -worst


def close_liquidity(bars: BarView) -> FloatArray:
    """−ln of the mean over 168 h of |return| / turnover, bars without volume left out."""
    ratio = bars.hour.amihud
    return -np.log(ratio, out=np.full(len(ratio), nan), where=ratio > 0.0)


def _hourly(x: float) -> float:
    return x / ROOT_YEAR


def _loss_percent(x: float) -> float:
    return -100.0 * x


def _percent_per_million(x: float) -> float:
    return 1e8 * exp(-x)


def _negated(x: float) -> float:
    return -x


PARTS = (
    Part(
        name="volatility",
        weight=0.40,
        moves=Moves.TRADE,
        location=-0.0103,
        scale=0.0045,
        to_reference=_hourly,
        seen="hours_seen",
        needed=144.0,
        unit="% a year",
        to_unit=_loss_percent,
        text="less volatile than {pct} % of contracts",
    ),
    Part(
        name="max",
        weight=0.25,
        moves=Moves.TRADE,
        location=-0.035,
        scale=0.020,
        seen="hours_seen",
        needed=168.0,
        half=True,
        unit="% in an hour",
        to_unit=_loss_percent,
        text="less lottery-like than {pct} % of contracts",
    ),
    Part(
        name="drawdown",
        weight=0.15,
        moves=Moves.TRADE,
        location=-0.13,
        scale=0.085,
        seen="hours_seen",
        needed=168.0,
        half=True,
        unit="%",
        to_unit=_loss_percent,
        text="smaller drawdown than {pct} % of contracts",
    ),
    Part(
        name="liquidity",
        weight=0.15,
        moves=Moves.BAR,
        location=20.7,
        scale=1.3,
        seen="hours_seen",
        needed=168.0,
        half=True,
        unit="% per million USDT",
        to_unit=_percent_per_million,
        text="more liquid than {pct} % of contracts",
    ),
    Part(
        name="correlation",
        weight=0.05,
        moves=Moves.BAR,
        location=-0.84,
        scale=0.10,
        seen="hours_seen",
        needed=144.0,
        to_unit=_negated,
        text="less tied to the universe than {pct} % of contracts",
    ),
)
