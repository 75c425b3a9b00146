"""The one connection that writes a PostgreSQL database, held by an advisory lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from zmart_stream.domain.errors import StorageError

T = TypeVar("T")

LOCK_KEY = 0x7A6D_6172_74  # "zmart": the advisory lock of the one writer
LOCK_WAIT_S = 5.0  # a server needs a moment to notice that a killed writer is gone


class ServerWriter:
    """Transactions on the database at `url`, one after the other."""

    def __init__(self, url: URL, **options: Any) -> None:
        """Connects with `connect`; `options` are the engine's."""
        self._engine = create_async_engine(url, pool_size=1, max_overflow=0, **options)
        event.listen(self._engine.sync_engine, "connect", _take_lock)

    async def connect(self) -> None:
        """Connect and take the lock. Raises StorageError when another process keeps it for `LOCK_WAIT_S`."""
        deadline = asyncio.get_running_loop().time() + LOCK_WAIT_S
        while True:
            try:
                async with self._engine.connect():
                    return
            except BlockingIOError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise StorageError(str(error)) from error
            await asyncio.sleep(0.1)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, run in one transaction and committed; raises what it and the database raise."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def checkpoint(self) -> None:
        """The server sees to its own log."""

    async def close(self) -> None:
        """Give the connection up, and the lock with it."""
        await asyncio.shield(self._engine.dispose())


def _take_lock(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SELECT pg_try_advisory_lock({LOCK_KEY})")
    taken = cursor.fetchone()[0]
    cursor.close()
    connection.commit()
    if not taken:
        connection.close()
        # an OSError passes: a writer that lost its connection tries again until the server has noticed
        raise BlockingIOError("another process writes this database: stop it, or point storage.url elsewhere")
