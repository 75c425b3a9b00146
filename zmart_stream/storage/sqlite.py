"""SQLite's side of the database: pragmas, the one-writer lock, the ballast file, the check of the whole file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, Engine, make_url

from zmart_stream.domain.errors import ConfigError, StorageError

WAL_LIMIT = 64 << 20
"""Bytes the write-ahead log is cut back to after a checkpoint."""

WRITER_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # the log is on the disk before a commit returns: what was told survives a power cut
    "busy_timeout=5000",
    "foreign_keys=ON",
    f"journal_size_limit={WAL_LIMIT}",
)
# only the writer checkpoints: two connections that do can corrupt the file before SQLite 3.51.3 ("WAL-reset")
READER_PRAGMAS = ("query_only=ON", "wal_autocheckpoint=0", "busy_timeout=5000", "foreign_keys=ON")


ROWS_TOGETHER = 256
MOST_VALUES = 32_766  # SQLite's own limit of variables in a statement
_INSERT = re.compile(r"(INSERT INTO .* VALUES )(\([?, ]+\))((?: ON CONFLICT .*)?)", re.DOTALL)


def database_path(url: str) -> Path:
    """The file that a SQLite `url` names. Raises ConfigError for one in memory."""
    name = make_url(url).database
    if not name or name == ":memory:" or name.startswith("file:"):
        raise ConfigError(f"storage.url: {url!r} must name a database file, like sqlite:///zmart.db")
    return Path(name)


def writer_url(path: Path) -> URL:
    """For the one connection that writes."""
    return URL.create("sqlite+pysqlite", database=str(path))


def reader_url(path: Path) -> URL:
    """For connections that cannot write: not even a checkpoint."""
    safe = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return URL.create("sqlite+aiosqlite", database=f"file:{safe}", query={"mode": "ro", "uri": "true"})


def prepare(engine: Engine, pragmas: Sequence[str], begin: str) -> None:
    """Make every connection of `engine` run `pragmas` first and open its transactions with `begin`."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not open transactions of its own kind
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def insert_together(engine: Engine) -> None:
    """Make `engine` insert the rows of one execution many to a statement, with or without an ON CONFLICT.

    The driver lets go of the interpreter for every statement, and beside a busy loop it gets it back a switch interval
    later: row by row, a commit of hundreds took half a second.
    """

    @event.listens_for(engine, "do_executemany")
    def executed(cursor: Any, statement: str, rows: Sequence[Sequence[Any]], _context: Any) -> bool:
        found = _INSERT.fullmatch(statement)
        if found is None:
            return False
        head, values, tail = found.groups()
        most = min(ROWS_TOGETHER, MOST_VALUES // values.count("?"))
        done = 0
        while done < len(rows):
            count = 1 << (min(most, len(rows) - done).bit_length() - 1)  # few sizes, so that prepared statements serve
            some = rows[done : done + count]
            cursor.execute(f"{head}{', '.join([values] * count)}{tail}", tuple(chain.from_iterable(some)))
            done += count
        return True


def check_file(connection: Connection) -> str | None:
    """None, or the first thing wrong with the file's structure. Reads all of it."""
    verdict = connection.execute(text("PRAGMA quick_check(1)")).scalar()
    return None if verdict == "ok" else str(verdict)


class WriterLock:
    """Holds `<database>.lock`, so that a second process cannot become a second writer; a kill releases it."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._file: TextIO | None = None

    def acquire(self) -> None:
        """Take the lock. Raises StorageError when another process has it."""
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise StorageError(
                f"another process writes {self._path.name.removesuffix('.lock')} (lock file {self._path}): "
                "stop it, or point state_dir or storage.url elsewhere"
            ) from error
        self._file = file

    def release(self) -> None:
        """Give the lock back; harmless without it."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Ballast:
    """A file of `size` bytes beside the database, given up when the disk is full so that commits can go on."""

    def __init__(self, database: Path, size: int) -> None:
        self._path = database.with_name(database.name + ".ballast")
        self._size = size

    def make(self) -> bool:
        """Lay the file down unless it is there or space is short (below three times its size). Blocks for its size."""
        if not self._size or (self._path.exists() and self._path.stat().st_size == self._size):
            return False
        if shutil.disk_usage(self._path.parent).free < 3 * self._size:
            return False
        with self._path.open("wb") as file:
            for _ in range(0, self._size, 1 << 20):
                file.write(os.urandom(min(1 << 20, self._size)))  # a compressing file system must not shrink it
            file.truncate(self._size)
        return True

    def free(self) -> bool:
        """Give the space back; False when there was none to give."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
            return True
        return False
