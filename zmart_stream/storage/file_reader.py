"""Reads of a SQLite file for whoever asks while the daemon runs, on a few threads.

A read goes to its thread and back once, with all its statements and what is made of their rows: through the driver's
own thread each statement is several ways there and back, and beside a feed each way is a wait for a turn of the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection as FileConnection
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine

from zmart_stream.storage import sqlite

T = TypeVar("T")


class FileReader:
    """Read-only transactions on `path`, as many at a time as there are connections."""

    def __init__(self, path: Path, *, connections: int, **options: Any) -> None:
        """Connects when asked; `options` are the engine's."""
        url = sqlite.reader_url(path).set(drivername="sqlite+pysqlite")
        self._engine = create_engine(url, pool_size=connections, max_overflow=0, **options)
        sqlite.prepare(self._engine, sqlite.READER_PRAGMAS, "BEGIN")
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="storage-read")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, run in one transaction on a thread; a caller that goes away stops it.

        Raises what `work` and the database raise.
        """
        reading = _Reading(self._engine, work)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, reading.run)
        except asyncio.CancelledError:
            reading.stop()
            raise

    async def close(self) -> None:
        """After what is being read: give the connections up, and the threads."""
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._end))

    def _end(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()


class _Reading(Generic[T]):
    """One transaction, which may be stopped from another thread."""

    def __init__(self, engine: Engine, work: Callable[[Connection], T]) -> None:
        self._engine = engine
        self._work = work
        self._lock = threading.Lock()
        self._file: FileConnection | None = None  # while `work` has it

    def run(self) -> T:
        with self._engine.begin() as connection:
            self._have(cast(FileConnection, connection.connection.driver_connection))
            try:
                return self._work(connection)
            finally:
                self._have(None)

    def stop(self) -> None:
        """Interrupt the statement that runs now, if any does."""
        with self._lock:
            if self._file is not None:
                self._file.interrupt()

    def _have(self, file: FileConnection | None) -> None:
        with self._lock:
            self._file = file
