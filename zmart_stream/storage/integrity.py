"""Whether the stored book keeps the rules it must keep; for start-up, `doctor` and `db check`."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from zmart_stream.domain.errors import BrokenBookError
from zmart_stream.domain.market import HOUR_S
from zmart_stream.domain.portfolio import Holding, Portfolio, PortfolioChange
from zmart_stream.storage import tables
from zmart_stream.storage.database import Database
from zmart_stream.storage.rebuild import essence, faults, rebuild, words
from zmart_stream.storage.rows import change_of
from zmart_stream.storage.tables import ACTIVE

MAX_SYMBOLS = 50
START_CHANGES = 100
START_POINTS = 500
"""What a start looks back at; `doctor` looks at everything."""

WAY_OUT = (
    "Ways out: restore the last backup of the database, or start with another storage.url or state_dir "
    "and build the book anew; the table portfolio_history shows how the book came to be"
)
_SHOWN = 5
_HOUR_NS = HOUR_S * 10**9

Symbols = tables.symbols
_held, _history, _points = tables.portfolio_composition, tables.portfolio_history, tables.equity_points


class Finding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One rule that the database breaks."""

    code: str  # book_size, book_rules, book_history, history, blocks, scores, references, swaps, equity
    text: str
    way_out: str = WAY_OUT
    stops: bool = True  # the daemon refuses to run on it


async def stored_portfolio(connection: AsyncConnection) -> Portfolio:
    """The active rows of `portfolio_composition` as the domain's book, by rank; who is kept out, by the last change."""
    found = await connection.execute(
        select(_held, Symbols.c.symbol)
        .join(Symbols, Symbols.c.id == _held.c.symbol_id)
        .where(_held.c.status == ACTIVE)
        .order_by(_held.c.position_rank, _held.c.id)
    )
    holdings = tuple(
        Holding(
            id=row.id,
            symbol=row.symbol,
            rank=row.position_rank or 0,
            weight=row.weight_percentage,
            since=row.since_ns,
            score=row.current_score,
            pinned=row.is_pinned,
            replacement_candidate=row.is_replacement_candidate,
            flags=tuple(row.flags),
        )
        for row in found
    )
    cash = round(100.0 - math.fsum(holding.weight for holding in holdings), 2)
    last = await last_change(connection)
    return Portfolio(holdings=holdings, cash=cash, blocked=last.after.blocked if last is not None else ())


async def last_change(connection: AsyncConnection) -> PortfolioChange | None:
    """The newest row of `portfolio_history`."""
    row = (await connection.execute(select(_history).order_by(_history.c.sequence.desc()).limit(1))).first()
    return None if row is None else change_of(row)


def book_problems(book: Portfolio, last: PortfolioChange | None, max_symbols: int = MAX_SYMBOLS) -> list[Finding]:
    """What is wrong with `book`: size, ranks, weights, agreement with the last recorded change."""
    found = []
    if len(book.holdings) > max_symbols:
        found.append(
            Finding(code="book_size", text=f"{len(book.holdings)} holdings, at most {max_symbols} are allowed")
        )
    found += [Finding(code="book_rules", text=fault) for fault in faults(book)]
    recorded = last.after if last is not None else Portfolio()
    if essence(book) != essence(recorded):
        told = f"the book is {words(book)}, the last recorded change left {words(recorded)}"
        found.append(Finding(code="book_history", text=told))
    return found


async def check_book(database: Database, max_symbols: int = MAX_SYMBOLS) -> Portfolio:
    """The stored book. Raises BrokenBookError, which names every problem that stops a daemon, and the ways out."""
    async with database.reading(at_start=True) as connection:
        book = await stored_portfolio(connection)
        found = [finding for finding in await findings(connection, max_symbols, whole=False) if finding.stops]
    if found:
        told = "; ".join(finding.text for finding in found)
        ways = " ".join(dict.fromkeys(finding.way_out for finding in found))
        raise BrokenBookError(f"the stored book is broken: {told}. {ways}. `zmart-stream doctor` lists all of it")
    return book


