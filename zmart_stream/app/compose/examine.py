"""The facts that `doctor` judges: asked of the settings, the disk, the token file, the database and the venue."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zmart_stream.api.tokens import TokenFile
from zmart_stream.app.compose.edges import feed_settings, storage_settings, token_path
from zmart_stream.app.compose.notifying import notify_problems
from zmart_stream.app.config import Sources, load
from zmart_stream.app.settings import Settings, is_loopback
from zmart_stream.app.state import state_folder
from zmart_stream.app.venue import find_venue
from zmart_stream.domain.errors import ConfigError, FeedError, StorageError
from zmart_stream.feeds.kucoin.rest import KucoinRest
from zmart_stream.ops import doctor
from zmart_stream.ops.doctor import Check
from zmart_stream.storage.database import Database
from zmart_stream.storage.integrity import findings, stored_portfolio
from zmart_stream.storage.schema import stored_revision
from zmart_stream.storage.tables import HEAD

VENUE_S = 10.0
READ_S = 120.0
"""Longest look at the database and wait for the venue, in seconds."""


async def examine(sources: Sources, *, ask_venue: bool) -> dict[str, Any]:
    """Every check as JSON-ready values, and whether all is well."""
    return _report(await _everything(sources, ask_venue=ask_venue))


async def check_database(sources: Sources) -> dict[str, Any]:
    """The same of the database alone. Raises ConfigError."""
    settings = load(sources).settings
    return _report(await _database(settings, state_folder(settings.state_dir, sandbox=False)))


def _report(checks: list[Check]) -> dict[str, Any]:
    return {"checks": [msgspec.to_builtins(check) for check in checks], "healthy": doctor.is_healthy(checks)}


async def _everything(sources: Sources, *, ask_venue: bool) -> list[Check]:
    """In the order in which it is needed. Settings that cannot be used leave nothing else to judge."""
    try:
        loaded = load(sources)
        settings = loaded.settings
        folder = state_folder(settings.state_dir, sandbox=False)
    except ConfigError as error:
        way = "correct it; `zmart-stream check-config` tells the same before a start"
        return [doctor.fault("configuration", problem, way) for problem in error.problems]
    checks = [doctor.good("configuration", f"{loaded.file or 'no file'}, profile {settings.profile}")]
    checks += _disk(settings, folder)
    checks += _tokens(settings, folder)
    checks += _notify(settings)
    checks += await _database(settings, folder)
    if ask_venue:
        checks += await _venue(settings)
    return checks


def _notify(settings: Settings) -> list[Check]:
    """Whether notifications can be sent at all; nothing where none are wanted."""
    table = settings.notify
    if not table.webhooks and not table.channels:
        return []
    if problems := notify_problems(table):
        way = "correct it in [notify]; docs/notifications.md has examples"
        return [doctor.fault("notify", problem, way) for problem in problems]
    return [doctor.good("notify", f"{len(table.webhooks)} webhooks, {len(table.channels)} channels")]


async def _database(settings: Settings, folder: Path) -> list[Check]:
    """Whether it can be read, is whole, of this release, and its book keeps the rules."""
    url = settings.storage.url or f"sqlite:///{folder / 'zmart.db'}"
    try:
        async with _reading(url, settings) as connection:
            return await _look(connection, settings)
    except ConfigError as error:
        return [doctor.fault("database", str(error), "set storage.url as it says")]
    except StorageError as error:
        if settings.storage.url or (folder / "zmart.db").exists():
            way = "restore a backup, or bring the server back; docs/running.md, When something is wrong"
            return [doctor.fault("database", str(error), way)]
        return [doctor.good("database", "none yet: the first start makes it")]


@asynccontextmanager
async def _reading(url: str, settings: Settings) -> AsyncIterator[AsyncConnection]:
    limits = msgspec.structs.replace(storage_settings(settings), read_timeout_s=READ_S)
    database = Database(url, limits)
    await database.open_to_read()
    try:
        async with database.reading() as connection:
            yield connection
    finally:
        await database.close()


async def _look(connection: AsyncConnection, settings: Settings) -> list[Check]:
    if connection.dialect.name == "sqlite":  # constraints of rows are not judged on a read-only file; a start does
        verdict = (await connection.execute(text("PRAGMA integrity_check(5)"))).scalars().all()
        if verdict != ["ok"]:
            way = "stop the daemon and start it again: a broken file is replaced by zmart.db.backup if that is there"
            return [doctor.fault("database", f"the file is damaged: {line}", way) for line in verdict]
    outdated = doctor.schema(await connection.run_sync(stored_revision), HEAD)
    if outdated is not None:
        return [outdated]
    found = await findings(connection, whole=True)
    book = await stored_portfolio(connection)
    checks = [doctor.good("database", f"whole, schema {HEAD}")]
    larger = doctor.size(len(book.holdings), settings.portfolio.max_symbols)
    checks += [] if larger is None else [larger]
    if not found:
        return [
            *checks,
            doctor.good("book", f"{len(book.holdings)} holdings, {book.cash:g} % cash, as its history says"),
        ]
    return [*checks, *(doctor.fault("book", f"{finding.code}: {finding.text}", finding.way_out) for finding in found)]


def _disk(settings: Settings, folder: Path) -> list[Check]:
    used = shutil.disk_usage(folder)
    checks = [doctor.disk(used.free, used.total, str(folder))]
    database, ballast = folder / "zmart.db", folder / "zmart.db.ballast"
    if not settings.storage.url and database.exists():
        found = ballast.stat().st_size if ballast.exists() else 0
        given_up = doctor.ballast(settings.storage.ballast_mb << 20, found)
        checks += [] if given_up is None else [given_up]
    return checks


def _tokens(settings: Settings, folder: Path) -> list[Check]:
    path = token_path(settings.api, folder)
    try:
        records = TokenFile(path).records
    except ConfigError as error:
        if _is_the_daemons(path, folder):
            return [doctor.good("tokens", f"private to the daemon's user, in {path}")]
        return [
            doctor.fault("tokens", str(error), f"make it a file of the daemon's user that nobody else reads: {path}")
        ]
    in_force = sum(1 for record in records if record.revoked is None)
    if not in_force and not is_loopback(settings.api.host):
        way = "zmart-stream token create --name NAME --scope read"
        return [doctor.fault("tokens", f"api.host {settings.api.host} is open to others and no token is in force", way)]
    return [doctor.good("tokens", f"{in_force} in force, in {path}" if records else f"none: no file {path}")]


def _is_the_daemons(path: Path, folder: Path) -> bool:
    """Root looks at what another user's daemon keeps: that user's own private file is as it must be."""
    if os.geteuid() != 0 or not path.is_file():
        return False
    found = path.stat()
    return found.st_uid != 0 and found.st_uid == folder.stat().st_uid and not found.st_mode & 0o077


async def _venue(settings: Settings) -> list[Check]:
    way = "look at the network, DNS, venue.rest_url, venue.allowed_hosts and venue.ca_file"
    try:
        venue = await find_venue(settings, None)
        rest = KucoinRest(feed_settings(settings, venue))
    except ConfigError as error:
        return [doctor.fault("venue", problem, way) for problem in error.problems]
    try:
        async with asyncio.timeout(VENUE_S):
            skew = (time.time_ns() - await rest.server_time()) / 1e9
    except (FeedError, TimeoutError) as error:
        return [doctor.fault("venue", f"{venue.rest_url} does not answer: {str(error) or 'no reply in time'}", way)]
    finally:
        await rest.close()
    answers = doctor.good("venue", f"{venue.rest_url} answers ({venue.identity})")
    own = doctor.good("clock", "not compared: a sandbox has a time of its own")
    return [answers, own if venue.is_sandbox else doctor.clock(skew)]
