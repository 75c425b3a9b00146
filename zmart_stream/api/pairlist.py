"""The book as a pair list that freqtrade fetches.

freqtrade does not look at the status of a reply: an error in JSON is an empty list to it, and ends what it trades. So
nothing on this path ever says an error in JSON, whoever raised it: a fault gets the last good list, or text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import Field

from zmart_stream.api import problems
from zmart_stream.api.calls import PREFIX, Door, json_reply
from zmart_stream.api.exchange_names import Exchange, pair
from zmart_stream.api.intake import read_query
from zmart_stream.api.models import Query
from zmart_stream.domain.errors import RequestError
from zmart_stream.domain.events import iso
from zmart_stream.domain.ports import Reader

PATH = f"{PREFIX}/integrations/freqtrade/pairlist"
REFRESH_S = 300
"""Seconds until the next fetch; a longer one of the bot's own stands."""

_allowed: ContextVar[str] = ContextVar("allowed", default="")
"""The exchange whose list the caller of this request may have."""

_JSON = "application/json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PairListQuery(Query):
    """Whose names are wanted."""

    exchange: Exchange = Field(description="Whose names the pairs have.")


class PairList:
    """Serves the list, and remembers the last good one of each exchange."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._good: dict[str, bytes] = {}

    async def serve(self, request: web.Request) -> web.Response:
        """The pairs of the committed book, best first. Raises RequestError, which `middleware` puts into text."""
        door = self._door
        caller = door.auth.caller(request)
        door.rates.take(caller.key, "requests of one token or address")
        caller.need("read")
        exchange = read_query(request, PairListQuery).exchange
        _allowed.set(exchange)
        reply = json_reply(self._list(exchange))
        assert isinstance(reply.body, bytes)  # noqa: S101 - it was made of bytes
        self._good[exchange] = reply.body
        return reply

    def middleware(self) -> Middleware:
        """What has to be around everything that may raise or answer on this path."""

        @web.middleware
        async def plain(request: web.Request, handler: Handler) -> web.StreamResponse:
            _allowed.set("")
            reply = await handler(request)
            if PATH not in request.path or reply.status < 300 or not isinstance(reply, web.Response):
                return reply
            good = self._good.get(_allowed.get()) if reply.status >= 500 else None
            return problems.as_text(reply) if good is None else web.Response(body=good, content_type=_JSON)

        return plain

    def _list(self, exchange: str) -> dict[str, Any]:
        """Raises RequestError not_ready while there is no book to go by."""
        found = pairs_of(self._door.services.reader, exchange)
        return {
            "pairs": found.pairs,
            "refresh_period": REFRESH_S,
            "exchange": exchange,
            "left_out": found.left_out,
            "as_of": iso(self._door.services.now()),
        }


class Pairs(NamedTuple):
    """The names of the committed book's contracts, best first, and the contracts without a name."""

    pairs: list[str]
    left_out: list[str]


def pairs_of(reader: Reader, exchange: str) -> Pairs:
    """The book for bots at an exchange; empty only if the book is. Raises RequestError not_ready without one."""
    symbols = [holding["symbol"] for holding in reader.portfolio()["holdings"]]
    if not symbols and not reader.status()["book"]["ready"]:
        raise RequestError("not_ready", "there is no book yet", retry_after_s=5)
    named = {symbol: pair(symbol, exchange) for symbol in symbols}
    pairs = list(dict.fromkeys(name for name in named.values() if name is not None))
    if symbols and not pairs:
        raise RequestError("not_ready", "no contract of the book has a name there", retry_after_s=60)
    return Pairs(pairs, [symbol for symbol, name in named.items() if name is None])
