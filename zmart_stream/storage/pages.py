"""Pages of what the book did and earned: history, equity, swaps, funding, trades, operators' actions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, cast, func, or_, select

from zmart_stream.domain.portfolio import BookTraded, EquityMarked, FundingPaid, PortfolioChange, SwapMeasured
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage import tables
from zmart_stream.storage.database import Database
from zmart_stream.storage.ledger_rows import marked_of, measured_of, paid_of, traded_of
from zmart_stream.storage.ledger_tables import FLOWS
from zmart_stream.storage.rows import change_of

_history = tables.portfolio_history
_points = tables.equity_points


class BookPages:
    """Newest first where there are pages; times in ns UTC, money in units of 1e-8 USDT. All raise StorageError."""

    def __init__(self, database: Database) -> None:
        """`database` must be open before the first question."""
        self._database = database

    async def history(
        self,
        limit: int = 100,
        offset: int = 0,
        *,
        kind: str | None = None,
        symbol: str | None = None,
        since: int | None = None,
    ) -> tuple[PortfolioChange, ...]:
        """Changes of the book, newest first: of a kind, about a contract (symbol or UUID), from `since` on."""
        chosen = select(_history).where(*_of_history(kind, symbol, since)).order_by(_history.c.sequence.desc())
        return tuple(change_of(row) for row in await self._page(chosen, limit, offset))

    async def history_and_count(
        self, limit: int, offset: int, *, kind: str | None, symbol: str | None, since: int | None
    ) -> tuple[tuple[PortfolioChange, ...], int]:
        """`history`, and how many there are of the wanted ones, as of the same moment."""
        wanted = _of_history(kind, symbol, since)
        chosen = select(_history).where(*wanted).order_by(_history.c.sequence.desc()).limit(limit).offset(offset)

        def found(connection: Connection) -> tuple[tuple[PortfolioChange, ...], int]:
            return tuple(map(change_of, connection.execute(chosen))), count(connection, _history, *wanted)

        return await self._database.read(found)

    async def equity(
        self, since: int | None = None, until: int | None = None, points: int | None = None
    ) -> tuple[EquityMarked, ...]:
        """The ledger's points with `since` <= end <= `until`, oldest first, thinned to at most `points`.

        A point that stands for several is the last of them and carries the sum of their flows, so that each point's
        equity is still the one before + price P&L + funding - costs.
        """
        ends = _points.c.end_ns
        within = [*([ends >= since] if since is not None else []), *([ends <= until] if until is not None else [])]
        chosen = select(_points).where(*within) if points is None else _thinned(within, points)
        return await self._database.read(
            lambda connection: tuple(map(marked_of, connection.execute(chosen.order_by(ends))))
        )

    async def swaps(self, limit: int = 100, offset: int = 0) -> tuple[SwapMeasured, ...]:
        """Swaps as they were measured last: at their start, or for good. Newest first."""
        table = tables.swap_ledger
        chosen = select(table).order_by(table.c.since_ns.desc(), table.c.id.desc())
        return tuple(measured_of(row) for row in await self._page(chosen, limit, offset))

    async def swap_totals(self) -> dict[str, int]:
        """`swaps` in all; of the final ones `final`, `won` (earned more than not swapping), `earned` and `costs`."""
        table = tables.swap_ledger
        earned = table.c.swapped - table.c.unswapped
        sums = select(
            func.count().label("final"),
            func.count().filter(earned > 0).label("won"),
            func.coalesce(func.sum(earned), 0).label("earned"),
            func.coalesce(func.sum(table.c.costs), 0).label("costs"),
        ).where(table.c.is_final)

        def found(connection: Connection) -> dict[str, int]:
            row = connection.execute(sums).one()
            return {"swaps": count(connection, table), **{name: int(value) for name, value in row._mapping.items()}}

        return await self._database.read(found)

    async def funding(
        self, limit: int = 100, offset: int = 0, *, symbol: str | None = None, since: int | None = None
    ) -> tuple[FundingPaid, ...]:
        """Settlements paid or received, newest first: of a contract (symbol or UUID), settled from `since` on."""
        table = tables.funding_payments
        chosen = select(table).where(*_of_funding(symbol, since)).order_by(table.c.settled_ns.desc(), table.c.symbol)
        return tuple(paid_of(row) for row in await self._page(chosen, limit, offset))

    async def funding_count(self, *, symbol: str | None = None, since: int | None = None) -> int:
        """How many settlements `funding` would find."""
        return await self._count(tables.funding_payments, *_of_funding(symbol, since))

    async def trades(self, limit: int = 100, offset: int = 0) -> tuple[BookTraded, ...]:
        """Paper trades, newest first."""
        table = tables.paper_trades
        chosen = select(table).order_by(table.c.sequence.desc())
        return tuple(traded_of(row) for row in await self._page(chosen, limit, offset))

    async def actions(self, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """What operators asked, and the answer: rows of `operator_actions`, newest first."""
        table = tables.operator_actions
        found = await self._page(select(table).order_by(table.c.sequence.desc()), limit, offset)
        return [dict(row._mapping) for row in found]

    async def _page(self, chosen: Select[Any], limit: int, offset: int) -> list[Any]:
        page = chosen.limit(limit).offset(offset)
        return await self._database.read(lambda connection: list(connection.execute(page)))

    async def _count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        return await self._database.read(lambda connection: count(connection, table, *conditions))


def count(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    """How many rows there are that meet all `conditions`."""
    return int(connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())


def contract_id(name: str) -> str:
    """The id of a contract given by symbol or id."""
    try:
        return str(UUID(name))
    except ValueError:
        return symbol_id(name)


def _of_history(kind: str | None, symbol: str | None, since: int | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if kind is not None:
        found.append(_history.c.action_type == kind)
    if symbol is not None:
        named = contract_id(symbol)
        found.append(or_(_history.c.symbol_id == named, _history.c.replaced_symbol_id == named))
    if since is not None:
        found.append(_history.c.ts_ns >= since)
    return found


def _of_funding(symbol: str | None, since: int | None) -> list[ColumnElement[bool]]:
    table = tables.funding_payments
    found: list[ColumnElement[bool]] = []
    if symbol is not None:
        found.append(table.c.symbol_id == contract_id(symbol))
    if since is not None:
        found.append(table.c.settled_ns >= since)
    return found


def _thinned(within: list[ColumnElement[bool]], points: int) -> Select[Any]:
    """`points` groups of neighbours as even as can be, each by its last point and the sum of its flows."""
    group = func.ntile(points).over(order_by=_points.c.end_ns).label("part")
    parted = select(_points, group).where(*within).subquery("parted")
    summed = (
        select(
            func.max(parted.c.end_ns).label("last"),
            *[cast(func.sum(parted.c[name]), BigInteger).label(name) for name in FLOWS],
        )
        .group_by(parted.c.part)
        .subquery("summed")
    )
    own = [column for column in _points.c if column.name not in FLOWS]
    return select(*own, *[summed.c[name] for name in FLOWS]).join(summed, summed.c.last == _points.c.end_ns)
