"""What an operator does to the book: add, remove, replace, rebalance, and the reasons to refuse."""

from __future__ import annotations

from zmart_stream.domain.commands import AddHolding, Rebalance, RemoveHolding, ReplaceHolding
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import Book, Why
from zmart_stream.portfolio.eligibility import failing
from zmart_stream.portfolio.field import Field
from zmart_stream.portfolio.memory import Memory

Numbers = dict[str, float | str | None]


class Operator:
    """Carries out operator commands. Every method raises CommandRefusedError with a stable code."""

    def __init__(self, book: Book, memory: Memory, settings: PortfolioSettings, publish_step: float) -> None:
        self._book = book
        self._memory = memory
        self._settings = settings
        self._limits = (settings.max_weight, publish_step)

    def add(self, field: Field, command: AddHolding) -> PortfolioChange:
        """Take a contract in; scores and re-entry do not bind the operator, eligibility and caps do."""
        standing = self._newcomer(field, command.symbol)
        if len(self._book.holdings) >= self._settings.max_symbols:
            raise CommandRefusedError("book_full", f"all {self._settings.max_symbols} places are taken")
        self._admit(field, standing, self._book.symbols)
        numbers: Numbers = {"score_in": standing.score}
        why = Why(kind="add", reason="operator", numbers=numbers, who=command.who, note=command.note)
        change = self._book.enter(field.ts, standing, why, limits=self._limits)
        self._memory.entered(standing.symbol, self._free)
        return change

    def remove(self, field: Field, command: RemoveHolding) -> PortfolioChange:
        """Let a holding go; the machine will not take it again."""
        self._held(command.symbol)
        numbers: Numbers = {"score_out": field.score(command.symbol)}
        why = Why(kind="remove", reason="operator", numbers=numbers, who=command.who, note=command.note)
        change = self._book.leave(field.ts, command.symbol, why, max_weight=self._limits[0])
        self._memory.left(command.symbol, None)
        self._memory.vacated += 1
        return change

    def replace(self, field: Field, command: ReplaceHolding) -> PortfolioChange:
        """Exchange a holding for a contract, whatever the margin and the holding's age."""
        self._held(command.symbol_out)
        standing = self._newcomer(field, command.symbol_in)
        self._admit(field, standing, [symbol for symbol in self._book.symbols if symbol != command.symbol_out])
        numbers: Numbers = {"score_in": standing.score, "score_out": field.score(command.symbol_out)}
        why = Why(kind="replace", reason="operator", numbers=numbers, who=command.who, note=command.note)
        change = self._book.swap(field.ts, command.symbol_out, standing, why, limits=self._limits)
        self._memory.left(command.symbol_out, None)
        self._memory.entered(standing.symbol, self._free)
        return change

    def rebalance(self, ts: int, command: Rebalance) -> PortfolioChange | None:
        """Set the weights to their targets; None when they are there."""
        why = Why(kind="reweight", reason="operator", who=command.who, note=command.note)
        return self._book.reweigh(ts, why, max_weight=self._limits[0])

    @property
    def _free(self) -> int:
        return max(0, self._settings.max_symbols - len(self._book.holdings))

    def _held(self, symbol: str) -> None:
        if self._book.get(symbol) is None:
            raise CommandRefusedError("not_in_book", f"{symbol} is not held")

    def _newcomer(self, field: Field, symbol: str) -> Standing:
        standing = field.standings.get(symbol)
        if standing is None:
            raise CommandRefusedError("unknown_symbol", f"no contract {symbol} is listed")
        if self._book.get(symbol) is not None:
            raise CommandRefusedError("already_in_book", f"{symbol} is held")
        return standing

    @staticmethod
    def _admit(field: Field, standing: Standing, beside: list[str]) -> None:
        shut = failing(field.eligibility.candidate_gates(standing))
        if shut:
            raise CommandRefusedError("not_eligible", "; ".join(str(gate) for gate in shut))
        breach = field.breach(standing.symbol, beside)
        if breach is not None:
            raise CommandRefusedError("cap_reached", breach.text)
