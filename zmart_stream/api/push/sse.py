"""Server-sent events: one reply that does not end (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from aiohttp import web

from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.listener import Listener
from zmart_stream.domain.errors import RequestError

RETRY_MS = 2000
"""How long a browser waits before it comes back."""

HEARTBEAT = b": still here\n\n"

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


async def stream(request: web.Request, hub: Hub, listener: Listener, still: Callable[[], None]) -> web.StreamResponse:
    """Write events until the client goes, does not read, may not listen any more, or the hub closes."""
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    response.charset = "utf-8"
    response.force_close()
    await response.prepare(request)
    try:
        with contextlib.suppress(ConnectionError, RequestError):
            await _events(response, hub, listener, still)
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


async def _events(response: web.StreamResponse, hub: Hub, listener: Listener, still: Callable[[], None]) -> None:
    loop, limits = asyncio.get_running_loop(), hub.limits
    opening = b"retry: %d\n\n" % RETRY_MS
    if listener.reset is not None:
        opening += _plain("reset", listener.reset._asdict())
    looked = loop.time()
    data = opening
    while not hub.closed:
        async with asyncio.timeout(limits.deadline_s):
            await response.write(data)
        batch = await listener.next(limits.heartbeat_s)
        if batch is None:
            data = HEARTBEAT
        else:
            data = _plain("dropped", {"count": batch.dropped}) + batch.sse if batch.dropped else batch.sse
        if loop.time() - looked >= limits.heartbeat_s:
            still()
            looked = loop.time()


def _plain(kind: str, content: dict[str, Any]) -> bytes:
    """An event of this connection alone: it has no id."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(content))
