"""One hub for every client. Telling costs the same for one client and for a thousand: the event goes into the ring.

Each client reads the ring at its own place and its own pace, so that nobody's slowness is anybody else's, and what a
client has not read takes no room of its own. Those for whom there is something are served in rounds, a few at a time,
with rests for the other work of the loop: all of them together get a bounded share of its time (`pace`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from zmart_stream.api.limits import PushLimits
from zmart_stream.api.push.batches import Batches
from zmart_stream.api.push.pace import LEAST_GAP_S, SLICE_S, Pace
from zmart_stream.api.push.ring import Event, Ring, text_frame
from zmart_stream.domain.errors import RequestError

_encode = msgspec.json.Encoder().encode


class Reader(Protocol):
    """Who waits for its turn."""

    place: int
    """The number of the event that it has not read yet."""

    def serve(self) -> None:
        """Read on, without waiting for anything."""
        ...

    def end(self) -> None:
        """The hub closed."""
        ...


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
        self._waiting: dict[Reader, None] = {}
        self._pace = Pace()
        self._due: asyncio.Handle | None = None
        self._round: deque[Reader] = deque()
        self._of = 0
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
        text = b'{"event":"%b","id":"%b","data":%b}' % (kind.encode(), name.encode(), data)
        self.ring.append(Event(number, kind, symbols, sse, text_frame(text)))
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

    def enter(self, reader: Reader) -> None:
        """Serve it whenever there is something beyond its place, until it leaves."""
        self._waiting[reader] = None
        if reader.place < self.ring.next:
            self._schedule()

    def leave(self, reader: Reader) -> None:
        """Serve it no longer."""
        self._waiting.pop(reader, None)

    def close(self) -> None:
        """End every client's wait, for good."""
        self.closed = True
        if self._due is not None:
            self._due.cancel()
        for reader in list(self._waiting):
            reader.end()

    def _schedule(self) -> None:
        if self._due is None and not self.closed:
            loop = asyncio.get_running_loop()
            self._due = loop.call_at(max(loop.time(), self._next_at), self._begin)

    def _begin(self) -> None:
        self._round = deque(reader for reader in self._waiting if reader.place < self.ring.next)
        self._of = len(self._round)
        self._slice()

    def _slice(self) -> None:
        began, served = time.perf_counter(), 0
        try:
            while self._round and (not served or time.perf_counter() - began < SLICE_S):
                reader = self._round.popleft()
                if reader in self._waiting:
                    served += 1
                    reader.serve()
        finally:  # whatever one of them does, the others have their turns
            self._rest(began, served)

    def _rest(self, began: float, served: int) -> None:
        loop = asyncio.get_running_loop()
        rest_s = self._pace.rest_s(began, time.perf_counter(), served, self._of)
        if self._round:
            self._due = loop.call_later(rest_s, self._slice)
            return
        self._due = None
        self._next_at = loop.time() + max(LEAST_GAP_S, rest_s)
        if any(reader.place < self.ring.next for reader in self._waiting):
            self._schedule()  # for what was told after they had been served
