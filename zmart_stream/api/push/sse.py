"""Server-sent events: one reply that does not end (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from aiohttp import HttpVersion11, web

from zmart_stream.api.connections import GatedHandler
from zmart_stream.api.push.batches import Batch, chunked
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.listener import Listener
from zmart_stream.domain.errors import RequestError

RETRY_MS = 2000
"""How long a browser waits before it comes back."""

HEARTBEAT = b": still here\n\n"

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Line:
    """The way to one client, past the library: nothing waits, and what all get is made once."""

    def __init__(self, request: web.Request, *, in_chunks: bool) -> None:
        """The reply's head is out."""
        assert isinstance(request.protocol, GatedHandler)  # noqa: S101  the server makes no other
        self.connection = request.protocol
        self._in_chunks = in_chunks
        self._time = asyncio.get_running_loop().time
        self.spoke_at = self._time()

    def tell(self, batch: Batch) -> bool:
        """Write the events; False: the client has much that it did not take."""
        if batch.dropped:
            return self.say(_plain("dropped", {"count": batch.dropped}) + batch.sse)
        self.spoke_at = self._time()
        return self.connection.send(batch.chunk if self._in_chunks else batch.sse)

    def say(self, data: bytes) -> bool:
        """Write what this client alone gets; False as above."""
        self.spoke_at = self._time()
        return self.connection.send(chunked(data) if self._in_chunks else data)


async def stream(request: web.Request, hub: Hub, listener: Listener, still: Callable[[], None]) -> web.StreamResponse:
    """Write events until the client goes, does not read, may not listen any more, or the hub closes."""
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    response.force_close()
    in_chunks = request.version >= HttpVersion11
    if in_chunks:
        response.enable_chunked_encoding()
    await response.prepare(request)
    opening = b"retry: %d\n\n" % RETRY_MS
    if listener.reset is not None:
        opening += _plain("reset", listener.reset._asdict())
    try:
        with contextlib.suppress(ConnectionError, RequestError):
            async with asyncio.timeout(hub.limits.deadline_s):
                await response.write(opening)  # with the head before it
            await _events(Line(request, in_chunks=in_chunks), hub, listener, still)
    except TimeoutError:
        cut(request, unread(hub))
    return response


def unread(hub: Hub) -> str:
    """Why a client is cut that takes nothing."""
    return f"not read for {hub.limits.deadline_s:g} s"


def cut(request: web.Request, reason: str) -> None:
    """End the connection of a client that does not read, or says too much."""
    _log.warning("api.push_cut", reason=reason, address=request.remote)
    if request.transport is not None:
        request.transport.abort()


async def _events(line: Line, hub: Hub, listener: Listener, still: Callable[[], None]) -> None:
    loop, limits = asyncio.get_running_loop(), hub.limits
    looked = loop.time()
    while not hub.closed:
        async with asyncio.timeout(limits.deadline_s):
            await line.connection.drained()
        quiet_s = loop.time() - line.spoke_at
        if quiet_s >= limits.heartbeat_s:
            line.say(HEARTBEAT)
            quiet_s = 0.0
        await listener.follow(line.tell, limits.heartbeat_s - quiet_s)
        if loop.time() - looked >= limits.heartbeat_s:
            still()
            looked = loop.time()


def _plain(kind: str, content: dict[str, Any]) -> bytes:
    """An event of this connection alone: it has no id."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(content))
