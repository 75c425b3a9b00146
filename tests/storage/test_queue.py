"""The queue's rule: what gives way, in which order, and what never does."""

from __future__ import annotations

import asyncio

import msgspec

from tests.storage.samples import HOUR, QUICK, START, Books, Told, block, closed, opened
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.storage.integrity import check_book
from zmart_stream.storage.items import SnapshotTaken
from zmart_stream.storage.queue import WriterQueue
from zmart_stream.storage.writer import StorageWriter

NAMES = [f"A{index}USDTM" for index in range(10)]


def snapshot(ts: int) -> SnapshotTaken:
    return SnapshotTaken(ts=ts, state={"at": ts})


def test_scores_and_old_snapshots_give_way_when_shedding() -> None:
    queue, books = WriterQueue(1000), Books()
    change = books.change("fill", NAMES[:2])
    queue.put([closed(START, NAMES), snapshot(1), change])
    assert queue.rows == 12
    queue.shed()
    assert queue.dropped == {"scores": 10}
    assert queue.rows == 2
    queue.put([closed(START + HOUR, NAMES), snapshot(2)])
    units = queue.take(100)
    assert [message for unit in units for message in unit] == [change, snapshot(2)]
    assert queue.dropped == {"scores": 20, "snapshots": 1}
    queue.done(units)
    assert queue.rows == 0
    queue.keep()
    queue.put([closed(START, NAMES)])
    assert queue.rows == 10


def test_bars_give_way_at_the_limit_and_book_changes_never() -> None:
    queue, books = WriterQueue(5), Books()
    for size in range(1, 9):
        queue.put([block(START, NAMES), books.change("fill", NAMES[:size])])
    kept = [type(message).__name__ for unit in queue.units for message in unit]
    assert kept.count("PortfolioChange") == 8
    assert kept.count("BarBlock") == 3
    assert queue.dropped == {"bars": 5}
    assert queue.crowded


def test_a_batch_takes_whole_units() -> None:
    queue = WriterQueue(1000)
    for end in range(4):
        queue.put([closed(START + end * HOUR, NAMES)])
    assert [len(queue.take(25)), len(queue.take(5)), len(queue.take(5)), len(queue.take(5))] == [2, 1, 1, 0]


def test_a_crowded_queue_degrades_before_anything_is_lost_and_recovers(url: str) -> None:
    """Nothing runs yet, the queue fills: the book must hold at 80 %; then the writer catches up."""

    async def scenario() -> None:
        told, books = Told(), Books()
        async with opened(url, msgspec.structs.replace(QUICK, queue_size=100)) as database:
            writer = StorageWriter(
                database,
                on_committed=told.messages.extend,
                on_degraded=told.states.append,
                on_recovered=told.recover,
            )
            for count in range(7):
                writer.put([closed(START + count * HOUR, NAMES), books.change("fill", NAMES[: count + 1])])
            assert told.states == []
            writer.put([closed(START + 7 * HOUR, NAMES), books.change("fill", NAMES[:8])])
            assert len(told.states) == 1
            assert writer.dropped["scores"] == 80
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(writer.run())
                assert await writer.drain(180)
                assert told.states[1:] == ["recovered"]
                await writer.close()
            assert len([m for m in told.messages if isinstance(m, PortfolioChange)]) == 8
            assert await check_book(database) == books.book

    asyncio.run(scenario())
