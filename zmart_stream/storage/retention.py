"""What is thinned and deleted, a bounded amount at a time."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    and_,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)

from zmart_stream.domain.market import DAY_S, HOUR_S
from zmart_stream.storage import tables
from zmart_stream.storage.ledger_tables import FLOWS
from zmart_stream.storage.settings import StorageSettings

SECOND = 1_000_000_000
DAYS_AT_ONCE = 30
"""Days of equity that one run thins."""


def prune(connection: Connection, now: int, settings: StorageSettings) -> int:
    """Delete what is too old at market time `now` (ns), `prune_rows` of a table at most; returns how many rows went."""
    limit = settings.prune_rows
    scores, blocks, amendments = tables.symbol_scores, tables.bar_blocks, tables.bar_amendments
    went = _delete(connection, scores, _thinned(now, settings), limit)
    went += _delete(connection, blocks, _outside(blocks, now, settings), limit)
    went += _delete(connection, amendments, _outside(amendments, now, settings), limit)
    went += _delete(connection, tables.signals, _processed(now, settings), limit)
    went += _delete(connection, tables.outbox, _done(settings), limit)
    went += _thin_equity(connection, now, settings)
    return went + _forget_snapshots(connection, settings.snapshots_kept)


def _thinned(now: int, settings: StorageSettings) -> ColumnElement[bool]:
    """Closes end on quarter hours: past the first age only those on the hour stay, past the second at midnight."""
    end = tables.symbol_scores.c.end_ns
    return or_(
        and_(end < now - int(settings.scores_full_s) * SECOND, end % (HOUR_S * SECOND) != 0),
        and_(end < now - int(settings.scores_hourly_s) * SECOND, end % (DAY_S * SECOND) != 0),
    )


def _processed(now: int, settings: StorageSettings) -> ColumnElement[bool]:
    """Signals at their end, of an age; their steps, opinions and outcomes go with them."""
    signals = tables.signals
    old = signals.c.received_ns < now - int(settings.signals_kept_s) * SECOND
    return and_(signals.c.processed_at.is_not(None), old)


def _done(settings: StorageSettings) -> ColumnElement[bool]:
    """Entries of the outbox that were sent or given up; they carry real time."""
    return tables.outbox.c.done_ns < time.time_ns() - int(settings.outbox_kept_s) * SECOND


def _thin_equity(connection: Connection, now: int, settings: StorageSettings) -> int:
    """Of whole UTC days of an age, only the last point stays; it takes over the day's flows, so that it balances.

    A day on which a ledger began, or on which nothing was held, stays as it is.
    """
    points = tables.equity_points
    day_ns = DAY_S * SECOND
    until = (now - int(settings.equity_hourly_s) * SECOND) // day_ns * day_ns
    day = (points.c.end_ns - 1) // day_ns
    still = and_(*(points.c[name] == 0 for name in FLOWS), points.c.equity == points.c.cash)
    sums = [cast(func.sum(points.c[name]), BigInteger).label(name) for name in FLOWS]
    days = (
        select(func.min(points.c.end_ns).label("first"), func.max(points.c.end_ns).label("last"), *sums)
        .where(points.c.end_ns <= until)
        .group_by(day)
        .having(func.count() > 1, func.sum(case((still, 1), else_=0)) == 0)
        .limit(DAYS_AT_ONCE)
    )
    went = 0
    for whole in (connection.execute(days)).all():
        flows = {name: getattr(whole, name) for name in FLOWS}
        connection.execute(update(points).where(points.c.end_ns == whole.last).values(flows))
        gone = delete(points).where(points.c.end_ns >= whole.first, points.c.end_ns < whole.last)
        went += (connection.execute(gone)).rowcount
    return went


def _outside(table: Table, now: int, settings: StorageSettings) -> ColumnElement[bool]:
    """Bars older than their window and its margin."""
    hours = now - (settings.window_hours + settings.bars_margin) * HOUR_S * SECOND
    days = now - (settings.window_days + settings.bars_margin) * DAY_S * SECOND
    interval, start = table.c.interval_s, table.c.start_ns
    return or_(and_(interval == HOUR_S, start < hours), and_(interval == DAY_S, start < days))


def _delete(connection: Connection, table: Table, condition: Any, limit: int) -> int:
    key = tuple_(*table.primary_key.columns)
    oldest = select(*table.primary_key.columns).where(condition).limit(limit)
    return (connection.execute(delete(table).where(key.in_(oldest)))).rowcount


def _forget_snapshots(connection: Connection, kept: int) -> int:
    table = tables.snapshots
    last = select(table.c.sequence).order_by(table.c.sequence.desc()).limit(1).offset(kept).scalar_subquery()
    return (connection.execute(delete(table).where(table.c.sequence <= func.coalesce(last, -1)))).rowcount
