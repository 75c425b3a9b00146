"""The synthetic market: prices by levels day → hour → minute → trades, each drawn from keys and indices alone.

The log price of a coin is β × market + γ × sector + its own walk. Days are slowly mean-reverting walks whose
volatility clusters; the hours of a day are a bridge between two days; minutes and trades are exact splits of hours.
Blocks of 32 days are always drawn whole, so that every question is answered from the same arithmetic.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.barmarket import BarMarket
from zmart_stream.sandbox.calendar import HORIZON_DAYS, ORIGIN_DAY
from zmart_stream.sandbox.catalog import Catalog
from zmart_stream.sandbox.contracts import DAY_NS, HOUR_NS, Contract
from zmart_stream.sandbox.expand import TickBars, split_bars, with_value
from zmart_stream.sandbox.funding import ModelFunding
from zmart_stream.sandbox.keyed import FloatArray, IntArray, derive, normals, uniform_at, uniforms
from zmart_stream.sandbox.market import Market

_BLOCK_DAYS = 32
_BLOCK_HOURS = _BLOCK_DAYS * 24
_ORIGIN_HOUR = ORIGIN_DAY * 24
_REVERSION = 0.9965  # of a walk per day
_MARKET_VOL, _SECTOR_VOL = 0.019, 0.013  # per day
_JUMP_SHARE, _JUMP_SIZE = 0.03, 2.2
_TREND = 0.16  # drift of a regime in daily volatilities
_DEAD_HOURS = 0.02  # share of hours without a trade on the thinnest contracts
_LEAST_LOTS = 8.0
_MINUTES = 0x31
_LEAST_TICKS = 40.0
_HOURS = np.arange(24) / 24.0
_VOL_SHAPE = 1.0 + 0.35 * np.cos(2 * np.pi * (_HOURS - 0.62)) + 0.15 * np.cos(4 * np.pi * (_HOURS - 0.35))
_VOLUME_SHAPE = _VOL_SHAPE**1.6 / (_VOL_SHAPE**1.6).sum()


class _Walk(NamedTuple):
    """One component's log level at each day's opening and its volatility in that day."""

    level: FloatArray
    volatility: FloatArray


class _Motion(NamedTuple):
    """One component in a block: level at the 25 hour boundaries and volatility of the 24 hours of each day."""

    level: FloatArray
    volatility: FloatArray


class _Coin(NamedTuple):
    """How a coin moves."""

    key: int
    beta: float
    gamma: float
    sector: int
    volatility: float


def _between_nodes(key: int, days: int, period: int) -> FloatArray:
    """Smooth noise for days 0..days−1, nodes every `period` days."""
    node, within = np.divmod(np.arange(days), period)
    values = normals(key, np.arange(days // period + 2, dtype=np.int64))
    share = within / period
    share = share * share * (3.0 - 2.0 * share)
    return np.asarray(values[node] * (1.0 - share) + values[node + 1] * share, dtype=np.float64)


def _reverting(steps: FloatArray) -> FloatArray:
    """y[i] = steps[i] + _REVERSION · y[i−1], by doubling: SciPy's filter would cost most of the venue's start."""
    level, reach, factor = steps.copy(), 1, _REVERSION
    while reach < len(level):
        level[reach:] = level[reach:] + factor * level[:-reach]
        reach, factor = 2 * reach, factor * factor
    return level


def _walk(key: int, volatility: float) -> _Walk:
    days = np.arange(HORIZON_DAYS, dtype=np.int64)
    vol = volatility * np.exp(
        0.40 * _between_nodes(key ^ 1, HORIZON_DAYS, 11) + 0.28 * _between_nodes(key ^ 2, HORIZON_DAYS, 3)
    )
    jump = np.where(uniforms(key ^ 3, days) < _JUMP_SHARE, _JUMP_SIZE, 1.0)
    drift = _TREND * volatility * _between_nodes(key ^ 4, HORIZON_DAYS, 23)
    level = np.zeros(HORIZON_DAYS)
    level[1:] = _reverting(vol * jump * normals(key ^ 5, days) + drift)[:-1]
    return _Walk(level, vol * jump)


_walk_of = lru_cache(maxsize=64)(_walk)


def _motion(key: int, volatility: float, block: int) -> _Motion:
    walk = _walk_of(key, volatility)
    days = slice(block * _BLOCK_DAYS, (block + 1) * _BLOCK_DAYS)
    start = walk.level[days]
    end = walk.level[block * _BLOCK_DAYS + 1 : (block + 1) * _BLOCK_DAYS + 1]
    hours = np.arange(block * _BLOCK_HOURS, (block + 1) * _BLOCK_HOURS, dtype=np.int64).reshape(_BLOCK_DAYS, 24)
    pace = _VOL_SHAPE * np.exp(0.35 * normals(key ^ 6, hours // 6) + 0.15 * normals(key ^ 7, hours))
    share = pace * pace
    share /= share.sum(axis=1, keepdims=True)
    volatility_of_hours = walk.volatility[days, None] * np.sqrt(share)
    moves = volatility_of_hours * normals(key ^ 8, hours)
    moves += share * ((end - start)[:, None] - moves.sum(axis=1, keepdims=True))
    level = np.empty((_BLOCK_DAYS, 25))
    level[:, 0], level[:, -1] = start, end
    level[:, 1:-1] = start[:, None] + np.cumsum(moves, axis=1)[:, :-1]
    return _Motion(level, volatility_of_hours)


_factor_motion = lru_cache(maxsize=96)(_motion)


class SyntheticBars:
    """Hour bars of any contract at any time, and their minutes."""

    def __init__(self, seed: int, contracts: int) -> None:
        """`contracts` sizes the cache of blocks."""
        self._seed = seed
        self._market = derive("market", seed)
        self._blocks: OrderedDict[tuple[str, int], TickBars] = OrderedDict()
        self._room = 2 * contracts + contracts // 4 + 64  # a day across the edge of two blocks must not push itself out

    def hours(self, contract: Contract, first: int, last: int) -> TickBars:
        """Hour bars [first, last) since the epoch, dense; lots 0 outside the contract's life."""
        begin, finish = first - _ORIGIN_HOUR, last - _ORIGIN_HOUR
        blocks = range(begin // _BLOCK_HOURS, (finish - 1) // _BLOCK_HOURS + 1)
        if blocks[0] < 0 or blocks[-1] >= HORIZON_DAYS // _BLOCK_DAYS - 1:
            raise ConfigError("the synthetic market tells of 2022 to 2033-03 only")
        base = blocks[0] * _BLOCK_HOURS
        parts = [self._block(contract, block) for block in blocks]
        whole = parts[0] if len(parts) == 1 else TickBars(*(np.concatenate(c) for c in zip(*parts, strict=True)))
        return whole.take(slice(begin - base, finish - base))

    def minutes(self, contract: Contract, first: int, last: int) -> TickBars:
        """The minute bars of hours [first, last), 60 each, in a row."""
        bars = self.hours(contract, first, last)
        index = np.arange(first, last, dtype=np.int64)
        return split_bars(bars, index=index, parts=60, key=contract.key ^ _MINUTES, activity=contract.activity).flat()

    def _block(self, contract: Contract, block: int) -> TickBars:
        key = (contract.symbol, block)
        bars = self._blocks.get(key)
        if bars is None:
            bars = self._blocks[key] = self._drawn(contract, block)
            if len(self._blocks) > self._room:
                self._blocks.popitem(last=False)
        else:
            self._blocks.move_to_end(key)
        return bars

    def _coin(self, contract: Contract) -> _Coin:
        key = derive("coin", self._seed, contract.base)
        stock = contract.asset_class == "STOCK"
        size = min(max((np.log10(9e8) - np.log10(contract.turnover)) / 3.0, 0.0), 1.0)
        own = (0.006 + 0.036 * size) * (0.6 + 0.9 * uniform_at(key, 1))
        return _Coin(
            key=key,
            beta=0.25 if stock else 0.75 + 0.75 * uniform_at(key, 2),
            gamma=0.3 + 1.0 * uniform_at(key, 3),
            sector=derive("sector", self._seed, contract.asset_class if stock else contract.sector or contract.base[0]),
            volatility=float(own),
        )

    def _drawn(self, contract: Contract, block: int) -> TickBars:
        coin = self._coin(contract)
        market = _factor_motion(self._market, _MARKET_VOL, block)
        sector = _factor_motion(coin.sector, _SECTOR_VOL, block)
        own = _motion(coin.key, coin.volatility, block)
        level = coin.beta * market.level + coin.gamma * sector.level + own.level
        ticks = np.maximum(contract.price / contract.tick * np.exp(level), _LEAST_TICKS)
        sigma = np.sqrt(
            (coin.beta * market.volatility) ** 2 + (coin.gamma * sector.volatility) ** 2 + own.volatility**2
        )
        hours = np.arange(block * _BLOCK_HOURS, (block + 1) * _BLOCK_HOURS, dtype=np.int64)
        edges = np.rint(ticks).astype(np.int64)
        opens, closes = edges[:, :-1].reshape(-1), edges[:, 1:].reshape(-1)
        high, low = _reach(contract.key, hours, opens, closes, sigma.reshape(-1))
        stir = (np.abs(np.diff(level, axis=1)) / sigma).reshape(-1)
        middle = np.asarray((opens + closes) * (0.5 * contract.tick), dtype=np.float64)
        lots = _lots(contract, hours, middle, stir)
        lean = (uniforms(contract.key ^ 12, hours) - 0.5) * 0.1 * (high - low)
        quarter = np.asarray((opens + closes + high + low) * 0.25, dtype=np.float64)
        return with_value(TickBars(opens, high, low, closes, lots, lots), quarter + lean)


def _reach(
    key: int, hours: IntArray, opens: IntArray, closes: IntArray, sigma: FloatArray
) -> tuple[IntArray, IntArray]:
    """High and low in ticks: the extremes of a Brownian bridge, drawn by inverting their distribution."""
    middle, width = (opens + closes) * 0.5, (closes - opens) * 0.5
    spread = (sigma * middle) ** 2 * 0.5
    up = np.sqrt(width**2 - spread * np.log(1.0 - uniforms(key ^ 9, hours)))
    down = np.sqrt(width**2 - spread * np.log(1.0 - uniforms(key ^ 10, hours)))
    high = np.maximum(np.rint(middle + up).astype(np.int64), np.maximum(opens, closes))
    low = np.minimum(np.rint(middle - down).astype(np.int64), np.minimum(opens, closes))
    return high, np.maximum(low, 1)


def _lots(contract: Contract, hours: IntArray, price: FloatArray, stir: FloatArray) -> IntArray:
    """Lots of each hour: the day's shape, busy and quiet spells, more when the price moves; 0 outside its life."""
    key = contract.key
    spell = (
        0.45 * normals(key ^ 13, hours // 96) + 0.35 * normals(key ^ 14, hours // 24) + 0.3 * normals(key ^ 15, hours)
    )
    usd = contract.turnover * np.tile(_VOLUME_SHAPE, _BLOCK_DAYS) * np.exp(spell) * (0.55 + 0.5 * stir)
    lot = 1.0 if contract.inverse else price * contract.multiplier
    lots = np.maximum(np.rint(usd / lot), _LEAST_LOTS)
    dead = _DEAD_HOURS * max(0.0, 1.0 - contract.turnover / 3e5)
    since = (hours + _ORIGIN_HOUR) * HOUR_NS
    silent = (since < contract.listed) | (uniforms(key ^ 16, hours) < dead)
    if contract.delisted is not None:
        silent |= since >= contract.delisted
    return np.where(silent, 0.0, lots).astype(np.int64)


def synthetic_market(*, seed: int, contracts: int, start: int) -> Market:
    """A seeded market of `contracts` contracts; a fresh venue begins at `start` (ns), nothing else hangs on it."""
    first, last = (ORIGIN_DAY + 90) * DAY_NS, (ORIGIN_DAY + HORIZON_DAYS - 2 * _BLOCK_DAYS) * DAY_NS
    if not first <= start < last:
        raise ConfigError("sandbox start: the synthetic market runs from 2022-04 to 2033-02")
    if contracts < 1:
        raise ConfigError("sandbox contracts: at least 1")
    return BarMarket(
        name="synthetic",
        seed=seed,
        span=(start, None),
        roster=Catalog(seed, contracts),
        source=SyntheticBars(seed, contracts),
        funding=ModelFunding(),
    )
