"""Expands a bar into parts that reproduce it exactly.

A bar is held in whole numbers: prices in ticks, volume in lots, value = sum of ticks × lots. Splitting it into
smaller bars, or a small bar into trades, keeps all six figures exactly, so that an hour bar is the aggregate of its
minutes and of its trades without ever having been built from them. Everything drawn is keyed by the part's own index.
Only correctly rounded floating-point operations are used: the same row gives the same parts in a batch of any size.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from zmart_stream.sandbox.keyed import (
    BoolArray,
    FloatArray,
    HashArray,
    IntArray,
    hash64,
    normals,
    stream_keys,
    uniforms,
)

MIN_LOTS = 6  # a traded part keeps room for open, extremes, close and a filling whose price is free
MINUTE_MS = 60_000
_SLOTS = 8
_UNDER = 1.0 - 1e-12  # shares are rounded down so that the remainder is never negative


class TickBars(NamedTuple):
    """Bars in whole numbers, arrays of one shape; lots 0 = no trades, the other figures then mean nothing."""

    open: IntArray  # ticks
    high: IntArray  # ticks
    low: IntArray  # ticks
    close: IntArray  # ticks
    lots: IntArray
    value: IntArray  # ticks × lots

    def take(self, key: slice | IntArray | tuple[slice, ...]) -> TickBars:
        """The bars under a NumPy index."""
        return TickBars(*(column[key] for column in self))

    def standing(self, where: BoolArray, price: IntArray | np.int64) -> TickBars:
        """The bars, but without trades and at `price` (ticks) where told."""
        prices = [np.where(where, price, column) for column in (self.open, self.high, self.low, self.close)]
        lots, value = (np.where(where, 0, column) for column in (self.lots, self.value))
        return TickBars(prices[0], prices[1], prices[2], prices[3], lots, value)

    def flat(self) -> TickBars:
        """The same bars as one row."""
        return TickBars(*(column.reshape(-1) for column in self))


class Tape(NamedTuple):
    """Trades of consecutive minutes, in order."""

    offset: IntArray  # shape (minutes + 1,): trades of minute i are [offset[i], offset[i + 1])
    ms: IntArray  # milliseconds after the minute's start, rising inside a minute
    ticks: IntArray
    lots: IntArray
    buy: BoolArray  # taker side


class _Frame(NamedTuple):
    """The trades a bar cannot do without, one lot each, and what is left to fill."""

    legs: IntArray
    base: IntArray  # ticks of those trades
    has_high: IntArray
    has_low: IntArray
    has_close: IntArray


def _frame(bars: TickBars) -> _Frame:
    has_high = (bars.high > np.maximum(bars.open, bars.close)).astype(np.int64)
    has_low = (bars.low < np.minimum(bars.open, bars.close)).astype(np.int64)
    has_close = (bars.lots > 1).astype(np.int64)
    base = bars.open + has_high * bars.high + has_low * bars.low + has_close * bars.close
    return _Frame(1 + has_high + has_low + has_close, base, has_high, has_low, has_close)


def least_lots(bars: TickBars) -> IntArray:
    """The least number of lots that can trade through each bar's open, high, low and close."""
    frame = _frame(bars)
    reached = frame.has_high + frame.has_low
    return np.asarray(1 + reached + ((bars.open != bars.close) | (reached > 0)), dtype=np.int64)


def value_bounds(bars: TickBars) -> tuple[IntArray, IntArray]:
    """Least and greatest value (ticks × lots) that trades inside each bar can have; bars need `least_lots`."""
    frame = _frame(bars)
    free = bars.lots - frame.legs
    return frame.base + free * bars.low, frame.base + free * bars.high


def with_value(bars: TickBars, mean_ticks: FloatArray) -> TickBars:
    """The bars with the value nearest to lots × `mean_ticks` that trades can reproduce."""
    least, greatest = value_bounds(bars)
    wanted = np.rint(bars.lots * mean_ticks).astype(np.int64)
    value = np.where(bars.lots > 0, np.clip(wanted, least, greatest), 0)
    return bars._replace(value=value)


