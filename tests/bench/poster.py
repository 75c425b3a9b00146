"""Bots in a process of their own: so many signals a second, due at fixed times, posted over kept connections.

`python -m tests.bench.poster` takes orders by standard input. Nobody waits for an answer before the next signal is due;
one that finds every connection busy waits, and its wait counts, since it is timed from when it was due.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections import deque
from typing import Any, NamedTuple, cast

import uvloop

from tests.bench.measure import obey, percentile

QUIET_S = 60.0
"""Longest wait for what is still unanswered at the end."""

TYPES = 40
KEYED = 3
"""Every third signal has a key."""

AGAIN = 100
"""Every hundredth is sent once more at once, in the same words and with the same key."""

DIRECTIONS = ("BUY", "BUY", "SELL")


class Due(NamedTuple):
    """A signal, and when it was to be sent (monotonic s)."""

    number: int
    at: float


class Line(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self, bots: Bots) -> None:
        self._bots = bots
        self._transport: asyncio.Transport | None = None
        self._due: Due | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._bots.lost += self._due is not None

    def send(self, due: Due, request: bytes) -> None:
        """Post a signal."""
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        size = next(int(line[16:]) for line in lines if line.startswith(b"content-length: "))
        if len(body) < size:
            return
        due, self._due, self._buffer = self._due, None, b""
        assert due is not None
        self._bots.answered(self, due, (int(head[9:12]), body))


class Bots:
    """Sends signals at their times and keeps their answers."""

    def __init__(self) -> None:
        self.lost = 0
        self._free: deque[Line] = deque()
        self._waiting: deque[Due] = deque()
        self._said: dict[str, Any] = {}
        self._head = ""

    async def order(self, said: dict[str, Any]) -> dict[str, Any]:
        """`post` to `host`:`port``path`, `rate` a second for `seconds` over `lines` connections.

        About `symbols` in turn, of `sources` sources. Answers with the ids that each signal got, and the times (ms).
        """
        loop = asyncio.get_running_loop()
        host, port, self._said = said["host"], said["port"], said
        self._head = f"POST {said['path']} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        self.lost = self._open = 0
        self._ms: list[float] = []
        self._ids: dict[int, list[str]] = {}
        self._other: list[str] = []
        lines = [await loop.create_connection(lambda: Line(self), host, port) for _ in range(said["lines"])]
        self._free = deque(line for _, line in lines)
        gc.collect()
        gc.disable()
        late = await self._send(said["rate"], int(said["rate"] * said["seconds"]))
        until = time.monotonic() + QUIET_S
        while self._open and time.monotonic() < until:  # noqa: ASYNC110 - an event would cost each answer
            await asyncio.sleep(0.005)
        gc.enable()
        for transport, _ in lines:
            transport.abort()
        ids = list(self._ids.values())
        return {
            "ids": ids,
            "ms": self._ms,
            "lost": self.lost + self._open,
            "other": self._other[:5],
            "late_p99_ms": percentile(late, 0.99),
        }

    async def _send(self, rate: float, count: int) -> list[float]:
        """Send at the times that are due; how late each was (ms)."""
        late, began = [], time.monotonic() + 0.01
        for number in range(count):
            due = Due(number, began + number / rate)
            await asyncio.sleep(max(0.0, due.at - time.monotonic()))
            late.append((time.monotonic() - due.at) * 1e3)
            for _ in range(2 if number % AGAIN == 0 else 1):
                self._post(due)
        return late

    def _post(self, due: Due) -> None:
        self._open += 1
        if self._free:
            self._free.popleft().send(due, self._request(due.number))
        else:
            self._waiting.append(due)

    def _request(self, number: int) -> bytes:
        symbols, sources = self._said["symbols"], self._said["sources"]
        signal = {
            "source_name": f"bot-{number % sources}",
            "signal_type": f"T{number // sources % TYPES}",
            "signal_strength": 0.5 + number % 50 / 100,
            "confidence_level": 0.4 + number % 60 / 100,
            "symbol": symbols[number % len(symbols)],
            "signal_direction": DIRECTIONS[number % len(DIRECTIONS)],
            "signal_data": {"timeframe": "4h", "indicator": "RSI", "number": number},
        }
        if number % KEYED == 0 or number % AGAIN == 0:
            signal["idempotency_key"] = f"k-{number}"
        body = json.dumps(signal)
        return f"{self._head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def answered(self, line: Line, due: Due, reply: tuple[int, bytes]) -> None:
        """An answer is whole; whoever waits has the connection next."""
        self._ms.append((time.monotonic() - due.at) * 1e3)
        self._open -= 1
        status, body = reply
        if status == 200:
            self._ids.setdefault(due.number, []).append(json.loads(body)["signal_id"])
        else:
            self._other.append(f"{status} {body[:200]!r}")
        if self._waiting:
            waited = self._waiting.popleft()
            line.send(waited, self._request(waited.number))
        else:
            self._free.append(line)


if __name__ == "__main__":
    uvloop.run(obey(Bots().order))
