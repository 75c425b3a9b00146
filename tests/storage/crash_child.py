"""A process that writes until it is killed, and says in a file what it was told to be on disk.

`nursery`: imports once, then starts a writer for every line `URL ACKS MODE` on standard input and prints its pid;
an empty line reaps it. `run URL ACKS MODE`: one writer in this process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from tests.storage.samples import HOUR, QUICK, START, Books, block, closed, listing
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.storage.database import Database
from zmart_stream.storage.items import SnapshotTaken
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.writer import StorageWriter

NAMES = [f"A{index}USDTM" for index in range(14)]


async def write(url: str, acks: int, mode: str) -> None:
    """Change the book as fast as it is told, with a close every seventh time; `early` tells before the commit."""
    database = Database(url, QUICK)
    await database.open()
    state = await StorageReader(database).load_state("test")
    told = asyncio.Event()

    def tell(messages: Sequence[Message]) -> None:
        for message in messages:
            if isinstance(message, PortfolioChange):
                os.write(acks, f"{message.id}\n".encode())
                told.set()

    writer = StorageWriter(
        database,
        on_committed=tell if mode != "early" else lambda _: told.set(),
        on_degraded=lambda reason: None,
        on_recovered=lambda: None,
    )
    books = Books(state.session)
    books.book = state.book
    books.ts = (state.last_ts or START) + 1
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.run())
        writer.put([listing(name) for name in NAMES])
        if state.last_change is not None:
            writer.put([state.last_change])  # as a start does that cannot know whether it was told
        count = 0
        while True:
            count += 1
            change = books.change("replace", [NAMES[(count + place * 3) % 14] for place in range(count % 4 + 1)])
            unit: list[Message] = [change]
            if count % 7 == 0:
                end = books.ts // HOUR * HOUR
                unit = [block(end - HOUR, NAMES * 20), closed(end, NAMES), change]
                unit.append(SnapshotTaken(ts=end, state={"count": count, "pad": os.urandom(20_000)}))
            told.clear()
            if mode == "early":
                tell(unit)
                told.clear()
            writer.put(unit)
            await told.wait()


def run(url: str, acks_path: str, mode: str) -> None:
    acks = os.open(acks_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    asyncio.run(write(url, acks, mode))


def nursery() -> None:
    for line in sys.stdin:
        if not line.strip():
            os.waitpid(-1, 0)
            print("reaped", flush=True)
            continue
        url, acks_path, mode = line.split()
        pid = os.fork()
        if pid == 0:
            run(url, acks_path, mode)
        print(pid, flush=True)


if __name__ == "__main__":
    nursery() if sys.argv[1] == "nursery" else run(*sys.argv[2:5])
