"""The payload of every public topic, as bytes (protocol §3): exact keys, types and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from zmart_stream.sandbox.level2 import Change
from zmart_stream.sandbox.market import Print, Quotes
from zmart_stream.sandbox.numerals import decimals_of, price_text

CONTRACT_MARKET = "/contractMarket/"
INSTRUMENT = "/contract/instrument"
ANNOUNCEMENT = "/contract/announcement"

CANDLE_MINUTES = {
    "1min": 1,
    "3min": 3,
    "5min": 5,
    "15min": 15,
    "30min": 30,
    "1hour": 60,
    "2hour": 120,
    "4hour": 240,
    "8hour": 480,
    "12hour": 720,
    "1day": 1440,
    "1week": 10080,
    "1month": 43200,
}
"""Minutes of a candle type; a month is a calendar month, its figure stands for the key only."""

PER_SYMBOL = ("tickerV2", "ticker", "level2", "level2Depth5", "level2Depth50", "execution", "snapshot", "limitCandle")
PRIVATE = ("/contractMarket/tradeOrders", "/contractMarket/advancedOrders", "/contractAccount/", "/contract/position")

_MS = 1_000_000


class Wording:
    """The frames of one symbol's topics; prices are written on the symbol's tick."""

    __slots__ = ("_change", "_depth", "_execution", "_ticker", "_ticker_v2", "decimals", "name", "symbol")

    def __init__(self, symbol: str, tick: float) -> None:
        """Prepare the parts that never change."""
        name = symbol.encode()
        self.symbol = symbol
        self.name = name
        self.decimals = decimals_of(tick)
        head = b'{"topic":"/contractMarket/'
        self._ticker_v2 = (
            head + b"tickerV2:" + name + b'","type":"message","subject":"tickerV2","sn":%d,"data":{"symbol":"' + name
            + b'","sequence":%d,"bestBidSize":%d,"bestBidPrice":"%b","bestAskPrice":"%b","bestAskSize":%d,"ts":%d}}'
        )  # fmt: skip
        self._ticker = (
            head + b"ticker:" + name + b'","type":"message","subject":"ticker","sn":%d,"data":{"symbol":"' + name
            + b'","sequence":%d,"side":"%b","size":%d,"price":"%b","bestBidSize":%d,"bestBidPrice":"%b",'
            b'"bestAskPrice":"%b","tradeId":"%d","bestAskSize":%d,"ts":%d}}'
        )  # fmt: skip
        self._execution = (
            head + b"execution:" + name + b'","type":"message","subject":"match","sn":%d,"data":{"symbol":"' + name
            + b'","sequence":%d,"side":"%b","size":%d,"price":"%b","takerOrderId":"%d","makerOrderId":"%d",'
            b'"tradeId":"%d","ts":%d}}'
        )  # fmt: skip
        self._change = (
            head + b"level2:" + name + b'","type":"message","subject":"level2","sn":%d,"data":{"sequence":%d,'
            b'"change":"%b,%b,%d","timestamp":%d}}'
        )  # fmt: skip
        self._depth = (
            head + b"level2Depth%d:" + name + b'","type":"message","subject":"level2","sn":%d,"data":{"bids":%b,'
            b'"sequence":%d,"timestamp":%d,"ts":%d,"asks":%b}}'
        )  # fmt: skip

    def price(self, price: float) -> bytes:
        """A price as the socket writes it."""
        return price_text(price, self.decimals)

    def touch(self, quotes: Quotes) -> tuple[int, bytes, bytes, int]:
        """(bid lots, bid price, ask price, ask lots); an empty side is price 0, size 0."""
        bid, bid_lots = quotes.bids[0] if quotes.bids else (0.0, 0)
        ask, ask_lots = quotes.asks[0] if quotes.asks else (0.0, 0)
        return bid_lots, price_text(bid, self.decimals), price_text(ask, self.decimals), ask_lots

    def ticker_v2(self, sequence: int, touch: tuple[int, bytes, bytes, int], ts: int) -> bytes:
        """tickerV2 at a book sequence; `ts` ns is cut to ms."""
        return self._ticker_v2 % (sequence, sequence, *touch, ts - ts % _MS)

    def ticker(self, trade: Print, touch: tuple[int, bytes, bytes, int]) -> bytes:
        """ticker (v1) of a match; its sequence is the trade's."""
        number = trade.sequence
        bid_lots, bid, ask, ask_lots = touch
        side, price = trade.side.encode(), self.price(trade.price)
        return self._ticker % (number, number, side, trade.lots, price, bid_lots, bid, ask, number, ask_lots, trade.ts)

    def execution(self, trade: Print) -> bytes:
        """One match; matches of one taker order share its id and ts."""
        number = trade.sequence
        taker, maker = order_ids(trade)
        side, price = trade.side.encode(), self.price(trade.price)
        return self._execution % (number, number, side, trade.lots, price, taker, maker, number, trade.ts)

    def change(self, change: Change, ts: int) -> bytes:
        """One changed level; `ts` ns is sent as ms."""
        side, price = change.side.encode(), self.price(change.price)
        return self._change % (change.sequence, change.sequence, price, side, change.lots, ts // _MS)

    def depth(self, levels: int, quotes: Quotes, sequence: int, ts: int) -> bytes:
        """level2Depth5 or level2Depth50, with string prices; `ts` ns is sent as ms."""
        moment = ts // _MS
        bids, asks = self._rows(quotes.bids), self._rows(quotes.asks)
        return self._depth % (levels, moment, bids, sequence, moment, moment, asks)

    def _rows(self, rows: Sequence[tuple[float, int]]) -> bytes:
        decimals = self.decimals
        return b"[" + b",".join(b'["%b",%d]' % (price_text(price, decimals), lots) for price, lots in rows) + b"]"


def order_ids(trade: Print) -> tuple[int, int]:
    """(taker, maker) order ids of 18 digits; the taker's is the same for all its matches."""
    return 490_000_000_000_000_000 + trade.ts // _MS, 480_000_000_000_000_000 + trade.sequence


def candle(symbol: str, kind: str, row: Sequence[float], decimals: int, *, time_ms: int, lots_first: bool) -> bytes:
    """limitCandle: strings in the order start s, open, close, high, low, turnover, lots.

    `row` is (start ms, open, high, low, close, lots, turnover); `lots_first` writes lots as a float in column 5, as
    records of 2024 do.
    """
    start, open_, high, low, close, lots, turnover = row
    prices = [price_text(value, decimals).decode() for value in (open_, close, high, low)]
    fifth = f"{lots:.1f}" if lots_first else price_text(turnover, 8).decode()
    candles = [str(int(start) // 1000), *prices, fifth, str(int(lots))]
    return msgspec.json.encode(
        {
            "topic": f"/contractMarket/limitCandle:{symbol}_{kind}",
            "type": "message",
            "data": {"symbol": symbol, "candles": candles, "time": time_ms},
            "subject": "candle.stick",
        }
    )


def push(topic: str, subject: str, data: dict[str, Any]) -> bytes:
    """A push without `sn`: instrument, announcement, snapshot."""
    return msgspec.json.encode({"topic": topic, "type": "message", "subject": subject, "data": data})


def plain(value: float, decimals: int = 10) -> msgspec.Raw:
    """A JSON number in plain decimals, never with an exponent."""
    return msgspec.Raw(price_text(value, decimals) if value else b"0")


def mark_index(symbol: str, mark: float, index: float, now: int) -> bytes:
    """instrument, subject mark.index.price, aligned to the second."""
    ms = now // _MS
    data = {"markPrice": plain(mark), "indexPrice": plain(index), "granularity": 1000, "timestamp": ms - ms % 1000}
    return push(f"{INSTRUMENT}:{symbol}", "mark.index.price", data)


def funding_estimate(symbol: str, rate: float, now: int) -> bytes:
    """instrument, subject funding.rate: the minute estimate, aligned to the minute."""
    ms = now // _MS
    data = {"period": 1, "granularity": 60000, "fundingRate": plain(rate), "timestamp": ms - ms % 60000}
    return push(f"{INSTRUMENT}:{symbol}", "funding.rate", data)


def funding_settled(symbol: str, rate: float, granularity_ms: int, time_ms: int) -> bytes:
    """instrument, subject funding.rate: the settled rate."""
    data = {"granularity": granularity_ms, "fundingRate": plain(rate), "timestamp": time_ms}
    return push(f"{INSTRUMENT}:{symbol}", "funding.rate", data)


def announcement(subject: str, symbol: str, rate: float, *, funding_ms: int, time_ms: int) -> bytes:
    """announcement: funding.begin or funding.end of one contract."""
    data = {"symbol": symbol, "fundingTime": funding_ms, "fundingRate": plain(rate), "timestamp": time_ms}
    return push(ANNOUNCEMENT, subject, data)
