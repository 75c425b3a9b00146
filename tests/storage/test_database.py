"""One writer, readers that cannot write, and a way back from a broken file."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from tests.storage.conftest import new_server_database
from tests.storage.samples import QUICK, START, Books, Told, block, execute, listing, opened, writing
from zmart_stream.domain.errors import ConfigError, StorageError
from zmart_stream.storage import tables
from zmart_stream.storage.database import Database
from zmart_stream.storage.integrity import check_book
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.recovery import backup_path
from zmart_stream.storage.venue import stored_venue

NAMES = [f"A{index}USDTM" for index in range(14)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a #%? b" / "zmart.db"


def url_of(path: Path) -> str:
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


async def a_book(url: str, count: int = 3) -> Any:
    books = Books()
    async with opened(url) as database, writing(database) as writer:
        writer.put([listing(name) for name in NAMES])
        for size in range(1, count + 1):
            writer.put([block(START, NAMES * 30), books.change("fill", NAMES[:size])])
    return books.book


def test_pragmas_are_in_force(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path}/z.db") as database:

            def pragmas(connection: Connection, *names: str) -> list[Any]:
                return [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]

            wanted = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            assert await database.write(lambda to: pragmas(to, *wanted)) == ["wal", 2, 1, 5000]
            async with database.reading() as connection:
                assert await connection.run_sync(pragmas, "query_only", "wal_autocheckpoint") == [1, 0]
            assert await database.read(lambda to: pragmas(to, "query_only", "wal_autocheckpoint")) == [1, 0]
            with pytest.raises(StorageError, match="readonly"):
                async with database.reading() as connection:
                    await connection.execute(text("DELETE FROM symbols"))

    asyncio.run(scenario())


def test_readers_cannot_write(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as database:
            with pytest.raises(StorageError, match=r"readonly|read-only"):
                async with database.reading() as connection:
                    await connection.execute(text("DELETE FROM symbols"))
            with pytest.raises(StorageError, match=r"readonly|read-only"):
                await database.read(lambda connection: connection.execute(text("DELETE FROM symbols")))

    asyncio.run(scenario())


def test_a_read_that_takes_too_long_is_stopped_and_makes_room(tmp_path: Path) -> None:
    endless = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    settings = msgspec.structs.replace(QUICK, read_timeout_s=0.2, pool_size=1)

    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path}/z.db", settings) as database:
            with pytest.raises(StorageError, match="took longer"):
                await database.read(lambda connection: connection.execute(endless).all())
            database.settings = msgspec.structs.replace(settings, read_timeout_s=60.0)  # a machine may be slow
            assert await database.read(lambda connection: connection.execute(text("SELECT 7")).scalar()) == 7

    asyncio.run(scenario())


def test_a_start_may_read_for_as_long_as_it_takes(tmp_path: Path) -> None:
    """On a machine so busy that nothing comes in time: callers are refused, a daemon that starts is not ended."""
    in_no_time = msgspec.structs.replace(QUICK, read_timeout_s=1e-9)

    async def scenario() -> None:
        url = f"sqlite:///{tmp_path}/z.db"
        await a_book(url)
        async with opened(url, in_no_time) as database:
            assert await stored_venue(database) is None
            assert (await check_book(database)).holdings
            reader = StorageReader(database)
            assert await reader.last_ts()
            assert (await reader.load_state("1.0")).book.holdings
            async with writing(database) as writer:
                writer.put([listing("ZUSDTM")])
            with pytest.raises(StorageError, match="a read took longer"):
                await reader.symbols()

    asyncio.run(scenario())


def test_a_second_writer_is_refused(url: str) -> None:
    async def scenario() -> None:
        async with opened(url):
            with pytest.raises(StorageError, match="another process writes"):
                async with opened(url):
                    pass
        async with opened(url):
            pass

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense"])
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url"):
        Database(url)


def test_no_connection_is_told_in_one_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(StorageError, match="cannot be opened"):
            async with opened(f"postgresql://zmart:secret@/none?host={tmp_path}"):
                pass

    asyncio.run(scenario())


def test_a_lost_connection_is_taken_up_again(server: str, request: pytest.FixtureRequest) -> None:
    """The server ends the writer's connection between two commits; the next change is stored and told once."""
    url = new_server_database(server)
    name = url.split("/")[3].split("?")[0]

    async def scenario() -> None:
        told, books = Told(), Books()
        async with opened(url) as database, writing(database, told) as writer:
            for size in range(1, 6):
                writer.put([books.change("fill", NAMES[:size])])
                assert await writer.drain(180)
                other = await asyncpg.connect(host=server, user="zmart", database="postgres")
                await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
                await other.close()
        async with opened(url) as database:
            assert await check_book(database) == books.book
            changes = await StorageReader(database).history()
        assert list(changes)[::-1] == told.messages
        assert told.states
        assert all(state.startswith(("degraded database not reachable", "recovered")) for state in told.states)

    asyncio.run(scenario())


