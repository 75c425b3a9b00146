"""What comes next, read and joined once for all clients that stand at the same place and want the same."""

from __future__ import annotations

from typing import NamedTuple

from zmart_stream.api.push.ring import Event, Ring
from zmart_stream.api.push.wants import Wants

MOST_EVENTS = 2048
MOST_BYTES = 1 << 18
"""What one write holds at most, but for a single event that is larger: what comes while a crowd waits for its turn."""

MOST_KEPT = 16
"""Batches kept until the next event; each may be as large as a write."""


class Batch(NamedTuple):
    """Where a client goes on, how many events left the ring before it read them, and those that follow."""

    place: int
    dropped: int
    events: tuple[Event, ...]
    sse: bytes


class Batches:
    """Reads of one ring."""

    def __init__(self, ring: Ring) -> None:
        """Nobody has read yet."""
        self._ring = ring
        self._kept: dict[tuple[int, str], Batch] = {}
        self._of = ring.next

    def after(self, place: int, wants: Wants) -> Batch:
        """What a client at number `place` gets; the oldest are passed over where they left the ring."""
        if self._of != self._ring.next or len(self._kept) >= MOST_KEPT:
            self._kept.clear()
            self._of = self._ring.next
        key = (place, wants.key)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._read(place, wants)
        return found

    def _read(self, place: int, wants: Wants) -> Batch:
        dropped = max(0, self._ring.oldest - place)
        place += dropped
        found: list[Event] = []
        size = 0
        for event in self._ring.read(place, MOST_EVENTS):
            if wants.has(event):
                size += len(event.sse)
                if found and size > MOST_BYTES:
                    break
                found.append(event)
            place = event.number + 1
        return Batch(place, dropped, tuple(found), b"".join(event.sse for event in found))
