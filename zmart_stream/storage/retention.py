"""What is thinned and deleted, a bounded amount at a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from zmart_stream.domain.market import DAY_S, HOUR_S
from zmart_stream.storage import tables
from zmart_stream.storage.settings import StorageSettings

SECOND = 1_000_000_000


async def prune(connection: AsyncConnection, now: int, settings: StorageSettings) -> int:
    """Delete what is too old at market time `now` (ns), `prune_rows` of a table at most; returns how many rows went."""
    limit = settings.prune_rows
    scores, blocks, amendments = tables.symbol_scores, tables.bar_blocks, tables.bar_amendments
    went = await _delete(connection, scores, _thinned(now, settings), limit)
    went += await _delete(connection, blocks, _outside(blocks, now, settings), limit)
    went += await _delete(connection, amendments, _outside(amendments, now, settings), limit)
    return went + await _forget_snapshots(connection, settings.snapshots_kept)


def _thinned(now: int, settings: StorageSettings) -> ColumnElement[bool]:
    """Closes end on quarter hours: past the first age only those on the hour stay, past the second at midnight."""
    end = tables.symbol_scores.c.end_ns
    return or_(
        and_(end < now - int(settings.scores_full_s) * SECOND, end % (HOUR_S * SECOND) != 0),
        and_(end < now - int(settings.scores_hourly_s) * SECOND, end % (DAY_S * SECOND) != 0),
    )


def _outside(table: Table, now: int, settings: StorageSettings) -> ColumnElement[bool]:
    """Bars older than their window and its margin."""
    hours = now - (settings.window_hours + settings.bars_margin) * HOUR_S * SECOND
    days = now - (settings.window_days + settings.bars_margin) * DAY_S * SECOND
    interval, start = table.c.interval_s, table.c.start_ns
    return or_(and_(interval == HOUR_S, start < hours), and_(interval == DAY_S, start < days))


async def _delete(connection: AsyncConnection, table: Table, condition: Any, limit: int) -> int:
    key = tuple_(*table.primary_key.columns)
    oldest = select(*table.primary_key.columns).where(condition).limit(limit)
    return (await connection.execute(delete(table).where(key.in_(oldest)))).rowcount


async def _forget_snapshots(connection: AsyncConnection, kept: int) -> int:
    table = tables.snapshots
    last = select(table.c.sequence).order_by(table.c.sequence.desc()).limit(1).offset(kept).scalar_subquery()
    return (await connection.execute(delete(table).where(table.c.sequence <= func.coalesce(last, -1)))).rowcount
