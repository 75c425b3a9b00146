"""A market to put messages into, and series of bars at every price level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.market import Bars, ContractStats, Coverage, Listing, Side, Ticker, Topic, Trade
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import MarketSettings
from zmart_stream.market.bars import DAY, HOUR, NS, FloatArray
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.contract_state import ContractState

START = 1_700_000_000 * NS // DAY * DAY  # a UTC midnight
LEVELS = (1e-8, 3e-5, 0.02, 1.0, 137.0, 6.4e4, 1e5)


def contract(symbol: str, **changes: Any) -> Contract:
    facts: dict[str, Any] = {
        "symbol": symbol,
        "base": symbol.removesuffix("USDTM"),
        "quote": "USDT",
        "settle": "USDT",
        "root_symbol": "USDT",
        "kind": "FFWCSX",
        "multiplier": 0.01,
        "tick_size": 0.1,
        "status": "Open",
        "listed_at": START - 100 * DAY,
        "funding_interval_s": 28800,
    }
    return Contract(**(facts | changes))


def candles(rng: np.random.Generator, level: float, count: int) -> FloatArray:
    """Open, high, low, close, lots of a random walk around `level`: shape (5, count)."""
    close = level * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    open_ = np.concatenate(([level], close[:-1]))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.005, count)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.005, count)))
    return np.stack([open_, high, low, close, rng.integers(1, 10_000, count).astype(float)])


def recorded_hours(shared_data: Path) -> dict[str, FloatArray]:
    """Recorded perpetuals as hour bars, (5, count) each."""
    table = pq.read_table(shared_data / "binance_perp_1m" / "ohlcv_1m.parquet").to_pandas()
    out = {}
    for symbol, rows in table.sort_values("ts_ms").groupby("symbol", observed=True):
        minutes = rows[["open", "high", "low", "close", "volume"]].to_numpy()
        whole = minutes[: len(minutes) // 60 * 60].reshape(-1, 60, 5)
        bars = (whole[:, 0, 0], whole[:, :, 1].max(1), whole[:, :, 2].min(1), whole[:, -1, 3], whole[:, :, 4].sum(1))
        out[str(symbol)] = np.stack(bars)
    return out


def klines(symbol: str, bars: FloatArray, since: int, *, interval_s: int = 3600, as_of: int = 0) -> Bars:
    """REST history of `bars` (5, count) from `since` on; columns that are all nan are omitted intervals."""
    interval = interval_s * NS
    until = since + bars.shape[1] * interval
    rows = tuple(
        (since + k * interval, *bar, float("nan")) for k, bar in enumerate(bars.T.tolist()) if bar[3] == bar[3]
    )
    as_of = as_of or until
    return Bars(ts=as_of, symbol=symbol, interval_s=interval_s, since=since, until=until, as_of=as_of, rows=rows)


def row_of_poll(symbol: str, ts: int, **changes: Any) -> ContractStats:
    facts: dict[str, Any] = {
        "ts": ts,
        "ts_event": ts,
        "symbol": symbol,
        "status": "Open",
        "open_interest": None,
        "turnover_24h": 5e6,
        "volume_24h": 1e4,
        "last_price": 100.0,
        "mark": None,
        "index": None,
        "multiplier": 0.01,
    }
    return ContractStats(**(facts | changes))


class AMarket:
    """A cache with contracts, covered from `START` on, and short words to move it."""

    def __init__(self, *symbols: str, covered: bool = True, settings: MarketSettings | None = None) -> None:
        self.symbols = symbols or ("AUSDTM", "BUSDTM")
        self.cache = MarketCache(settings or MarketSettings(), probe_usdt=10_000.0, sectors={})
        for symbol in self.symbols:
            self.cache.listing(Listing(ts=START, contract=contract(symbol), change="listed"))
        if covered:
            self.cover(START, START)

    def __getitem__(self, symbol: str) -> ContractState:
        return self.cache.by_symbol[symbol]

    def cover(self, since: int | None, ts: int, topics: tuple[Topic, ...] = ("ticker", "execution")) -> None:
        for topic in topics:
            self.cache.coverage(Coverage(ts=ts, topic=topic, symbols=self.symbols, since=since))

    def trade(
        self, symbol: str, at: int, price: float, lots: int = 1, side: Side = "buy", ts: int = 0
    ) -> ContractState | None:
        return self.cache.trade(
            Trade(ts=ts or at, ts_event=at, symbol=symbol, sequence=0, price=price, lots=lots, side=side)
        )

    def ticker(self, symbol: str, at: int, bid: float, ask: float) -> ContractState | None:
        return self.cache.ticker(
            Ticker(ts=at, ts_event=at, symbol=symbol, sequence=0, bid=bid, bid_lots=1, ask=ask, ask_lots=1)
        )

    def close(self) -> list[Message]:
        return self.cache.close_hour(self.cache.hour_start + HOUR + NS)

    def walk(self, rng: np.random.Generator, hours: int, levels: dict[str, float]) -> None:
        """`hours` closes of every symbol, a few trades in most of its hours."""
        prices = dict(levels)
        for _ in range(hours):
            for symbol in self.symbols:
                for k in range(int(rng.integers(0, 5))):
                    prices[symbol] *= float(np.exp(rng.normal(0, 0.01)))
                    at = self.cache.hour_start + (k + 1) * 600 * NS
                    side: Side = "buy" if rng.random() < 0.5 else "sell"
                    self.trade(symbol, at, prices[symbol], int(rng.integers(1, 50)), side)
            self.close()
