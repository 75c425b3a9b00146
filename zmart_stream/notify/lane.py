"""One endpoint's entries, in order: what is next, when it may be tried, and what became of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from msgspec.structs import replace

from zmart_stream.domain.outbox import OutboxEntry
from zmart_stream.notify.pacing import Breaker, Window, backoff
from zmart_stream.notify.sending import Outcome, Sender
from zmart_stream.notify.settings import NotifySettings, Rules

SECOND = 1_000_000_000
_MOST_ERROR = 300

Moved = Callable[[tuple[OutboxEntry, ...]], None]
Merge = Callable[[tuple[OutboxEntry, ...]], str]
"""Has one digest put on disk for entries that are done with by it; its id, by which it comes back to `take`."""

log = structlog.get_logger("notify")


class Lane:
    """Tries the first entry until it is taken or dead, then the next; a backlog becomes one digest."""

    def __init__(
        self, name: str, sender: Sender, rules: Rules, settings: NotifySettings, *, moved: Moved, merge: Merge
    ) -> None:
        """`moved` records where entries stand now; `merge` makes a digest of some."""
        self.name = name
        self._sender, self._settings = sender, settings
        self._moved, self._merge = moved, merge
        self._queue: deque[OutboxEntry] = deque()
        self._known: set[str] = set()
        self._not_before = 0.0
        self._merging = ""  # the digest that is on its way to the disk: nothing overtakes it
        self._is_headed = False  # whether an entry stays before that digest
        self._held_back = False
        self._is_trying = self._is_stopping = False
        self._breaker = Breaker(
            failures=settings.failures_to_open, open_s=settings.open_s, most_s=settings.backoff_most_s
        )
        self._window = Window(rules.most, rules.window_s)
        self._filled = asyncio.Event()
        self._asked: dict[str, asyncio.Future[OutboxEntry]] = {}
        self._sent = self._dead = self._digests = 0
        self._last_error = ""
        self._last_sent: int | None = None

    def take(self, entries: Iterable[OutboxEntry]) -> None:
        """What is on disk and waits, in order; those that are here already are passed over."""
        for entry in entries:
            if entry.id in self._known:
                continue
            self._known.add(entry.id)
            if entry.id == self._merging:
                self._merging = ""
                self._queue.insert(1 if self._is_headed else 0, entry)
            else:
                self._queue.append(entry)
        if len(self._queue) > self._settings.most_pending and not self._merging:
            self._is_headed = True
            self._digest(1)
        if self._queue:
            self._filled.set()

    def resume(self, entries: Iterable[OutboxEntry]) -> None:
        """What an earlier run left, at its start; a wait that was planned then goes on."""
        self.take(entries)
        head = self._queue[0] if self._queue else None
        if head is not None and head.attempts:
            planned_s = (head.next_attempt - time.time_ns()) / SECOND
            self._not_before = _now() + min(max(0.0, planned_s), self._settings.backoff_most_s)

    def outcome(self, entry: OutboxEntry) -> asyncio.Future[OutboxEntry]:
        """Where an entry stands after its next attempt."""
        return self._asked.setdefault(entry.id, asyncio.get_running_loop().create_future())

    def facts(self) -> dict[str, Any]:
        """How this endpoint is."""
        return {
            "name": self.name,
            "kind": self._sender.kind,
            "circuit": self._breaker.state,
            "pending": len(self._queue),
            "sent": self._sent,
            "digests": self._digests,
            "died": self._dead,
            "last_sent": self._last_sent,
            "last_error": self._last_error,
        }

    async def run(self) -> None:
        """Send what comes until `stop` or cancelled; an attempt that is cut is made again by the next start."""
        try:
            while not self._is_stopping:
                await self._wait()
                if self._held_back and len(self._queue) > 1 and not self._queue[0].attempts:
                    self._is_headed = False
                    self._digest(0)
                else:
                    await self._attempt(self._queue[0])
                self._held_back = False
        finally:
            await self._sender.close()

    def stop(self) -> bool:
        """Let `run` return after the attempt under way; False if there is none, and it can be cancelled."""
        self._is_stopping = True
        return self._is_trying

    async def _wait(self) -> None:
        """Until there is an entry whose time has come."""
        while True:
            while not self._queue or self._merging:
                self._filled.clear()
                await self._filled.wait()
            now = _now()
            throttle_s = 0.0 if self._queue[0].attempts else self._window.wait_s(now)
            pause = max(self._not_before - now, self._breaker.wait_s(now), throttle_s)
            if pause <= 0:
                return
            self._held_back = self._held_back or throttle_s > 0
            await asyncio.sleep(pause)

    def _digest(self, keep: int) -> None:
        """One message for all that wait but the first `keep`; it takes their place once it is on disk."""
        merged = tuple(self._queue)[keep:]
        for entry in merged:
            self._queue.pop()
            self._known.discard(entry.id)
        self._digests += 1
        self._merging = self._merge(merged)

    async def _attempt(self, entry: OutboxEntry) -> None:
        now = _now()
        if not entry.attempts:
            self._window.take(now)
        self._breaker.trying()
        self._is_trying = True
        try:
            outcome = await self._sender.send(entry)
        finally:
            self._is_trying = False
        self._judge(entry, outcome)

    def _judge(self, entry: OutboxEntry, outcome: Outcome) -> None:
        tried = replace(entry, attempts=entry.attempts + 1, last_error=outcome.error[:_MOST_ERROR])
        if outcome.ok:
            self._delivered(tried)
        elif outcome.is_refused or tried.attempts >= self._settings.attempts:
            self._died(tried, outcome)
        else:
            self._failed(tried, outcome)

    def _delivered(self, tried: OutboxEntry) -> None:
        self._sent += 1
        self._last_sent = time.time_ns()
        if self._breaker.good():
            log.info("notify.recovered", endpoint=self.name)
        self._leave(replace(tried, state="delivered", done=self._last_sent))

    def _died(self, tried: OutboxEntry, outcome: Outcome) -> None:
        self._dead += 1
        self._last_error = outcome.error
        if outcome.is_refused:
            self._breaker.good()
        else:
            self._count_failure()
        log.error("notify.dead", endpoint=self.name, type=tried.event_type, id=tried.event_id, reason=outcome.error)
        self._leave(replace(tried, state="dead", done=time.time_ns()))

    def _failed(self, tried: OutboxEntry, outcome: Outcome) -> None:
        self._last_error = outcome.error
        self._count_failure()
        settings = self._settings
        pause = backoff(tried.attempts, first_s=settings.backoff_s, most_s=settings.backoff_most_s, draw=random.random)
        pause = max(pause, outcome.wait_s)
        log.warning("notify.failed", endpoint=self.name, attempt=tried.attempts, reason=outcome.error)
        self._not_before = _now() + pause
        self._queue[0] = replace(tried, next_attempt=time.time_ns() + int(pause * SECOND))
        self._moved((self._queue[0],))
        self._answer(self._queue[0])

    def _count_failure(self) -> None:
        if self._breaker.bad(_now()):
            log.warning("notify.circuit_open", endpoint=self.name, reason=self._last_error)

    def _leave(self, entry: OutboxEntry) -> None:
        self._queue.popleft()
        self._known.discard(entry.id)
        self._not_before = 0.0
        self._moved((entry,))
        self._answer(entry)

    def _answer(self, entry: OutboxEntry) -> None:
        asked = self._asked.pop(entry.id, None)
        if asked is not None and not asked.done():
            asked.set_result(entry)


def _now() -> float:
    return asyncio.get_running_loop().time()