def _total(values: FloatArray) -> FloatArray:
    """Row sums in a fixed order, whatever the number of rows."""
    return np.cumsum(values, axis=1)[:, -1:]


def _waterfall(wanted: IntArray, room: IntArray) -> IntArray:
    """Hands `wanted` (rows, 1) out over the columns from the left, at most `room` each."""
    before = np.cumsum(room, axis=1) - room
    return np.clip(wanted - before, 0, room)


def _streams(key: int | HashArray, count: int) -> HashArray:
    """Stream keys (count, 1) of one key for all rows, or (count, K) of one key (K,) a row."""
    if isinstance(key, int):
        return stream_keys(key, count)[:, None]
    return hash64(key, np.arange(count, dtype=np.int64)[:, None])


def split_bars(
    bars: TickBars, *, index: IntArray, parts: int, key: int | HashArray, activity: float | FloatArray
) -> TickBars:
    """Splits K bars into (K, parts) bars that aggregate to them exactly.

    `index` (K,) numbers the bars on the time axis and keys the draw, with `key`; `activity` in (0, 1] is the share of
    parts that trade. Both are one for all bars, or (K,) for bars of several contracts.
    Values must lie in `value_bounds`, lots must be 0 or at least `least_lots`.
    """
    columns = np.arange(parts, dtype=np.int64)
    cell = index[:, None] * parts + columns
    keys = _streams(key, 4)[:, :, None]
    noise = uniforms(keys[:2], cell)
    shocks = normals(keys[2:], cell)
    active = _active(bars.lots, noise[0], activity)
    weights = active * (0.2 + noise[1] * noise[1] / (1.05 - noise[1]))
    pieces = _prices(bars, shocks, weights, active)
    pieces = _volumes(bars, pieces, weights, active)
    whole = _unsplit_rows(bars, pieces, active)
    return _whole_in_one(bars, pieces, whole, np.argmin(noise[0], axis=1)) if whole.any() else pieces


def _active(lots: IntArray, noise: FloatArray, activity: float | FloatArray) -> IntArray:
    """1 where a part trades: never more parts than the lots can serve, never none."""
    parts = noise.shape[1]
    share = np.minimum(activity, lots / (2.0 * MIN_LOTS * parts))[:, None]
    traded = (noise < share) | (noise == noise.min(axis=1, keepdims=True))
    return np.asarray(traded, dtype=np.int64)


def _prices(bars: TickBars, shocks: FloatArray, weights: FloatArray, active: IntArray) -> TickBars:
    path = _path(bars, shocks[0], weights)
    rows = np.arange(len(path))
    parts = path.shape[1] - 1
    opens, closes = path[:, :-1].copy(), path[:, 1:].copy()
    opens[rows, np.argmax(active, axis=1)] = bars.open
    closes[rows, parts - 1 - np.argmax(active[:, ::-1], axis=1)] = bars.close
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    at_high = np.argmax(np.where(active > 0, high, np.iinfo(np.int64).min), axis=1)
    at_low = np.argmin(np.where(active > 0, low, np.iinfo(np.int64).max), axis=1)
    reach = np.rint(np.abs(shocks[1]) * _step(bars, parts) * 0.5).astype(np.int64)
    high = np.minimum(high + reach, bars.high[:, None])
    low = np.maximum(low - reach[:, ::-1], bars.low[:, None])
    high[rows, at_high] = bars.high
    low[rows, at_low] = bars.low
    return TickBars(opens, high, low, closes, active, active)


def _step(bars: TickBars, parts: int) -> FloatArray:
    """Typical move of one part in ticks: a walk of n steps spans about 1.6 √n of them."""
    return np.asarray((bars.high - bars.low) / (1.6 * sqrt(parts)), dtype=np.float64)[:, None]


