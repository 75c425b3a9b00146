"""Pages of signals: waiting, processed, one with all that was said of it, sums; what is to be sent; the users."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zmart_stream.domain.commands import ReleaseSource
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxEntry
from zmart_stream.domain.ports import EntriesAsked
from zmart_stream.domain.signals import SignalSettled
from zmart_stream.storage import tables
from zmart_stream.storage.items import UserRecord
from zmart_stream.storage.pages import BookPages, contract_id, count
from zmart_stream.storage.signal_rows import entry_of, opinion_of, released_of, settled_of, told_of, user_of

State = Literal["pending", "processed"]
_signals, _steps = tables.signals, tables.signal_steps
_outcomes, _actions = tables.signal_outcomes, tables.operator_actions
WAITING = ("received", "evaluated", "approved")
"""States that a signal leaves."""

_REPLAYED = 20_000
"""Steps that a start gets to know again at most."""

_AT_LEAST = 1_000

_AT_ONCE = 500
"""Ids in one query."""


class SignalPages(BookPages):
    """Rows of `signals` with all columns but `sequence`; times in ns UTC."""

    async def signals(
        self,
        limit: int = 100,
        offset: int = 0,
        *,
        state: State | None = None,
        source: str | None = None,
        symbol: str | None = None,
    ) -> list[dict[str, Any]]:
        """Signals, newest first: waiting or processed, of a source, about a contract (symbol or UUID)."""
        return [_shown(row) for row in await self._page(newest(state, source, symbol), limit, offset)]

    async def signals_and_count(
        self, limit: int, offset: int, *, state: State | None, source: str | None, symbol: str | None
    ) -> tuple[list[dict[str, Any]], int]:
        """`signals`, and how many there are of the wanted ones, as of the same moment."""
        page = newest(state, source, symbol).limit(limit).offset(offset)
        wanted = _of_signals(state, source, symbol)

        def found(connection: Connection) -> tuple[list[dict[str, Any]], int]:
            return [_shown(row) for row in connection.execute(page)], count(connection, _signals, *wanted)

        return await self._database.read(found)

    async def signal(self, which: str) -> dict[str, Any] | None:
        """One signal by id with `steps`, `opinions` (as the agents spoke) and `outcome`; None: there is none."""
        return await self._database.read(lambda connection: _whole(connection, contract_id(which)))

    async def signal_statistics(self) -> dict[str, Any]:
        """Stored signals by status, source and type, outcomes by source, and the mean time (s) to each step."""
        return await self._database.read(_sums)

    async def outbox(self, limit: int = 1000) -> tuple[OutboxEntry, ...]:
        """What still has to be sent, those due first."""
        table = tables.outbox
        waiting = select(table).where(table.c.state == "pending").order_by(table.c.next_attempt_ns, table.c.id)
        return tuple(entry_of(row) for row in await self._page(waiting, limit, 0))

    async def outbox_entries(
        self, asked: EntriesAsked, limit: int = 100, offset: int = 0
    ) -> tuple[tuple[OutboxEntry, ...], int]:
        """What was to be sent, newest first, and how many entries there are of the wanted ones."""
        table = tables.outbox
        wanted = _of_entries(asked)
        newest_first = select(table).where(*wanted).order_by(table.c.created_ns.desc(), table.c.id)
        page = newest_first.limit(limit).offset(offset)

        def found(connection: Connection) -> tuple[tuple[OutboxEntry, ...], int]:
            return tuple(map(entry_of, connection.execute(page))), count(connection, table, *wanted)

        return await self._database.read(found)

    async def last_sent_of(self, event_type: str) -> OutboxEntry | None:
        """The newest entry of a type, wherever it stands."""
        table = tables.outbox
        newest_first = select(table).where(table.c.event_type == event_type).order_by(table.c.created_ns.desc())
        rows = await self._page(newest_first, 1, 0)
        return entry_of(rows[0]) if rows else None

    async def outbox_counts(self) -> dict[str, int]:
        """Entries by state: pending, delivered, dead."""
        counts = await self._database.read(lambda connection: _counts(connection, tables.outbox.c.state))
        return {"pending": 0, "delivered": 0, "dead": 0, **counts}

    async def users(self) -> tuple[UserRecord, ...]:
        """Every token that was recorded, oldest first, revoked ones included."""
        table = tables.users
        return tuple(user_of(row) for row in await self._page(select(table).order_by(table.c.created_at), 100_000, 0))


async def signals_since(connection: AsyncConnection, sequence: int) -> tuple[Message, ...]:
    """What was told of signals after `sequence`, in order; of very many the newest, of few some from before it, too.

    With it what became of sources' names after `sequence`.

    A core whose snapshot does not fit has only these to know its signals by.
    """
    backwards = select(_steps).order_by(_steps.c.sequence.desc())
    steps = (await connection.execute(backwards.where(_steps.c.sequence > sequence).limit(_REPLAYED))).all()
    if len(steps) < _AT_LEAST:
        steps = (await connection.execute(backwards.limit(_AT_LEAST))).all()
    known = await _known(connection, [step.signal_id for step in steps])
    told: list[tuple[int, Message]] = [(step.sequence, told_of(step, *known[step.signal_id])) for step in steps]
    since = steps[-1].sequence if steps else sequence
    settled = select(_outcomes).where(_outcomes.c.sequence > since).order_by(_outcomes.c.sequence.desc())
    told += [(row.sequence, settled_of(row)) for row in await connection.execute(settled.limit(_REPLAYED))]
    released = select(_actions).where(_actions.c.action == ReleaseSource.__name__, _actions.c.accepted.is_(True))
    later = await connection.execute(released.where(_actions.c.sequence > sequence))
    told += [(row.sequence, released_of(row)) for row in later]
    return tuple(message for _, message in sorted(told, key=lambda item: item[0]))


async def _known(connection: AsyncConnection, ids: list[str]) -> dict[str, tuple[Any, list[Any]]]:
    """Rows of signals by id, each with its opinions."""
    known: dict[str, tuple[Any, list[Any]]] = {}
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), _AT_ONCE):
        some = unique[start : start + _AT_ONCE]
        for row in await connection.execute(select(_signals).where(_signals.c.id.in_(some))):
            known[row.id] = (row, [])
        for opinion in await connection.execute(_opinions(some)):
            known[opinion.signal_id][1].append(opinion)
    return known


def newest(state: State | None, source: str | None, symbol: str | None) -> Select[Any]:
    """Signals by arrival, the newest first; the order is an index's, so that a page costs a page."""
    return select(_signals).where(*_of_signals(state, source, symbol)).order_by(_signals.c.sequence.desc())


