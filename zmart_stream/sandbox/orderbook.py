"""Order books: levels that stand at fixed prices and change their size one by one, around the last trade."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from zmart_stream.sandbox.contracts import MS, Contract
from zmart_stream.sandbox.keyed import IntArray, hash64, stream_keys, uniform_at, uniforms
from zmart_stream.sandbox.market import Quotes

MAX_LEVELS = 1000
_QUICK_MS, _SLOW_MS = 200, 600  # how long the touch stands, on busy and on quiet contracts
_SIZE_STEP_MS = 400
_SIZE_PERIODS = 32  # a level's size stands for 1..32 such steps


def book(contract: Contract, last: int, bought: bool, now: int, levels: int) -> Quotes:
    """The best `levels` rows a side at `now` (ns) after a last trade at `last` ticks by a taker who bought or sold."""
    bid, ask = touch(contract, last, bought, now)
    count = max(1, min(levels, MAX_LEVELS))
    gap = max(1, (ask - bid) // 3)
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


def _level_ticks(contract: Contract, cells: IntArray, gap: int) -> IntArray:
    """One level in each cell of `gap` ticks, at a place of its own."""
    if gap == 1:
        return cells
    return cells * gap + (hash64(contract.key ^ gap, cells) % np.uint64(gap)).astype(np.int64)


def _sizes(contract: Contract, ticks: IntArray, now: int, bids: int) -> list[int]:
    """Lots of each level: heavy-tailed, thicker away from the touch; each stands for a while of its own."""
    keys = stream_keys(contract.key ^ 0x512E5, 3)
    bits = hash64(keys[0:1], ticks)
    period = (bits % np.uint64(_SIZE_PERIODS)).astype(np.int64) + 1
    phase = (bits >> np.uint64(40)).astype(np.int64) & 0xFFFF
    epoch = (now // (_SIZE_STEP_MS * MS) + phase) // period
    chance = uniforms(keys[1:2], ticks * 1_000_003 + epoch)
    depth = _depth_shape(bids, len(ticks) - bids)
    lots = contract.level_lots * depth * (0.25 + 0.5 * chance / (1.08 - chance))
    return np.maximum(np.rint(lots), 1.0).astype(np.int64).tolist()


@lru_cache(maxsize=256)
def _depth_shape(bids: int, asks: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How much thicker the book is further out, for both sides in a row."""
    ladder = [1.0 + 3.0 * place / (place + 12.0) for place in range(max(bids, asks))]
    return np.array(ladder[:bids] + ladder[:asks])
