"""Order books: levels that stand at fixed prices and change their size one by one, around the last trade."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from zmart_stream.sandbox.contracts import MS, Contract
from zmart_stream.sandbox.keyed import IntArray, bits_at, hash64, uniform_at, uniforms
from zmart_stream.sandbox.market import Quotes

MAX_LEVELS = 1000
_QUICK_MS, _SLOW_MS = 200, 600  # how long the touch stands, on busy and on quiet contracts
_SIZE_STEP_MS = 400
_FEW = 8  # up to here plain numbers are faster than arrays
_SPREAD_OUT = 1_000_003  # keeps the epochs of neighbouring prices apart
_ANCHOR = 16  # levels the market moves before the whole book's thickness follows
_PLACES = 0x91ACE5
_SIZE_PERIODS = 32  # a level's size stands for 1..32 such steps


def book(contract: Contract, last: int, bought: bool, now: int, levels: int) -> Quotes:
    """The best `levels` rows a side at `now` (ns) after a last trade at `last` ticks by a taker who bought or sold."""
    bid, ask = touch(contract, last, bought, now)
    anchor = last // (_ANCHOR * contract.level_gap) * (_ANCHOR * contract.level_gap)
    count = max(1, min(levels, MAX_LEVELS))
    if count > _FEW:
        return _many(contract, (bid, ask, anchor), now, count)
    bids, asks = _few_levels(contract, bid, -1, count), _few_levels(contract, ask, 1, count)
    return Quotes(_few_rows(contract, bids, anchor, now), _few_rows(contract, asks, anchor, now))


def _many(contract: Contract, marks: tuple[int, int, int], now: int, count: int) -> Quotes:
    bid, ask, anchor = marks
    gap = contract.level_gap
    ladder = np.arange(count + 1, dtype=np.int64)
    bids = _level_ticks(contract, (bid - 1) // gap - ladder)
    asks = _level_ticks(contract, (ask + 1) // gap + ladder)
    bids = np.concatenate(([bid], bids[(bids < bid) & (bids > 0)]))[:count]
    asks = np.concatenate(([ask], asks[asks > ask]))[:count]
    ticks = np.concatenate((bids, asks))
    rows = list(zip(contract.prices_of(ticks).tolist(), _sizes(contract, ticks, anchor, now), strict=True))
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


def _few_levels(contract: Contract, best: int, way: int, count: int) -> list[int]:
    """What `_many` draws for one side, without arrays; `way` is 1 for asks, −1 for bids."""
    gap, key = contract.level_gap, contract.key ^ _PLACES
    found, cell = [best], (best + way) // gap
    while len(found) < count and cell >= 0:
        tick = cell * gap + bits_at(key, cell) % gap
        if tick > 0 and (tick - best) * way > 0:
            found.append(tick)
        cell += way
    return found


def _level_ticks(contract: Contract, cells: IntArray) -> IntArray:
    """One level in each cell of `level_gap` ticks, at a place of its own."""
    gap = contract.level_gap
    places = hash64(contract.key ^ _PLACES, cells) % np.uint64(gap)
    return cells * gap + places.astype(np.int64)


def _few_rows(contract: Contract, ticks: list[int], anchor: int, now: int) -> list[tuple[float, int]]:
    """What `_sizes` draws, without arrays."""
    kind, draw = _size_keys(contract.key)
    step, gap = now // (_SIZE_STEP_MS * MS), contract.level_gap
    rows = []
    for tick in ticks:
        bits = bits_at(kind, tick)
        epoch = (step + (bits >> 40 & 0xFFFF)) // (bits % _SIZE_PERIODS + 1)
        chance = uniform_at(draw, tick * _SPREAD_OUT + epoch)
        away = abs(tick - anchor) / gap
        lots = contract.level_lots * (1.0 + 1.5 * away / (away + 40.0)) * (0.25 + 0.5 * chance / (1.08 - chance))
        rows.append((contract.price_of(tick), max(1, round(lots))))
    return rows


def _sizes(contract: Contract, ticks: IntArray, anchor: int, now: int) -> list[int]:
    """Lots of each level: heavy-tailed, thicker away from the market; each stands for a while of its own."""
    kind, draw = _size_keys(contract.key)
    bits = hash64(kind, ticks)
    period = (bits % np.uint64(_SIZE_PERIODS)).astype(np.int64) + 1
    phase = (bits >> np.uint64(40)).astype(np.int64) & 0xFFFF
    epoch = (now // (_SIZE_STEP_MS * MS) + phase) // period
    chance = uniforms(draw, ticks * _SPREAD_OUT + epoch)
    away = np.abs(ticks - anchor) / contract.level_gap
    lots = contract.level_lots * (1.0 + 1.5 * away / (away + 40.0)) * (0.25 + 0.5 * chance / (1.08 - chance))
    sizes: list[int] = np.maximum(np.rint(lots), 1.0).astype(np.int64).tolist()
    return sizes


@lru_cache(maxsize=4096)
def _size_keys(key: int) -> tuple[int, int]:
    return bits_at(key, 401), bits_at(key, 402)
