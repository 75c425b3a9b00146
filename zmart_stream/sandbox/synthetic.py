"""The synthetic market: prices by levels day → hour → minute → trades, each drawn from keys and indices alone.

The log price of a coin is β × market + γ × sector + its own walk (`walks`); minutes and trades are exact splits of
hours (`expand`). Hours are drawn in whole blocks of 16 days, and for many contracts at once, because that is how most
of them are asked for; neither changes a figure.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import log10
from typing import NamedTuple

import numpy as np

from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.barmarket import BarMarket
from zmart_stream.sandbox.calendar import HORIZON_DAYS, ORIGIN_DAY
from zmart_stream.sandbox.catalog import Catalog
from zmart_stream.sandbox.contracts import DAY_NS, HOUR_NS, Contract, figures_of, keys_of
from zmart_stream.sandbox.expand import TickBars, split_bars, with_value
from zmart_stream.sandbox.funding import ModelFunding
from zmart_stream.sandbox.keyed import (
    BoolArray,
    FloatArray,
    HashArray,
    IntArray,
    derive,
    normals,
    uniform_at,
    uniform_pairs,
)
from zmart_stream.sandbox.market import Market
from zmart_stream.sandbox.walks import BLOCK_DAYS, BLOCK_HOURS, HOUR_SHAPE, Walks

_ORIGIN_HOUR = ORIGIN_DAY * 24
_MARKET_VOL, _SECTOR_VOL = 0.019, 0.013  # per day
_DEAD_HOURS = 0.02  # share of hours without a trade on the thinnest contracts
_LEAST_LOTS = 8.0
_MINUTES = 0x31
_LEAST_TICKS = 40.0
_VOLUME_SHAPE = np.tile(HOUR_SHAPE**1.6 / (HOUR_SHAPE**1.6).sum(), BLOCK_DAYS)
_TOGETHER = 32  # contracts whose blocks are drawn at once
_BLOCKS_KEPT = 3.25  # of each contract, on average
_MOTIONS_KEPT = 512

Peers = Callable[[str], Sequence[Contract]]
"""Contracts that are likely to be asked for next, after the one of this symbol."""


class _Coin(NamedTuple):
    """How a coin moves."""

    key: int
    beta: float
    gamma: float
    sector: int
    volatility: float


class SyntheticBars:
    """Hour bars of any contract at any time, and their minutes."""

    def __init__(self, seed: int, contracts: int, peers: Peers) -> None:
        """`contracts` sizes the cache of blocks; the first `peers` are drawn with a contract, as a matter of speed."""
        self._seed = seed
        self._market = derive("market", seed)
        self._peers = peers
        self._walks = Walks(_MOTIONS_KEPT)
        self._coins: dict[str, _Coin] = {}
        self._blocks: OrderedDict[tuple[str, int], TickBars] = OrderedDict()
        self._room = int(_BLOCKS_KEPT * contracts) + 8 * _TOGETHER

    def hours(self, contract: Contract, first: int, last: int) -> TickBars:
        """Hour bars [first, last) since the epoch, dense; lots 0 outside the contract's life."""
        blocks = _blocks_of(first, last)
        base = blocks[0] * BLOCK_HOURS + _ORIGIN_HOUR
        parts = [self._block(contract, block) for block in blocks]
        whole = parts[0] if len(parts) == 1 else TickBars(*(np.concatenate(c) for c in zip(*parts, strict=True)))
        return whole.take(slice(first - base, last - base))

    def minutes(self, contract: Contract, first: int, last: int) -> TickBars:
        """The minute bars of hours [first, last), 60 each, in a row."""
        bars = self.hours(contract, first, last)
        index = np.arange(first, last, dtype=np.int64)
        return split_bars(bars, index=index, parts=60, key=contract.key ^ _MINUTES, activity=contract.activity).flat()

    def minutes_of(self, contracts: Sequence[Contract], hour: int) -> TickBars:
        """The 60 minute bars of one hour of each contract, contract after contract."""
        self.prepare(contracts, hour, hour + 1)
        hours = [self.hours(contract, hour, hour + 1) for contract in contracts]
        bars = TickBars(*(np.concatenate(column) for column in zip(*hours, strict=True)))
        index = np.full(len(contracts), hour, dtype=np.int64)
        activity = figures_of(contracts, "activity")
        return split_bars(bars, index=index, parts=60, key=keys_of(contracts, _MINUTES), activity=activity).flat()

    def prepare(self, contracts: Sequence[Contract], first: int, last: int) -> None:
        """Draw what hours [first, last) of all these contracts need together."""
        for block in _blocks_of(first, last):
            missing = [contract for contract in contracts if (contract.symbol, block) not in self._blocks]
            for at in range(0, len(missing), _TOGETHER):
                self._keep(missing[at : at + _TOGETHER], block)

    def _block(self, contract: Contract, block: int) -> TickBars:
        key = (contract.symbol, block)
        if key in self._blocks:
            self._blocks.move_to_end(key)
        else:
            peers = [peer for peer in self._peers(contract.symbol) if (peer.symbol, block) not in self._blocks]
            self._keep([contract, *peers[: _TOGETHER - 1]], block)
        return self._blocks[key]

    def _keep(self, contracts: Sequence[Contract], block: int) -> None:
        drawn = self._drawn(contracts, block)
        for row, contract in enumerate(contracts):
            self._blocks[contract.symbol, block] = TickBars(*(column[row].copy() for column in drawn))
        while len(self._blocks) > self._room:
            self._blocks.popitem(last=False)

    def _coin(self, contract: Contract) -> _Coin:
        coin = self._coins.get(contract.symbol)
        if coin is None:
            coin = self._coins[contract.symbol] = self._new_coin(contract)
        return coin

    def _new_coin(self, contract: Contract) -> _Coin:
        key = derive("coin", self._seed, contract.base)
        stock = contract.asset_class == "STOCK"
        size = min(max((log10(9e8) - log10(contract.turnover)) / 3.0, 0.0), 1.0)
        return _Coin(
            key=key,
            beta=0.25 if stock else 0.75 + 0.75 * uniform_at(key, 2),
            gamma=0.3 + 1.0 * uniform_at(key, 3),
            sector=derive("sector", self._seed, contract.asset_class if stock else contract.sector or contract.base[0]),
            volatility=(0.006 + 0.036 * size) * (0.6 + 0.9 * uniform_at(key, 1)),
        )

    def _drawn(self, contracts: Sequence[Contract], block: int) -> TickBars:
        """The blocks of K contracts, (K, BLOCK_HOURS)."""
        coins = [self._coin(contract) for contract in contracts]
        market = self._walks.shared([self._market], _MARKET_VOL, block)
        sector = self._walks.shared([coin.sector for coin in coins], _SECTOR_VOL, block)
        own = self._walks.motions([coin.key for coin in coins], [coin.volatility for coin in coins], block)
        beta = np.array([coin.beta for coin in coins])[:, None, None]
        gamma = np.array([coin.gamma for coin in coins])[:, None, None]
        level = beta * market.level + gamma * sector.level + own.level
        sigma = np.sqrt((beta * market.volatility) ** 2 + (gamma * sector.volatility) ** 2 + own.volatility**2)
        return _bars(contracts, level, sigma, block * BLOCK_HOURS + np.arange(BLOCK_HOURS, dtype=np.int64))


