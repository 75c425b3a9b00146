"""The file of bearer tokens: digests only, private to its owner, read again whenever it changes."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec

from zmart_stream.domain.errors import ConfigError, RequestError, UsageError

BearerScope = Literal["read", "signal", "operate"]
UrlScope = Literal["tradingview", "freqtrade"]
"""Of secrets that stand in an address, because their callers can send no header: each opens one route, alone."""

Scope = BearerScope | UrlScope
BEARER_SCOPES: tuple[BearerScope, ...] = get_args(BearerScope)
URL_SCOPES: tuple[UrlScope, ...] = get_args(UrlScope)
PREFIX = "zs_"
MAX_FILE_BYTES = 1 << 20
RESERVED = frozenset({"machine", "start", "reload", "loopback", "nobody"})
RESERVED_PREFIXES = ("signal:", "detector.")
"""Names under which the record keeps what no token asked for."""


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token as it is kept. `sha256` is the hex digest of the whole token; times are ISO 8601 UTC."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created: str
    revoked: str | None = None


def digest(token: str) -> str:
    """Hex SHA-256 of a token; enough for a secret of 256 random bits."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


class TokenFile:
    """The records of one file. Raises ConfigError when the file exists and cannot be trusted or read."""

    def __init__(self, path: Path, on_change: Callable[[Sequence[TokenRecord]], object] = len) -> None:
        """A missing file holds no tokens. `on_change` gets all records whenever they were read anew."""
        self.path = path
        self._on_change = on_change
        self._seen: tuple[int, ...] | None = None
        self._records: tuple[TokenRecord, ...] = ()
        self.refresh()

    @property
    def records(self) -> Sequence[TokenRecord]:
        """All tokens, revoked ones included, oldest first."""
        return self._records

    def refresh(self) -> None:
        """Read the file again if it changed. Raises ConfigError; the records read before stay in force then."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._seen, self._records = None, ()
            return
        except OSError as error:
            raise ConfigError(f"token file {self.path}: {error.strerror}") from None
        seen = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid)
        if seen != self._seen:
            self._records = _read(self.path, found)
            self._seen = seen
            self._on_change(self._records)

    def find(self, token: str) -> TokenRecord | None:
        """The record of a token that is in force; takes the same time whichever it is."""
        asked = digest(token)
        found = None
        for record in self._records:
            if hmac.compare_digest(record.sha256, asked) and record.revoked is None:
                found = record
        return found

    def create(self, name: str, scopes: Sequence[Scope]) -> tuple[TokenRecord, str]:
        """Add a token; returns its record and the token itself, which is kept nowhere. Raises UsageError.

        A scope of `URL_SCOPES` stands alone: what is seen in an address must open nothing else.
        """
        if len(set(scopes)) > 1 and (alone := [scope for scope in scopes if scope in URL_SCOPES]):
            raise UsageError(f"the scope {alone[0]} stands alone: its secret is part of an address")
        if not name.strip() or len(name) > 64 or not name.isprintable():
            raise UsageError("a token's name is 1 to 64 printable characters")
        if name in RESERVED or name.startswith(RESERVED_PREFIXES):
            raise UsageError(f"{name!r} is what the record calls somebody else; take another name")
        token = PREFIX + secrets.token_urlsafe(32)
        record = TokenRecord(
            id=secrets.token_hex(4), name=name, scopes=tuple(scopes), sha256=digest(token), created=_now()
        )
        with self._changing():
            if any(other.name == name and other.revoked is None for other in self._records):
                raise UsageError(f"there is a token named {name!r}; revoke it first")
            self._write((*self._records, record))
        return record, token

    def revoke(self, which: str) -> TokenRecord:
        """Revoke the token with that id or name. Raises RequestError unknown_user when none is in force."""
        with self._changing():
            for place, record in enumerate(self._records):
                if which in (record.id, record.name) and record.revoked is None:
                    gone = msgspec.structs.replace(record, revoked=_now())
                    self._write((*self._records[:place], gone, *self._records[place + 1 :]))
                    return gone
        names = ", ".join(record.name for record in self._records if record.revoked is None)
        there = f"there are {names}" if names else "there is none"
        raise RequestError("unknown_user", f"no token with the id or name {which!r} is in force; {there}")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Two writers never lose each other's token: the folder is locked while one reads, changes and replaces."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self.refresh()
            yield
        finally:
            os.close(folder)

    def _write(self, records: tuple[TokenRecord, ...]) -> None:
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o600)
            file.write(msgspec.json.format(msgspec.json.encode(records), indent=2) + b"\n")
            file.flush()
            os.fsync(handle)
        fresh.replace(self.path)
        self.refresh()


def _read(path: Path, found: os.stat_result) -> tuple[TokenRecord, ...]:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"token file {path}: not a file")
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"token file {path}: belongs to another user (id {found.st_uid})")
    if found.st_mode & 0o077 and not _is_credential(path):
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(f"token file {path}: mode {mode:04o} lets others read it; run chmod 600 {path}")
    if found.st_size > MAX_FILE_BYTES:
        raise ConfigError(f"token file {path}: {found.st_size} bytes; at most {MAX_FILE_BYTES}")
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[TokenRecord, ...])
    except OSError as error:
        raise ConfigError(f"token file {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"token file {path}: {error}") from None


def _is_credential(path: Path) -> bool:
    """systemd guards its credentials by an access list, which shows as a group's right to read."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.parent == Path(str(folder))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
