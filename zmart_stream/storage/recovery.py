"""A SQLite file that broke: put aside, the last backup put in its place; never an empty database in silence."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from zmart_stream.domain.errors import StorageError

_SIDE_FILES = ("", "-wal", "-shm")


def backup_path(database: Path) -> Path:
    """Where the backup lies that a broken database is replaced by."""
    return database.with_name(database.name + ".backup")


def backup(database: Path, target: Path) -> None:
    """Copy the live `database` to `target` with SQLite's online backup; the old target stays until the new is whole.

    Blocks for the size of the file; the writer goes on meanwhile. Raises StorageError.
    """
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(part)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    except sqlite3.Error as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"backup of {database} to {target} failed: {error}") from error
    _put(part, target)


def was_put_aside(database: Path) -> bool:
    """True when `database` is missing because an earlier start found it broken and was cut short."""
    return not database.exists() and any(database.parent.glob(f"corrupt-*/{database.name}"))


def replace_broken(database: Path, stamp: str, finding: str) -> str:
    """Put `database` aside as `corrupt-<stamp>/` and restore the last backup; returns what to tell the operator.

    Raises StorageError, with the database left where it is, when there is no backup.
    """
    saved = backup_path(database)
    if not saved.exists():
        raise StorageError(
            f"{database} is corrupt ({finding}) and there is no backup at {saved}. Nothing was changed. "
            f"Ways out: put a backup there and start again, or move {database} away to start with an empty book"
        )
    part = database.with_name(database.name + ".part")
    shutil.copyfile(saved, part)
    aside = database.parent / f"corrupt-{stamp}"
    aside.mkdir(exist_ok=True)
    for suffix in reversed(_SIDE_FILES):
        file = database.with_name(database.name + suffix)
        if file.exists():
            file.rename(aside / file.name)
    _put(part, database)
    return f"{database} was corrupt ({finding}): it lies in {aside} now, and the backup {saved} took its place"


def _put(part: Path, target: Path) -> None:
    """Rename `part` to `target` so that after a power cut one of the two is whole."""
    _sync(part)
    part.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
