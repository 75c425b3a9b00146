"""Clients that listen: to the stream of events as a browser does, line by line."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from tests.api.desk import SAFETY_S
from zmart_stream.api.calls import PREFIX
from zmart_stream.domain.market import FeedState
from zmart_stream.domain.scores import ScoreChanged

T0 = 1_760_000_000_000_000_000


class Heard(NamedTuple):
    """One event as the client got it."""

    kind: str
    id: str
    data: dict[str, Any]


def score(symbol: str, new: float | None, old: float | None = None) -> ScoreChanged:
    return ScoreChanged(ts=T0, symbol=symbol, score=new, previous=old, confidence=0.9, components=())


def feed(reason: str) -> FeedState:
    return FeedState(ts=T0, connection="ws-1", state="down", reason=reason)


class Ear:
    """An open stream."""

    def __init__(self, status: int, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status, self.head = status, head
        self.comments = 0
        self.writer = writer
        self._reader = reader
        self._blocks: deque[str] = deque()
        self._text = ""

    async def event(self) -> Heard:
        """The next event; raises EOFError where the stream ends."""
        async with asyncio.timeout(SAFETY_S):
            while True:
                while not self._blocks:
                    await self._more()
                block = self._blocks.popleft()
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                self.comments += block.startswith(":")
                if "data" in fields:
                    return Heard(fields["event"], fields.get("id", ""), json.loads(fields["data"]))

    async def events(self, count: int) -> list[Heard]:
        return [await self.event() for _ in range(count)]

    async def _more(self) -> None:
        try:
            size = int(await self._reader.readline() or b"0", 16)
            chunk = await self._reader.readexactly(size + 2)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise EOFError("the stream was cut") from None
        if not size:
            raise EOFError("the stream ended")
        *whole, self._text = (self._text + chunk[:-2].decode()).split("\n\n")
        self._blocks += whole


def frame(kind: int, payload: bytes = b"", *, last: bool = True, reserved: int = 0) -> bytes:
    """A websocket's frame as a client sends it, under a mask of noughts, which changes nothing (RFC 6455, 5.2)."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
    return bytes([(0x80 if last else 0) | reserved | kind]) + length + bytes(4) + payload


class Line(NamedTuple):
    """A websocket as bytes."""

    head: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def flood(self, chunk: bytes) -> None:
        """Send without end; returns once the other side has ended it."""
        async with asyncio.timeout(SAFETY_S):
            with suppress(ConnectionError):
                while True:
                    self.writer.write(chunk)
                    await self.writer.drain()

    async def close_code(self) -> int:
        """Read to the end; the code of the farewell, 0: it was cut without one."""
        found = b""
        async with asyncio.timeout(SAFETY_S):
            with suppress(ConnectionError):
                while more := await self.reader.read(65536):
                    found = (found + more)[-256:]
        at = found.rfind(b"\x88")
        return int.from_bytes(found[at + 2 : at + 4], "big") if at >= 0 else 0


@asynccontextmanager
async def upgraded(port: int, *lines: str, path: str = f"{PREFIX}/ws") -> AsyncIterator[Line]:
    """A websocket that nobody's library looks after."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    head = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *lines,
    ]
    try:
        async with asyncio.timeout(SAFETY_S):
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        yield Line(answer.lower(), reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def listening(port: int, query: str = "", *lines: str, room: int | None = None) -> AsyncIterator[Ear]:
    """Open a stream; it has begun, and hears what comes from now on. `room`: bytes that it takes in unread, roughly."""
    channel = socket.socket()
    channel.setblocking(False)
    if room is not None:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    await asyncio.get_running_loop().sock_connect(channel, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=channel, limit=room or 1 << 16)
    head = [f"GET {PREFIX}/stream{query} HTTP/1.1", f"Host: 127.0.0.1:{port}", *lines]
    try:
        async with asyncio.timeout(SAFETY_S):
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        yield Ear(int(answer.split()[1]), answer.lower(), reader, writer)
    finally:
        writer.close()
