"""What keeps whoever asks from putting a contract into the book or taking one out, each with its stable code."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.portfolio import Holding
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import Book
from zmart_stream.portfolio.eligibility import BLOCKED, failing
from zmart_stream.portfolio.field import Field


def held(book: Book, symbol: str) -> Holding:
    """The holding of `symbol`. Raises CommandRefusedError (not_in_book)."""
    holding = book.get(symbol)
    if holding is None:
        raise CommandRefusedError("not_in_book", f"{symbol} is not held")
    return holding


def newcomer(field: Field, book: Book, symbol: str) -> Standing:
    """The standing of a contract outside the book. Raises CommandRefusedError (unknown_symbol, already_in_book)."""
    standing = field.standings.get(symbol)
    if standing is None:
        raise CommandRefusedError("unknown_symbol", f"no contract {symbol} is listed")
    if book.get(symbol) is not None:
        raise CommandRefusedError("already_in_book", f"{symbol} is held")
    return standing


def admit(field: Field, standing: Standing, beside: Sequence[str]) -> None:
    """Let a contract in beside the holdings `beside`.

    Raises CommandRefusedError (blocked, not_eligible, cap_reached); its facts are the gates that are shut, or the
    figures of the cap.
    """
    shut = failing(field.eligibility.candidate_gates(standing))
    gates = [msgspec.to_builtins(gate) for gate in shut]
    if any(gate.name == BLOCKED for gate in shut):
        raise CommandRefusedError("blocked", f"{standing.symbol} is blocked by an operator", gates=gates)
    if shut:
        raise CommandRefusedError("not_eligible", "; ".join(str(gate) for gate in shut), gates=gates)
    breach = field.breach(standing.symbol, beside)
    if breach is not None:
        raise CommandRefusedError("cap_reached", breach.text, cap=breach.code, numbers=breach.numbers)


def require_place(free: int, places: int) -> None:
    """Raise CommandRefusedError (book_full) when no place is free."""
    if not free:
        raise CommandRefusedError("book_full", f"all {places} places are taken", max_symbols=places)
