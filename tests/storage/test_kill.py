"""kill -9 at any instant: nothing that was told is lost, nothing is there twice, the book is whole."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.storage.samples import opened
from zmart_stream.storage.integrity import check_book
from zmart_stream.storage.reader import StorageReader

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def nursery() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.storage.crash_child", "nursery"]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def kill_one(nursery: subprocess.Popen[str], url: str, acks: Path, mode: str, after_s: float) -> list[str]:
    """Start a writer, wait until it was told of something, kill it a little later; the ids it was told of."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    before = acks.stat().st_size if acks.exists() else 0
    print(url, acks, mode, file=nursery.stdin, flush=True)
    pid = int(nursery.stdout.readline())
    for _ in range(12_000):
        if acks.exists() and acks.stat().st_size > before:
            break
        time.sleep(0.005)
    time.sleep(after_s)
    os.kill(pid, signal.SIGKILL)
    print(file=nursery.stdin, flush=True)
    assert nursery.stdout.readline().strip() == "reaped"
    return acks.read_text().split()


async def verdict(url: str) -> list[str]:
    """Ids in the history, in order, after checks of file, book and chain."""
    async with opened(url) as database:
        await check_book(database)
        if database.is_sqlite:
            async with database.reading() as connection:
                assert (await connection.execute(text("PRAGMA integrity_check"))).scalar() == "ok"
        changes = (await StorageReader(database).history(limit=1_000_000))[::-1]
    for earlier, later in itertools.pairwise(changes):
        assert later.before == earlier.after, "a change is missing between two others"
    return [change.id for change in changes]


def test_kill(url: str, nursery: subprocess.Popen[str], tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    chance, kills = random.Random(seed), 20 if url.startswith("sqlite") else 8
    told: list[str] = []
    for _ in range(kills):
        told = kill_one(nursery, url, tmp_path / "acks", "honest", chance.random() * 0.1)
        stored = asyncio.run(verdict(url))
        assert set(told) <= set(stored), f"seed {seed}: told of and lost: {set(told) - set(stored)}"
        assert len(stored) == len(set(stored))
    print(f"\nseed {seed}: {kills} kills, {len(set(told))} changes told of, {len(stored)} stored, 0 lost")


def test_telling_before_the_commit_loses_changes(nursery: subprocess.Popen[str], tmp_path: Path) -> None:
    """The control: the same check finds the loss when the writer tells too early."""
    url, lost = f"sqlite:///{tmp_path / 'zmart.db'}", set()
    for _ in range(20):
        told = kill_one(nursery, url, tmp_path / "acks", "early", 0.0)
        lost = set(told) - set(asyncio.run(verdict(url)))
        if lost:
            break
    assert lost
