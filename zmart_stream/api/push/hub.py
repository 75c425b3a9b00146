"""One hub for every client. Telling costs the same for one client and for a thousand: the event goes into the ring.

Each client reads the ring at its own place and its own pace, so that nobody's slowness is anybody else's, and what a
client has not read takes no room of its own. Clients are woken a few at a time between other work of the loop, and all
of them together get a bounded share of its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from zmart_stream.api.limits import PushLimits
from zmart_stream.api.push.batches import Batches
from zmart_stream.api.push.ring import Event, Ring
from zmart_stream.domain.errors import RequestError

SLICE = 16
"""Clients woken in one turn of the loop."""

LEAST_GAP_S = 0.02
MOST_GAP_S = 2.0
IDLE_SHARE = 6.0
"""After a round of waking clients, the loop is left alone for so many times the round's duration, within the gaps."""

_encode = msgspec.json.Encoder().encode


class Hub:
    """The events, and who waits for them. Belongs to one event loop."""

    def __init__(self, limits: PushLimits | None = None) -> None:
        """Nobody listens yet; `session` tells this hub's events from those of another start."""
        self.limits = limits or PushLimits()
        self.session = secrets.token_hex(4)
        self.ring = Ring(self.limits.ring)
        self.batches = Batches(self.ring)
        self.closed = False
        self.dropped = 0
        self._clients: Counter[str] = Counter()
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._due: asyncio.Handle | None = None
        self._next_at = 0.0

    @property
    def clients(self) -> int:
        """Clients that listen now."""
        return self._clients.total()

    def publish(self, kind: str, symbols: tuple[str, ...], content: dict[str, Any]) -> None:
        """Tell everybody who wants it; never waits."""
        number = self.ring.next
        name, data = f"{self.session}-{number}", _encode(content)
        sse = b"id: %b\nevent: %b\ndata: %b\n\n" % (name.encode(), kind.encode(), data)
        frame = f'{{"event":"{kind}","id":"{name}","data":{data.decode()}}}'
        self.ring.append(Event(number, kind, symbols, sse, frame))
        if self._waiting:
            self._schedule()

    @contextlib.contextmanager
    def joined(self, key: str) -> Iterator[None]:
        """Count a client in while the block runs. Raises RequestError busy."""
        most, each = self.limits.clients, self.limits.clients_per_caller
        if self.closed or self.clients >= most or self._clients[key] >= each:
            text = "the server is closing" if self.closed else f"at most {most} clients listen, {each} of one caller"
            raise RequestError("busy", text, retry_after_s=5)
        self._clients[key] += 1
        try:
            yield
        finally:
            self._clients[key] -= 1
            if not self._clients[key]:
                del self._clients[key]

    async def turn(self, place: int, within_s: float) -> bool:
        """Wait for this client's turn to read from number `place`; False when nothing came in that time."""
        if self.closed:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        if place < self.ring.next:
            self._schedule()
        try:
            async with asyncio.timeout(within_s):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(future, None)
        return True

    def close(self) -> None:
        """End every client's wait, for good."""
        self.closed = True
        if self._due is not None:
            self._due.cancel()
        self._wake(list(self._waiting))

    def _schedule(self) -> None:
        if self._due is None and not self.closed:
            loop = asyncio.get_running_loop()
            self._due = loop.call_at(max(loop.time(), self._next_at), self._begin)

    def _begin(self) -> None:
        self._round(asyncio.get_running_loop().time(), list(self._waiting))

    def _round(self, began: float, waiting: list[asyncio.Future[None]]) -> None:
        loop = asyncio.get_running_loop()
        self._wake(waiting[:SLICE])
        if len(waiting) > SLICE:
            self._due = loop.call_soon(self._round, began, waiting[SLICE:])
            return
        took = loop.time() - began
        self._next_at = loop.time() + min(max(LEAST_GAP_S, took * IDLE_SHARE), MOST_GAP_S)
        self._due = None

    @staticmethod
    def _wake(waiting: list[asyncio.Future[None]]) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(None)
