"""Order books: levels that stand at fixed prices and change their size one by one, around the last trade."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from zmart_stream.sandbox.contracts import MS, Contract
from zmart_stream.sandbox.keyed import BoolArray, FloatArray, HashArray, IntArray, bits_at, hash64, uniform_at, uniforms
from zmart_stream.sandbox.market import Quotes

MAX_LEVELS = 1000
_QUICK_MS, _SLOW_MS = 200, 600  # how long the touch stands, on busy and on quiet contracts
_SIZE_STEP_MS = 400
FEW = 8  # levels up to which plain numbers are faster than arrays for one book
_SPREAD_OUT = 1_000_003  # keeps the epochs of neighbouring prices apart
_ANCHOR = 16  # levels the market moves before the whole book's thickness follows
_PLACES, _WIDTH, _DRIFT = 0x91ACE5, 0xB1D, 0xD21F7
_SIZE_PERIODS = 32  # a level's size stands for 1..32 such steps


def book(contract: Contract, last: int, bought: bool, now: int, levels: int) -> Quotes:
    """The best `levels` rows a side at `now` (ns) after a last trade at `last` ticks by a taker who bought or sold."""
    bid, ask = touch(contract, last, bought, now)
    anchor = last // (_ANCHOR * contract.level_gap) * (_ANCHOR * contract.level_gap)
    count = max(1, min(levels, MAX_LEVELS))
    if count > FEW:
        return _many(contract, (bid, ask, anchor), now, count)
    bids, asks = _few_levels(contract, bid, -1, count), _few_levels(contract, ask, 1, count)
    return Quotes(_few_rows(contract, bids, anchor, now), _few_rows(contract, asks, anchor, now))


class Ladders:
    """`book` of many contracts at one instant, a few levels each, in one go."""

    def __init__(self) -> None:
        """Contracts are put in when first asked for."""
        self._places: dict[str, int] = {}
        self._keys = np.empty((5, 0), dtype=np.uint64)
        self._whole = np.empty((3, 0), dtype=np.int64)
        self._figures = np.empty((3, 0))

    def books(
        self, contracts: Sequence[Contract], lasts: Sequence[tuple[int, bool]], now: int, levels: int
    ) -> list[Quotes]:
        """The best `levels` rows a side of each contract at `now` (ns) after its last trade, as `book` gives them."""
        self._take_in(contracts)
        at = np.array([self._places[contract.symbol] for contract in contracts])
        keys, whole, figures = self._keys[:, at, None], self._whole[:, at, None], self._figures[:, at, None]
        gap, step = whole[0], whole[2]
        last = np.array([ticks for ticks, _ in lasts], dtype=np.int64)[:, None]
        bought = np.array([buys for _, buys in lasts])[:, None]
        best = _touches(keys, (last, bought), now // whole[1], figures[0])
        ticks = np.concatenate(
            [_rungs(keys[4], gap, side, way, levels) for side, way in zip(best, (-1, 1), strict=True)]
        )
        keys, gap, figures = np.tile(keys, (1, 2, 1)), np.tile(gap, (2, 1)), np.tile(figures, (1, 2, 1))
        anchor = np.tile(last, (2, 1)) // (_ANCHOR * gap) * (_ANCHOR * gap)
        lots = _drawn_sizes((keys[2], keys[3]), ticks, np.abs(ticks - anchor) / gap, (now, figures[1]))
        prices = (ticks * np.tile(step, (2, 1)) / figures[2]).tolist()
        rows = [list(zip(*row, strict=True)) for row in zip(prices, lots, strict=True)]
        count = len(contracts)
        return [
            Quotes(bids if bids[-1][0] > 0 else [row for row in bids if row[0] > 0], asks)
            for bids, asks in zip(rows[:count], rows[count:], strict=True)
        ]

    def _take_in(self, contracts: Sequence[Contract]) -> None:
        """Remember what the contracts' books are made of."""
        new = [contract for contract in contracts if contract.symbol not in self._places]
        if not new:
            return
        keys = [(c.key ^ _WIDTH, c.key ^ _DRIFT, *_size_keys(c.key), c.key ^ _PLACES) for c in new]
        whole = [(c.level_gap, _standing_ms(c) * MS, c.step) for c in new]
        figures = [(c.spread_bps * 1e-4, c.level_lots, c.scale) for c in new]
        self._keys = np.hstack([self._keys, np.array(keys, dtype=np.uint64).T])
        self._whole = np.hstack([self._whole, np.array(whole, dtype=np.int64).T])
        self._figures = np.hstack([self._figures, np.array(figures, dtype=np.float64).T])
        self._places.update(zip((c.symbol for c in new), range(len(self._places), self._keys.shape[1]), strict=True))


