"""Whether the stored book keeps the rules it must keep; for start-up and doctor."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from zmart_stream.domain.errors import BrokenBookError
from zmart_stream.domain.portfolio import Holding, Portfolio, PortfolioChange
from zmart_stream.storage import tables
from zmart_stream.storage.database import Database
from zmart_stream.storage.rows import change_of
from zmart_stream.storage.tables import ACTIVE

MAX_SYMBOLS = 50
WAY_OUT = (
    "Ways out: restore the last backup of the database, or start with another storage.url or state_dir "
    "and build the book anew; the table portfolio_history shows how the book came to be"
)


async def stored_portfolio(connection: AsyncConnection) -> Portfolio:
    """The active rows of `portfolio_composition` as the domain's book, by rank; who is kept out, by the last change."""
    held, owner = tables.portfolio_composition, tables.symbols
    found = await connection.execute(
        select(held, owner.c.symbol)
        .join(owner, owner.c.id == held.c.symbol_id)
        .where(held.c.status == ACTIVE)
        .order_by(held.c.position_rank, held.c.id)
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
    table = tables.portfolio_history
    row = (await connection.execute(select(table).order_by(table.c.sequence.desc()).limit(1))).first()
    return None if row is None else change_of(row)


def book_problems(book: Portfolio, last: PortfolioChange | None, max_symbols: int = MAX_SYMBOLS) -> list[str]:
    """What is wrong with `book`, one line each: size, ranks, weights, agreement with the last recorded change."""
    problems = []
    if len(book.holdings) > max_symbols:
        problems.append(f"{len(book.holdings)} holdings, at most {max_symbols} are allowed")
    ranks = [holding.rank for holding in book.holdings]
    if ranks != list(range(1, len(ranks) + 1)):
        problems.append(f"ranks are {ranks}, not 1 to {len(ranks)}")
    if book.cash < 0:
        problems.append(f"weights sum to {100 - book.cash:.2f} %")
    problems += [f"{h.symbol} weighs {h.weight} %" for h in book.holdings if not 0 <= h.weight <= 100]
    recorded = last.after if last is not None else Portfolio()
    return problems + _differences(book, recorded)


def _differences(book: Portfolio, recorded: Portfolio) -> list[str]:
    ours, theirs = _essence(book), _essence(recorded)
    if ours == theirs:
        return []
    return [f"the book is {_words(ours)}, the last recorded change left {_words(theirs)}"]


def _essence(book: Portfolio) -> list[tuple[int, str, str, float]]:
    return sorted((h.rank, h.symbol, h.id, round(h.weight, 2)) for h in book.holdings)


def _words(essence: Sequence[tuple[int, str, str, float]]) -> str:
    return ", ".join(f"{rank} {symbol} {weight:g} %" for rank, symbol, _, weight in essence) or "empty"


async def check_book(database: Database, max_symbols: int = MAX_SYMBOLS) -> Portfolio:
    """The stored book. Raises BrokenBookError, which names every problem and the ways out."""
    async with database.reading() as connection:
        book = await stored_portfolio(connection)
        problems = book_problems(book, await last_change(connection), max_symbols)
        if database.is_sqlite:
            orphans = (await connection.execute(text("PRAGMA foreign_key_check"))).fetchall()
            problems += [f"row {row[1]} of {row[0]} refers to a missing row of {row[2]}" for row in orphans[:5]]
    if problems:
        raise BrokenBookError("the stored book is broken: " + "; ".join(problems) + ". " + WAY_OUT)
    return book
