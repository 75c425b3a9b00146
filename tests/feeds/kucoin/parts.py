"""Small parts for the feed's tests: a still clock, an inbox that remembers, a raw websocket server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from zmart_stream.domain.message import Message

NOW = 1_793_940_000_000_000_000

M = TypeVar("M", bound=Message)
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class StillClock:
    """Market time that stands still."""

    def __init__(self, now: int = NOW) -> None:
        self.time = now

    def now(self) -> int:
        return self.time

    def seen(self, ts_event: int) -> None:
        self.time = max(self.time, ts_event)


class Basket:
    """An inbox that keeps everything and can be waited on."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.crowded = False
        self._by_kind: dict[type[Message], list[Any]] = {}

    def put(self, message: Message) -> None:
        self.messages.append(message)
        self._by_kind.setdefault(type(message), []).append(message)

    def of(self, kind: type[M]) -> list[M]:
        """The messages of one kind, in order."""
        return self._by_kind.get(kind, [])

    async def until(self, met: Callable[[], object], timeout_s: float = 180.0) -> None:
        """Look twenty times a second until `met()` is true; fails the test after `timeout_s`."""
        async with asyncio.timeout(timeout_s):
            while True:
                if met():
                    return
                await asyncio.sleep(0.05)


def text(payload: bytes | dict[str, Any], *, opcode: int = 1, fin: bool = True) -> bytes:
    """An unmasked server frame."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(body) < 126:
        return head + bytes([len(body)]) + body
    if len(body) < 1 << 16:
        return head + b"\x7e" + len(body).to_bytes(2, "big") + body
    return head + b"\x7f" + len(body).to_bytes(8, "big") + body


WELCOME = text({"id": "c", "type": "welcome"})


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the websocket upgrade."""
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(
        line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    )
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )


class RawServer:
    """A TCP server on loopback that behaves as told, connection by connection."""

    def __init__(self, behave: Behaviour) -> None:
        self.port = 0
        self._behave = behave
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        try:
            await self._behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
