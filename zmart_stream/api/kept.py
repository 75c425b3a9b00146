"""Replies that many ask for, encoded once: kept for a moment, and no longer than until something is told.

A reply that was kept long enough is given once more while the next one is made, so that nobody waits for what nothing
new is known of; after something was told everybody waits for the new one.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

MOST_BYTES = 2 << 20
MOST_REPLIES = 64
"""Of one route, together."""

Told = Callable[[], int]
"""Another number once something was told that an earlier reply may not know."""


class _Reply(NamedTuple):
    body: bytes
    told: int
    at_s: float


class _UnderWay(NamedTuple):
    task: asyncio.Task[bytes]
    told: int
    at_s: float


class KeptReplies:
    """The replies of one route by path and query. Whoever asks for one that is being made waits for the same."""

    def __init__(self, told: Told, most_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """A reply is given again for `most_s` real seconds by `clock`, and as long again while it is renewed."""
        self._told, self._most_s, self._clock = told, most_s, clock
        self._replies: OrderedDict[str, _Reply] = OrderedDict()
        self._under_way: dict[str, _UnderWay] = {}
        self._bytes = 0

    async def get(self, key: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The kept reply of `key`, or the one that `make` gives; its errors are raised and not kept."""
        told, now = self._told(), self._clock()
        found, working = self._replies.get(key), self._under_way.get(key)
        if found is not None and self._holds(found, told, now, 1):
            return found.body
        if working is None or not self._holds(working, told, now, 2):
            working = self._begin(key, make, told, now)
        if found is not None and self._holds(found, told, now, 2):
            return found.body
        return await asyncio.shield(working.task)  # a caller that goes takes nobody's reply along

    def _holds(self, made: _Reply | _UnderWay, told: int, now: float, times: int) -> bool:
        return made.told == told and now - made.at_s <= times * self._most_s

    def _begin(self, key: str, make: Callable[[], Awaitable[bytes]], told: int, now: float) -> _UnderWay:
        working = _UnderWay(asyncio.ensure_future(_task(make)), told, now)
        self._under_way[key] = working
        working.task.add_done_callback(lambda _: self._end(key, working))
        return working

    def _end(self, key: str, working: _UnderWay) -> None:
        failed = working.task.cancelled() or working.task.exception() is not None
        if self._under_way.get(key) is not working:
            return  # something was told meanwhile, and the reply is being made again
        del self._under_way[key]
        if not failed:
            self._keep(key, _Reply(working.task.result(), working.told, working.at_s))

    def _keep(self, key: str, reply: _Reply) -> None:
        self._forget(key)
        self._replies[key] = reply
        self._bytes += len(reply.body)
        while self._bytes > MOST_BYTES or len(self._replies) > MOST_REPLIES:
            self._forget(next(iter(self._replies)))

    def _forget(self, key: str) -> None:
        reply = self._replies.pop(key, None)
        if reply is not None:
            self._bytes -= len(reply.body)


async def _task(make: Callable[[], Awaitable[bytes]]) -> bytes:
    return await make()
