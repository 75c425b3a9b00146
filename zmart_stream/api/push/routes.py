"""The way in for both kinds of stream: who asks, what they want, room for them; then the stream itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints

from zmart_stream.api.calls import PREFIX, Call, Door
from zmart_stream.api.connections import GatedHandler
from zmart_stream.api.intake import read_query
from zmart_stream.api.limits import Buckets
from zmart_stream.api.models import Query
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.listener import Listener
from zmart_stream.api.push.sse import cut, stream
from zmart_stream.api.push.wants import Wants
from zmart_stream.api.push.ws import Session
from zmart_stream.domain.errors import RequestError

PATHS = (f"{PREFIX}/stream", f"{PREFIX}/ws")
LAST_ID = "Last-Event-ID"
MOST_SYMBOLS = 1000
MOST_UNREAD = 1 << 16
"""Bytes that wait for one client, in our buffer and again in the system's."""

MOST_SAID = 1 << 20
"""Bytes a minute of one listening client, whatever they are: frames that make no message, pongs nobody asked for."""

Words = Annotated[str, StringConstraints(max_length=25 * MOST_SYMBOLS)]


class StreamQuery(Query):
    """What a stream brings; without any: everything from now on."""

    types: Words = Field("", description="Event types, separated by commas.")
    symbols: Words = Field("", description="Contracts, separated by commas.")
    last_event_id: Annotated[str, StringConstraints(max_length=64)] = Field(
        "", description="Id of the last event that the caller has; as the header Last-Event-ID."
    )


class SocketQuery(Query):
    """What a websocket goes on from."""

    last_event_id: Annotated[str, StringConstraints(max_length=64)] = Field(
        "", description="Id of the last event that the caller has."
    )


def add_push(app: web.Application, door: Door) -> None:
    """Serve both streams; they end when the server closes."""
    hub = door.services.push

    async def ended(_app: web.Application) -> None:
        hub.close()

    app.router.add_get(PATHS[0], _events(door, hub), allow_head=False)
    app.router.add_get(PATHS[1], _socket(door, hub), allow_head=False)
    app.on_shutdown.append(ended)


def _events(door: Door, hub: Hub) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def events(request: web.Request) -> web.StreamResponse:
        call = _call(door, request, StreamQuery)
        asked = call.asked(StreamQuery)
        wants = Wants()
        wants.add(_words(asked.types), [call.symbol(word) for word in _words(asked.symbols)])
        last_id = request.headers.get(LAST_ID, "")[:64] or asked.last_event_id
        with hub.joined(call.caller.key):
            prepare(request)
            with _ended_with_connection(request):
                return await stream(request, hub, Listener(hub, wants, last_id), _still(door, request))

    return events


def _socket(door: Door, hub: Hub) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def listen(request: web.Request) -> web.StreamResponse:
        call = _call(door, request, SocketQuery)
        demand_upgrade(request)
        last_id, wants = call.asked(SocketQuery).last_event_id, Wants()
        with hub.joined(call.caller.key):
            prepare(request)
            session = Session(
                hub=hub,
                wants=wants,
                listener=Listener(hub, wants, last_id),
                symbol=call.symbol,
                take=lambda: door.rates.take(call.caller.key, "messages of one token or address"),
                still=_still(door, request),
            )
            return await session.run(request)

    return listen


def _call(door: Door, request: web.Request, query: type[Query]) -> Call:
    """Who asks, before anything is answered or accepted. Raises RequestError."""
    caller = door.auth.caller(request)
    door.rates.take(caller.key, "requests of one token or address")
    caller.need("read")
    return Call(
        request=request,
        services=door.services,
        limits=door.limits,
        caller=caller,
        query=read_query(request, query),
        body=None,
        tokens=door.tokens,
        who=caller.name,
    )


def _still(door: Door, request: web.Request) -> Callable[[], None]:
    """Raises RequestError once the caller may not listen any more, as with a revoked token."""

    def still() -> None:
        door.auth.caller(request).need("read")

    return still


def demand_upgrade(request: web.Request) -> None:
    """Raises RequestError bad_request for what does not ask for a websocket."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise RequestError("bad_request", "this path speaks the websocket protocol alone")


def prepare(request: web.Request) -> None:
    """The connection is a stream's from now on: counted as such, with little room for what is not read."""
    connection: Any = request.protocol
    if isinstance(connection, GatedHandler):
        connection.left_requests()
        connection.on_data = _metered(request)
    transport: Any = request.transport
    if transport is not None:
        transport.set_write_buffer_limits(high=MOST_UNREAD)
        with contextlib.suppress(OSError):  # the caller is gone already
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_UNREAD)


def _metered(request: web.Request) -> Callable[[int], None]:
    """Counts what arrives; who says more than a listener has to say is cut."""
    said = Buckets(MOST_SAID, keys=1)

    def arrived(size: int) -> None:
        try:
            said.take("", "bytes of one listening client", size)
        except RequestError:
            cut(request, f"says more than {MOST_SAID >> 10} KiB a minute")

    return arrived


@contextlib.contextmanager
def _ended_with_connection(request: web.Request) -> Iterator[None]:
    """Cancel this task when the client goes, instead of at the next word to it."""
    connection, task = request.protocol, asyncio.current_task()
    assert isinstance(connection, GatedHandler)  # noqa: S101  the server makes no other
    assert task is not None  # noqa: S101  every handler runs in one
    connection.on_lost = task.cancel
    try:
        yield
    finally:
        connection.on_lost = None


def _words(text: str) -> list[str]:
    """What stands between commas."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) > MOST_SYMBOLS:
        raise RequestError("bad_query", f"at most {MOST_SYMBOLS} at once")
    return words
