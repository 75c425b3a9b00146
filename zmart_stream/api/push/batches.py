"""What comes next, read and joined once for all clients that stand at the same place and want the same."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property

from zmart_stream.api.push.ring import Event, Ring
from zmart_stream.api.push.wants import Wants

MOST_EVENTS = 2048
MOST_BYTES = 1 << 18
"""What one write holds at most, but for a single event that is larger: what comes while a crowd waits for its turn."""

MOST_KEPT = 16
"""Batches kept for others who stand there; each may be as large as a write, for both kinds of stream."""

FRESH_SHARE = 8
"""A batch serves while at most one part in so many as it covers was told since; that part comes with the next one. One
that is full serves for as long as it is kept."""


@dataclass(frozen=True)
class Batch:
    """Where a client goes on, how many events left the ring before it read them, and those that follow."""

    place: int
    dropped: int
    events: tuple[Event, ...]
    until: int
    """It stands for what follows until the ring's next number is beyond this."""

    @cached_property
    def sse(self) -> bytes:
        """The events as the stream has them."""
        return b"".join(event.sse for event in self.events)

    @cached_property
    def chunk(self) -> bytes:
        """The same as a chunk of HTTP (RFC 9112, 7.1)."""
        return chunked(self.sse)

    @cached_property
    def frames(self) -> bytes:
        """The events as the websocket has them."""
        return b"".join(event.frame for event in self.events)


def chunked(data: bytes) -> bytes:
    """One chunk of a reply whose length nobody knows."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Batches:
    """Reads of one ring."""

    def __init__(self, ring: Ring) -> None:
        """Nobody has read yet."""
        self._ring = ring
        self._kept: dict[tuple[int, str], Batch] = {}

    def after(self, place: int, wants: Wants) -> Batch:
        """What a client at number `place` gets; the oldest are passed over where they left the ring."""
        key = (place, wants.key)
        found = self._kept.get(key)
        if found is None or found.until < self._ring.next:
            self._forget()
            found = self._kept[key] = self._read(place, wants)
        return found

    def _forget(self) -> None:
        """Make room: what is out of date goes, then what was read first."""
        self._kept = {key: batch for key, batch in self._kept.items() if batch.until >= self._ring.next}
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _read(self, place: int, wants: Wants) -> Batch:
        ring = self._ring
        dropped = max(0, ring.oldest - place)
        first = place = place + dropped
        found: list[Event] = []
        size = 0
        for event in ring.read(place, MOST_EVENTS):
            if wants.has(event):
                size += len(event.sse)
                if found and size > MOST_BYTES:
                    break
                found.append(event)
            place = event.number + 1
        is_full = place < ring.next
        until = sys.maxsize if is_full else ring.next + (place - first) // FRESH_SHARE
        return Batch(place, dropped, tuple(found), until)
