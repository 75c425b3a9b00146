"""A websocket with two sides: what the client says, within limits, and what it is told, as fast as it takes it."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

from zmart_stream.api.connections import GatedHandler
from zmart_stream.api.push.batches import Batch
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.listener import Listener
from zmart_stream.api.push.sse import cut, unread
from zmart_stream.domain.errors import RequestError

MOST_BYTES = 16 * 1024
"""Largest message of a client."""

CLOSE_S = 0.5
"""Longest wait for a client's own farewell."""


@dataclass(kw_only=True)
class Socket(ABC):
    """One connection of a client that listens."""

    hub: Hub
    listener: Listener
    take: Callable[[], None]
    """Counts a message of the client. Raises RequestError rate_limited."""
    still: Callable[[], None]
    """Raises RequestError once the client may not listen any more."""
    _socket: web.WebSocketResponse = field(init=False)
    _connection: GatedHandler = field(init=False)

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Talk until either side ends it."""
        self._socket = web.WebSocketResponse(
            heartbeat=self.hub.limits.heartbeat_s,
            max_msg_size=MOST_BYTES,
            compress=False,
            timeout=CLOSE_S,
            autoping=False,  # the library's own answers know no deadline, and nobody counts what is asked
        )
        await self._socket.prepare(request)
        assert isinstance(request.protocol, GatedHandler)  # noqa: S101  the server makes no other
        self._connection = request.protocol
        async with asyncio.TaskGroup() as group:  # a fault of either side ends both
            telling = group.create_task(self._tell(request))
            await self._hear(request)
            telling.cancel()
        return self._socket

    @abstractmethod
    async def began(self) -> None:
        """The connection is open."""

    @abstractmethod
    async def heard(self, text: str) -> None:
        """The client said something."""

    @abstractmethod
    def told(self, batch: Batch, /) -> bool:
        """These happened, after so many that this client did not read in time; False: `catch_up` before the next."""

    async def write(self, text: str) -> None:
        """Send; raises TimeoutError where the client does not take it."""
        async with asyncio.timeout(self.hub.limits.deadline_s):
            await self._socket.send_str(text)

    def send(self, frames: bytes) -> bool:
        """Send whole frames of data; False: the client has much that it did not take, or hears nothing any more."""
        return not self._socket.closed and self._connection.send(frames)

    async def catch_up(self) -> None:
        """Wait until the client takes more. Raises TimeoutError, ConnectionError."""
        async with asyncio.timeout(self.hub.limits.deadline_s):
            await self._connection.drained()

    async def _hear(self, request: web.Request) -> None:
        try:
            async for message in self._socket:
                if message.type is WSMsgType.PONG:
                    continue
                self.take()
                if message.type is WSMsgType.PING:
                    async with asyncio.timeout(self.hub.limits.deadline_s):
                        await self._socket.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self.heard(message.data)
                else:
                    await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"text alone")
                    return
        except TimeoutError:
            cut(request, unread(self.hub))
        except RequestError as error:
            await self._refuse(error)
        except ConnectionError:
            pass  # the client is gone

    async def _tell(self, request: web.Request) -> None:
        """Tell what happens; ends the connection where that does not go on."""
        try:
            await self._follow()
            await self._socket.close(code=WSCloseCode.GOING_AWAY)
        except TimeoutError:
            cut(request, unread(self.hub))
        except RequestError as error:
            await self._refuse(error)
        except ConnectionError:
            pass  # the client is gone, and the hearing side knows it

    async def _follow(self) -> None:
        loop, every_s = asyncio.get_running_loop(), self.hub.limits.heartbeat_s
        await self.began()
        looked = loop.time()
        while not self.hub.closed:
            await self.listener.follow(self.told, every_s)
            await self.catch_up()
            if loop.time() - looked >= every_s:
                self.still()
                looked = loop.time()

    async def _refuse(self, error: RequestError) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())
