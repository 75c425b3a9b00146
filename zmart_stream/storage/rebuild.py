"""The book's state from its history alone: every change is played in order, and checked on the way."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zmart_stream.domain.portfolio import Portfolio, PortfolioChange

Essence = tuple[tuple[tuple[int, str, str, int, int, bool], ...], int, tuple[str, ...]]


class Stay(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A contract in the book, from when to when (ns); `until` None: it is held."""

    id: str
    symbol: str
    since: int
    until: int | None = None


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a history leads to. Scores and flags of holdings are those of the last change."""

    portfolio: Portfolio
    stays: tuple[Stay, ...]  # every one there was, in order of entry
    changes: int
    problems: tuple[str, ...]  # where the history contradicts itself


def rebuild(changes: Iterable[PortfolioChange], begin: Portfolio | None = None) -> Rebuilt:
    """Play `changes`, oldest first, on an empty book, or on `begin` when earlier ones are left out."""
    book = Portfolio() if begin is None else begin
    stays = {holding.id: Stay(id=holding.id, symbol=holding.symbol, since=holding.since) for holding in book.holdings}
    problems: list[str] = []
    count = 0
    for change in changes:
        count += 1
        if essence(change.before) != essence(book):
            problems.append(f"change {change.id} ({change.kind}) was made on {words(change.before)}, not {words(book)}")
        problems += [
            f"change {change.id} ({change.kind}) left a book in which {fault}" for fault in faults(change.after)
        ]
        held = {holding.id for holding in change.after.holdings}
        for stay in [stay for stay in stays.values() if stay.until is None and stay.id not in held]:
            stays[stay.id] = msgspec.structs.replace(stay, until=change.ts)
        for holding in change.after.holdings:
            stays.setdefault(holding.id, Stay(id=holding.id, symbol=holding.symbol, since=holding.since))
        book = change.after
    return Rebuilt(portfolio=book, stays=tuple(stays.values()), changes=count, problems=tuple(problems))


def essence(book: Portfolio) -> Essence:
    """All of a book that only a change changes; scores and flags move with every close."""
    holdings = [(h.rank, h.symbol, h.id, round(h.weight * 100), h.since, h.pinned) for h in book.holdings]
    return tuple(sorted(holdings)), round(book.cash * 100), book.blocked


def faults(book: Portfolio) -> list[str]:
    """Rules that a book breaks by itself: ranks 1..n, no contract twice, weights within 0..100 and 100.00 with cash."""
    found = []
    ranks = [holding.rank for holding in book.holdings]
    if sorted(ranks) != list(range(1, len(ranks) + 1)):
        found.append(f"ranks are {ranks}, not 1 to {len(ranks)}")
    if len({holding.symbol for holding in book.holdings}) != len(ranks):
        found.append("a contract is held twice")
    found += [f"{h.symbol} weighs {h.weight:g} %" for h in book.holdings if not 0 <= h.weight <= 100]
    hundredths = sum(round(h.weight * 100) for h in book.holdings) + round(book.cash * 100)
    if hundredths != 10_000 or book.cash < 0:
        found.append(f"weights sum to {(hundredths / 100) - book.cash:.2f} % beside {book.cash:.2f} % cash")
    return found


def words(book: Portfolio) -> str:
    """Rank, symbol and weight of each holding, what is pinned, who is kept out."""
    held = [f"{h.rank} {h.symbol} {h.weight:g} %{' pinned' if h.pinned else ''}" for h in book.holdings]
    text = ", ".join(held) or "empty"
    return f"{text}, without {', '.join(book.blocked)}" if book.blocked else text
