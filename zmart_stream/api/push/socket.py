"""A websocket with two sides: what the client says, within limits, and what it is told, as fast as it takes it."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.listener import Listener
from zmart_stream.api.push.ring import Event
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
    async def told(self, dropped: int, events: Sequence[Event], /) -> None:
        """These happened, after so many that this client did not read in time."""

    async def write(self, text: str) -> None:
        """Send; raises TimeoutError where the client does not take it."""
        async with asyncio.timeout(self.hub.limits.deadline_s):
            await self._socket.send_str(text)

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
            batch = await self.listener.next(every_s)
            if batch is not None:
                await self.told(batch.dropped, batch.events)
            if loop.time() - looked >= every_s:
                self.still()
                looked = loop.time()

    async def _refuse(self, error: RequestError) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())
