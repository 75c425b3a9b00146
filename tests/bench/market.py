"""A market of 700 contracts as the venue tells of it: contract rows, history, books, and frames encoded beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from zmart_stream.sandbox.catalog import Catalog
from zmart_stream.sandbox.contracts import Contract, contract_row

Kind = Literal["ticker", "execution", "depth", "mark"]

MS = 1_000_000
HOUR = 3_600_000 * MS
DAY = 24 * HOUR
EPOCH = 20_514 * DAY + 9 * HOUR + 31 * 60_000 * MS
"""Venue time at which the sender starts: far from every close, so that a close falls only where it is wanted."""

HOURS, DAYS = 300, 80  # of history before EPOCH
MIX: dict[Kind, float] = {"ticker": 0.70, "execution": 0.25, "depth": 0.025, "mark": 0.025}
SEQUENCE = 1_748_200_000_000
"""Before the first frame; 13 digits, so that every frame of a template has one length."""

STEP = 1.5e-4
"""Standard deviation of a contract's move between two of its frames: a lively market, so that scores move, too."""

_GRAIN = 1000


class Template(NamedTuple):
    """A frame but for its sequence and time."""

    kind: Kind
    contract: int
    body: bytes

    def frame(self, sequence: int, ts: int) -> bytes:
        """The whole frame with `sequence` at venue time `ts` (ns)."""
        ms = ts // MS
        if self.kind == "depth":
            return self.body % (ms, sequence, ms, ms)
        return self.body % ms if self.kind == "mark" else self.body % (sequence, sequence, ts)


