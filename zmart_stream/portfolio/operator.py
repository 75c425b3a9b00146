"""What an operator does to the book: add, remove, replace, pin, block, and the reasons to refuse."""

from __future__ import annotations

from zmart_stream.domain.commands import (
    AddHolding,
    BlockSymbol,
    PinHolding,
    RemoveHolding,
    ReplaceHolding,
    UnblockSymbol,
    UnpinHolding,
)
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.portfolio import ChangeKind, PortfolioChange
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.portfolio.admission import admit, held, newcomer, require_place
from zmart_stream.portfolio.book import Book, Why
from zmart_stream.portfolio.caps import Numbers
from zmart_stream.portfolio.field import Field
from zmart_stream.portfolio.hand import Hand
from zmart_stream.portfolio.memory import Memory

BookCommand = AddHolding | RemoveHolding | ReplaceHolding | PinHolding | UnpinHolding | BlockSymbol | UnblockSymbol
TRADES = (AddHolding, RemoveHolding, ReplaceHolding)
"""Commands that change what is held."""


class Operator:
    """Carries out operator commands: scores, ages, pays and limits do not bind an operator, eligibility and caps do."""

    def __init__(self, book: Book, memory: Memory, hand: Hand, settings: PortfolioSettings) -> None:
        self._book = book
        self._memory = memory
        self._hand = hand
        self._settings = settings

    def carry_out(self, field: Field, command: BookCommand) -> PortfolioChange | None:
        """The change it makes, None when it changes nothing. Raises CommandRefusedError with a stable code."""
        match command:
            case AddHolding():
                return self._add(field, command)
            case RemoveHolding():
                return self._remove(field, command)
            case ReplaceHolding():
                return self._replace(field, command)
            case PinHolding() | UnpinHolding():
                return self._pin(field, command)
            case BlockSymbol():
                return self._block(field, command)
            case UnblockSymbol():
                return self._unblock(field, command)

    def _add(self, field: Field, command: AddHolding) -> PortfolioChange:
        """Take a contract in."""
        standing = newcomer(field, self._book, command.symbol)
        require_place(self._hand.free, self._settings.max_symbols)
        admit(field, standing, self._book.symbols)
        return self._hand.enter(field.ts, standing, _why("add", command, {"score_in": standing.score}))

    def _remove(self, field: Field, command: RemoveHolding) -> PortfolioChange:
        """Let a holding go, pinned or not; the machine will not take it again."""
        holding = held(self._book, command.symbol)
        numbers: Numbers = {"score_out": field.score(command.symbol), "pinned": "yes" if holding.pinned else "no"}
        return self._hand.leave(field.ts, command.symbol, _why("remove", command, numbers))

    def _replace(self, field: Field, command: ReplaceHolding) -> PortfolioChange:
        """Exchange a holding, pinned or not, for a contract."""
        holding = held(self._book, command.symbol_out)
        standing = newcomer(field, self._book, command.symbol_in)
        admit(field, standing, [symbol for symbol in self._book.symbols if symbol != holding.symbol])
        verdict = field.verdict(holding.symbol, standing.symbol)
        numbers: Numbers = {
            "score_in": standing.score,
            "score_out": field.score(holding.symbol),
            "gap": None if verdict.gap != verdict.gap else round(verdict.gap, 6),
            "pinned": "yes" if holding.pinned else "no",
            **verdict.numbers(),
        }
        return self._hand.swap(field.ts, holding.symbol, standing, _why("replace", command, numbers), counts=False)

    def _pin(self, field: Field, command: PinHolding | UnpinHolding) -> PortfolioChange | None:
        """Put a holding out of the machine's reach, or back into it."""
        holding, pins = held(self._book, command.symbol), isinstance(command, PinHolding)
        if pins and holding.symbol in self._book.portfolio.blocked:
            raise CommandRefusedError("blocked", f"{holding.symbol} is blocked: unblock it before pinning it")
        if holding.pinned is pins:
            return None
        why = _why(
            "pin" if pins else "unpin", command, {"symbol": holding.symbol, "score": field.score(holding.symbol)}
        )
        return self._book.pin(field.ts, holding.symbol, pins, why)

    def _block(self, field: Field, command: BlockSymbol) -> PortfolioChange | None:
        """Keep a contract out; one that is held leaves as not eligible after its grace."""
        if command.symbol not in field.standings:
            raise CommandRefusedError("unknown_symbol", f"no contract {command.symbol} is listed")
        holding = self._book.get(command.symbol)
        if holding is not None and holding.pinned:
            raise CommandRefusedError("pinned", f"{command.symbol} is pinned: unpin it before blocking it")
        if command.symbol in self._book.portfolio.blocked:
            return None
        numbers: Numbers = {"symbol": command.symbol, "score": field.score(command.symbol)}
        return self._book.block(field.ts, command.symbol, _why("block", command, numbers))

    def _unblock(self, field: Field, command: UnblockSymbol) -> PortfolioChange | None:
        """End a block, and the bar that an operator's removal left."""
        symbol = command.symbol
        blocked, barred = symbol in self._book.portfolio.blocked, self._memory.is_barred_for_good(symbol)
        if not (blocked or barred):
            if symbol not in field.standings:
                raise CommandRefusedError("unknown_symbol", f"no contract {symbol} is listed")
            return None
        numbers: Numbers = {"symbol": symbol, "score": field.score(symbol), "barred": "yes" if barred else "no"}
        return self._hand.unblock(field.ts, symbol, _why("unblock", command, numbers))


def _why(kind: ChangeKind, command: BookCommand, numbers: Numbers) -> Why:
    return Why(kind=kind, reason="operator", numbers=numbers, who=command.who, note=command.note)
