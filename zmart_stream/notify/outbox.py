"""The outbox: what is committed goes to its endpoints, what became of it goes back to the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from msgspec.structs import replace

from zmart_stream.domain.errors import RequestError, StorageError
from zmart_stream.domain.events import iso
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxEntry, OutboxFilled, OutboxMoved
from zmart_stream.domain.ports import EntriesAsked, OutboxStore
from zmart_stream.notify.digest import digest_of
from zmart_stream.notify.events import DIGEST, TEST, Notice
from zmart_stream.notify.lane import Lane
from zmart_stream.notify.routing import LastHold, Router
from zmart_stream.notify.sending import Sender
from zmart_stream.notify.settings import NotifySettings, Rules

TEST_S = 10.0
"""Longest wait of an operator's test for its first attempt."""

MOST_AT_START = 100_000
MOST_RESENT = 1000
AGAIN_S = 5.0

log = structlog.get_logger("notify")


class Outbox:
    """All endpoints of a daemon. Nothing is sent that is not on disk; nothing is forgotten that is."""

    def __init__(
        self, settings: NotifySettings, senders: Mapping[str, Sender], store: OutboxStore, last: LastHold | None = None
    ) -> None:
        """`senders` by endpoint; `last` is what endpoints know of a hold."""
        rules = rules_of(settings)
        self._store = store
        self.router = Router(rules, last)
        self._lanes = {
            name: Lane(name, sender, rules[name], settings, moved=self._moved, merge=self._merge)
            for name, sender in senders.items()
        }
        self._early: list[OutboxEntry] | None = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False

    def committed(self, messages: Iterable[Message]) -> None:
        """The store has these on disk: entries among them may go."""
        for message in messages:
            if isinstance(message, OutboxFilled):
                self._take(message.entries)

    async def run(self) -> None:
        """Go on where the last run was, until `stop`."""
        await self._load()
        if self._is_stopping:
            return
        async with asyncio.TaskGroup() as group:
            for name, lane in self._lanes.items():
                self._tasks[name] = group.create_task(lane.run(), name=f"notify-{name}")

    def stop(self) -> None:
        """Let `run` return: attempts under way end, what waits is for the next start."""
        self._is_stopping = True
        for name, task in self._tasks.items():
            if not self._lanes[name].stop():
                task.cancel()

    def facts(self) -> dict[str, Any]:
        """How the endpoints are: circuits, what waits, what died since the start."""
        endpoints = self.endpoints()
        sums = {name: sum(facts[name] for facts in endpoints) for name in ("pending", "sent", "died")}
        return {**sums, "endpoints": endpoints}

    def endpoints(self) -> list[dict[str, Any]]:
        """Each endpoint, JSON-ready, without its address."""
        found = [lane.facts() for lane in self._lanes.values()]
        return [{**facts, "last_sent": _moment(facts["last_sent"])} for facts in found]

    async def listed(self, asked: EntriesAsked, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Entries, newest first, JSON-ready, and how many there are. Raises RequestError, StorageError."""
        if asked.endpoint is not None:
            self._lane(asked.endpoint)
        rows, total = await self._store.entries(asked, limit, offset)
        return [shown(entry) for entry in rows], total

    async def resend(self, ids: Sequence[str], endpoint: str | None) -> int:
        """Try dead entries anew, those named or all (of an endpoint); how many. Raises RequestError, StorageError."""
        if endpoint is not None:
            self._lane(endpoint)
        rows, _ = await self._store.entries(EntriesAsked("dead", endpoint, tuple(ids)), MOST_RESENT, 0)
        dead = [entry for entry in reversed(rows) if entry.endpoint in self._lanes]
        if ids and len(dead) < len(set(ids)):
            raise RequestError("unknown_notification", "not all of these are dead entries of an endpoint that exists")
        now = time.time_ns()
        fresh = [replace(entry, state="pending", attempts=0, next_attempt=now, done=None) for entry in dead]
        if fresh:
            self._moved(tuple(fresh))
            self._take(fresh)
        return len(fresh)

    async def test(self, endpoint: str, who: str) -> dict[str, Any]:
        """Send a test in its turn; where it stands after the first attempt, or still waiting. Raises RequestError."""
        lane = self._lane(endpoint)
        text = f"A test of zmart-stream, asked for by {who}"
        told = Notice(f"{TEST}_{uuid4()}", TEST, (), "normal", text, iso(time.time_ns()), {"who": who})
        entries = self.router.made(told, [endpoint])
        first = lane.outcome(entries[0])
        self._store.put([OutboxFilled(ts=0, entries=entries)])
        try:
            return shown(await asyncio.wait_for(asyncio.shield(first), TEST_S))
        except TimeoutError:
            return shown(entries[0])

    def _lane(self, endpoint: str) -> Lane:
        lane = self._lanes.get(endpoint)
        if lane is None:
            there = f"there are {', '.join(self._lanes)}" if self._lanes else "there is none"
            raise RequestError("unknown_endpoint", f"no endpoint has the name {endpoint[:64]!r}; {there}")
        return lane

    def _take(self, entries: Sequence[OutboxEntry]) -> None:
        if self._early is not None:
            self._early += entries
            return
        for name, lane in self._lanes.items():
            if mine := [entry for entry in entries if entry.endpoint == name]:
                lane.take(mine)

    def _moved(self, entries: tuple[OutboxEntry, ...]) -> None:
        self._store.put([OutboxMoved(ts=0, entries=entries)])

    def _merge(self, entries: tuple[OutboxEntry, ...]) -> str:
        """The digest and the end of what it stands for are one unit: either is on disk with the other."""
        event_id, payload = digest_of(entries)
        last = entries[-1]
        digest = replace(self.router.entry(event_id, DIGEST, last.endpoint, payload), created=last.created)
        now = time.time_ns()
        done = tuple(replace(entry, state="delivered", done=now, last_error=f"in {event_id}") for entry in entries)
        self._store.put([OutboxFilled(ts=0, entries=(digest,)), OutboxMoved(ts=0, entries=done)])
        return digest.id

    async def _load(self) -> None:
        """What waits from earlier runs comes before what this one has said by now."""
        rows = await self._waiting()
        early, self._early = self._early or [], None
        by_id = {entry.id: entry for entry in (*rows, *early)}
        waiting = sorted(by_id.values(), key=lambda entry: entry.created)
        for name, lane in self._lanes.items():
            lane.resume(entry for entry in waiting if entry.endpoint == name)
        if gone := [entry for entry in waiting if entry.endpoint not in self._lanes]:
            now, why = time.time_ns(), "there is no endpoint of that name any more"
            self._moved(tuple(replace(entry, state="dead", done=now, last_error=why) for entry in gone))
            log.warning("notify.orphaned", count=len(gone), reason=why)

    async def _waiting(self) -> Sequence[OutboxEntry]:
        while True:
            try:
                return await self._store.waiting(MOST_AT_START)
            except StorageError as error:
                log.warning("notify.unread", reason=str(error))
                await asyncio.sleep(AGAIN_S)


def rules_of(settings: NotifySettings) -> dict[str, Rules]:
    """What each endpoint wants."""
    webhooks = {webhook.name: webhook.rules for webhook in settings.webhooks}
    return webhooks | {channel.name: channel.rules for channel in settings.channels}


def hold_of(entry: OutboxEntry) -> LastHold:
    """What an entry of the type `hold` tells."""
    return LastHold(**msgspec.json.decode(entry.payload)["data"])


def shown(entry: OutboxEntry) -> dict[str, Any]:
    """An entry as operators read it: where it stands, and what it says in words."""
    said = msgspec.json.decode(entry.payload)
    return {
        "id": entry.id,
        "event_id": entry.event_id,
        "type": entry.event_type,
        "endpoint": entry.endpoint,
        "text": said.get("text", ""),
        "state": entry.state,
        "attempts": entry.attempts,
        "created": iso(entry.created),
        "next_attempt": iso(entry.next_attempt) if entry.state == "pending" else None,
        "done": _moment(entry.done),
        "last_error": entry.last_error,
    }


def _moment(ns: int | None) -> str | None:
    return None if ns is None else iso(ns)