class Market:
    """Seeded; everything the venue says is a function of it and of venue time."""

    def __init__(self, contracts: int = 700, seed: int = 7) -> None:
        catalog = Catalog(seed, contracts + 150)
        listed = (catalog.contract(symbol) for symbol in catalog.alive(EPOCH))
        self.contracts = [c for c in listed if _followed(c)][:contracts]
        assert len(self.contracts) == contracts
        self.symbols = [c.symbol for c in self.contracts]
        self.index = {symbol: n for n, symbol in enumerate(self.symbols)}
        self._rng = np.random.default_rng(seed)
        self._hours = self._walk(HOURS, 0.006)
        self._days = self._walk(DAYS, 0.03)

    def _walk(self, bars: int, deviation: float) -> np.ndarray:
        """Closes by contract, oldest first; the last is the typical price."""
        spread = np.exp(self._rng.normal(0.0, 0.4, (len(self.contracts), 1)))
        moves = self._rng.normal(0.0, deviation, (len(self.contracts), bars)) * spread
        still_to_come = np.cumsum(moves[:, ::-1], axis=1)[:, ::-1] - moves
        price = np.array([c.price for c in self.contracts]).reshape(-1, 1)
        return price * np.exp(-still_to_come)

    # -- REST

    def row(self, n: int, now: int) -> dict[str, Any]:
        """The `contracts/active` row at venue time `now` (ns)."""
        c = self.contracts[n]
        turnover = c.turnover * (1.0 + 0.1 * np.sin(now / HOUR + n))
        following = (now // (c.interval_ms * MS) + 1) * c.interval_ms
        moving = {
            "fundingFeeRate": 1e-4 * np.sin(n),
            "fundingRateGranularity": c.interval_ms,
            "currentFundingRateGranularity": c.interval_ms,
            "nextFundingRateDateTime": following,
            "nextFundingRateTime": following - now // MS,
            "openInterest": str(int(c.turnover / 5 / c.lot_usd * (1.0 + 0.02 * np.cos(now / HOUR + n)))),
            "volumeOf24h": turnover / c.price,
            "turnoverOf24h": turnover,
            "markPrice": c.price * 1.0001,
            "indexPrice": c.price,
            "lastTradePrice": c.price,
            "lowPrice": c.price * 0.97,
            "highPrice": c.price * 1.03,
            "priceChg": c.price * 0.01,
            "priceChgPct": 0.01,
        }
        return contract_row(c, now, {name: _plain(value) for name, value in moving.items()})

    def rows(self, now: int) -> bytes:
        """The data of a `contracts/active` reply."""
        return msgspec.json.encode([self.row(n, now) for n in range(len(self.contracts))])

    def klines(self, n: int, interval: int, since: int, until: int) -> list[list[float]]:
        """Kline rows with start in [since, until], times in ns, the running candle included."""
        c, closes = self.contracts[n], (self._hours if interval == HOUR else self._days)[n]
        newest, found = EPOCH // interval * interval, []
        for k in range(1, len(closes)):
            start = newest - (len(closes) - 1 - k) * interval
            if since <= start <= until:
                first, last = float(closes[k - 1]), float(closes[k])
                lots = max(1.0, round(c.turnover / c.lot_usd * interval / DAY * (0.5 + (n * 31 + k * 17) % 97 / 97)))
                high, low = max(first, last) * 1.002, min(first, last) * 0.998
                found.append([start // MS, first, high, low, last, lots, lots * c.multiplier * last])
        return found

    def settlements(self, n: int, since: int, until: int) -> list[dict[str, Any]]:
        """Funding history in [since, until] (ns), newest first."""
        c = self.contracts[n]
        step = c.interval_ms * MS
        times = range(until // step * step, since, -step)
        return [
            {"symbol": c.symbol, "timepoint": at // MS, "fundingRate": 1e-4 * float(np.sin(n + at / DAY))}
            for at in times
        ]

    def book(self, n: int, now: int, sequence: int) -> dict[str, Any]:
        """A REST book of 20 levels a side, at the newest `sequence` sent."""
        bids, asks = self._levels(n, round(self.contracts[n].price / self.contracts[n].tick), 20)
        return {"sequence": sequence, "symbol": self.symbols[n], "bids": bids, "asks": asks, "ts": now}

    def _levels(self, n: int, ticks: int, count: int) -> tuple[list[list[Any]], list[list[Any]]]:
        c = self.contracts[n]
        half, gap, lots = _half_spread(c), c.level_gap, max(1, round(c.level_lots))
        bids = [[_text(c, ticks - half - k * gap), lots * (k + 1)] for k in range(count)]
        asks = [[_text(c, ticks + half + k * gap), lots * (k + 1)] for k in range(count)]
        return bids, asks

    # -- frames

    def tickers(self, rounds: int) -> list[Template]:
        """`rounds` tickers of every contract, in a new random order each round."""
        return [self._ticker(n, ticks) for n, ticks in self._prices(rounds)]

    def trades(self, rounds: int) -> list[Template]:
        """`rounds` trades of every contract, likewise."""
        return [self._trade(n, ticks) for n, ticks in self._prices(rounds)]

    def depths(self, chosen: list[int], rounds: int) -> list[Template]:
        """`rounds` depths of the contracts in `chosen`, in turn."""
        return [self._depth(n, ticks) for n, ticks in self._prices(rounds, chosen)]

    def marks(self, chosen: list[int], rounds: int) -> list[Template]:
        """`rounds` mark and index prices of the contracts in `chosen`, in turn."""
        return [self._mark(n, ticks) for n, ticks in self._prices(rounds, chosen)]

    def tape(self, tier: list[int], *, rounds: int = 60, crowded: bool = False) -> Iterator[Template]:
        """Templates without end, in the proportions of MIX; depth and mark for the contracts in `tier`.

        Tickers and trades go round all contracts evenly, or, `crowded`, come as often as a contract turns over.
        """
        turn = self._crowded if crowded else cycle
        kinds: dict[Kind, Iterator[Template]] = {
            "ticker": turn(self.tickers(rounds)),
            "execution": turn(self.trades(rounds)),
            "depth": cycle(self.depths(tier, rounds)),
            "mark": cycle(self.marks(tier, rounds)),
        }
        order: list[Kind] = [kind for kind, share in MIX.items() for _ in range(round(share * _GRAIN))]
        shuffled = [order[k] for turn in range(20) for k in self._rng.permutation(len(order))]
        return (next(kinds[kind]) for kind in cycle(shuffled))

    def _crowded(self, templates: list[Template]) -> Iterator[Template]:
        """Each contract's templates in their order, a contract as often as its share of the turnover."""
        turnover = np.array([c.turnover for c in self.contracts])
        picks = self._rng.choice(len(self.contracts), size=1 << 16, p=turnover / turnover.sum()).tolist()
        own: dict[int, list[Template]] = {}
        for template in templates:
            own.setdefault(template.contract, []).append(template)
        turns = {n: cycle(each) for n, each in own.items()}
        return (next(turns[n]) for n in cycle(picks))

    def _prices(self, rounds: int, chosen: list[int] | None = None) -> Iterator[tuple[int, int]]:
        """(contract, mid in ticks), a random walk from the typical price that leads back to it."""
        each = list(range(len(self.contracts))) if chosen is None else chosen
        walk = np.cumsum(self._rng.normal(0.0, STEP, (rounds, len(each))), axis=0)
        walk -= walk[-1] * np.linspace(0.0, 1.0, rounds).reshape(-1, 1)
        price = np.array([self.contracts[n].price / self.contracts[n].tick for n in each])
        ticks = np.rint(price * np.exp(walk)).astype(np.int64).tolist()
        for row in ticks:
            order = self._rng.permutation(len(each)).tolist() if chosen is None else range(len(each))
            for place in order:
                yield each[place], row[place]

    def _ticker(self, n: int, ticks: int) -> Template:
        c, half = self.contracts[n], _half_spread(self.contracts[n])
        bid, ask, lots = _text(c, ticks - half), _text(c, ticks + half), self._lots(c)
        text = (
            f'{{"topic":"/contractMarket/tickerV2:{c.symbol}","type":"message","subject":"tickerV2","sn":%d,"data":'
            f'{{"symbol":"{c.symbol}","sequence":%d,"bestBidSize":{lots},"bestBidPrice":"{bid}","bestAskPrice":"{ask}",'
            f'"bestAskSize":{lots + 7},"ts":%d}}}}'
        )
        return Template("ticker", n, text.encode())

    def _trade(self, n: int, ticks: int) -> Template:
        c = self.contracts[n]
        is_buy = bool(self._rng.random() < 0.5)
        price = _text(c, ticks + (1 if is_buy else -1) * _half_spread(c))
        text = (
            f'{{"topic":"/contractMarket/execution:{c.symbol}","type":"message","subject":"match","sn":%d,"data":'
            f'{{"symbol":"{c.symbol}","sequence":%d,"side":"{"buy" if is_buy else "sell"}","size":{self._lots(c)},'
            f'"price":"{price}","takerOrderId":"497000000000000011","makerOrderId":"497000000000000007",'
            f'"tradeId":"1945800000456","ts":%d}}}}'
        )
        return Template("execution", n, text.encode())

    def _depth(self, n: int, ticks: int) -> Template:
        bids, asks = (msgspec.json.encode(side).decode() for side in self._levels(n, ticks, 5))
        text = (
            f'{{"topic":"/contractMarket/level2Depth5:{self.symbols[n]}","type":"message","subject":"level2","sn":%d,'
            f'"data":{{"bids":{bids},"sequence":%d,"timestamp":%d,"ts":%d,"asks":{asks}}}}}'
        )
        return Template("depth", n, text.encode())

    def _mark(self, n: int, ticks: int) -> Template:
        price = self.contracts[n].price_of(ticks)
        text = (
            f'{{"topic":"/contract/instrument:{self.symbols[n]}","type":"message","subject":"mark.index.price","data":'
            f'{{"markPrice":{price * 1.0001},"indexPrice":{price},"granularity":1000,"timestamp":%d}}}}'
        )
        return Template("mark", n, text.encode())

    def _lots(self, c: Contract) -> int:
        return max(1, round(c.level_lots * float(self._rng.random())))


def _followed(c: Contract) -> bool:
    return (
        c.quote == "USDT"
        and c.market_type == "CRYPTO"
        and c.stage == "NORMAL"
        and not c.dated
        and not c.inverse
        and c.delisted is None
    )


def _half_spread(c: Contract) -> int:
    return max(1, round(c.spread_bps * 0.5e-4 * c.price / c.tick))


def _text(c: Contract, ticks: int) -> str:
    """A price as the venue writes it: no trailing zeros."""
    text = f"{c.price_of(ticks):.{c.digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