async def findings(connection: AsyncConnection, max_symbols: int = MAX_SYMBOLS, *, whole: bool) -> list[Finding]:
    """Every rule that the database breaks; `whole`: looking at all of the history, not only at its end."""
    book, last = await stored_portfolio(connection), await last_change(connection)
    found = book_problems(book, last, max_symbols)
    found += await _history_findings(connection, None if whole else START_CHANGES)
    if last is not None:
        found += await _block_findings(connection, last)
    found += await _equity_findings(connection, None if whole else START_POINTS)
    checks: tuple[Callable[[AsyncConnection], Coroutine[Any, Any, list[Finding]]], ...]
    checks = (_score_findings, _reference_findings, _swap_findings)
    for check in checks:
        found += await check(connection)
    return found


async def _history_findings(connection: AsyncConnection, newest: int | None) -> list[Finding]:
    """Each change began where the one before ended, and left a book that keeps the rules."""
    chosen = select(_history).order_by(_history.c.sequence.desc())
    if newest is not None:
        chosen = chosen.limit(newest)
    changes = [change_of(row) for row in reversed((await connection.execute(chosen)).all())]
    if not changes:
        return []
    begin = changes[0].before if newest is not None and len(changes) == newest else None
    told = rebuild(changes, begin).problems
    return [Finding(code="history", text=problem) for problem in _some(told, "contradictions in the history")]


async def _block_findings(connection: AsyncConnection, last: PortfolioChange) -> list[Finding]:
    """Who is kept out stands at the contracts, too."""
    chosen = select(Symbols.c.symbol).where(Symbols.c.blocked_place.is_not(None)).order_by(Symbols.c.blocked_place)
    marked = tuple(row.symbol for row in await connection.execute(chosen))
    if marked == last.after.blocked:
        return []
    ours, theirs = (", ".join(names) or "none" for names in (marked, last.after.blocked))
    return [Finding(code="blocks", text=f"the contracts blocked are {ours}, by the last change {theirs}")]


async def _score_findings(connection: AsyncConnection) -> list[Finding]:
    """A holding's score is that of its newest row, where it came with one that was not thinned away since."""
    scores = tables.symbol_scores
    newest = (
        select(func.max(scores.c.end_ns)).where(scores.c.symbol_id == _held.c.symbol_id).correlate(_held)
    ).scalar_subquery()
    chosen = (
        select(Symbols.c.symbol, _held.c.current_score, scores.c.score_value)
        .join(Symbols, Symbols.c.id == _held.c.symbol_id)
        .join(scores, (scores.c.symbol_id == _held.c.symbol_id) & (scores.c.end_ns == newest))
        .where(_held.c.status == ACTIVE, scores.c.end_ns >= _held.c.scored_end_ns)
        .where(func.abs(_held.c.current_score - scores.c.score_value) > 1.5e-6)
        .order_by(_held.c.position_rank)
    )
    told = [
        f"{row.symbol} scores {row.current_score:g} in the book and {row.score_value:g} at its last close"
        for row in await connection.execute(chosen)
    ]
    way = "Way out: restore the last backup, or set scored_end_ns to null: the next close writes the score anew"
    return [Finding(code="scores", text=line, way_out=way) for line in told]


async def _reference_findings(connection: AsyncConnection) -> list[Finding]:
    """Rows whose other end is missing; PostgreSQL does not let them be."""
    if connection.dialect.name != "sqlite":
        return []
    orphans = (await connection.execute(text("PRAGMA foreign_key_check"))).fetchall()
    told = [f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}" for row in orphans]
    return [Finding(code="references", text=line) for line in _some(told, "rows that refer to missing ones")]


async def _swap_findings(connection: AsyncConnection) -> list[Finding]:
    """A swap's result belongs to a recorded change of the same two contracts."""
    swaps = tables.swap_ledger
    same = (swaps.c.symbol_in == _history.c.symbol_in) & (swaps.c.symbol_out == _history.c.symbol_out)
    matched = select(_history.c.id).where(_history.c.id == swaps.c.id, same).exists()
    chosen = select(swaps.c.id, swaps.c.symbol_out, swaps.c.symbol_in).where(~matched).order_by(swaps.c.since_ns)
    told = [
        f"the swap {row.symbol_out} for {row.symbol_in} ({row.id}) is no recorded change"
        for row in await connection.execute(chosen)
    ]
    way = "Way out: restore the last backup, or delete those rows of swap_ledger: they are results, not the book"
    return [
        Finding(code="swaps", text=line, way_out=way, stops=False) for line in _some(told, "swaps without their change")
    ]


