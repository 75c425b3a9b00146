"""Figures of the order book: spread, depth of the thinner side, what a probe order would pay beyond the mid."""

from __future__ import annotations

from math import exp2, log, nan

from zmart_stream.domain.market import Levels

LEVELS = 5
IMPACT_CAP_BPS = 500.0


def spread_bps(bid: float, ask: float) -> float:
    """(ask - bid) / mid in bps; nan for a crossed or one-sided book."""
    return (ask - bid) / (ask + bid) * 2e4 if 0.0 < bid <= ask else nan


def held(ew: float, value: float, elapsed: float, half_life: float) -> float:
    """EW mean of a piecewise constant figure after `value` held for `elapsed` (same unit as `half_life`).

    nan in `value` (the figure was absent) leaves nothing to average: nan. nan in `ew` starts at `value`.
    """
    if value != value:
        return nan
    return value + (ew - value) * exp2(-elapsed / half_life) if ew == ew else value


def thin_side_ln(bids: Levels, asks: Levels, per_lot: float) -> float:
    """ln of the thinner side's best five levels in quote currency (`per_lot` base coins); nan for an empty side."""
    bid = ask = 0.0
    for price, lots in bids[:LEVELS]:
        bid += price * lots
    for price, lots in asks[:LEVELS]:
        ask += price * lots
    thinner = (bid if bid < ask else ask) * per_lot
    return log(thinner) if thinner > 0.0 else nan


def impact_bps(bids: Levels, asks: Levels, per_lot: float, probe_usdt: float) -> tuple[float, bool]:
    """(mean bps beyond mid to buy and to sell `probe_usdt`, whether five levels were too few); nan for an empty side.

    Beyond the five levels the mean cost goes on linearly with the amount: bps of what is there x probe / what is there.
    Capped at 500.
    """
    if not bids or not asks or asks[0][0] < bids[0][0]:
        return nan, False
    mid = (bids[0][0] + asks[0][0]) / 2.0
    buy, more_buy = _side(asks, mid, per_lot, probe_usdt)
    sell, more_sell = _side(bids, mid, per_lot, probe_usdt)
    mean = (buy + sell) / 2.0
    return (mean if mean < IMPACT_CAP_BPS else IMPACT_CAP_BPS), more_buy or more_sell


def _side(levels: Levels, mid: float, per_lot: float, probe_usdt: float) -> tuple[float, bool]:
    filled = cost = 0.0
    for price, lots in levels[:LEVELS]:
        value = price * lots * per_lot
        beyond = abs(price - mid)
        if filled + value >= probe_usdt:
            cost += (probe_usdt - filled) * beyond
            return cost / mid / probe_usdt * 1e4, False
        filled += value
        cost += value * beyond
    if filled <= 0.0:
        return nan, False
    return cost / mid / filled * 1e4 * (probe_usdt / filled), True
