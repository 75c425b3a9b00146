"""Every question that start-up, the API and the command line ask of the database."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from zmart_stream.domain.bars import BarBlock, BarsAmended
from zmart_stream.domain.contract import Contract
from zmart_stream.domain.errors import SnapshotError
from zmart_stream.domain.market import DAY_S, HOUR_S, BarRow
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookTraded, EquityMarked, FundingPaid, Portfolio, PortfolioChange
from zmart_stream.storage import tables
from zmart_stream.storage.integrity import last_change, stored_portfolio
from zmart_stream.storage.ledger_rows import marked_of, paid_of, traded_of
from zmart_stream.storage.pages import contract_id
from zmart_stream.storage.rows import change_of, contract_of
from zmart_stream.storage.signal_pages import SignalPages, signals_since
from zmart_stream.storage.snapshots import unpack, unpack_block

_history = tables.portfolio_history


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a contract that is not in the book left it last."""

    symbol: str
    ts: int
    reason: str
    who: str  # machine, or the operator who removed it: then only an operator brings it back


class StoredState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a start takes up again. Book, history and `paused` win over what the snapshot says."""

    session: int  # of this start: one more than the last
    last_ts: int | None  # newest market time stored, ns
    snapshot: dict[str, Any] | None
    snapshot_ts: int | None
    blocks: tuple[BarBlock, ...]  # ascending by interval and start, within the windows
    amendments: tuple[BarsAmended, ...]  # to be laid over the blocks
    contracts: tuple[Contract, ...]
    book: Portfolio
    last_change: PortfolioChange | None
    changes: tuple[PortfolioChange, ...]  # the newest 1000, oldest first: those that the snapshot knows are among them
    swaps: tuple[int, ...]  # market times of replacements and fills after the first, ascending, newest 100
    exits: tuple[Exit, ...]
    ledger: tuple[BookTraded | FundingPaid, ...] = ()  # later than the snapshot (without one: all), oldest first
    equity: EquityMarked | None = None  # the ledger's newest point
    signals: tuple[Message, ...] = ()  # their lives after the snapshot and for a while before, oldest first
    paused: bool  # the operator's last accepted pause or resume
    revision: int  # of the configuration; 0: none recorded
    settings: dict[str, Any] | None  # what that revision said, as JSON values
    overrides: dict[str, Any]  # recorded over the file: dotted key -> value
    problems: tuple[str, ...]  # what could not be read and was done without


class StorageReader(SignalPages):
    """Reads through connections that cannot write; every method sees one consistent state. All raise StorageError."""

    async def load_state(self, release: str) -> StoredState:
        """Begin a session and read what the last one left. Once, before the writer runs."""
        session = await self._database.write(lambda connection: _begin_session(connection, release))
        problems: list[str] = []
        async with self._database.reading(at_start=True) as connection:
            sequence, snapshot_ts, snapshot = await _snapshot(connection, problems)
            blocks = await self._blocks(connection, problems)
            revision, settings = await _revision(connection)
            state = StoredState(
                session=session,
                last_ts=await _last_ts(connection),
                snapshot=snapshot,
                snapshot_ts=snapshot_ts,
                blocks=blocks,
                amendments=await _amendments(connection, blocks),
                contracts=await _contracts(connection),
                book=await stored_portfolio(connection),
                last_change=await last_change(connection),
                changes=await _changes(connection),
                swaps=await _swaps(connection),
                exits=await _exits(connection),
                ledger=await _ledger(connection, sequence),
                equity=await _equity(connection, snapshot_ts),
                signals=await signals_since(connection, sequence),
                paused=await _paused(connection),
                revision=revision,
                settings=settings,
                overrides=await _overrides(connection),
                problems=tuple(problems),
            )
        if snapshot_ts is not None:
            await self._forget_unknown_points(snapshot_ts)
        return state

    async def last_ts(self) -> int | None:
        """The newest market time stored (ns): where a sandbox venue must start after."""
        async with self._database.reading(at_start=True) as connection:
            return await _last_ts(connection)

    async def scores(self, symbol: str, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """Stored scores of a contract, named by symbol or UUID, newest first. Raises KeyError for an unknown one."""
        table = tables.symbol_scores

        def found(connection: Connection) -> list[dict[str, Any]]:
            of_owner = select(table).where(table.c.symbol_id == _owner(connection, symbol))
            page = of_owner.order_by(table.c.end_ns.desc()).limit(limit).offset(offset)
            return [dict(row._mapping) for row in connection.execute(page)]

        return await self._database.read(found)

    async def symbols(self, limit: int = 1000, offset: int = 0) -> list[dict[str, Any]]:
        """Rows of `symbols` with all columns, by symbol; times in ns."""
        table = tables.symbols
        return [dict(row._mapping) for row in await self._page(select(table).order_by(table.c.symbol), limit, offset)]

    async def statistics(self) -> dict[str, Any]:
        """Rows by table and, for SQLite, bytes of the file and its log: for the debug view and doctor."""
        counts = {name: await self._count(table) for name, table in tables.METADATA.tables.items()}
        sizes = {}
        path = self._database.path
        if path is not None:
            for name, file in (("file_bytes", path), ("wal_bytes", path.with_name(path.name + "-wal"))):
                sizes[name] = file.stat().st_size if file.exists() else 0
        return {"rows": counts, **sizes}

    async def _forget_unknown_points(self, snapshot_ts: int) -> None:
        """Drop marks that the snapshot does not know: the ledger goes on from before them, and makes them anew.

        There are some only if snapshots were given up while commits failed. A ledger's first mark is not made anew.
        """
        unknown = _unknown_points(snapshot_ts)
        async with self._database.reading(at_start=True) as connection:
            found = (await connection.execute(select(tables.equity_points.c.end_ns).where(unknown).limit(1))).first()
        if found is not None:
            await self._database.write(
                lambda connection: connection.execute(delete(tables.equity_points).where(unknown))
            )

    async def _blocks(self, connection: AsyncConnection, problems: list[str]) -> tuple[BarBlock, ...]:
        settings, blocks = self._database.settings, []
        for interval, window in ((HOUR_S, settings.window_hours), (DAY_S, settings.window_days)):
            for row in reversed((await connection.execute(_newest_blocks(interval, window))).all()):
                try:
                    blocks.append(unpack_block(row.interval_s, row.start_ns, row.ts_ns, row.payload))
                except SnapshotError as error:
                    problems.append(str(error))
        return tuple(blocks)


def _begin_session(connection: Connection, release: str) -> int:
    table = tables.sessions
    number: int = (connection.execute(select(func.max(table.c.number))).scalar() or 0) + 1
    connection.execute(insert(table), {"number": number, "release": release})
    return number


def _newest_blocks(interval_s: int, count: int) -> Select[Any]:
    table = tables.bar_blocks
    return select(table).where(table.c.interval_s == interval_s).order_by(table.c.start_ns.desc()).limit(count)


async def _snapshot(connection: AsyncConnection, problems: list[str]) -> tuple[int, int | None, dict[str, Any] | None]:
    """The newest snapshot that can be read, with its sequence (-1: none) and time."""
    table = tables.snapshots
    for row in (await connection.execute(select(table).order_by(table.c.sequence.desc()))).all():
        try:
            return row.sequence, row.ts_ns, unpack(row.payload)
        except SnapshotError as error:
            problems.append(f"snapshot {row.sequence}: {error}")
    return -1, None, None


async def _changes(connection: AsyncConnection) -> tuple[PortfolioChange, ...]:
    newest = select(_history).order_by(_history.c.sequence.desc()).limit(1000)
    return tuple(change_of(row) for row in reversed((await connection.execute(newest)).all()))


def _unknown_points(snapshot_ts: int) -> ColumnElement[bool]:
    points = tables.equity_points
    moved = or_(points.c.price_pnl != 0, points.c.funding != 0, points.c.traded != 0)
    return and_(points.c.ts_ns > snapshot_ts, moved)


async def _equity(connection: AsyncConnection, snapshot_ts: int | None) -> EquityMarked | None:
    points = tables.equity_points
    newest = select(points).order_by(points.c.end_ns.desc()).limit(1)
    if snapshot_ts is not None:
        newest = newest.where(~_unknown_points(snapshot_ts))
    row = (await connection.execute(newest)).first()
    return None if row is None else marked_of(row)


async def _ledger(connection: AsyncConnection, sequence: int) -> tuple[BookTraded | FundingPaid, ...]:
    """Trades and payments later than the snapshot; without one (-1) all of them, so that no trade is forgotten."""
    trades, payments = tables.paper_trades, tables.funding_payments
    later: list[tuple[int, BookTraded | FundingPaid]] = []
    for row in await connection.execute(select(trades).where(trades.c.sequence > sequence)):
        later.append((row.sequence, traded_of(row)))
    for row in await connection.execute(select(payments).where(payments.c.sequence > sequence)):
        later.append((row.sequence, paid_of(row)))
    return tuple(message for _, message in sorted(later, key=lambda item: item[0]))


async def _amendments(connection: AsyncConnection, blocks: tuple[BarBlock, ...]) -> tuple[BarsAmended, ...]:
    table = tables.bar_amendments
    since = {
        interval: min((b.start for b in blocks if b.interval_s == interval), default=0) for interval in (HOUR_S, DAY_S)
    }
    rows: dict[tuple[int, str], list[BarRow]] = {}
    stamps: dict[tuple[int, str], int] = {}
    ordered = select(table).order_by(table.c.interval_s, table.c.symbol, table.c.start_ns)
    for row in await connection.execute(ordered):
        if row.start_ns >= since.get(row.interval_s, 0):
            key = row.interval_s, row.symbol
            bar = (row.start_ns, row.open, row.high, row.low, row.close, row.lots, row.turnover)
            rows.setdefault(key, []).append(bar)
            stamps[key] = max(stamps.get(key, 0), row.ts_ns)
    return tuple(
        BarsAmended(ts=stamps[key], symbol=key[1], interval_s=key[0], rows=tuple(bars)) for key, bars in rows.items()
    )


async def _contracts(connection: AsyncConnection) -> tuple[Contract, ...]:
    table = tables.symbols
    described = select(table.c.contract).where(table.c.status.is_not(None)).order_by(table.c.symbol)
    return tuple(contract_of(row.contract) for row in await connection.execute(described))


async def _swaps(connection: AsyncConnection) -> tuple[int, ...]:
    machine = _history.c.performed_by == "machine"
    swap = or_(_history.c.action_type == "replace", _history.c.action_type == "fill")
    found = select(_history.c.ts_ns).where(machine, swap, _history.c.reason != "first_fill")
    rows = await connection.execute(found.order_by(_history.c.sequence.desc()).limit(100))
    return tuple(sorted(row.ts_ns for row in rows))


async def _exits(connection: AsyncConnection) -> tuple[Exit, ...]:
    """The last leaving of every contract that is not held now."""
    gone = _history.c.symbol_out
    last = select(func.max(_history.c.sequence)).where(gone.is_not(None)).group_by(gone)
    held = {holding.symbol for holding in (await stored_portfolio(connection)).holdings}
    rows = await connection.execute(select(_history).where(_history.c.sequence.in_(last)).order_by(_history.c.sequence))
    return tuple(
        Exit(symbol=row.symbol_out, ts=row.ts_ns, reason=row.reason, who=row.performed_by)
        for row in rows
        if row.symbol_out not in held
    )


async def _paused(connection: AsyncConnection) -> bool:
    table = tables.operator_actions
    asked = select(table.c.action).where(table.c.action.in_(("Pause", "Resume")), table.c.accepted.is_(True))
    return (await connection.execute(asked.order_by(table.c.sequence.desc()).limit(1))).scalar() == "Pause"


async def _revision(connection: AsyncConnection) -> tuple[int, dict[str, Any] | None]:
    table = tables.config_revisions
    row = (await connection.execute(select(table).order_by(table.c.revision.desc()).limit(1))).first()
    return (0, None) if row is None else (row.revision, row.settings)


async def _overrides(connection: AsyncConnection) -> dict[str, Any]:
    table = tables.system_configuration
    rows = await connection.execute(select(table.c.config_key, table.c.config_value).order_by(table.c.config_key))
    return {row.config_key: msgspec.json.decode(row.config_value) for row in rows}


async def _last_ts(connection: AsyncConnection) -> int | None:
    columns = (
        tables.snapshots.c.ts_ns,
        tables.bar_blocks.c.ts_ns,
        _history.c.ts_ns,
        tables.holds.c.ts_ns,
        tables.operator_actions.c.ts_ns,
        tables.equity_points.c.ts_ns,
        tables.funding_payments.c.ts_ns,
        tables.paper_trades.c.ts_ns,
        tables.signal_steps.c.ts_ns,
        tables.sessions.c.ended_ts_ns,
    )
    newest = [(await connection.execute(select(func.max(column)))).scalar() for column in columns]
    return max((ts for ts in newest if ts is not None), default=None)


def _owner(connection: Connection, name: str) -> str:
    """The id of a known contract given by symbol or id. Raises KeyError."""
    wanted = contract_id(name)
    known = select(tables.symbols.c.id).where(tables.symbols.c.id == wanted)
    if connection.execute(known).first() is None:
        raise KeyError(name)
    return wanted
