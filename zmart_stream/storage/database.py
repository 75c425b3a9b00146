"""One database, SQLite or PostgreSQL: the single writing connection, the reading ones, and the way in and out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from zmart_stream.domain.errors import ConfigError, StorageError
from zmart_stream.storage import recovery, sqlite
from zmart_stream.storage.faults import ERRORS, Fault, fault_of, words_of
from zmart_stream.storage.file_reader import FileReader
from zmart_stream.storage.file_writer import FileWriter
from zmart_stream.storage.schema import ensure_schema
from zmart_stream.storage.server_writer import ServerWriter
from zmart_stream.storage.settings import StorageSettings

T = TypeVar("T")


class Database:
    """What everything in storage is built on. `await open()` first; `notices` then holds what to tell the operator."""

    def __init__(self, url: str, settings: StorageSettings | None = None) -> None:
        """`url` as SQLAlchemy writes it, with or without a driver. Raises ConfigError."""
        self.settings = settings or StorageSettings()
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.path: Path | None = sqlite.database_path(url) if self.is_sqlite else None
        self.ballast = sqlite.Ballast(self.path, self.settings.ballast_bytes) if self.path else None
        self.notices: list[str] = []
        self._lock = sqlite.WriterLock(self.path) if self.path else None
        self._writer: FileWriter | ServerWriter | None = None
        self._reader: AsyncEngine | None = None
        self._file_pages: FileReader | None = None

    async def open(self) -> None:
        """Lock, connect, check and bring the schema up to date.

        Raises StorageError: another writer, a corrupt file without backup, no connection, a schema of another release;
        ConfigError if the driver of the server's kind is not installed.
        """
        try:
            if self.path is not None:
                await self._open_file(self.path)
            else:
                await self._open_server()
        except BaseException:
            await self.close()
            raise

    async def open_to_read(self) -> None:
        """Connect readers only, beside a daemon that runs or none; nothing is locked, made or migrated.

        Raises StorageError: no database there, or it cannot be read; ConfigError as `open`.
        """
        if self.path is not None and not self.path.exists():
            raise StorageError(f"there is no database at {self.path} yet")
        if self.path is not None:
            self._read_file(self.path)
        else:
            self._reader = self._server_reader()
        try:
            async with self.reading() as connection:
                await connection.execute(text("SELECT 1"))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the readers first, so that the last to leave, and to checkpoint, is the writer."""
        await self._dispose()
        if self._lock is not None:
            self._lock.release()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, run on the writing connection in one transaction, committed. For writer and start-up.

        `work` waits for nothing but its statements; on SQLite it runs on the writing thread, and must touch nothing
        that the loop changes. Raises what it and the database raise, with nothing written.
        """
        assert self._writer is not None, "open() first"  # noqa: S101 - the caller's bug, not a condition
        return await self._writer.write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` gives, run in a read-only transaction with one consistent view.

        `work` waits for nothing but its statements; on SQLite it runs on a thread, and must touch nothing that the loop
        changes. Raises StorageError when it fails or takes too long.
        """
        assert self._reader is not None, "open() first"  # noqa: S101 - the caller's bug, not a condition
        if self._file_pages is None:
            async with self.reading() as connection:
                return await connection.run_sync(work)
        async with self._within(self.settings.read_timeout_s):
            return await self._file_pages.read(work)

    @asynccontextmanager
    async def reading(self, *, at_start: bool = False) -> AsyncIterator[AsyncConnection]:
        """A read-only transaction with one consistent view, for start-up and tools, statement by statement.

        Raises StorageError when it fails or takes too long.

        `at_start`: nobody writes yet, and nothing goes on without the answer; a busy machine may take its time.
        """
        within_s = self.settings.give_up_s if at_start else self.settings.read_timeout_s
        assert self._reader is not None, "open() first"  # noqa: S101 - the caller's bug, not a condition
        async with self._within(within_s), self._reader.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _within(self, within_s: float) -> AsyncIterator[None]:
        """A read and its time; faults of the database as StorageError."""
        try:
            async with asyncio.timeout(within_s):
                yield
        except TimeoutError as error:
            raise StorageError(f"a read took longer than {within_s} s") from error
        except ERRORS as error:
            raise StorageError(f"a read failed: {words_of(error)}") from error

    async def checkpoint(self) -> None:
        """Move the whole write-ahead log into the file and cut it (SQLite; nothing elsewhere)."""
        if self._writer is not None:
            await self._writer.checkpoint()

    async def backup(self, target: Path | None = None) -> Path:
        """Copy the SQLite database while it is in use, by default to where a broken one is restored from.

        Raises StorageError, also on PostgreSQL, which has its own tools.
        """
        if self.path is None:
            raise StorageError("PostgreSQL is backed up by its own tools: pg_dump, pg_basebackup")
        target = target or recovery.backup_path(self.path)
        await asyncio.to_thread(recovery.backup, self.path, target)
        return target

    async def _open_file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self._lock is not None  # noqa: S101 - follows from is_sqlite
        self._lock.acquire()
        if recovery.was_put_aside(path):
            self._restore(path, "an earlier start had put it aside")
        for last in (False, True):
            trouble = await self._try_file(path)
            if trouble is None:
                break
            await self._dispose()
            if last:
                raise StorageError(f"{path} cannot be opened ({trouble[0].value}): {trouble[1]}")
            self._mend(path, *trouble)
        if self.ballast is not None:
            await asyncio.to_thread(self.ballast.make)

    async def _try_file(self, path: Path) -> tuple[Fault, str] | None:
        try:
            finding = await self._connect_file(path)
        except ERRORS as error:
            return fault_of(error), str(getattr(error, "orig", error))
        return None if finding is None else (Fault.CORRUPT, finding)

    def _mend(self, path: Path, fault: Fault, finding: str) -> None:
        """Free the ballast on a full disk, restore the backup over a broken file. Raises StorageError otherwise."""
        if fault is Fault.FULL and self.ballast is not None and self.ballast.free():
            self.notices.append(f"disk full: the ballast beside {path} was freed")
        elif fault is Fault.CORRUPT:
            self._restore(path, finding)
        else:
            raise StorageError(f"{path} cannot be opened ({fault.value}): {finding}")

    def _restore(self, path: Path, finding: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.notices.append(recovery.replace_broken(path, stamp, finding))

    async def _connect_file(self, path: Path) -> str | None:
        """Connect; returns what is wrong with the file, if anything is."""
        checked = self._is_checked(path)
        self._writer = FileWriter(path, **self._options())
        finding = await self._writer.write(sqlite.check_file) if checked else None
        if finding is not None:
            return finding
        await self._writer.write(ensure_schema)
        self._read_file(path)
        return None

    def _is_checked(self, path: Path) -> bool:
        return path.exists() and path.stat().st_size <= self.settings.check_bytes

    async def _open_server(self) -> None:
        _need_server_driver()
        self._writer = ServerWriter(self.url, **self._options())
        try:
            await self._writer.connect()
            await self._writer.write(ensure_schema)
        except ERRORS as error:
            raise StorageError(f"{self.url.render_as_string()} cannot be opened: {words_of(error)}") from error
        self._reader = self._server_reader()

    def _read_file(self, path: Path) -> None:
        size, options = self.settings.pool_size, self._options()
        self._reader = create_async_engine(sqlite.reader_url(path), pool_size=size, max_overflow=0, **options)
        sqlite.prepare(self._reader.sync_engine, sqlite.READER_PRAGMAS, "BEGIN")
        self._file_pages = FileReader(path, connections=size, **options)

    def _server_reader(self) -> AsyncEngine:
        _need_server_driver()
        limits = {"default_transaction_read_only": "on", "statement_timeout": f"{self.settings.read_timeout_s:g}s"}
        return create_async_engine(
            self.url,
            pool_size=self.settings.pool_size,
            pool_recycle=self.settings.pool_recycle_s,
            pool_pre_ping=True,
            connect_args={"server_settings": limits},
            **self._options(),
        )

    def _options(self) -> dict[str, Any]:
        """Of every engine: how JSON is written and read, and whether statements are logged."""
        return {
            "echo": self.settings.sql_log,
            "json_serializer": _to_json,
            "json_deserializer": msgspec.json.decode,
        }

    async def _dispose(self) -> None:
        if self._file_pages is not None:
            await self._file_pages.close()
        if self._reader is not None:
            await asyncio.shield(self._reader.dispose())
        if self._writer is not None:
            await self._writer.close()
        self._reader = self._file_pages = self._writer = None


def _need_server_driver() -> None:
    if find_spec("asyncpg") is None:
        raise ConfigError("storage.url: PostgreSQL needs asyncpg: pip install -e '.[postgres]', or use sqlite:///FILE")


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"storage.url: {url!r} is not a database URL: {error}") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+asyncpg")
    raise ConfigError(f"storage.url: {backend!r} is not supported; use sqlite:///FILE or postgresql://...")
