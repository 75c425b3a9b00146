"""A synthetic session: listings, history, coverage, ticks, polls, depth, over hours, seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import exp

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.market import (
    DAY_S,
    HOUR_S,
    BarRow,
    Bars,
    ContractStats,
    Coverage,
    Depth,
    FundingHistory,
    Listing,
    MarkIndex,
    Tick,
    Ticker,
    Trade,
    WarmUp,
)
from zmart_stream.domain.message import Message

NS = 1_000_000_000
HOUR = 3600 * NS
DAY = 24 * HOUR
T0 = 20_500 * DAY + 9 * HOUR + 20 * 60 * NS
SECTORS = ("L1", "DeFi", "AI", None)


def contract(n: int) -> Contract:
    return Contract(
        symbol=f"C{n:02d}USDTM",
        base=f"C{n:02d}",
        quote="USDT",
        settle="USDT",
        root_symbol="USDT",
        kind="FFWCSX",
        multiplier=0.1,
        tick_size=0.01,
        status="Open",
        listed_at=T0 - 400 * DAY,
        funding_interval_s=28800,
        sector=SECTORS[n % len(SECTORS)],
    )


class Session:
    """Prices of `count` contracts and the messages that tell of them."""

    def __init__(self, seed: int, count: int = 16) -> None:
        self.random = random.Random(seed)
        self.contracts = [contract(n) for n in range(count)]
        self.price = [10.0 * (n + 1) for n in range(count)]
        self.traded = list(self.price)
        self.sequence = 0

    def bars(self, n: int, interval_s: int, ts: int, count: int) -> Bars:
        step = interval_s * NS
        end = ts // step * step
        price, rows = self.price[n], list[BarRow]()
        for k in range(count):
            before = price * exp(-self.random.gauss(0.0002, 0.004 * (1 + n / 8) * (interval_s / HOUR_S) ** 0.5))
            high, low = max(price, before) * 1.001, min(price, before) * 0.999
            lots = self.random.randint(1000, 9000)
            rows.append((end - (k + 1) * step, before, high, low, price, float(lots), lots * 0.1 * price))
            price = before
        symbol = self.contracts[n].symbol
        since = end - count * step
        return Bars(
            ts=ts, symbol=symbol, interval_s=interval_s, since=since, until=end, as_of=ts, rows=tuple(reversed(rows))
        )

    def stats(self, n: int, ts: int) -> ContractStats:
        return ContractStats(
            ts=ts,
            ts_event=ts,
            symbol=self.contracts[n].symbol,
            status="Open",
            open_interest=float(self.random.randint(10_000, 20_000)),
            turnover_24h=5e6 * (n + 1),
            volume_24h=None,
            last_price=self.traded[n],
            mark=self.price[n] * 1.0001,
            index=self.price[n],
            multiplier=0.1,
        )

    def start(self, ts: int = T0) -> Iterator[Message]:
        """Listings, a first poll, coverage, warm-up with history and funding."""
        symbols = tuple(c.symbol for c in self.contracts)
        count = len(symbols)
        for c in self.contracts:
            yield Listing(ts=ts, contract=c, change="listed")
        for n in range(count):
            yield self.stats(n, ts)
        yield Coverage(ts=ts, topic="ticker", symbols=symbols, since=ts)
        yield Coverage(ts=ts, topic="execution", symbols=symbols, since=ts)
        for n in range(count):
            ts += NS // 10
            yield self.bars(n, DAY_S, ts, 60)
            yield self.bars(n, HOUR_S, ts, 240)
            settled = tuple((ts // (8 * HOUR) * 8 * HOUR - k * 8 * HOUR, 1e-4 * (n - 5)) for k in range(12, 0, -1))
            yield FundingHistory(ts=ts, symbol=symbols[n], settlements=settled)
            yield self.ticker(n, ts)
            yield self.depth(n, ts)
            yield WarmUp(ts=ts, done=n + 1, of=count)
        yield WarmUp(ts=ts + NS, done=count, of=count, ended=True)

    def ticker(self, n: int, ts: int) -> Ticker:
        self.sequence += 1
        price, half = self.price[n], 0.0001 + 0.00002 * n
        return Ticker(
            ts=ts,
            ts_event=ts,
            symbol=self.contracts[n].symbol,
            sequence=self.sequence,
            bid=price * (1 - half),
            bid_lots=50,
            ask=price * (1 + half),
            ask_lots=70,
        )

    def depth(self, n: int, ts: int) -> Depth:
        price = self.price[n]
        levels = range(1, 6)
        return Depth(
            ts=ts,
            ts_event=ts,
            symbol=self.contracts[n].symbol,
            sequence=None,
            bids=tuple((price * (1 - 0.0002 * k), 400 * k * (n + 1)) for k in levels),
            asks=tuple((price * (1 + 0.0002 * k), 500 * k * (n + 1)) for k in levels),
            source="rest",
        )

    def run(self, since: int, until: int, step: int = 3 * NS) -> Iterator[Message]:
        """Ticks from `since` to `until`: mostly tickers and trades, some polls, marks and depth."""
        ts = since
        while (ts := ts + self.random.randint(1, 2 * step)) < until:
            n = self.random.randrange(len(self.contracts))
            self.price[n] *= exp(self.random.gauss(0.00002 * (n - 6), 0.0012))
            kind = self.random.random()
            if kind < 0.45:
                yield self.ticker(n, ts)
            elif kind < 0.8:
                self.sequence += 1
                self.traded[n] = self.price[n]
                yield Trade(
                    ts=ts,
                    ts_event=ts - NS // 20,
                    symbol=self.contracts[n].symbol,
                    sequence=self.sequence,
                    price=self.price[n],
                    lots=self.random.randint(1, 500),
                    side="buy" if self.random.random() < 0.5 else "sell",
                )
            elif kind < 0.85:
                for each in range(len(self.contracts)):
                    yield self.stats(each, ts)
            elif kind < 0.9:
                price = self.price[n]
                yield MarkIndex(ts=ts, ts_event=ts, symbol=self.contracts[n].symbol, mark=price * 1.0002, index=price)
            elif kind < 0.97:
                yield self.depth(n, ts)
            else:
                yield Tick(ts=ts)
