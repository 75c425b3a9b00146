"""The writing connection of a SQLite file: one way there and back, all or nothing, finished when begun."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError

from zmart_stream.storage.file_writer import FileWriter


def numbers(connection: Connection) -> list[int]:
    return [row.n for row in connection.execute(text("SELECT n FROM numbers ORDER BY n"))]


def insert(connection: Connection, *values: int) -> str:
    for value in values:
        connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": value})
    return threading.current_thread().name


async def made(path: Path) -> FileWriter:
    writer = FileWriter(path)
    await writer.write(lambda to: to.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")))
    return writer


def test_a_transaction_is_one_way_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        writer = await made(tmp_path / "z.db")
        ways: list[Any] = []
        back = loop.call_soon_threadsafe

        def counted(*given: Any, **context: Any) -> Any:
            ways.append(given)
            return back(*given, **context)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        name = await writer.write(lambda to: insert(to, *range(50)))
        assert name.startswith("storage-write")
        assert len(ways) == 1
        assert await writer.write(numbers) == list(range(50))
        await writer.close()

    asyncio.run(scenario())


def test_all_of_a_transaction_or_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        writer = await made(tmp_path / "z.db")
        with pytest.raises(Exception, match="UNIQUE"):
            await writer.write(lambda to: insert(to, 1, 2, 1))
        await writer.write(lambda to: insert(to, 7))
        assert await writer.write(numbers) == [7]
        await writer.close()

    asyncio.run(scenario())


def test_who_goes_away_takes_nothing_along(tmp_path: Path) -> None:
    async def scenario() -> None:
        writer = await made(tmp_path / "z.db")
        begun, goes_on = threading.Event(), threading.Event()

        def slow(connection: Connection) -> None:
            insert(connection, 1)
            begun.set()
            assert goes_on.wait(60)
            insert(connection, 2)

        asked = asyncio.ensure_future(writer.write(slow))
        assert await asyncio.to_thread(begun.wait, 60)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        goes_on.set()
        assert await writer.write(numbers) == [1, 2]
        await writer.close()

    asyncio.run(scenario())


def test_a_checkpoint_cuts_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "z.db"
        writer = await made(path)
        await writer.write(lambda to: insert(to, *range(100)))
        log = path.with_name("z.db-wal")
        assert log.stat().st_size > 0
        await writer.checkpoint()
        assert log.stat().st_size == 0
        assert await writer.write(numbers) == list(range(100))
        await writer.close()
        assert not log.exists()

    asyncio.run(scenario())


PAIRS = Table("pairs", MetaData(), Column("k", Integer, primary_key=True), Column("v", Integer, nullable=False))


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 700])
def test_rows_that_go_in_together_are_those_that_go_in_one_by_one(tmp_path: Path, count: int) -> None:
    """Conflicts are settled row by row, in order, within a statement and between them."""
    seed = random.randrange(1 << 16)
    print("seed", seed)
    chance = random.Random(seed)
    rows = [{"k": chance.randrange(count), "v": chance.randrange(1000)} for _ in range(count)]
    put = sqlite.insert(PAIRS)
    newest = put.on_conflict_do_update(index_elements=["k"], set_={"v": put.excluded.v})
    first = put.on_conflict_do_nothing()

    async def scenario() -> None:
        for statement, told in ((newest, rows), (first, rows[::-1])):
            path = tmp_path / f"{id(statement)}.db"
            writer = FileWriter(path)
            await writer.write(PAIRS.metadata.create_all)
            statements = await writer.write(lambda to, put=statement: counted(to, put, rows))
            found = await writer.write(lambda to: to.execute(select(PAIRS).order_by(PAIRS.c.k)).all())
            await writer.close()
            assert [tuple(row) for row in found] == sorted({row["k"]: row["v"] for row in told}.items())
            assert statements <= count // 256 + 8

    asyncio.run(scenario())


def counted(connection: Connection, statement: Any, rows: list[dict[str, int]]) -> int:
    """Statements that the driver executed for `rows`."""
    seen: list[str] = []
    connection.connection.driver_connection.set_trace_callback(seen.append)  # type: ignore[union-attr]  # it is live
    connection.execute(statement, rows)
    connection.connection.driver_connection.set_trace_callback(None)  # type: ignore[union-attr]  # it is live
    assert all(text.startswith("INSERT INTO pairs") for text in seen)
    return len(seen)


def test_a_row_that_breaks_a_rule_is_not_passed_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        writer = FileWriter(tmp_path / "z.db")
        await writer.write(PAIRS.metadata.create_all)
        rows = [{"k": k, "v": None if k == 299 else k} for k in range(300)]
        with pytest.raises(IntegrityError, match="NOT NULL"):
            await writer.write(lambda to: to.execute(sqlite.insert(PAIRS).on_conflict_do_nothing(), rows))
        assert await writer.write(lambda to: to.execute(select(PAIRS)).all()) == []
        await writer.close()

    asyncio.run(scenario())
