"""The one connection that writes a SQLite file, on a thread of its own.

A transaction goes there and back once, whatever number of statements it has: beside a feed each way is a wait for a
turn, and dozens of them made a commit take as long as hundreds of its rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine

from zmart_stream.storage import sqlite

T = TypeVar("T")


class FileWriter:
    """Transactions on `path`, one after the other in the order they are asked for."""

    def __init__(self, path: Path, **options: Any) -> None:
        """Connects with the first transaction; `options` are the engine's."""
        self._engine = create_engine(sqlite.writer_url(path), pool_size=1, max_overflow=0, **options)
        sqlite.prepare(self._engine, sqlite.WRITER_PRAGMAS, "BEGIN IMMEDIATE")
        sqlite.insert_together(self._engine)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage-write")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, run in one transaction on the thread and committed.

        Raises what `work` and the database raise, with nothing written. A caller that goes away takes nothing along:
        what was begun is finished.
        """
        return await self._there(self._transact, work)

    async def checkpoint(self) -> None:
        """Move the whole write-ahead log into the file and cut it."""
        await self._there(self._checkpoint)

    async def close(self) -> None:
        """After what was asked for: give the connection up, and the thread."""
        await asyncio.shield(self._there(self._engine.dispose))
        self._thread.shutdown(wait=False)

    def _there(self, call: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    def _checkpoint(self) -> None:
        with self._engine.connect() as connection:
            # not through the connection: it would open a transaction, in which there is no checkpoint
            cursor = connection.connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.close()