def _touches(
    keys: HashArray, last: tuple[IntArray, BoolArray], bucket: IntArray, share: FloatArray
) -> tuple[IntArray, IntArray]:
    """`touch` of many contracts."""
    ticks, bought = last
    width = share * ticks * (0.65 + 0.7 * uniforms(keys[0], bucket))
    spread = np.maximum(1, np.rint(width).astype(np.int64))
    drift = ((spread + 1) * 0.6 * uniforms(keys[1], bucket)).astype(np.int64)
    bid = np.maximum(1, np.where(bought, ticks - spread + drift, ticks - drift))
    return bid, bid + spread


def _rungs(keys: HashArray, gap: IntArray, best: IntArray, way: int, count: int) -> IntArray:
    """Ticks (K, count) of one side: the best, then a level in each cell beyond it."""
    cells = (best + way) // gap + way * np.arange(count, dtype=np.int64)
    places = hash64(keys, cells) % gap.astype(np.uint64)
    ticks = cells * gap + places.astype(np.int64)
    behind = (ticks[:, :1] - best) * way <= 0  # the first cell is also the best's own
    return np.concatenate([best, np.where(behind, ticks[:, 1:], ticks[:, :-1])], axis=1)


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
    bucket = now // (_standing_ms(contract) * MS)
    width = contract.spread_bps * 1e-4 * last * (0.65 + 0.7 * uniform_at(contract.key ^ _WIDTH, bucket))
    spread = max(1, round(width))
    drift = int((spread + 1) * 0.6 * uniform_at(contract.key ^ _DRIFT, bucket))
    bid = last - spread + drift if bought else last - drift
    bid = max(1, bid)
    return bid, bid + spread


def _standing_ms(contract: Contract) -> int:
    """How long the touch stands."""
    return _QUICK_MS if contract.spread_bps < 6.0 else _SLOW_MS


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
    away = np.abs(ticks - anchor) / contract.level_gap
    return _drawn_sizes((kind, draw), ticks, away, (now, contract.level_lots))


def _drawn_sizes(
    keys: tuple[int, int] | tuple[HashArray, HashArray],
    ticks: IntArray,
    away: FloatArray,
    scale: tuple[int, float | FloatArray],
) -> list[Any]:
    """The sizes of levels `away` from the market in typical gaps; `scale` is the time (ns) and the typical lots."""
    kind, draw = keys
    now, typical = scale
    bits = hash64(kind, ticks)
    period = (bits % np.uint64(_SIZE_PERIODS)).astype(np.int64) + 1
    phase = (bits >> np.uint64(40)).astype(np.int64) & 0xFFFF
    epoch = (now // (_SIZE_STEP_MS * MS) + phase) // period
    chance = uniforms(draw, ticks * _SPREAD_OUT + epoch)
    lots = typical * (1.0 + 1.5 * away / (away + 40.0)) * (0.25 + 0.5 * chance / (1.08 - chance))
    sizes: list[Any] = np.maximum(np.rint(lots), 1.0).astype(np.int64).tolist()
    return sizes


@lru_cache(maxsize=4096)
def _size_keys(key: int) -> tuple[int, int]:
    return bits_at(key, 401), bits_at(key, 402)
