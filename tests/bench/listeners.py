"""Clients of the stream of events in a process of their own: most of them read, some never do.

`python -m tests.bench.listeners` takes orders by standard input: `open` connects them, `begin` counts anew, `end` says
what was heard since.
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any, cast

import uvloop

from tests.bench.measure import obey, rss_mb

ROOM = 4096
"""Bytes that one who never reads takes in, before the system doubles it."""

_DROPPED = re.compile(rb"event: dropped\ndata: \{\"count\":(\d+)\}")


class Ear(asyncio.Protocol):
    """One open stream."""

    def __init__(self, request: bytes, *, reads: bool) -> None:
        self._request, self._reads = request, reads
        self.answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.is_open = False
        self.bytes = self.events = self.dropped = self.ends = 0
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        line = cast(asyncio.Transport, transport)
        self.is_open = True
        line.write(self._request)
        if not self._reads:
            line.pause_reading()
            self.answered.set_result(True)

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(data.startswith(b"HTTP/1.1 200 "))
        self.bytes += len(data)
        text = self._tail + data
        self.events += text.count(b"\nid: ") - self._tail.count(b"\nid: ")
        self.ends += text.count(b"\r\n") - self._tail.count(b"\r\n")
        if b"event: dropped" in text:
            whole = _DROPPED.findall(text)
            self.dropped += sum(map(int, whole)) - sum(map(int, _DROPPED.findall(self._tail)))
        self._tail = text[-64:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if not self.answered.done():
            self.answered.set_result(False)


class Ears:
    """All of them."""

    def __init__(self) -> None:
        self._readers: list[Ear] = []
        self._deaf: list[Ear] = []

    async def order(self, said: dict[str, Any]) -> dict[str, Any]:
        """`open` with `host`, `port`, `path`, `readers` and `deaf`; `begin`; `end`."""
        if said["do"] == "open":
            for deaf, count in ((False, said["readers"]), (True, said["deaf"])):
                for _ in range(count):
                    await self._open(said, deaf=deaf)
            heard = [await ear.answered for ear in self._readers]
            return {"listening": sum(heard), "open": sum(ear.is_open for ear in self._deaf)}
        if said["do"] == "begin":
            for ear in self._readers:
                ear.bytes = ear.events = ear.dropped = ear.ends = 0
            return {}
        events = sorted(ear.events for ear in self._readers)
        return {
            "events": sum(events),
            "least": events[0],
            "most": events[-1],
            "bytes": sum(ear.bytes for ear in self._readers),
            "writes": sum(ear.ends for ear in self._readers) // 2,  # a chunk's length and its end
            "dropped": sum(ear.dropped for ear in self._readers),
            "listening": sum(ear.is_open for ear in self._readers),
            "rss_mb": rss_mb(),
        }

    async def _open(self, said: dict[str, Any], *, deaf: bool) -> None:
        loop = asyncio.get_running_loop()
        host, port = said["host"], said["port"]
        request = f"GET {said['path']} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        channel = socket.socket()
        channel.setblocking(False)
        if deaf:
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        await loop.sock_connect(channel, (host, port))
        _, ear = await loop.create_connection(lambda: Ear(request, reads=not deaf), sock=channel)
        (self._deaf if deaf else self._readers).append(ear)


if __name__ == "__main__":
    uvloop.run(obey(Ears().order))