def _path(bars: TickBars, shocks: FloatArray, weights: FloatArray) -> IntArray:
    """Part boundaries (K, parts + 1): a bridge from open to close in [low, high], bent towards the mean price."""
    parts = shocks.shape[1]
    time = np.arange(parts + 1) / parts
    walk = np.zeros((len(shocks), parts + 1))
    np.cumsum(shocks, axis=1, out=walk[:, 1:])
    opens, low, high = bars.open[:, None], bars.low[:, None], bars.high[:, None]
    path = opens + (bars.close[:, None] - opens) * time + _step(bars, parts) * (walk - walk[:, -1:] * time)
    bend = 4.0 * time * (1.0 - time)
    share = weights / _total(weights)
    give = np.maximum(_total(share * (bend[:-1] + bend[1:])) * 0.5, 0.05)
    mean = (bars.value / np.maximum(bars.lots, 1))[:, None]
    for _ in range(2):
        path = np.clip(path, low, high)
        path += (mean - _total(share * (path[:, :-1] + path[:, 1:])) * 0.5) / give * bend
    return np.asarray(np.rint(np.clip(path, low, high)), dtype=np.int64)


def _volumes(bars: TickBars, pieces: TickBars, weights: FloatArray, active: IntArray) -> TickBars:
    weights = _tilted(
        bars, pieces, weights * (1.0 + (pieces.high - pieces.low) / _step(bars, weights.shape[1]).clip(1))
    )
    free = bars.lots[:, None] - MIN_LOTS * _count(active)
    lots = np.floor(weights * np.maximum(free, 0) * _UNDER).astype(np.int64) + MIN_LOTS * active
    lots[np.arange(len(lots)), np.argmax(weights, axis=1)] += bars.lots - _count(lots)[:, 0]
    pieces = pieces._replace(lots=lots)
    least, greatest = value_bounds(pieces)
    least, greatest = least * active, greatest * active
    room = greatest - least
    wanted = bars.value[:, None] - _count(least)
    share = np.clip(wanted / np.maximum(_count(room), 1), 0.0, 1.0)
    value = np.floor(share * room * _UNDER).astype(np.int64)
    value += _waterfall(wanted - _count(value), room - value)
    return pieces._replace(value=least + value)


def _count(values: IntArray) -> IntArray:
    return np.asarray(values.sum(axis=1, keepdims=True), dtype=np.int64)


def _tilted(bars: TickBars, pieces: TickBars, weights: FloatArray) -> FloatArray:
    """Weights (rows sum to 1) moved towards dear or cheap parts until the mean price is the bar's."""
    weights = weights / _total(weights)
    price = (pieces.open + pieces.high + pieces.low + pieces.close) * 0.25
    wanted = (bars.value / np.maximum(bars.lots, 1))[:, None]
    extremes = np.where(weights > 0, price, np.nan)
    top, bottom = np.nanmax(extremes, axis=1, keepdims=True), np.nanmin(extremes, axis=1, keepdims=True)
    for reach in (0.0, 0.6):
        mean = _total(weights * price)
        edge = mean + np.where(wanted > mean, top - mean, bottom - mean) * reach
        side = weights * np.where(wanted > mean, price >= edge, price <= edge)
        side = side / np.maximum(_total(side), 1e-300)
        pull = _total(side * price) - mean
        amount = np.clip(np.divide(wanted - mean, pull, out=np.zeros_like(pull), where=pull != 0), 0.0, 0.8)
        weights = weights + amount * (side - weights)
    return weights


def _unsplit_rows(bars: TickBars, pieces: TickBars, active: IntArray) -> BoolArray:
    """Rows whose parts cannot carry the bar's lots or value."""
    wrong = (_count(pieces.value)[:, 0] != bars.value) | (_count(pieces.lots)[:, 0] != bars.lots)
    thin = (pieces.lots < MIN_LOTS * active).any(axis=1)
    return np.asarray(wrong | thin | (bars.lots == 0), dtype=np.bool_)


def _whole_in_one(bars: TickBars, pieces: TickBars, rows: BoolArray, column: IntArray) -> TickBars:
    """Puts the whole bar into one part of the given rows (a bar of a few lots has no room to be split)."""
    where = np.flatnonzero(rows)
    for target, source in zip(pieces, bars, strict=True):
        target[where] = 0 if target is pieces.lots or target is pieces.value else source[where, None]
        target[where, column[where]] = source[where]
    return pieces


