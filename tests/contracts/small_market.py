"""A small market for contract tests: real messages into a real MarketCache, and the plain bars that they amount to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.market import (
    DAY_S,
    HOUR_S,
    Bars,
    ContractStats,
    Coverage,
    Depth,
    FundingHistory,
    Listing,
    MarkIndex,
    Ticker,
    Trade,
)
from zmart_stream.domain.settings import MarketSettings
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.contract_state import ContractState

Floats = NDArray[np.float64]

NS = 1_000_000_000
HOUR = 3600 * NS
DAY = 24 * HOUR
START = 1_750_000_000 * NS // DAY * DAY + 20 * HOUR
"""The first forming hour starts here: four hours before the end of a UTC day."""

OPEN, HIGH, LOW, CLOSE, LOTS, TURNOVER, BUY, SELL = range(8)


@dataclass
class History:
    """What one contract's bars amount to, from the first one its cache was given: shape (bars, 8 fields)."""

    hours: Floats
    days: Floats
    """Closed UTC days, then today's closed hours as the provisional last (flat when there are none)."""


class SmallMarket:
    """Contracts at price levels from 1e-8 to 1e5 with histories of 240 hours and 60 days, then trades hour by hour.

    `order` permutes the rows; what each contract does depends on its symbol and the seed alone. With `recorded`
    (symbol -> hour bars open, high, low, close, lots, turnover) the bars are those: the last `live` hours are traded.
    """

    def __init__(
        self,
        *,
        seed: int,
        contracts: int = 12,
        reverse: bool = False,
        recorded: dict[str, Floats] | None = None,
        live: int = 30,
    ) -> None:
        self.seed = seed
        self.recorded = recorded
        self.live = live
        self.symbols = sorted(recorded) if recorded else [f"C{i:03d}USDTM" for i in range(contracts)]
        self.cache = MarketCache(MarketSettings(), probe_usdt=10_000.0, sectors={})
        self.random = {s: np.random.default_rng([seed, i]) for i, s in enumerate(self.symbols)}
        self.step = 0
        self.sequence = 0
        self.prices: dict[str, float] = {}
        self.sigma: dict[str, float] = {}
        self.bars: dict[str, list[list[float]]] = {}
        self.early_days: dict[str, Floats] = {}
        self.forming: dict[str, list[float] | None] = {}
        for symbol in reversed(self.symbols) if reverse else self.symbols:
            self._list(symbol)
        for symbol in self.symbols:
            self._load(symbol)
        topics: tuple[Any, ...] = ("ticker", "execution")
        for topic in topics:
            self.cache.coverage(Coverage(ts=START, topic=topic, symbols=tuple(self.symbols), since=START - HOUR))
        self.quote(START + NS)

    @property
    def start(self) -> int:
        """Start of the forming hour, ns."""
        return START + self.step * HOUR

    @property
    def end(self) -> int:
        """End of the forming hour, ns."""
        return self.start + HOUR

    def state(self, symbol: str) -> ContractState:
        """The cache's state of a contract."""
        return self.cache.by_symbol[symbol]

    def _list(self, symbol: str) -> None:
        contract = Contract(
            symbol=symbol,
            base=symbol[:-5],
            quote="USDT",
            settle="USDT",
            root_symbol="USDT",
            kind="FFWCSX",
            multiplier=1.0,
            tick_size=1e-9,
            status="Open",
            listed_at=START - 100 * DAY,
            funding_interval_s=28800,
        )
        level = float(10.0 ** self.random[symbol].uniform(-8, 5))
        contract = type(contract)(
            **{**{f: getattr(contract, f) for f in contract.__struct_fields__}, "multiplier": 100.0 / level}
        )
        if self.recorded:
            contract = type(contract)(
                **{**{f: getattr(contract, f) for f in contract.__struct_fields__}, "multiplier": 1.0}
            )
        self.prices[symbol] = level
        self.sigma[symbol] = float(self.random[symbol].uniform(0.003, 0.02))
        self.cache.listing(Listing(ts=START, contract=contract, change="listed"))

    def _load(self, symbol: str) -> None:
        hours = self._past(symbol)
        first = START - len(hours) * HOUR
        skip = (DAY - first % DAY) % DAY // HOUR
        whole = (len(hours) - skip) // 24
        days = np.array([_merge(hours[skip + 24 * d : skip + 24 * d + 24]) for d in range(whole)])[-60:]
        today = START // DAY * DAY
        kept = hours[-240:]
        self.early_days[symbol] = days
        self.bars[symbol] = kept.tolist()
        self.forming[symbol] = None
        self.prices[symbol] = float(kept[-1, CLOSE])
        self._send(symbol, HOUR_S, START - len(kept) * HOUR, START, kept)
        self._send(symbol, DAY_S, today - len(days) * DAY, today, days)

    def _past(self, symbol: str) -> Floats:
        if self.recorded:
            bars = self.recorded[symbol][: -self.live]
            return np.column_stack([bars, np.full((len(bars), 2), np.nan)])
        random, count = self.random[symbol], 24 * 62 + 5
        moves = self.sigma[symbol] * random.standard_t(4, count) / np.sqrt(2.0)
        close = self.prices[symbol] * np.exp(np.cumsum(moves))
        open_ = np.concatenate([[self.prices[symbol]], close[:-1]])
        wick = np.abs(self.sigma[symbol] * random.standard_normal((2, count)))
        high, low = np.maximum(open_, close) * (1 + wick[0]), np.minimum(open_, close) / (1 + wick[1])
        lots = random.integers(1, 5000, count).astype(float)
        per_lot = self.state(symbol).multiplier
        unknown = np.full(count, np.nan)
        return np.column_stack([open_, high, low, close, lots, lots * per_lot * close, unknown, unknown])

    def _send(self, symbol: str, interval_s: int, since: int, until: int, bars: Floats) -> None:
        rows = tuple((since + i * interval_s * NS, *bar[:6]) for i, bar in enumerate(bars.tolist()))
        message: Any = rows
        self.cache.load(
            Bars(ts=START, symbol=symbol, interval_s=interval_s, since=since, until=until, as_of=START, rows=message)
        )

    # -- the market moves ------------------------------------------------------------------------------------------

    def trades(self) -> list[Trade]:
        """The forming hour's trades of all contracts, in time; now and then a contract has none."""
        out = [trade for symbol in self.symbols for trade in self._trades(symbol)]
        return sorted(out, key=lambda trade: (trade.ts, trade.symbol))

    def _trades(self, symbol: str) -> list[Trade]:
        random = self.random[symbol]
        if self.recorded:
            bar = self.recorded[symbol][len(self.recorded[symbol]) - self.live + self.step]
            prices, lots = bar[[OPEN, LOW, HIGH, CLOSE]].tolist(), [max(1, int(bar[LOTS] / 4))] * 4
        else:
            count = int(random.integers(0, 9)) if random.uniform() < 0.9 else 0
            moves = self.sigma[symbol] / 2.0 * random.standard_normal(count)
            prices = (self.prices[symbol] * np.exp(np.cumsum(moves))).tolist()
            lots = random.integers(1, 1000, count).tolist()
        times = np.sort(random.integers(1, 3_599_000, len(prices))).tolist()
        sides: tuple[Any, ...] = ("buy", "sell")
        return [
            self.trade(symbol, price, size, self.start + at * 1_000_000, sides[int(random.integers(0, 2))])
            for price, size, at in zip(prices, lots, times, strict=True)
        ]

    def trade(self, symbol: str, price: float, lots: int, ts: int, side: Any = "buy") -> Trade:
        """A trade; `play` sends it."""
        self.sequence += 1
        return Trade(ts=ts, ts_event=ts, symbol=symbol, sequence=self.sequence, price=price, lots=lots, side=side)

    def play(self, trade: Trade) -> ContractState | None:
        """Send one trade and add it to the plain bars."""
        symbol, price = trade.symbol, trade.price
        self.prices[symbol] = price
        bar = self.forming[symbol] or [price, price, price, price, 0.0, 0.0, 0.0, 0.0]
        bar[HIGH], bar[LOW], bar[CLOSE] = max(bar[HIGH], price), min(bar[LOW], price), price
        bar[LOTS] += trade.lots
        bar[TURNOVER] += trade.lots * self.state(symbol).multiplier * price
        bar[BUY if trade.side == "buy" else SELL] += trade.lots
        self.forming[symbol] = bar
        return self.cache.trade(trade)

    def quote(self, ts: int) -> None:
        """Tickers, depth, marks, a contracts poll and, at first, the funding history of every contract."""
        for symbol in self.symbols:
            random, price = self.random[symbol], self.prices[symbol]
            half = price * float(random.uniform(1e-4, 5e-4))
            bid, ask = price - half, price + half
            sizes = random.integers(10, 3000, 10).tolist()
            bids = tuple((bid * (1 - 1e-4 * i), int(sizes[i])) for i in range(5))
            asks = tuple((ask * (1 + 1e-4 * i), int(sizes[5 + i])) for i in range(5))
            index = price * float(random.normal(1.0, 3e-4))
            self.cache.ticker(
                Ticker(ts=ts, ts_event=ts, symbol=symbol, sequence=1, bid=bid, bid_lots=5, ask=ask, ask_lots=5)
            )
            self.cache.depth(
                Depth(ts=ts, ts_event=ts, symbol=symbol, sequence=1, bids=bids, asks=asks, source="stream")
            )
            self.cache.mark_index(MarkIndex(ts=ts, ts_event=ts, symbol=symbol, mark=price, index=index))
            self._poll(symbol, ts)
            if self.step == 0:
                past = tuple(
                    (START // (8 * HOUR) * 8 * HOUR - i * 8 * HOUR, float(random.normal(1e-4, 1e-4))) for i in range(20)
                )
                self.cache.funding_history(FundingHistory(ts=ts, symbol=symbol, settlements=past[::-1]))

    def _poll(self, symbol: str, ts: int) -> None:
        self.cache.stats(
            ContractStats(
                ts=ts,
                ts_event=ts,
                symbol=symbol,
                status="Open",
                open_interest=float(self.random[symbol].integers(1000, 100_000)),
                turnover_24h=1e8,
                volume_24h=1e6,
                last_price=self.prices[symbol],
                mark=None,
                index=None,
                multiplier=self.state(symbol).multiplier,
            )
        )

    def close(self) -> None:
        """The forming hour ends: in the cache and in the plain bars."""
        self.cache.close_hour(self.end + 1_500_000_000)
        for symbol in self.symbols:
            last = self.bars[symbol][-1][CLOSE]
            self.bars[symbol].append(self.forming[symbol] or [last, last, last, last, 0.0, 0.0, 0.0, 0.0])
            self.forming[symbol] = None
        self.step += 1

    def history(self, symbol: str) -> History:
        """All bars since the first that the cache was given; a day that just ended counts as provisional still."""
        hours = np.array(self.bars[symbol])
        today = START // DAY * DAY - (START - len(self.bars[symbol][: -self.step or None]) * HOUR)
        later = hours[today // HOUR :]
        days = list(self.early_days[symbol])
        days += [_merge(later[i : i + 24]) for i in range(0, len(later), 24)]
        if len(later) == 0:
            days.append(_merge(hours[-1:]) * np.array([1, 1, 1, 1, 0, 0, 0, 0]))
        return History(hours=hours, days=np.array(days))


def _merge(hours: Floats) -> Floats:
    """One bar from several: open, high, low of those that traded."""
    traded = hours[hours[:, LOTS] > 0]
    prices = traded if len(traded) else hours[-1:]
    return np.array(
        [
            prices[0, OPEN],
            prices[:, HIGH].max(),
            prices[:, LOW].min(),
            hours[-1, CLOSE],
            hours[:, LOTS].sum(),
            hours[:, TURNOVER].sum(),
            hours[:, BUY].sum(),
            hours[:, SELL].sum(),
        ]
    )
