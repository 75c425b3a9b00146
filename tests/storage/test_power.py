"""A power cut, simulated: what the writer's own statements leave on a disk that lost what was not synced.

A run of the real writer is recorded as statements and played into SQLite over a file system that keeps, per file, what
a sync has made durable and which 512-byte sectors were written since. At the cut a seeded choice of those sectors
reaches the disk; then the file is opened as after a reboot. synchronous=OFF is the control: the same cuts must hurt it.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.storage.samples import HOUR, START, Books, block, closed, listing, opened, writing
from zmart_stream.storage import sqlite
from zmart_stream.storage.items import SnapshotTaken

apsw = pytest.importorskip("apsw")

NAMES = [f"A{index}USDTM" for index in range(14)]
SECTOR = 512
Statement = tuple[str, list[Any]]
FULL_CUTS, OFF_CUTS = 200, 40


class Platter:
    """One file: its durable bytes, and what was written since the last sync, in order."""

    def __init__(self, content: bytes = b"") -> None:
        self.durable = bytearray(content)
        self.loose: list[tuple[int, bytes | None]] = []

    def write(self, offset: int, data: bytes) -> None:
        for at in range(0, len(data), SECTOR):
            self.loose.append((offset + at, data[at : at + SECTOR]))

    def truncate(self, size: int) -> None:
        self.loose.append((size, None))

    def sync(self) -> None:
        self.settle(self.loose)

    def settle(self, reached: list[tuple[int, bytes | None]]) -> None:
        for offset, data in reached:
            if data is None:
                del self.durable[offset:]
                continue
            self.durable.extend(bytes(max(0, offset - len(self.durable))))
            self.durable[offset : offset + len(data)] = data
        self.loose = []

    def cut(self, chance: random.Random) -> None:
        """Nothing, everything, or a random part of what was not synced reaches the disk."""
        fate, share = chance.random(), chance.random()
        if fate < 0.25:
            self.settle([])
        elif fate < 0.35:
            self.sync()
        else:
            self.settle([sector for sector in self.loose if chance.random() < share])


class Disk(apsw.VFS):  # type: ignore[misc]  # apsw ships no base class types
    """The operating system's files, watched."""

    def __init__(self) -> None:
        self.platters: dict[str, Platter] = {}
        super().__init__("powercut", "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return WatchedFile(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        super().xDelete(name, sync)
        self.platters.pop(name, None)


class WatchedFile(apsw.VFSFile):  # type: ignore[misc]  # apsw ships no base class types
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.platter = disk.platters.setdefault(path, Platter())

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self.platter.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self.platter.truncate(size)

    def xSync(self, flags: int) -> None:
        self.platter.sync()  # the model is the disk: the real one need not be slow


@contextmanager
def recorded() -> Iterator[list[list[Statement]]]:
    """Transactions of the writing connection, each a list of statements with their rows."""
    transactions: list[list[Statement]] = []

    def execute(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement == "BEGIN IMMEDIATE":
            transactions.append([])
        elif statement != "BEGIN" and not statement.startswith("SELECT"):
            transactions[-1].append((statement, list(parameters) if many else [parameters]))

    event.listen(Engine, "before_cursor_execute", execute)
    try:
        yield transactions
    finally:
        event.remove(Engine, "before_cursor_execute", execute)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[list[Statement]]]:
    """The file before the run, and the run's transactions: one book change each, every fifth with a close."""
    home = tmp_path_factory.mktemp("run")
    url = f"sqlite:///{home / 'zmart.db'}"
    books = Books()

    async def prepare() -> None:
        async with opened(url) as database, writing(database) as writer:
            writer.put([listing(name) for name in NAMES])

    async def record() -> list[list[Statement]]:
        async with opened(url) as database, writing(database) as writer:
            with recorded() as transactions:
                for count in range(40):
                    change = books.change(
                        "replace", [NAMES[(count + place * 3) % 14] for place in range(count % 5 + 1)]
                    )
                    end = START + count * HOUR
                    state = {"pad": random.Random(count).randbytes(9_000)}
                    close = [block(end - HOUR, NAMES), closed(end, NAMES[:4]), SnapshotTaken(ts=end, state=state)]
                    writer.put([*(close if count % 5 == 0 else []), change])
                    assert await writer.drain(180)
                return [t for t in transactions if any("portfolio_history" in statement for statement, _ in t)]

    asyncio.run(prepare())
    before = (home / "zmart.db").read_bytes()
    return before, asyncio.run(record())


def play(connection: Any, statements: list[Statement]) -> None:
    for statement, rows in statements:
        for row in rows:
            connection.execute(statement, row)


def cut_power(
    disk: Disk, home: Path, run: tuple[bytes, list[list[Statement]]], chance: random.Random, level: str
) -> int:
    """Play some of the run, cut the power in or after a transaction, leave in `home` what the disk holds.

    Returns how many transactions had been committed.
    """
    before, transactions = run
    path = home / "zmart.db"
    path.write_bytes(before)
    disk.platters = {str(path): Platter(before)}
    connection = apsw.Connection(str(path), vfs="powercut")
    for pragma in sqlite.WRITER_PRAGMAS:
        connection.execute(f"PRAGMA {'synchronous=' + level if pragma.startswith('synchronous') else pragma}")
    connection.execute("PRAGMA wal_autocheckpoint=60")  # checkpoints, and cuts in them, within a short run
    committed = chance.randint(1, len(transactions) - 1)
    for statements in transactions[:committed]:
        connection.execute("BEGIN IMMEDIATE")
        play(connection, statements)
        connection.execute("COMMIT")
    if chance.random() < 0.5:
        connection.execute("BEGIN IMMEDIATE")
        play(connection, transactions[committed][: chance.randint(1, len(transactions[committed]))])
    platters = {Path(name).name: platter for name, platter in disk.platters.items() if not name.endswith("-shm")}
    for platter in platters.values():
        platter.cut(chance)
    connection.close()
    shutil.rmtree(home)
    home.mkdir()
    for name, platter in platters.items():
        (home / name).write_bytes(platter.durable)
    return committed


def damage(home: Path, committed: int) -> str:
    """What is wrong after the reboot; empty when nothing is."""
    try:
        with closing(sqlite3.connect(home / "zmart.db")) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                return "corrupt"
            stored = connection.execute("SELECT count(*) FROM portfolio_history").fetchone()[0]
            last = connection.execute(
                "SELECT json_array_length(\"after\", '$.holdings') FROM portfolio_history ORDER BY sequence DESC"
            ).fetchone()
            held = connection.execute("SELECT count(*) FROM portfolio_composition WHERE status = 'Active'").fetchone()
            if last is not None and last != held:
                return "torn"
            return "" if stored == committed else f"{committed - stored} lost"
    except sqlite3.DatabaseError as error:
        return f"corrupt: {error}"


def cuts(home: Path, run: tuple[bytes, list[list[Statement]]], count: int, level: str) -> tuple[int, dict[int, str]]:
    """Cut the power `count` times; changes told of, and the damage by seed."""
    disk = Disk()
    told, found = 0, {}
    first = random.randrange(1 << 30)
    for seed in range(first, first + count):
        home.mkdir(exist_ok=True)
        committed = cut_power(disk, home, run, random.Random(seed), level)
        told += committed
        if wrong := damage(home, committed):
            found[seed] = wrong
        shutil.rmtree(home)
    disk.unregister()
    print(
        f"\nsynchronous={level}: {count} cuts from seed {first}, {told} changes told of, {len(found)} cuts did damage"
    )
    return told, found


def test_power_cut_loses_nothing(tmp_path: Path, run: tuple[bytes, list[list[Statement]]]) -> None:
    assert "synchronous=FULL" in sqlite.WRITER_PRAGMAS
    assert len(run[1]) == 40
    _, found = cuts(tmp_path / "disk", run, FULL_CUTS, "FULL")
    assert found == {}


def test_without_syncs_the_same_cuts_do_damage(tmp_path: Path, run: tuple[bytes, list[list[Statement]]]) -> None:
    """The control: the simulation bites."""
    _, found = cuts(tmp_path / "disk", run, OFF_CUTS, "OFF")
    assert len(found) > OFF_CUTS // 10
