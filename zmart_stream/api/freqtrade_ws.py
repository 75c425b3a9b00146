"""The book as a freqtrade producer: a websocket that serves the message `whitelist`, and a path that answers pings.

freqtrade's consumer waits ten seconds after a handshake that is refused, and comes back at once after a connection that
was accepted and then closed. So whatever can be refused is refused before the upgrade. It takes any list but an empty
one, and calls a message of any other type an error; so it is sent nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from pydantic import Field, StringConstraints

from zmart_stream.api.addresses import FREQTRADE
from zmart_stream.api.auth import Caller
from zmart_stream.api.calls import Door, json_reply
from zmart_stream.api.exchange_names import EXCHANGES
from zmart_stream.api.intake import read_query
from zmart_stream.api.limits import Buckets
from zmart_stream.api.models import Query
from zmart_stream.api.pairlist import pairs_of
from zmart_stream.api.push.batches import Batch
from zmart_stream.api.push.listener import Listener
from zmart_stream.api.push.routes import demand_upgrade, prepare
from zmart_stream.api.push.socket import Socket
from zmart_stream.api.push.wants import Wants
from zmart_stream.domain.errors import RequestError

PING = "/api/v1/ping"
WHITELIST = "whitelist"
MOST_TYPES = 64

Word = Annotated[str, msgspec.Meta(max_length=64)]


class ProducerQuery(Query):
    """Who listens, and whose names they want."""

    token: Annotated[str, StringConstraints(max_length=256)] = Field(
        "", description="A secret with the scope freqtrade; no other token is taken here, nor this one elsewhere."
    )
    exchange: str = Field(
        "",
        pattern=f"^({'|'.join(EXCHANGES)})?$",
        description="Whose names the pairs have; without it that of `api.freqtrade_exchange`.",
    )


class _Said(msgspec.Struct, frozen=True):
    """What a consumer may say that matters here; `analyzed_df` and everything else is passed over."""

    type: Literal["subscribe", "whitelist"]
    data: msgspec.Raw = msgspec.Raw(b"null")


_said = msgspec.json.Decoder(_Said)
_types = msgspec.json.Decoder(Annotated[list[Word], msgspec.Meta(max_length=MOST_TYPES)])


@dataclass(kw_only=True)
class Producer(Socket):
    """One consumer; it gets the list when it asks for it, and once it subscribed, whenever the list changes."""

    pairs: Callable[[], Sequence[str]]
    """The list as it is now; empty while there is none to send."""
    subscribed: bool = False
    _owed: bool = False
    _changed: bool = False
    _sent: Sequence[str] = ()

    async def began(self) -> None:
        """It hears nothing that it did not ask for."""

    async def heard(self, text: str) -> None:
        """Take what is understood. Nothing is answered with an error: the consumer knows no such message."""
        try:
            said = _said.decode(text)
            if said.type == "subscribe":
                self.subscribed = WHITELIST in _types.decode(said.data)
                return
        except (msgspec.DecodeError, RecursionError, ValueError):
            return
        self._owed = True
        await self._bring()

    def told(self, _batch: Batch, /) -> bool:
        """The book changed."""
        self._changed = True
        return False

    async def catch_up(self) -> None:
        """Send the list if the book changed."""
        await super().catch_up()
        if self._changed:
            self._changed = False
            await self._bring()

    async def _bring(self) -> None:
        """Send the list where it is asked for or new."""
        if not (self._owed or self.subscribed):
            return
        pairs = self.pairs()
        if not pairs or (pairs == self._sent and not self._owed):
            return
        self._sent, self._owed = pairs, False
        await self.write(msgspec.json.encode({"type": WHITELIST, "data": pairs}).decode())


def add_freqtrade(app: web.Application, door: Door, exchange: str) -> None:
    """Serve the socket, and freqtrade's ping; `exchange` is the one of consumers that name none."""
    app.router.add_get(FREQTRADE, _producer(door, exchange), allow_head=False)
    app.router.add_get(PING, _ping)


async def _ping(_request: web.Request) -> web.Response:
    """What freqtrade's own server answers, to anybody."""
    return json_reply({"status": "pong"})


def _producer(door: Door, default: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    openings, hub = Buckets(door.limits.openings_per_minute), door.services.push

    async def listen(request: web.Request) -> web.StreamResponse:
        openings.take(door.auth.address(request), "openings of one address")
        caller = _holder(door, request)
        exchange = read_query(request, ProducerQuery).exchange or default
        demand_upgrade(request)
        changes = Wants()
        changes.add(["portfolio_change"], [])
        with hub.joined(caller.key):
            prepare(request)
            producer = Producer(
                hub=hub,
                listener=Listener(hub, changes, ""),
                pairs=lambda: _pairs(door, exchange),
                take=lambda: door.rates.take(caller.key, "messages of one token"),
                still=_still(door, request),
            )
            return await producer.run(request)

    return listen


def _holder(door: Door, request: web.Request) -> Caller:
    """Whose token stands in the address. Raises RequestError."""
    return door.auth.holder_of(request, request.query.get("token", ""), "freqtrade")


def _still(door: Door, request: web.Request) -> Callable[[], None]:
    """Raises RequestError once the token is revoked."""

    def still() -> None:
        _holder(door, request)

    return still


def _pairs(door: Door, exchange: str) -> Sequence[str]:
    try:
        return pairs_of(door.services.reader, exchange).pairs
    except RequestError:
        return ()  # there is no book to go by: what the consumer has stays
