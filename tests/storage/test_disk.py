"""A full disk degrades and heals; a failing fsync ends the process; neither loses what was told."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from tests.storage.samples import HOUR, QUICK, START, Books, Told, block, closed, opened, writing
from zmart_stream.domain.message import Message
from zmart_stream.storage.integrity import check_book
from zmart_stream.storage.items import SnapshotTaken
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.writer import StorageWriter

CHECKOUT = Path(__file__).parents[2]
NAMES = [f"A{index}USDTM" for index in range(14)]
SMALL = msgspec.structs.replace(QUICK, ballast_bytes=256 << 10, retry_s=0.02, retry_max_s=0.05)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    if os.getuid() != 0:
        pytest.skip("mounting a small file system needs root")
    target = tmp_path / "small"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", target], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield target
    finally:
        subprocess.run(["umount", "-l", target], check=True)


def fill(disk: Path) -> Path:
    """Write until nothing fits any more."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def close_of(count: int) -> list[Message]:
    end = START + count * HOUR
    state = {"pad": os.urandom(60_000)}
    return [block(end - HOUR, NAMES * 30, seed=count), closed(end, NAMES), SnapshotTaken(ts=end, state=state)]


async def stays_full(writer: StorageWriter) -> bool:
    """Whether commits fail again and again: with the ballast freed, the next one goes through."""
    failures = writer.counts["failures"]
    while writer.degraded and writer.counts["failures"] < failures + 3:  # noqa: ASYNC110 - the writer counts, it raises no events
        await asyncio.sleep(0.005)
    return bool(writer.degraded)


def test_full_disk_degrades_and_heals(small_disk: Path) -> None:
    books, told = Books(), Told()
    changes = []

    async def scenario() -> None:
        async with opened(f"sqlite:///{small_disk / 'zmart.db'}", SMALL) as database:
            assert (small_disk / "zmart.db.ballast").exists()
            async with writing(database, told) as writer:
                changes.append(books.change("fill", NAMES[:2]))
                writer.put([changes[-1]])
                assert await writer.drain(180)
                count = 0
                while not await stays_full(writer):  # the ballast buys some commits: fill its room too
                    filler = fill(small_disk)
                    count += 1
                    changes.append(books.change("replace", NAMES[count % 5 : count % 5 + 4]))
                    writer.put([*close_of(count), changes[-1]])
                    await writer.drain(0.3)
                assert not (small_disk / "zmart.db.ballast").exists()
                assert writer.degraded.startswith("disk full")
                untold = [c for c in changes if c not in told.messages]
                assert untold, "told of a change that cannot be on disk"
                writer.put(close_of(count + 1))
                changes.append(books.change("replace", NAMES[:3]))
                writer.put([changes[-1]])
                assert not await writer.drain(0.3)
                assert len(await StorageReader(database).history(limit=999)) == len(changes) - len(untold) - 1
                told.recovered.clear()
                filler.unlink()
                await asyncio.wait_for(told.recovered.wait(), 180)
                assert await writer.drain(180)
                assert writer.dropped["scores"] > 0
            assert [c for c in told.messages if type(c).__name__ == "PortfolioChange"] == changes
            assert await check_book(database) == books.book
            async with database.reading() as connection:
                assert (await connection.execute(text("PRAGMA integrity_check"))).scalar() == "ok"

    asyncio.run(scenario())
    kinds = [state.split()[0] for state in told.states]
    assert kinds[0] == "degraded"
    assert kinds == ["degraded", "recovered"] * (len(kinds) // 2)


def test_start_on_a_full_disk_frees_the_ballast(small_disk: Path) -> None:
    async def scenario() -> None:
        url = f"sqlite:///{small_disk / 'zmart.db'}"
        books = Books()
        async with opened(url, SMALL) as database, writing(database) as writer:
            writer.put([books.change("fill", NAMES[:2])])
        fill(small_disk)
        async with opened(url, SMALL) as database:
            assert any("ballast" in notice for notice in database.notices)
            assert await check_book(database) == books.book

    asyncio.run(scenario())


def test_failing_fsync_ends_the_process_at_once(tmp_path: Path) -> None:
    """The kernel may have dropped what it could not write: going on would tell of changes that are not there."""
    strace = shutil.which("strace")
    if (
        strace is None
        or subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("strace is missing or may not trace here")
    acks, path = tmp_path / "acks", tmp_path / "zmart.db"
    trace = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]
    trace += ["-e", "inject=fdatasync:error=EIO:when=40+"]
    child = [sys.executable, "-m", "tests.storage.crash_child", "run", f"sqlite:///{path}", str(acks), "honest"]
    ran = subprocess.run([*trace, *child], cwd=CHECKOUT, capture_output=True, text=True, timeout=180, check=False)
    assert ran.returncode == 1, ran.stderr
    assert "StorageError: database fault" in ran.stderr
    assert "disk I/O error" in ran.stderr
    told = acks.read_text().split()
    assert told
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = {row[0] for row in connection.execute("SELECT id FROM portfolio_history")}
    assert {ident.replace("-", "") for ident in told} <= stored
