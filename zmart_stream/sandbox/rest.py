"""The REST endpoints that show the present: contracts, tickers, books, trades, mark prices, tokens, status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from zmart_stream.sandbox import envelope
from zmart_stream.sandbox.market import Print, Quotes
from zmart_stream.sandbox.numerals import decimals_of, java_values, price_text
from zmart_stream.sandbox.tokens import Tokens
from zmart_stream.sandbox.topics import order_ids
from zmart_stream.sandbox.venue import Venue

Handler = Callable[[web.Request], Awaitable[web.Response]]

_MS = 1_000_000
_CHUNK = 8  # tickers built between two looks at other work
_ROWS = 64  # contract rows built together
_CACHE_S = 1.0
_HISTORY_ROWS = 100


class Rest:
    """Answers about the present state of the venue."""

    def __init__(self, venue: Venue, tokens: Tokens, endpoint: Callable[[], dict[str, Any]]) -> None:
        """`endpoint` tells the socket endpoint row of a token reply."""
        self._venue = venue
        self._tokens = tokens
        self._endpoint = endpoint
        self._java = venue.settings.unknowns.number_style == "java"
        self._active: tuple[float, int, bytes] = (-1.0, -1, b"")
        self._building = asyncio.Lock()

    def handlers(self) -> dict[str, tuple[str, Handler]]:
        """Path below `/api/v1/` → (endpoint name, handler) of every GET."""
        return {
            "contracts/active": ("contracts/active", self._contracts),
            "contracts/risk-limit/{symbol}": ("contracts/risk-limit", self._signed),
            "contracts/{symbol}": ("contracts", self._contract),
            "ticker": ("ticker", self._ticker),
            "allTickers": ("allTickers", self._tickers),
            "level2/{depth}": ("level2/depth20", self._book),
            "level2/snapshot": ("level2/snapshot", self._book),
            "level2/depth20": ("level2/depth20", self._book),
            "level2/depth100": ("level2/depth100", self._book),
            "trade/history": ("trade/history", self._trades),
            "mark-price/{symbol}/current": ("mark-price", self._mark),
            "timestamp": ("timestamp", self._timestamp),
            "status": ("status", self._status),
            "trade-statistics": ("trade-statistics", self._signed),
            "funding-history": ("bullet-private", self._signed),
        }

    def posts(self) -> dict[str, tuple[str, Handler]]:
        """Path below `/api/v1/` → (endpoint name, handler) of every POST."""
        return {
            "bullet-public": ("bullet-public", self._bullet),
            "bullet-private": ("bullet-private", self._signed),
        }

    def invalidate(self) -> None:
        """A fault changed what contract rows show."""
        self._active = (-1.0, -1, b"")

    async def _contracts(self, _request: web.Request) -> web.Response:
        async with self._building:
            now = self._venue.clock.now()
            if time.monotonic() - self._active[0] > _CACHE_S:
                rows: list[Any] = []
                symbols = self._venue.symbols()
                for at in range(0, len(symbols), _ROWS):
                    rows += self._wire(self._venue.rows(symbols[at : at + _ROWS], now))
                    await asyncio.sleep(0)
                self._active = (time.monotonic(), now, msgspec.json.encode(rows))
        return envelope.ok(self._active[2])

    async def _contract(self, request: web.Request) -> web.Response:
        symbol = request.match_info["symbol"]
        if not self._venue.known(symbol):
            return envelope.refused("404000", "The contract information you requested does not exist.")
        return self._ok(self._venue.row(symbol, self._venue.clock.now()))

    async def _ticker(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol", "")
        return self._ok(self._ticker_row(symbol)) if self._venue.known(symbol) else envelope.invalid_symbol()

    async def _tickers(self, _request: web.Request) -> web.Response:
        rows = []
        for number, symbol in enumerate(self._venue.symbols()):
            rows.append(self._ticker_row(symbol))
            if number % _CHUNK == 0:
                await asyncio.sleep(0)
        return self._ok(rows)

    def _ticker_row(self, symbol: str) -> dict[str, Any]:
        tick = self._venue.facts(symbol).tick
        book = self._venue.book(symbol)
        bid, ask = _best(book.quotes(1))
        last = next(iter(self._venue.recent(symbol, 1)), None)
        return {
            "sequence": book.sequence,
            "symbol": symbol,
            "side": last.side if last else "buy",
            "size": last.lots if last else 0,
            "tradeId": str(last.sequence if last else 0),
            "price": _text(last.price if last else 0.0, tick),
            "bestBidPrice": _text(bid[0], tick),
            "bestBidSize": bid[1],
            "bestAskPrice": _text(ask[0], tick),
            "bestAskSize": ask[1],
            "ts": last.ts if last else 0,
        }

    async def _book(self, request: web.Request) -> web.Response:
        cap = self._venue.settings.unknowns.snapshot_levels
        levels = {"snapshot": cap, "depth20": 20, "depth100": 100}.get(request.path.rsplit("/", 1)[1])
        if levels is None:
            return envelope.unknown_depth()
        symbol = request.query.get("symbol", "")
        if not self._venue.known(symbol):
            return envelope.invalid_symbol()
        seen = self._venue.book_picture(symbol, min(levels, self._venue.settings.book_levels))
        return self._ok(
            {
                "sequence": seen.sequence,
                "symbol": symbol,
                "bids": self._side(seen.quotes.bids),
                "asks": self._side(seen.quotes.asks),
                "ts": seen.ts - seen.ts % _MS,
            }
        )

    def _side(self, rows: list[tuple[float, int]]) -> list[list[Any]] | None:
        if not rows and self._venue.settings.unknowns.empty_side == "null":
            return None
        return [[price, lots] for price, lots in rows]

    async def _trades(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol", "")
        if not self._venue.known(symbol):
            return envelope.invalid_symbol()
        tick = self._venue.facts(symbol).tick
        return self._ok([_trade_row(trade, tick) for trade in self._venue.recent(symbol, _HISTORY_ROWS)])

    async def _mark(self, request: web.Request) -> web.Response:
        symbol = request.match_info["symbol"]
        if not self._venue.known(symbol):
            return envelope.refused("415000", "mark price is not supported")
        now = self._venue.clock.now()
        mark, index = self._venue.market.mark_index(symbol, now)
        time_ms = now // _MS // 1000 * 1000
        row = {"symbol": symbol, "granularity": 1000, "timePoint": time_ms, "value": mark, "indexPrice": index}
        return self._ok(row)

    async def _timestamp(self, _request: web.Request) -> web.Response:
        return envelope.ok(self._venue.now_ms())

    async def _status(self, _request: web.Request) -> web.Response:
        if self._venue.clock.ended and self._venue.status == "open":
            return envelope.ok({"status": "close", "msg": "the record has ended"})
        return envelope.ok({"status": self._venue.status, "msg": ""})

    async def _signed(self, request: web.Request) -> web.Response:
        if not request.headers.get("KC-API-KEY"):
            return envelope.unsigned()
        return envelope.refused("400003", "KC-API-KEY not exists", 400)

    async def _bullet(self, _request: web.Request) -> web.Response:
        return envelope.ok({"token": self._tokens.issue(time.monotonic()), "instanceServers": [self._endpoint()]})

    def _wire(self, value: Any) -> Any:
        return java_values(value) if self._java else value

    def _ok(self, data: Any) -> web.Response:
        return envelope.ok(self._wire(data))


def _best(quotes: Quotes) -> tuple[tuple[float, int], tuple[float, int]]:
    """The touch; an empty side is price 0, size 0."""
    return quotes.bids[0] if quotes.bids else (0.0, 0), quotes.asks[0] if quotes.asks else (0.0, 0)


def _text(price: float, tick: float) -> str:
    return price_text(price, decimals_of(tick)).decode()


def _trade_row(trade: Print, tick: float) -> dict[str, Any]:
    taker, maker = order_ids(trade)
    return {
        "sequence": trade.sequence,
        "contractId": 1,
        "tradeId": str(trade.sequence),
        "makerOrderId": str(maker),
        "takerOrderId": str(taker),
        "ts": trade.ts,
        "size": trade.lots,
        "price": _text(trade.price, tick),
        "side": trade.side,
    }