async def _equity_findings(connection: AsyncConnection, newest: int | None) -> list[Finding]:
    """Equity = equity before + price P&L + funding - costs, to the unit, from the opening to the last close."""
    chosen = select(_points).order_by(_points.c.end_ns.desc())
    rows = (await connection.execute(chosen if newest is None else chosen.limit(newest))).all()[::-1]
    told = await _missing_points(connection, rows, reaches_back=newest is None or len(rows) < newest)
    told += _unbalanced(rows, await _openings(connection))
    way = (
        "Way out: restore the last backup; the book itself does not depend on its equity points. "
        "A book older than its ledger gets its first point when the next hour closes"
    )
    return [Finding(code="equity", text=line, way_out=way, stops=False) for line in _some(told, "equity points off")]


def _unbalanced(rows: Sequence[Any], begin: set[int]) -> list[str]:
    """Points that do not follow from the one before; what is missing between two shows the same way.

    A point without flows begins a ledger; one that was played again from its trades goes on from an equity of `begin`.
    """
    told = []
    before: int | None = None
    for row in rows:
        base = row.equity - row.price_pnl - row.funding + row.costs
        if before is not None and base != before and base not in begin and not _opens(row):
            off = (base - before) / 1e8
            told.append(f"equity at {_time(row.end_ns)} differs from the flows since the point before by {off:.8f}")
        before = row.equity
    return told


async def _missing_points(connection: AsyncConnection, rows: Sequence[Any], *, reaches_back: bool) -> list[str]:
    """What history, trades and closes say must be there: a ledger opens with the first holding and marks every hour.

    `reaches_back`: `rows` are all points.
    """
    first, last = await _first_dealing(connection), await _last_hour(connection)
    if not rows:
        if first is None or last is None or last <= first:
            return []
        return [f"there is no equity point, though the book was first filled at {_time(first)}"]
    told = []
    if reaches_back and (not _opens(rows[0]) or (first is not None and first < rows[0].end_ns)):
        told.append(f"the first equity point, at {_time(rows[0].end_ns)}, is not the one that opened the ledger")
    if last is not None and last > rows[-1].end_ns:
        told.append(f"no equity point after {_time(rows[-1].end_ns)}, though hours closed until {_time(last)}")
    return told


async def _first_dealing(connection: AsyncConnection) -> int | None:
    """When the ledger must have been open, ns: the first trade, or without any, the first change of composition."""
    traded: int | None = (await connection.execute(select(func.min(tables.paper_trades.c.ts_ns)))).scalar()
    if traded is not None:
        return traded
    composed = select(func.min(_history.c.ts_ns)).where(_history.c.symbol_in.is_not(None))
    found: int | None = (await connection.execute(composed)).scalar()
    return found


async def _last_hour(connection: AsyncConnection) -> int | None:
    """The newest whole hour, ns, whose close was stored: equity is marked in the same transaction."""
    ended = tables.symbol_scores.c.end_ns
    hours = select(ended).where(ended % _HOUR_NS == 0).order_by(ended.desc()).limit(1)
    found: int | None = (await connection.execute(hours)).scalar()
    return found


def _opens(row: Any) -> bool:
    """Whether a point begins a ledger: all in cash, and nothing happened."""
    return row.equity == row.cash and not (row.price_pnl or row.funding or row.costs or row.traded)


def _time(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _openings(connection: AsyncConnection) -> set[int]:
    """The equity of every ledger's first point."""
    unmoved = (_points.c.price_pnl == 0, _points.c.funding == 0, _points.c.costs == 0, _points.c.traded == 0)
    chosen = select(_points.c.equity).where(*unmoved, _points.c.equity == _points.c.cash).distinct().limit(100)
    return {row.equity for row in await connection.execute(chosen)}


def _some(told: list[str] | tuple[str, ...], what: str) -> list[str]:
    """The first few, and how many there are."""
    rest = len(told) - _SHOWN
    return [*told[:_SHOWN], *([f"{rest} more {what}"] if rest > 0 else [])]
