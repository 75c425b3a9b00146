"""A websocket on which the client says what it wants, and hears it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from zmart_stream.api import problems
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.listener import Listener
from zmart_stream.api.push.sse import cut
from zmart_stream.api.push.wants import TYPES, Wants
from zmart_stream.domain.errors import RequestError

MOST_BYTES = 16 * 1024
"""Largest message of a client."""

MOST_SYMBOLS = 1000
CLOSE_S = 0.5
"""Longest wait for a client's own farewell."""

Word = Annotated[str, msgspec.Meta(max_length=64)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may say; no types: all of them, no symbols: all contracts."""

    action: Literal["subscribe", "unsubscribe", "ping"]
    types: Annotated[list[Word], msgspec.Meta(max_length=len(TYPES))] = []
    symbols: Annotated[list[Word], msgspec.Meta(max_length=MOST_SYMBOLS)] = []


_decoder = msgspec.json.Decoder(Asked)


@dataclass(kw_only=True)
class Session:
    """One connection; it wants nothing until it says so."""

    hub: Hub
    wants: Wants
    listener: Listener
    symbol: Callable[[str], str]
    """The contract meant. Raises RequestError."""
    take: Callable[[], None]
    """Counts a message of the client. Raises RequestError rate_limited."""
    still: Callable[[], None]
    """Raises RequestError once the client may not listen any more."""
    _socket: web.WebSocketResponse = field(init=False)

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Talk until either side ends it."""
        limits = self.hub.limits
        self._socket = web.WebSocketResponse(
            heartbeat=limits.heartbeat_s, max_msg_size=MOST_BYTES, compress=False, timeout=CLOSE_S
        )
        await self._socket.prepare(request)
        telling = asyncio.create_task(self._tell(request))
        try:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._hear()
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        return self._socket

    async def _hear(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"text alone")
                return
            try:
                self.take()
            except RequestError as error:
                await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())
                return
            try:
                reply = self._answer(message.data)
            except RequestError as error:
                reply = ("error", problems.problem(error.code, str(error), error.facts))
            await self._send(*reply)

    def _answer(self, text: str) -> tuple[str, dict[str, Any]]:
        try:
            asked = _decoder.decode(text)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise RequestError("bad_request", str(error)[:200] or "not JSON") from None
        if asked.action == "ping":
            return "pong", {}
        change = self.wants.add if asked.action == "subscribe" else self.wants.remove
        change(asked.types, [self.symbol(word) for word in asked.symbols])
        return "subscribed", self.wants.told()

    async def _tell(self, request: web.Request) -> None:
        """Send what is wanted; ends the connection where that does not go on."""
        try:
            await self._events()
            await self._socket.close(code=WSCloseCode.GOING_AWAY)
        except TimeoutError:
            cut(request, self.hub)
        except RequestError as error:
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())
        except ConnectionError:
            pass  # the client is gone, and the hearing side knows it

    async def _events(self) -> None:
        loop, limits = asyncio.get_running_loop(), self.hub.limits
        if self.listener.reset is not None:
            await self._send("reset", self.listener.reset._asdict())
        looked = loop.time()
        while not self.hub.closed:
            dropped, events = await self.listener.next(limits.heartbeat_s)
            if dropped:
                await self._send("dropped", {"count": dropped})
            for event in events:
                await self._write(event.frame)
            if loop.time() - looked >= limits.heartbeat_s:
                self.still()
                looked = loop.time()

    async def _send(self, kind: str, content: dict[str, Any]) -> None:
        await self._write(msgspec.json.encode({"event": kind, "data": content}).decode())

    async def _write(self, text: str) -> None:
        async with asyncio.timeout(self.hub.limits.deadline_s):
            await self._socket.send_str(text)
