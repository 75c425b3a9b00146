"""Callers of the API in a process of their own: so many requests a second, due at fixed times, over kept connections.

`python -m tests.bench.caller` takes orders by standard input. Nothing waits for a reply before the next request is due:
a request that finds every connection busy waits, and its wait counts, since it is timed from when it was due.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import defaultdict, deque
from typing import Any, NamedTuple, cast

import uvloop

from tests.bench.measure import obey, percentile

QUIET_S = 30.0
"""Longest wait for what is still unanswered at the end."""


class Due(NamedTuple):
    """A request, and when it was to be made (monotonic s)."""

    path: str
    at: float


class Line(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._transport: asyncio.Transport | None = None
        self._due: Due | None = None
        self._buffer = bytearray()
        self._whole = 0  # bytes of the reply, once its head is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._callers.lost += self._due is not None

    def ask(self, due: Due, head: bytes) -> None:
        """Send a request."""
        assert self._transport is not None
        self._due = due
        self._transport.write(head)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            lines = bytes(self._buffer[:head]).lower().split(b"\r\n")
            size = next((int(line[16:]) for line in lines if line.startswith(b"content-length: ")), 0)
            self._whole = head + 4 + size
        if len(self._buffer) >= self._whole:
            reply, due = bytes(self._buffer), self._due
            self._buffer.clear()
            self._whole, self._due = 0, None
            assert due is not None
            self._callers.answered(self, due, reply)


class Callers:
    """Makes requests at their times and takes the times of their answers."""

    def __init__(self) -> None:
        self.lost = 0
        self._free: deque[Line] = deque()
        self._waiting: deque[Due] = deque()
        self._heads: dict[str, bytes] = {}

    async def order(self, said: dict[str, Any]) -> dict[str, Any]:
        """`ask`: `paths` in turn on `host`:`port`, `rate` a second for `seconds` over `lines` connections."""
        loop = asyncio.get_running_loop()
        host, port, paths = said["host"], said["port"], said["paths"]
        self.lost = self._bad = self._open = 0
        self._taken: dict[str, list[float]] = defaultdict(list)
        self._bytes: dict[str, int] = {}
        self._heads = {path: f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode() for path in paths}
        self._free.clear()
        lines = [await loop.create_connection(lambda: Line(self), host, port) for _ in range(said["lines"])]
        self._free.extend(line for _, line in lines)
        gc.collect()
        gc.disable()
        late = await self._make(paths, said["rate"], int(said["rate"] * said["seconds"]))
        await self._rest()
        gc.enable()
        for transport, _ in lines:
            transport.abort()
        taken = {path: sorted(found) for path, found in self._taken.items()}
        return {
            "ms": taken,
            "bad": self._bad,
            "lost": self.lost + self._open,
            "bytes": self._bytes,
            "late_p99_ms": percentile(late, 0.99),
        }

    async def _make(self, paths: list[str], rate: float, count: int) -> list[float]:
        """Ask at the times that are due; how late each was (ms)."""
        late, began = [], time.monotonic() + 0.01
        for k in range(count):
            due = Due(paths[k % len(paths)], began + k / rate)
            while (early := due.at - time.monotonic()) > 0:  # noqa: ASYNC110 - times are what is waited for
                await asyncio.sleep(early)
            late.append((time.monotonic() - due.at) * 1e3)
            self._open += 1
            if self._free:
                self._free.popleft().ask(due, self._heads[due.path])
            else:
                self._waiting.append(due)
        return late

    async def _rest(self) -> None:
        until = time.monotonic() + QUIET_S
        while self._open and time.monotonic() < until:  # noqa: ASYNC110 - an event would cost each reply
            await asyncio.sleep(0.005)

    def answered(self, line: Line, due: Due, reply: bytes) -> None:
        """A reply is whole; whoever waits has the connection next."""
        self._taken[due.path].append((time.monotonic() - due.at) * 1e3)
        self._open -= 1
        self._bad += not reply.startswith(b"HTTP/1.1 200 ")
        self._bytes[due.path] = len(reply)
        if self._waiting:
            waited = self._waiting.popleft()
            line.ask(waited, self._heads[waited.path])
        else:
            self._free.append(line)


if __name__ == "__main__":
    uvloop.run(obey(Callers().order))