def _of_signals(state: State | None, source: str | None, symbol: str | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if state is not None:
        waits = _signals.c.status.in_(WAITING)
        found.append(waits if state == "pending" else ~waits)
    if source is not None:
        found.append(_signals.c.source_name == source)
    if symbol is not None:
        found.append(_signals.c.symbol_id == contract_id(symbol))
    return found


def _of_entries(asked: EntriesAsked) -> list[ColumnElement[bool]]:
    table = tables.outbox
    found: list[ColumnElement[bool]] = []
    if asked.state is not None:
        found.append(table.c.state == asked.state)
    if asked.endpoint is not None:
        found.append(table.c.endpoint == asked.endpoint)
    if asked.ids:
        found.append(table.c.id.in_(asked.ids))
    return found


def _shown(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "sequence"}


def _spoken(row: Any) -> dict[str, Any]:
    opinion = opinion_of(row)
    return {
        "agent": opinion.agent,
        "p": opinion.p,
        "stance": opinion.stance,
        "veto": opinion.veto,
        "reasons": [{"code": reason.code, "numbers": reason.numbers} for reason in opinion.reasons],
        "ages": opinion.ages,
    }


def _settled(row: Any) -> dict[str, Any]:
    settled = settled_of(row)
    names = [name for name in SignalSettled.__struct_fields__ if name not in {"agents", "signal_id"}]
    agents = [{"agent": one.agent, "p": one.p, "brier": one.brier} for one in settled.agents]
    return {**{name: getattr(settled, name) for name in names}, "agents": agents}


def _whole(connection: Connection, which: str) -> dict[str, Any] | None:
    """A signal with all that was said of it."""
    row = connection.execute(select(_signals).where(_signals.c.id == which)).first()
    if row is None:
        return None
    steps = connection.execute(select(_steps).where(_steps.c.signal_id == which).order_by(_steps.c.sequence))
    outcome = connection.execute(select(_outcomes).where(_outcomes.c.signal_id == which)).first()
    return {
        **_shown(row),
        "steps": [
            {"status": step.status, "ts": step.ts_ns, "reason": step.reason, "detail": step.detail} for step in steps
        ],
        "opinions": [_spoken(opinion) for opinion in connection.execute(_opinions([which]))],
        "outcome": None if outcome is None else _settled(outcome),
    }


def _opinions(ids: list[str]) -> Select[Any]:
    table = tables.signal_evaluations
    return select(table).where(table.c.signal_id.in_(ids)).order_by(table.c.signal_id, table.c.place)


def _sums(connection: Connection) -> dict[str, Any]:
    return {
        "total": count(connection, _signals),
        "by_status": _counts(connection, _signals.c.status),
        "by_source": _nested(connection, _signals.c.source_name),
        "by_type": _nested(connection, _signals.c.signal_type),
        "outcomes": _scored(connection),
        "latency_s": _latency(connection),
    }


def _counts(connection: Connection, column: ColumnElement[Any]) -> dict[str, int]:
    found = connection.execute(select(column, func.count()).group_by(column).order_by(column))
    return {row[0]: row[1] for row in found}


def _nested(connection: Connection, column: ColumnElement[Any]) -> dict[str, dict[str, int]]:
    """Counts by `column`, then by status."""
    both = (column, _signals.c.status)
    nested: dict[str, dict[str, int]] = {}
    for name, status, number in connection.execute(select(*both, func.count()).group_by(*both).order_by(*both)):
        nested.setdefault(name, {})[status] = number
    return nested


def _scored(connection: Connection) -> dict[str, dict[str, float]]:
    """By source: outcomes, hits, mean Brier score of the consensus, mean net return."""
    name = _outcomes.c.source_name
    sums = select(
        name,
        func.count().label("outcomes"),
        func.count().filter(_outcomes.c.hit).label("hits"),
        func.avg(_outcomes.c.brier).label("brier"),
        func.avg(_outcomes.c.net).label("net"),
    )
    found = connection.execute(sums.group_by(name).order_by(name))
    return {row[0]: {key: value for key, value in row._mapping.items() if key != "source_name"} for row in found}


def _latency(connection: Connection) -> dict[str, float]:
    """Mean seconds of market time from arrival to each status."""
    took = (_steps.c.ts_ns - _signals.c.received_ns) / 1e9
    means = select(_steps.c.status, func.avg(took)).join(_signals, _signals.c.id == _steps.c.signal_id)
    found = connection.execute(means.group_by(_steps.c.status).order_by(_steps.c.status))
    return {row[0]: float(row[1]) for row in found if row[0] not in {"received", "rejected"} and row[1] is not None}
