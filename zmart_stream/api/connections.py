"""Connections that cannot be held for ever: caps on how many, and deadlines the HTTP library does not have."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

import structlog
from aiohttp import web

from zmart_stream.api import problems
from zmart_stream.api.access import route_of
from zmart_stream.api.limits import Limits
from zmart_stream.api.refusal import Office, Refusal

_log = structlog.get_logger()


MOST_PATH = 128
"""Bytes kept of what arrived, for a path that is cut in two."""


class Gate:
    """Counts open connections, in total and by address."""

    def __init__(self, limits: Limits, plain: Sequence[str] = ()) -> None:
        """Nobody is connected yet; `plain` are paths on which nothing but text may tell an error."""
        self.limits = limits
        self.office = Office(plain)
        self.plain = tuple(path.encode() for path in plain)
        self.refused = 0
        self.cut = 0
        self._by_address: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Connections open now."""
        return self._by_address.total()

    def enter(self, address: str) -> bool:
        """Count a connection in; False when there is no room for it."""
        full = self.open >= self.limits.max_connections
        if full or self._by_address[address] >= self.limits.max_connections_per_address:
            self.refused += 1
            _log.warning("api.connection_refused", reason="total" if full else "address", address=address)
            return False
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class GatedHandler(web.RequestHandler):
    """One connection. Whatever arrives meanwhile, a header that is not whole at its deadline cuts it."""

    __slots__ = (
        "_address",
        "_admitted",
        "_counted",
        "_deadline",
        "_gate",
        "_plain",
        "_refusal",
        "_seen",
        "on_data",
        "on_lost",
    )

    def __init__(self, gate: Gate, server: web.Server, *, loop: asyncio.AbstractEventLoop) -> None:
        """Bodies stay as they came: what is small compressed may be huge."""
        super().__init__(server, loop=loop, access_log=None, auto_decompress=False, lingering_time=1.0)  # type: ignore[arg-type]  # aiohttp reads None as no access log
        self._gate = gate
        self._address = ""
        self._admitted = False
        self._counted = False
        self._refusal: Refusal | None = None
        self._plain = False
        self._seen = b""
        self._deadline: asyncio.TimerHandle | None = None
        self.on_data: Callable[[int], object] | None = None
        """Called with the size of all that arrives; a request that never ends may set it."""
        self.on_lost: Callable[[], object] | None = None
        """Called once the connection is gone; a request that never ends sets it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or tell it that there is no room."""
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else "unknown"
        self._admitted = self._counted = self._gate.enter(self._address)
        if self._admitted:
            super().connection_made(transport)
            self._arm(self._gate.limits.receive_deadline_s)
        else:
            # not isinstance: uvloop's transports do not derive from asyncio's
            self._refusal = Refusal(self._gate.office, cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        """Of a connection that was not let in nothing but the first line is looked at."""
        if self._refusal is not None:
            self._refusal.hear(data)
        if self._admitted:
            self._look(data)
            if self.on_data is not None:
                self.on_data(len(data))
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it out, once."""
        self._disarm()
        self.left_requests()
        if self._refusal is not None:
            self._refusal.end()
        if self._admitted:
            super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def left_requests(self) -> None:
        """No longer a connection of requests: it ends, or became a stream, which is counted as such."""
        if self._counted:
            self._counted = False
            self._gate.leave(self._address)

    def send(self, data: bytes) -> bool:
        """Write what the library would have written, past it; False: first wait until this is `drained`."""
        transport: Any = self.transport
        if transport is None or transport.is_closing():
            return False
        transport.write(data)
        return not self.writing_paused

    async def drained(self) -> None:
        """Wait while the caller has much that it did not take. Raises ConnectionError where it is gone."""
        transport: Any = self.transport
        if transport is not None and transport.is_closing():
            raise ConnectionResetError("the connection is closing")
        await self._drain_helper()

    def request_began(self) -> None:
        """A header is whole; its handler has deadlines of its own."""
        self._disarm()

    def request_done(self) -> None:
        """The reply goes out, and the next request may come: both within the body's time."""
        if self.transport is not None:
            self._arm(self._gate.limits.body_deadline_s)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What the library refuses before any of ours is asked, such as an unknown Expect, in the API's form too."""
        if isinstance(resp, web.HTTPException):
            resp = self._worded(problems.of_error(resp))
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What the library itself refuses, in the API's form; it closes the connection."""
        if isinstance(exc, ConnectionError):
            raise exc  # the caller is gone, which is no fault of anybody
        if status >= 500:
            _log.error("api.fault", method=request.method, route=route_of(request), exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a reply that has begun cannot become an error")
        code = "fault" if status >= 500 else "bad_request"
        reply = problems.response(code, "the log says more" if status >= 500 else _first_line(message))
        reply = self._worded(reply)
        reply.headers.update(problems.SECURITY_HEADERS)
        reply.force_close()
        return reply

    def _look(self, data: bytes) -> None:
        """Note a path that is to be told errors in text: what the library refuses has no path any more."""
        if not self._plain:
            seen = self._seen + data
            self._plain = any(path in seen for path in self._gate.plain)
            self._seen = seen[-MOST_PATH:]

    def _worded(self, reply: web.Response) -> web.Response:
        return problems.as_text(reply) if self._plain else reply

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._gate.cut += 1
        transport: Any = self.transport
        if transport is not None:
            transport.abort()


def _first_line(message: str | None) -> str:
    line = (message or "").strip().partition("\n")[0].rstrip(": ")
    return line[:200] or "not HTTP"