def _blocks_of(first: int, last: int) -> range:
    """The blocks that hours [first, last) since the epoch lie in; raises `ConfigError` outside of the horizon."""
    blocks = range((first - _ORIGIN_HOUR) // BLOCK_HOURS, (last - 1 - _ORIGIN_HOUR) // BLOCK_HOURS + 1)
    if blocks[0] < 0 or blocks[-1] >= HORIZON_DAYS // BLOCK_DAYS - 2:
        raise ConfigError("the synthetic market tells of 2022 to 2033-03 only")
    return blocks


def _bars(contracts: Sequence[Contract], level: FloatArray, sigma: FloatArray, hours: IntArray) -> TickBars:
    """Hour bars of K contracts from their log levels and the volatility of each hour."""
    keys, tick = keys_of(contracts)[:, None], figures_of(contracts, "tick")[:, None]
    scale = figures_of(contracts, "price")[:, None, None] / tick[:, :, None]
    edges = np.rint(np.maximum(scale * np.exp(level), _LEAST_TICKS)).astype(np.int64)
    rows = len(contracts), len(hours)
    opens, closes = edges[:, :, :-1].reshape(rows), edges[:, :, 1:].reshape(rows)
    high, low = _reach(keys, hours, (opens, closes), sigma.reshape(rows))
    stir = (np.abs(np.diff(level, axis=2)) / sigma).reshape(rows)
    leaning, silence = uniform_pairs(keys ^ np.uint64(12), hours)
    lots = _lots(contracts, hours, (opens + closes) * (0.5 * tick), stir)
    lots = np.where(_silent(contracts, hours, silence), 0, lots)
    lean = (leaning - 0.5) * 0.1 * (high - low)
    quarter = np.asarray((opens + closes + high + low) * 0.25, dtype=np.float64)
    return with_value(TickBars(opens, high, low, closes, lots, lots), quarter + lean)


def _reach(
    keys: HashArray, hours: IntArray, ends: tuple[IntArray, IntArray], sigma: FloatArray
) -> tuple[IntArray, IntArray]:
    """High and low in ticks: the extremes of a Brownian bridge, drawn by inverting their distribution."""
    opens, closes = ends
    middle, width = (opens + closes) * 0.5, (closes - opens) * 0.5
    spread = (sigma * middle) ** 2 * 0.5
    above, below = uniform_pairs(keys ^ np.uint64(9), hours)
    up = np.sqrt(width**2 - spread * np.log(1.0 - above))
    down = np.sqrt(width**2 - spread * np.log(1.0 - below))
    high = np.maximum(np.rint(middle + up).astype(np.int64), np.maximum(opens, closes))
    low = np.minimum(np.rint(middle - down).astype(np.int64), np.minimum(opens, closes))
    return high, np.maximum(low, 1)


def _lots(contracts: Sequence[Contract], hours: IntArray, price: FloatArray, stir: FloatArray) -> IntArray:
    """Lots of each hour: the day's shape, busy and quiet spells, more when the price moves."""
    keys, turnover = keys_of(contracts)[:, None], figures_of(contracts, "turnover")[:, None]
    spell = (
        0.45 * np.repeat(normals(keys ^ np.uint64(13), hours[::96] // 96), 96, axis=1)
        + 0.35 * np.repeat(normals(keys ^ np.uint64(14), hours[::24] // 24), 24, axis=1)
        + 0.3 * normals(keys ^ np.uint64(15), hours)
    )
    usd = turnover * _VOLUME_SHAPE * np.exp(spell) * (0.55 + 0.5 * stir)
    inverse = figures_of(contracts, "inverse")[:, None] > 0
    lot = np.where(inverse, 1.0, price * figures_of(contracts, "multiplier")[:, None])
    return np.asarray(np.maximum(np.rint(usd / lot), _LEAST_LOTS), dtype=np.int64)


def _silent(contracts: Sequence[Contract], hours: IntArray, chance: FloatArray) -> BoolArray:
    """Hours without a trade: some on thin contracts, all outside of the contract's life."""
    silent = chance < _DEAD_HOURS * np.maximum(0.0, 1.0 - figures_of(contracts, "turnover")[:, None] / 3e5)
    since = (hours + _ORIGIN_HOUR) * HOUR_NS
    for row, contract in enumerate(contracts):
        if contract.listed > since[0]:
            silent[row] |= since < contract.listed
        if contract.delisted is not None and contract.delisted <= since[-1]:
            silent[row] |= since >= contract.delisted
    return np.asarray(silent, dtype=np.bool_)


def synthetic_market(*, seed: int, contracts: int, start: int) -> Market:
    """A seeded market of `contracts` contracts; a fresh venue begins at `start` (ns), nothing else hangs on it."""
    first, last = (ORIGIN_DAY + 90) * DAY_NS, (ORIGIN_DAY + HORIZON_DAYS - 64) * DAY_NS
    if not first <= start < last:
        raise ConfigError("sandbox start: the synthetic market runs from 2022-04 to 2033-02")
    if contracts < 1:
        raise ConfigError("sandbox contracts: at least 1")
    catalog = Catalog(seed, contracts)
    return BarMarket(
        name="synthetic",
        seed=seed,
        span=(start, None),
        roster=catalog,
        source=SyntheticBars(seed, contracts, catalog.following),
        funding=ModelFunding(),
    )
