"""One client's place among the events: where it goes on, and what it missed."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

from zmart_stream.api.push.batches import Batch
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.wants import Wants

_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})", re.ASCII)


class Reset(NamedTuple):
    """A client cannot go on where it was; `missed` events are gone, None: nobody knows how many."""

    reason: str
    missed: int | None


class Listener:
    """Reads the ring for one client."""

    def __init__(self, hub: Hub, wants: Wants, last_id: str) -> None:
        """`last_id` is the last event's id that the client has; empty: it wants what comes from now on."""
        self._hub = hub
        self._wants = wants
        self._place = hub.ring.next
        self.reset = self._resume(last_id) if last_id else None

    async def next(self, within_s: float) -> Batch | None:
        """What follows, events that were passed over counted; None: nothing came, or the hub closed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while await self._hub.turn(self._place, max(0.0, until - loop.time())) and not self._hub.closed:
            batch = self._hub.batches.after(self._place, self._wants)
            self._place = batch.place
            self._hub.dropped += batch.dropped
            if batch.dropped or batch.events:
                return batch
        return None

    def _resume(self, last_id: str) -> Reset | None:
        ring, match = self._hub.ring, _ID.fullmatch(last_id)
        if match is None:
            return Reset("unknown_id", None)
        if match[1] != self._hub.session:
            self._place = ring.oldest
            return Reset("restarted", None)
        after = int(match[2]) + 1
        if after > ring.next:
            return Reset("unknown_id", None)
        self._place = max(after, ring.oldest)
        return Reset("too_old", ring.oldest - after) if after < ring.oldest else None
