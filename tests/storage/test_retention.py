"""What is old is thinned, a bounded amount at a time, and what a restart needs stays."""

from __future__ import annotations

import asyncio

import msgspec
from sqlalchemy import select

from tests.storage.samples import HOUR, QUICK, START, block, closed, execute, opened, writing
from tests.storage.test_pages import balances, chain
from tests.storage.test_signals import entry, life, settled, signal
from zmart_stream.domain.bars import BarsAmended
from zmart_stream.domain.outbox import OutboxFilled
from zmart_stream.domain.signals import SignalReceived
from zmart_stream.storage import tables
from zmart_stream.storage.integrity import findings
from zmart_stream.storage.items import SnapshotTaken
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.retention import prune

DAY = 24 * HOUR
QUARTER = HOUR // 4
NOW = START // DAY * DAY + 12 * HOUR
SETTINGS = msgspec.structs.replace(
    QUICK, scores_full_s=86400.0, scores_hourly_s=3 * 86400.0, window_hours=10, window_days=5, bars_margin=2
)


def test_scores_thin_with_age(url: str) -> None:
    async def scenario() -> None:
        async with opened(url, SETTINGS) as database:
            async with writing(database) as writer:
                for back in range(5 * 96):
                    writer.put([closed(NOW - back * QUARTER, ["A0USDTM"])])
            bounded = msgspec.structs.replace(SETTINGS, prune_rows=100)
            while await database.write(lambda to: prune(to, NOW, bounded)):
                pass
            async with database.reading() as connection:
                ends = {row.end_ns for row in await connection.execute(select(tables.symbol_scores.c.end_ns))}
        expected = {
            NOW - back * QUARTER
            for back in range(5 * 96)
            if back <= 96
            or (back <= 3 * 96 and (NOW - back * QUARTER) % HOUR == 0)
            or (NOW - back * QUARTER) % DAY == 0
        }
        assert ends == expected

    asyncio.run(scenario())


def test_a_run_deletes_a_bounded_amount(url: str) -> None:
    async def scenario() -> None:
        async with opened(url, SETTINGS) as database:
            async with writing(database) as writer:
                for back in range(60):
                    writer.put([closed(NOW - 10 * DAY - QUARTER - back * HOUR, ["A0USDTM"])])
            bounded = msgspec.structs.replace(SETTINGS, prune_rows=25)
            assert await database.write(lambda to: prune(to, NOW, bounded)) == 25

    asyncio.run(scenario())


def test_bars_and_snapshots_beyond_their_windows_go_with_a_close(url: str) -> None:
    """The writer does it by itself, after a close; what a restart reads is the windows.

    The newest block is learned of 1.5 s after NOW: of 12 hours and 7 days back from there, 11 and 6 began later.
    """
    bar = (1.0, 2.0, 0.5, 1.5, 10.0, 15.0)

    async def scenario() -> None:
        names = ["A0USDTM", "A1USDTM"]
        async with opened(url, SETTINGS) as database:
            async with writing(database) as writer:
                for hour in range(30, 0, -1):
                    start = NOW - hour * HOUR
                    amended = BarsAmended(ts=start + HOUR, symbol="A1USDTM", interval_s=3600, rows=((start, *bar),))
                    writer.put([block(start, names), amended, SnapshotTaken(ts=start + HOUR, state={"hour": hour})])
                    assert await writer.drain(180)
                for day in range(12, 0, -1):
                    writer.put([block(NOW // DAY * DAY - day * DAY, names, interval_s=86400)])
                writer.put([SnapshotTaken(ts=NOW, state={"last": True})])
                await writer.drain(180)
                assert writer.counts["pruned"] > 0
            rows = (await StorageReader(database).statistics())["rows"]
            assert rows["snapshots"] == 3
            assert rows["bar_amendments"] == 11
            assert rows["bar_blocks"] == 11 + 6
            state = await StorageReader(database).load_state("1.0")
            assert [b.start for b in state.blocks if b.interval_s == 3600] == [NOW - h * HOUR for h in range(10, 0, -1)]
            assert len([b for b in state.blocks if b.interval_s == 86400]) == 5
            assert [len(amendment.rows) for amendment in state.amendments] == [10]
            assert state.snapshot == {"last": True}

    asyncio.run(scenario())


def test_an_unreadable_snapshot_or_block_is_done_without(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([SnapshotTaken(ts=START, state={"good": 1})])
                await writer.drain(180)
                writer.put(
                    [
                        block(START, ["A0USDTM"]),
                        block(START + HOUR, ["A0USDTM"]),
                        SnapshotTaken(ts=START + 1, state={"bad": 1}),
                    ]
                )
            worst = tables.snapshots.update().where(tables.snapshots.c.ts_ns == START + 1)
            first = tables.bar_blocks.update().where(tables.bar_blocks.c.start_ns == START)
            rubbish = b"\x28\xb5\x2f\xfd garbage"
            await execute(database, worst.values(payload=rubbish), first.values(payload=b""))
            state = await StorageReader(database).load_state("1.0")
            assert state.snapshot == {"good": 1}
            assert state.snapshot_ts == START
            assert [b.start for b in state.blocks] == [START + HOUR]
            assert len(state.problems) == 2

    asyncio.run(scenario())


def test_equity_thins_to_days_and_still_balances(url: str) -> None:
    """Whole days beyond the age keep their last point; a day on which a ledger began keeps all of them."""
    settings = msgspec.structs.replace(SETTINGS, equity_hourly_s=8 * 86400.0)
    points = chain(24 * 60, seed=9)
    now = points[-1].end + 5 * HOUR
    cut = (now - 8 * DAY) // DAY * DAY

    async def scenario() -> None:
        async with opened(url, settings) as database:
            async with writing(database) as writer:
                writer.put(points)
            went = 0
            while gone := await database.write(lambda to: prune(to, now, settings)):
                went += gone
            left = await StorageReader(database).equity()
            async with database.reading() as connection:
                assert await findings(connection, whole=True) == []
        began = (points[0].end - 1) // DAY
        kept = [p for p in points if p.end > cut or p.end % DAY == 0 or (p.end - 1) // DAY == began]
        assert [point.end for point in left] == [point.end for point in kept]
        assert [point.equity for point in left] == [point.equity for point in kept]
        assert went == len(points) - len(left)
        assert balances(left)
        assert sum(point.costs for point in left) == sum(point.costs for point in points)

    asyncio.run(scenario())


def test_processed_signals_and_sent_messages_go(url: str) -> None:
    """What waits stays, and an outcome that comes for a signal that is gone ends nobody."""
    old, waiting, young = signal(1), signal(2), signal(3, received=START + 40 * DAY)
    sent = entry(1, state="delivered", attempts=1, done=1)
    settings = msgspec.structs.replace(SETTINGS, signals_kept_s=32 * 86400.0)

    async def scenario() -> None:
        async with opened(url, settings) as database:
            async with writing(database) as writer:
                writer.put([*life(old), SignalReceived(ts=START, signal=waiting), *life(young)])
                writer.put([OutboxFilled(ts=1, entries=(sent, entry(2)))])
            assert await database.write(lambda to: prune(to, START + 41 * DAY, settings)) == 2
            reader = StorageReader(database)
            assert {row["id"] for row in await reader.signals()} == {waiting.id, young.id}
            assert (await reader.statistics())["rows"]["signal_steps"] == 5
            assert await reader.outbox_counts() == {"pending": 1, "delivered": 0, "dead": 0}
            async with writing(database) as writer:
                writer.put([settled(old), settled(young)])
            assert (await reader.statistics())["rows"]["signal_outcomes"] == 1

    asyncio.run(scenario())