def split_trades(bars: TickBars, *, index: IntArray, key: int | HashArray) -> Tape:
    """Splits M minute bars into 4..8 trades each (fewer if lots are fewer, none without lots) that reproduce them.

    `index` (M,) is the minute number that keys the draw, with `key`, one for all or (M,). The taker side follows the
    price.
    """
    keys = _streams(key, 5)
    noise = uniforms(keys[:4], index)
    rising = (bars.close > bars.open) | ((bars.close == bars.open) & (noise[3] < 0.5))
    rising ^= noise[0] < 0.08
    ticks, lots = _slots(bars, noise, rising)
    times = _times(keys[4], index)
    kept = lots > 0
    counts = kept.sum(axis=1)
    offset = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    ticks, lots = ticks[kept], lots[kept]
    lean = np.repeat(np.where(rising, 1, -1) * np.where(noise[1] < 0.75, 1, -1), counts)
    return Tape(offset, times[kept], ticks, lots, _taker_buys(ticks, offset, lean))


def _slots(bars: TickBars, noise: FloatArray, rising: BoolArray) -> tuple[IntArray, IntArray]:
    """Price and lots (M, 8) of each minute: open, first extreme, four of filling, second extreme, close."""
    frame = _frame(bars)
    extra = _frame_extra(bars, frame, noise[1])
    free = bars.lots - frame.legs * (1 + extra)
    rest = bars.value - frame.base * (1 + extra)
    centre = np.floor_divide(rest, np.maximum(free, 1))
    above = np.where(free > 0, rest - centre * free, 0)
    flat = np.maximum(free, 0) - above
    wing = np.floor(flat * (0.12 + 0.28 * noise[2])).astype(np.int64)
    spread = np.floor(np.maximum(np.minimum(centre - bars.low, bars.high - centre), 0) * noise[3]).astype(np.int64)
    each = 1 + extra
    low, high = (bars.low, frame.has_low * each), (bars.high, frame.has_high * each)
    fill = ((centre - spread, wing), (centre, flat - 2 * wing), (centre + 1, above), (centre + spread, wing))
    up = ((bars.open, each), low, *fill, high, (bars.close, frame.has_close * each))
    down = ((bars.open, each), high, *reversed(fill), low, (bars.close, frame.has_close * each))
    present = (bars.lots > 0)[:, None]
    picked = [
        np.where(rising[:, None], np.stack([a[i] for a in up], 1), np.stack([b[i] for b in down], 1)) for i in (0, 1)
    ]
    return picked[0], picked[1] * present


def _frame_extra(bars: TickBars, frame: _Frame, noise: FloatArray) -> IntArray:
    """Further lots for each of open, high, low and close, as long as the filling can still bring the value home."""
    free = bars.lots - frame.legs
    extra = np.floor(np.maximum(free, 0) * noise * 0.12).astype(np.int64)
    left = free - extra * frame.legs
    rest = bars.value - frame.base * (1 + extra)
    return np.where((rest >= left * bars.low) & (rest <= left * bars.high), extra, 0)


def _times(keys: HashArray, index: IntArray) -> IntArray:
    """Milliseconds (M, 8): one instant in each eighth of the minute, so that they rise and never meet."""
    cell = index[:, None] * _SLOTS + np.arange(_SLOTS)
    width = MINUTE_MS // _SLOTS
    within = hash64(keys[:, None], cell) % np.uint64(width)
    return within.astype(np.int64) + np.arange(_SLOTS) * width


def _taker_buys(ticks: IntArray, offset: IntArray, lean: IntArray) -> BoolArray:
    """Buys where the price rose since the trade before in the minute, sells where it fell, else as the minute leans."""
    move = np.zeros(len(ticks), dtype=np.int64)
    move[1:] = np.sign(ticks[1:] - ticks[:-1])
    starts = offset[:-1]
    move[starts[starts < len(ticks)]] = 0
    return np.where(move == 0, lean, move) > 0
