"""Order books: levels that stand at fixed prices and change their size one by one, around the last trade."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from zmart_stream.sandbox.contracts import MS, Contract
from zmart_stream.sandbox.keyed import FloatArray, IntArray, bits_at, hash64, uniform_at, uniforms
from zmart_stream.sandbox.market import Quotes

MAX_LEVELS = 1000
_QUICK_MS, _SLOW_MS = 200, 600  # how long the touch stands, on busy and on quiet contracts
_SIZE_STEP_MS = 400
_FEW = 8  # up to here plain numbers are faster than arrays
_SPREAD_OUT = 1_000_003  # keeps the epochs of neighbouring prices apart
_SIZE_PERIODS = 32  # a level's size stands for 1..32 such steps


def book(contract: Contract, last: int, bought: bool, now: int, levels: int) -> Quotes:
    """The best `levels` rows a side at `now` (ns) after a last trade at `last` ticks by a taker who bought or sold."""
    bid, ask = touch(contract, last, bought, now)
    count = max(1, min(levels, MAX_LEVELS))
    gap = max(1, (ask - bid) // 3)
    if count <= _FEW:
        bids = _few_levels(contract, bid, -gap, count)
        asks = _few_levels(contract, ask, gap, count)
        return Quotes(_few_rows(contract, bids, now), _few_rows(contract, asks, now))
    return _many(contract, (bid, ask), gap, now, count)


def _many(contract: Contract, best: tuple[int, int], gap: int, now: int, count: int) -> Quotes:
    bid, ask = best
    ladder = np.arange(count + 1, dtype=np.int64)
    bids = _level_ticks(contract, (bid - 1) // gap - ladder, gap)
    asks = _level_ticks(contract, (ask + 1) // gap + ladder, gap)
    bids = np.concatenate(([bid], bids[(bids < bid) & (bids > 0)]))[:count]
    asks = np.concatenate(([ask], asks[asks > ask]))[:count]
    ticks = np.concatenate((bids, asks))
    rows = list(zip(contract.prices_of(ticks).tolist(), _sizes(contract, ticks, now, len(bids)), strict=True))
    return Quotes(rows[: len(bids)], rows[len(bids) :])


def touch(contract: Contract, last: int, bought: bool, now: int) -> tuple[int, int]:
    """Best bid and ask in ticks: the side that traded last is at the trade, the spread breathes."""
    span = (_QUICK_MS if contract.spread_bps < 6.0 else _SLOW_MS) * MS
    bucket = now // span
    width = contract.spread_bps * 1e-4 * last * (0.65 + 0.7 * uniform_at(contract.key ^ 0xB1D, bucket))
    spread = max(1, round(width))
    drift = int((spread + 1) * 0.6 * uniform_at(contract.key ^ 0xD21F7, bucket))
    bid = last - spread + drift if bought else last - drift
    bid = max(1, bid)
    return bid, bid + spread


def _few_levels(contract: Contract, best: int, gap: int, count: int) -> list[int]:
    """What `_many` draws for one side, without arrays; `gap` is negative for bids."""
    width = abs(gap)
    found, cell, key = [best], (best + (1 if gap > 0 else -1)) // width, contract.key ^ width
    while len(found) < count and cell >= 0:
        tick = cell if width == 1 else cell * width + bits_at(key, cell) % width
        if tick > best if gap > 0 else 0 < tick < best:
            found.append(tick)
        cell += 1 if gap > 0 else -1
    return found


def _few_rows(contract: Contract, ticks: list[int], now: int) -> list[tuple[float, int]]:
    kind, draw = _size_keys(contract.key)
    step = now // (_SIZE_STEP_MS * MS)
    rows = []
    for place, tick in enumerate(ticks):
        bits = bits_at(kind, tick)
        epoch = (step + (bits >> 40 & 0xFFFF)) // (bits % _SIZE_PERIODS + 1)
        chance = uniform_at(draw, tick * _SPREAD_OUT + epoch)
        lots = contract.level_lots * _thickness(place) * (0.25 + 0.5 * chance / (1.08 - chance))
        rows.append((contract.price_of(tick), max(1, round(lots))))
    return rows


def _level_ticks(contract: Contract, cells: IntArray, gap: int) -> IntArray:
    """One level in each cell of `gap` ticks, at a place of its own."""
    if gap == 1:
        return cells
    return cells * gap + (hash64(contract.key ^ gap, cells) % np.uint64(gap)).astype(np.int64)


def _sizes(contract: Contract, ticks: IntArray, now: int, bids: int) -> list[int]:
    """Lots of each level: heavy-tailed, thicker away from the touch; each stands for a while of its own."""
    kind, draw = _size_keys(contract.key)
    bits = hash64(kind, ticks)
    period = (bits % np.uint64(_SIZE_PERIODS)).astype(np.int64) + 1
    phase = (bits >> np.uint64(40)).astype(np.int64) & 0xFFFF
    epoch = (now // (_SIZE_STEP_MS * MS) + phase) // period
    chance = uniforms(draw, ticks * _SPREAD_OUT + epoch)
    shape = _thicknesses(bids, len(ticks) - bids)
    lots = contract.level_lots * shape * (0.25 + 0.5 * chance / (1.08 - chance))
    sizes: list[int] = np.maximum(np.rint(lots), 1.0).astype(np.int64).tolist()
    return sizes


@lru_cache(maxsize=4096)
def _size_keys(key: int) -> tuple[int, int]:
    return bits_at(key, 401), bits_at(key, 402)


def _thickness(place: int) -> float:
    """How much thicker the book is `place` levels behind the touch."""
    return 1.0 + 3.0 * place / (place + 12.0)


@lru_cache(maxsize=256)
def _thicknesses(bids: int, asks: int) -> FloatArray:
    return np.array([_thickness(place) for count in (bids, asks) for place in range(count)])
