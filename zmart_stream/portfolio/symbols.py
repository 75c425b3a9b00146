"""SymbolManager: the book and everything that may change it. Facts in, `PortfolioChange` and its kin out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from zmart_stream.domain.commands import AddHolding, Rebalance, RemoveHolding, ReplaceHolding
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, FlagsChanged, Holding, Portfolio, PortfolioChange
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import Book
from zmart_stream.portfolio.caps import Correlation
from zmart_stream.portfolio.eligibility import Eligibility, Gate
from zmart_stream.portfolio.field import Field
from zmart_stream.portfolio.hold import Hold
from zmart_stream.portfolio.memory import Memory
from zmart_stream.portfolio.operator import Operator
from zmart_stream.portfolio.reasons import CashReason, Outlook, Reasons
from zmart_stream.portfolio.rules import NS, Rules

BookCommand = AddHolding | RemoveHolding | ReplaceHolding | Rebalance
Standings = Mapping[str, Standing]
_FLAG_MARGIN = 5.0
"""Points above the exit score below which a holding is a replacement candidate (numbers.md §5)."""


class SymbolManager:
    """Composition, ranks and weights by the rules of numbers.md §5.

    `new_id(ts)` makes ids from market time; `correlation` measures pairs (see `caps.Correlation`).
    """

    def __init__(self, settings: CoreSettings, *, new_id: Callable[[int], str], correlation: Correlation) -> None:
        self.hold = Hold()
        self.memory = Memory()
        self.cash_reasons: tuple[CashReason, ...] = ()
        self._book = Book(new_id)
        self._correlation = correlation
        self.reconfigure(settings, revision=0)

    def reconfigure(self, settings: CoreSettings, *, revision: int) -> None:
        """Judge by `settings` from now on; holdings and streaks stay. A smaller book shrinks at the next close."""
        self._settings = settings.portfolio
        step = settings.scoring.publish_step
        self.eligibility = Eligibility(settings.market, settings.portfolio)
        self._book.revision = revision
        self._rules = Rules(self._book, self.memory, settings.portfolio, step)
        self._operator = Operator(self._book, self.memory, settings.portfolio, step)
        self._reasons = Reasons(self._book, self.memory, settings.portfolio)

    @property
    def portfolio(self) -> Portfolio:
        """The book as it stands."""
        return self._book.portfolio

    @property
    def wants_first_fill(self) -> bool:
        """Whether the machine may still make its first fill."""
        return self._settings.automatic and not self.memory.filled and not self.hold.on

    def holding(self, symbol: str) -> Holding | None:
        """The holding of `symbol`, None if it is not held."""
        return self._book.get(symbol)

    def field(self, ts: int, standings: Standings) -> Field:
        """The choice there is at `ts`."""
        return Field(
            ts, standings, eligibility=self.eligibility, settings=self._settings, correlation=self._correlation
        )

    def first_fill(self, ts: int, standings: Standings) -> list[Message]:
        """Fill the empty places at once; `BookReady` when at least one contract was taken."""
        field = self.field(ts, standings)
        before = self.portfolio
        told: list[Message] = list(self._rules.first_fill(field))
        if told:
            told.append(BookReady(ts=ts, size=len(self._book.holdings)))
            self._flag(field)
            self._tell_flags(ts, told, before)
        self.cash_reasons = self._reasons.why_cash(field)
        return told

    def close(self, ts: int, standings: Standings) -> list[Message]:
        """Judge every rule at a close. Nothing happens and nothing counts while the book holds."""
        if self.hold.on:
            return []
        field = self.field(ts, standings)
        before = self.portfolio
        self.memory.forget_expired(ts)
        self._book.note_scores(standings)
        told: list[Message] = []
        self._rules.judge(field)
        if self._settings.automatic:
            told.extend(self._machine(field))
        told.extend(self._rules.rerank(ts))
        self._flag(field)
        self._tell_flags(ts, told, before)
        self.cash_reasons = self._reasons.why_cash(field)
        return told

    def gone(self, ts: int, symbol: str, standings: Standings) -> list[Message]:
        """A contract was delisted or settled: a holding leaves at once, unless the book holds."""
        if self.hold.on or not self._settings.automatic or self._book.get(symbol) is None:
            return []
        field = self.field(ts, standings)
        told: list[Message] = list(self._rules.remove_gone(field, symbol))
        self.cash_reasons = self._reasons.why_cash(field)
        return told

    def command(self, command: BookCommand, standings: Standings) -> list[Message]:
        """Carry out an operator's command. Raises CommandRefusedError with a stable code."""
        if self.hold.on:
            raise CommandRefusedError("holding", f"the book holds ({self.hold.reason})")
        field = self.field(command.ts, standings)
        change = self._carry_out(field, command)
        self.cash_reasons = self._reasons.why_cash(field)
        return [] if change is None else [change]

    def gates(self, standing: Standing) -> tuple[Gate, ...]:
        """Every gate with value and limit, at a holding's limits if the contract is held."""
        if self._book.get(standing.symbol) is not None:
            return self.eligibility.holding_gates(standing)
        return self.eligibility.candidate_gates(standing)

    def is_eligible(self, standing: Standing) -> bool:
        """Whether every gate is open, at a holding's limits if the contract is held."""
        if self._book.get(standing.symbol) is not None:
            return self.eligibility.holding(standing)
        return self.eligibility.candidate(standing)

    def eligible(self, standings: Standings) -> list[bool]:
        """`is_eligible` of every standing, in order."""
        held, candidate = dict.fromkeys(self._book.symbols), self.eligibility.candidate
        holding = self.eligibility.holding
        return [holding(s) if s.symbol in held else candidate(s) for s in standings.values()]

    def outlook(self, ts: int, standings: Standings, symbol: str) -> Outlook:
        """What composite would bring `symbol` into or out of the book."""
        return self._reasons.outlook(self.field(ts, standings), symbol)

    def facts(self, ts: int, symbol: str) -> dict[str, Any]:
        """What the rules remember of `symbol`: streaks, re-entry."""
        until = self.memory.barred.get(symbol)
        return {
            "closes_not_eligible": self.memory.shut.get(symbol, 0),
            "closes_below_exit": self.memory.low.get(symbol, 0),
            "challenged": {pair[0]: n for pair, n in self.memory.pairs.items() if pair[1] == symbol},
            "challenges": {pair[1]: n for pair, n in self.memory.pairs.items() if pair[0] == symbol},
            "barred": self.memory.is_barred(symbol, ts),
            "barred_until": until,
        }

    def adopt(self, portfolio: Portfolio, changes: Iterable[PortfolioChange]) -> None:
        """Take over the stored book; `changes` are those the snapshot does not know, oldest first."""
        self._book.portfolio = portfolio
        for change in changes:
            self._remember(change)
        held = self._book.symbols
        memory = self.memory
        memory.filled = memory.filled or bool(held)
        memory.shut = {symbol: n for symbol, n in memory.shut.items() if symbol in held}
        memory.low = {symbol: n for symbol, n in memory.low.items() if symbol in held}
        memory.pairs = {pair: n for pair, n in memory.pairs.items() if pair[1] in held and pair[0] not in held}

    def snapshot(self) -> dict[str, Any]:
        """Book, memory, hold and the reasons told, as built-in values."""
        return {
            "book": self._book.snapshot(),
            "memory": self.memory.snapshot(),
            "hold": self.hold.snapshot(),
            "cash_reasons": [msgspec.to_builtins(reason) for reason in self.cash_reasons],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self._book.restore(state["book"])
        self.memory.restore(state["memory"])
        self.hold.restore(state["hold"])
        self.cash_reasons = tuple(msgspec.convert(reason, CashReason) for reason in state["cash_reasons"])

    def _machine(self, field: Field) -> list[Message]:
        told: list[Message] = []
        for rule in (self._rules.resize, self._rules.remove, self._rules.replace, self._rules.fill):
            told.extend(rule(field))
        return told

    def _carry_out(self, field: Field, command: BookCommand) -> PortfolioChange | None:
        match command:
            case AddHolding():
                return self._operator.add(field, command)
            case RemoveHolding():
                return self._operator.remove(field, command)
            case ReplaceHolding():
                return self._operator.replace(field, command)
            case Rebalance():
                return self._operator.rebalance(command.ts, command)

    def _flag(self, field: Field) -> None:
        self._book.note_flags({holding.symbol: self._flags(field, holding) for holding in self._book.holdings})

    def _flags(self, field: Field, holding: Holding) -> tuple[bool, tuple[str, ...]]:
        flags = []
        if holding.symbol in self.memory.low:
            flags.append("below_exit")
        if holding.symbol in self.memory.shut:
            flags.append("not_eligible")
        return (not holding.pinned and self._is_replaceable(field, holding), tuple(flags))

    def _is_replaceable(self, field: Field, holding: Holding) -> bool:
        score = holding.score
        if score is None or score < self._settings.exit_score + _FLAG_MARGIN:
            return True
        best = field.best(self._book.symbols, self.memory, instead_of=holding.symbol)
        return best is not None and best.score is not None and best.score > score

    def _tell_flags(self, ts: int, told: list[Message], before: Portfolio) -> None:
        last = next((message for message in reversed(told) if isinstance(message, PortfolioChange)), None)
        if self.portfolio != (last.after if last is not None else before):
            told.append(FlagsChanged(ts=ts, portfolio=self.portfolio))

    def _remember(self, change: PortfolioChange) -> None:
        """What a change that the snapshot does not know means for limits and re-entry."""
        memory = self.memory
        if change.symbol_out is not None:
            by_machine = change.who == "machine"
            memory.left(change.symbol_out, change.ts + int(self._settings.reentry_s * NS) if by_machine else None)
            if change.symbol_in is None:
                memory.vacated += 1
        if change.symbol_in is not None:
            after_removal = change.reason == "fill" and memory.vacated > 0
            if change.reason == "replace" or after_removal:
                memory.swaps.append(change.ts)
                memory.vacated -= 1 if after_removal else 0
            memory.entered(change.symbol_in, max(0, self._settings.max_symbols - len(change.after.holdings)))
