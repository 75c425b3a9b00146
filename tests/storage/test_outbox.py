"""What was to be sent, as operators and a start ask for it, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from tests.storage.samples import opened, writing
from zmart_stream.domain.outbox import OutboxEntry, OutboxFilled, OutboxMoved
from zmart_stream.domain.ports import EntriesAsked
from zmart_stream.storage.reader import StorageReader


def entry(number: int, **facts: Any) -> OutboxEntry:
    known = {"event_type": "hold", "endpoint": "bot", "payload": f'{{"n":{number}}}', "next_attempt": 0}
    return OutboxEntry(id=str(UUID(int=number)), event_id=f"e{number}", created=number, **(known | facts))


def test_entries_are_found_by_state_endpoint_and_id_and_the_newest_of_a_type(url: str) -> None:
    entries = [entry(1), entry(2, endpoint="me"), entry(3), entry(4, event_type="config")]
    digest = entry(5, event_type="digest")
    dead = replace(entries[1], state="dead", attempts=30, done=9, last_error="answered 500")
    merged = tuple(replace(one, state="delivered", done=9, last_error="in e5") for one in (entries[0], entries[2]))

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([OutboxFilled(ts=0, entries=tuple(entries))])
                writer.put([OutboxFilled(ts=0, entries=(digest,)), OutboxMoved(ts=0, entries=merged)])
                writer.put([OutboxMoved(ts=0, entries=(dead,))])
            reader = StorageReader(database)

            async def found(asked: EntriesAsked, limit: int = 9, offset: int = 0) -> tuple[list[str], int]:
                rows, total = await reader.outbox_entries(asked, limit, offset)
                return [row.event_id for row in rows], total

            assert await found(EntriesAsked()) == (["e5", "e4", "e3", "e2", "e1"], 5)
            assert await found(EntriesAsked(), 2, 1) == (["e4", "e3"], 5)
            assert await found(EntriesAsked("dead")) == (["e2"], 1)
            assert await found(EntriesAsked("delivered", "bot")) == (["e3", "e1"], 2)
            assert await found(EntriesAsked("dead", None, (entries[0].id, dead.id))) == (["e2"], 1)
            assert sorted(one.event_id for one in await reader.outbox()) == ["e4", "e5"]
            newest = await reader.last_sent_of("hold")
            assert newest is not None
            assert (newest.event_id, newest.state, newest.last_error) == ("e3", "delivered", "in e5")
            assert await reader.last_sent_of("plugin") is None

    asyncio.run(scenario())