def test_backup_of_a_database_in_use(path: Path) -> None:
    async def scenario() -> None:
        books = Books()
        async with opened(url_of(path)) as database, writing(database) as writer:
            writer.put([books.change("fill", NAMES[:3])])
            await writer.drain(180)
            saved = books.book
            target = await database.backup()
            writer.put([books.change("fill", NAMES[:5])])
            await writer.drain(180)
        assert target == backup_path(path)
        async with opened(url_of(target)) as copy:
            assert await check_book(copy) == saved

    asyncio.run(scenario())


async def saved_book(path: Path) -> Any:
    """A book, and a backup of it."""
    book = await a_book(url_of(path))
    async with opened(url_of(path)) as database:
        await database.backup()
    return book


async def found(path: Path) -> tuple[Any, list[str]]:
    """The book that a start finds, and what it tells the operator."""
    async with opened(url_of(path)) as database:
        return await check_book(database), database.notices


def break_file(path: Path, harm: str) -> bytes:
    content = bytearray(path.read_bytes())
    if harm == "header":
        content[:16] = b"not a database!!"
    elif harm == "page":
        for page in range(2, len(content) // 4096, 3):
            content[page * 4096 : page * 4096 + 200] = b"\xaa" * 200
    else:
        del content[len(content) // 2 // 4096 * 4096 :]
    path.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize("harm", ["header", "page", "cut"])
def test_a_broken_file_is_replaced_by_the_backup_and_kept(path: Path, harm: str) -> None:
    book = asyncio.run(saved_book(path))
    broken = break_file(path, harm)
    stored, notices = asyncio.run(found(path))
    assert stored == book
    assert ["was corrupt" in notice for notice in notices] == [True]
    assert [file.read_bytes() for file in path.parent.glob("corrupt-*/zmart.db")] == [broken]


@pytest.mark.parametrize("harm", ["header", "page"])
def test_a_broken_file_without_backup_stops_the_start(path: Path, harm: str) -> None:
    """And again at the next start: an empty book must never appear by itself."""
    asyncio.run(a_book(url_of(path)))
    broken = break_file(path, harm)
    for _ in range(2):
        with pytest.raises(StorageError, match="no backup"):
            asyncio.run(found(path))
        assert path.read_bytes() == broken


def test_a_broken_backup_does_not_loop(path: Path) -> None:
    asyncio.run(a_book(url_of(path)))
    backup_path(path).write_bytes(b"not a database either" * 500)
    break_file(path, "page")
    with pytest.raises(StorageError, match="cannot be opened"):
        asyncio.run(found(path))


def test_a_restore_that_was_cut_short_is_finished(path: Path) -> None:
    """The broken file is aside, the backup not yet in place: the next start must not begin empty."""
    book = asyncio.run(saved_book(path))
    aside = path.parent / "corrupt-20260101T000000Z"
    aside.mkdir()
    path.rename(aside / path.name)
    assert asyncio.run(found(path))[0] == book
    path.unlink()
    backup_path(path).unlink()
    with pytest.raises(StorageError, match="no backup"):
        asyncio.run(found(path))
    assert not path.exists()


def test_foreign_keys_and_active_uniqueness_hold(url: str) -> None:
    """The database itself refuses what the writer would never send."""
    row = {
        "position_rank": 1,
        "inclusion_date": START,
        "weight_percentage": 10,
        "flags": [],
        "since_ns": START,
    }
    ids = [f"00000000-0000-0000-0000-00000000000{digit}" for digit in range(5)]

    async def scenario() -> None:
        await a_book(url, 2)
        async with opened(url) as database:
            held = (await StorageReader(database).symbols())[:3]
            bad = [
                {**row, "id": ids[0], "symbol_id": ids[1], "position_rank": 9},  # no such contract
                {**row, "id": ids[1], "symbol_id": held[0]["id"], "position_rank": 9},  # held already
                {**row, "id": ids[2], "symbol_id": held[2]["id"], "position_rank": 1},  # rank taken
                {**row, "id": ids[3], "symbol_id": held[2]["id"], "position_rank": 0},
                {**row, "id": ids[4], "symbol_id": held[2]["id"], "position_rank": 9, "weight_percentage": 100.01},
            ]
            for values in bad:
                with pytest.raises(DBAPIError):
                    await execute(database, tables.portfolio_composition.insert().values(values))
            values = {**row, "id": ids[4], "symbol_id": held[2]["id"], "position_rank": 50}
            await execute(database, tables.portfolio_composition.insert().values(values))

    asyncio.run(scenario())


def test_a_clean_end_leaves_one_file(path: Path) -> None:
    asyncio.run(a_book(url_of(path), 8))
    assert not path.with_name(path.name + "-wal").exists()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM portfolio_history").fetchone() == (8,)
