"""What an approved signal does to the book (numbers.md §4), and the limits that stop it, each by its name."""

from __future__ import annotations

from typing import Literal

from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.portfolio import Holding, PortfolioChange
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.admission import admit, held, newcomer, require_place
from zmart_stream.portfolio.book import Book, Why
from zmart_stream.portfolio.caps import Numbers
from zmart_stream.portfolio.field import Field
from zmart_stream.portfolio.hand import Hand
from zmart_stream.portfolio.memory import Memory
from zmart_stream.portfolio.swapping import Swapping

Action = Literal["ADD", "REPLACE", "REMOVE"]


class Approved:
    """Carries out approved signals. Every method raises CommandRefusedError, whose code names what stops it.

    A BUY needs no streak, and half the margin; entry score, eligibility, re-entry, caps, the day's limit, the other's
    least hold and `pays` bind it. A SELL overrides the least hold, not a pin.
    """

    def __init__(self, book: Book, memory: Memory, hand: Hand, swapping: Swapping, settings: PortfolioSettings) -> None:
        self._book = book
        self._memory = memory
        self._hand = hand
        self._swapping = swapping
        self._settings = settings

    def add(self, field: Field, symbol: str, who: str) -> PortfolioChange:
        """Take a contract into a free place."""
        standing = newcomer(field, self._book, symbol)
        require_place(self._hand.free, self._settings.max_symbols)
        self._admit(field, standing, self._book.symbols)
        counts = self._hand.counts_filling(field.ts)
        if counts is None:
            raise self._swapping.limit(field.ts).refusal()
        numbers: Numbers = {"score_in": standing.score, "entry_score": self._settings.entry_score}
        why = Why(kind="add", reason="signal", numbers=numbers, who=who)
        return self._hand.enter(field.ts, standing, why, counts=counts)

    def replace(self, field: Field, symbol_in: str, symbol_out: str, who: str) -> PortfolioChange:
        """Take a contract into a holding's place."""
        holding = self._free_to_go(symbol_out)
        standing = newcomer(field, self._book, symbol_in)
        self._admit(field, standing, [symbol for symbol in self._book.symbols if symbol != symbol_out])
        margin, bonus = self._settings.replace_margin / 2.0, self._settings.signal_points
        obstacle = self._swapping.margin(field, holding, standing, margin) or self._swapping.obstacle(
            field, holding, standing, extra_points=bonus
        )
        if obstacle is not None:
            raise obstacle.refusal()
        numbers = self._swapping.numbers(field, holding, standing, extra_points=bonus)
        why = Why(kind="replace", reason="signal", numbers={**numbers, "replace_margin": margin}, who=who)
        return self._hand.swap(field.ts, symbol_out, standing, why, counts=True)

    def remove(self, field: Field, symbol: str, who: str) -> PortfolioChange:
        """Let a holding go, whatever its age."""
        holding = self._free_to_go(symbol)
        numbers: Numbers = {"score_out": field.score(symbol), "held_h": self._swapping.held_h(field.ts, holding)}
        return self._hand.leave(field.ts, symbol, Why(kind="remove", reason="signal", numbers=numbers, who=who))

    def _free_to_go(self, symbol: str) -> Holding:
        holding = held(self._book, symbol)
        if holding.pinned:
            raise CommandRefusedError("pinned", f"{symbol} is pinned by an operator")
        return holding

    def _admit(self, field: Field, standing: Standing, beside: list[str]) -> None:
        admit(field, standing, beside)
        if self._memory.is_barred(standing.symbol, field.ts):
            until = self._memory.barred[standing.symbol]
            words = "was removed by an operator" if until is None else "left too short a time ago"
            raise CommandRefusedError("barred", f"{standing.symbol} {words}")
        entry = self._settings.entry_score
        if standing.score is None or standing.score < entry:
            text = f"{standing.symbol} at {standing.score or 0.0:.2f} is below entry_score {entry:g}"
            numbers: Numbers = {"score_in": standing.score, "entry_score": entry}
            raise CommandRefusedError("entry_score", text, numbers=numbers)
