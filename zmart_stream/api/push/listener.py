"""One client's place among the events: where it goes on, and what it missed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
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
    """Reads the ring for one client, in its turns."""

    def __init__(self, hub: Hub, wants: Wants, last_id: str) -> None:
        """`last_id` is the last event's id that the client has; empty: it wants what comes from now on."""
        self._hub = hub
        self._wants = wants
        self.place = hub.ring.next
        self._take: Callable[[Batch], bool] | None = None
        self._ended: asyncio.Future[None] | None = None
        self.reset = self._resume(last_id) if last_id else None

    async def follow(self, take: Callable[[Batch], bool], within_s: float) -> None:
        """Have `take` called with what follows, until it says that it has no room, the time is up or the hub closed.

        Events that were passed over are counted in the batch after them.
        """
        if self._hub.closed:
            return
        self._take, self._ended = take, asyncio.get_running_loop().create_future()
        self._hub.enter(self)
        try:
            async with asyncio.timeout(within_s):
                await self._ended
        except TimeoutError:
            pass
        finally:
            self._hub.leave(self)

    def serve(self) -> None:
        """Take what follows now: called by the hub, for a task that sleeps meanwhile."""
        batch = self._hub.batches.after(self.place, self._wants)
        self.place = batch.place
        self._hub.dropped += batch.dropped
        if (batch.dropped or batch.events) and self._take is not None and not self._take(batch):
            self.end()

    def end(self) -> None:
        """Let the task go on."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _resume(self, last_id: str) -> Reset | None:
        ring, match = self._hub.ring, _ID.fullmatch(last_id)
        if match is None:
            return Reset("unknown_id", None)
        if match[1] != self._hub.session:
            self.place = ring.oldest
            return Reset("restarted", None)
        after = int(match[2]) + 1
        if after > ring.next:
            return Reset("unknown_id", None)
        self.place = max(after, ring.oldest)
        return Reset("too_old", ring.oldest - after) if after < ring.oldest else None
