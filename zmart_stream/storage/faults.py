"""What a database error means: a full disk, something that passes, a broken file, or a fault nobody here can mend."""

from __future__ import annotations

import sqlite3
from enum import Enum

from sqlalchemy.exc import DBAPIError


class Fault(Enum):
    """Who must act: FULL heals with space, PASSING with time, CORRUPT and FATAL end the process."""

    FULL = "disk full"
    PASSING = "database not reachable"
    CORRUPT = "database corrupt"
    FATAL = "database fault"


_SQLITE = {
    # IOERR_SHMSIZE: no room to grow the wal-index, which is how a full disk shows when a database is opened
    Fault.FULL: ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"),
    Fault.PASSING: ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL", "SQLITE_INTERRUPT"),
    Fault.CORRUPT: ("SQLITE_CORRUPT", "SQLITE_NOTADB"),
}
# https://www.postgresql.org/docs/current/errcodes-appendix.html, by prefix
_POSTGRESQL = {
    Fault.FULL: ("53100",),
    Fault.PASSING: ("08", "53", "57P", "57014", "40", "55P03", "25006"),
    Fault.CORRUPT: ("XX001", "XX002"),
}
ERRORS = (DBAPIError, sqlite3.Error, OSError)
"""What a failing database raises through SQLAlchemy; asyncpg's dial lets OSError and TimeoutError through."""


def fault_of(error: BaseException) -> Fault:
    """The meaning of `error`; FATAL when it says nothing we know."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(orig, sqlite3.Error):
        return _by_prefix(_SQLITE, getattr(orig, "sqlite_errorname", ""))
    if isinstance(orig, OSError):
        return Fault.PASSING
    code = getattr(orig, "sqlstate", None)
    if code:
        return _by_prefix(_POSTGRESQL, code)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return Fault.PASSING if lost or type(orig).__name__ == "InterfaceError" else Fault.FATAL


def words_of(error: BaseException) -> str:
    """What a database error means and what the database itself said: without SQL, without links, on one line."""
    said = getattr(error, "orig", None) or error
    text = " ".join(str(said).split()) or type(said).__name__
    return f"{fault_of(error).value}: {text.split(': ', 1)[1] if text.startswith('<class ') and ': ' in text else text}"


def _by_prefix(table: dict[Fault, tuple[str, ...]], code: str) -> Fault:
    return next((fault for fault, prefixes in table.items() if code.startswith(prefixes)), Fault.FATAL)
