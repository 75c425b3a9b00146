"""SymbolManager: the book and everything that may change it. Facts in, `PortfolioChange` and its kin out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from zmart_stream.domain.commands import RemoveHolding, ReplaceHolding
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, FlagsChanged, Holding, Portfolio, PortfolioChange
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.approved import Action, Approved
from zmart_stream.portfolio.book import Book, Why, check_book
from zmart_stream.portfolio.caps import Correlation
from zmart_stream.portfolio.economics import SwapVerdict
from zmart_stream.portfolio.eligibility import Eligibility, Gate
from zmart_stream.portfolio.field import Field, Price
from zmart_stream.portfolio.hand import Hand
from zmart_stream.portfolio.hold import Hold
from zmart_stream.portfolio.memory import Memory
from zmart_stream.portfolio.operator import TRADES, BookCommand, Operator
from zmart_stream.portfolio.reasons import CashReason, Outlook, Reasons
from zmart_stream.portfolio.rules import Rules
from zmart_stream.portfolio.swapping import Swapping
from zmart_stream.portfolio.targets import Weights

Standings = Mapping[str, Standing]
MOST_SYMBOLS = 50
"""No setting allows more holdings."""
_FLAG_MARGIN = 5.0
"""Points above the exit score below which a holding is a replacement candidate (numbers.md §5)."""


class SymbolManager:
    """Composition, ranks, pins and blocks by the rules of numbers.md §5; weights come by `reweighed`.

    `new_id(ts)` makes ids from market time; `correlation` measures a pair (see `caps.Correlation`); `price` tells what
    a trade in a contract costs now.
    """

    def __init__(
        self, settings: CoreSettings, *, new_id: Callable[[int], str], correlation: Correlation, price: Price
    ) -> None:
        self.hold = Hold()
        self.memory = Memory()
        self.cash_reasons: tuple[CashReason, ...] = ()
        self._book = Book(new_id)
        self._correlation = correlation
        self._price = price
        self.reconfigure(settings, revision=0)

    def reconfigure(self, settings: CoreSettings, *, revision: int) -> None:
        """Judge by `settings` from now on; holdings and streaks stay. A smaller book shrinks at the next close."""
        self._settings = settings.portfolio
        self._step = settings.scoring.publish_step
        self.eligibility = Eligibility(settings.market, settings.portfolio)
        self._book.reconfigure(settings.portfolio, self._step, revision)
        hand = self._hand = Hand(self._book, self.memory, settings.portfolio)
        swapping = Swapping(hand, settings.portfolio)
        self._rules = Rules(self._book, self.memory, hand, swapping, settings.portfolio)
        self._operator = Operator(self._book, self.memory, hand, settings.portfolio)
        self._approved = Approved(self._book, self.memory, hand, swapping, settings.portfolio)
        self._reasons = Reasons(self._book, self.memory, settings.portfolio)
        self._judge_blocks()

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
            ts,
            standings,
            eligibility=self.eligibility,
            settings=self._settings,
            correlation=self._correlation,
            price=self._price,
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
        told.extend(self._machine(field))
        told.extend(self._rules.rerank(ts, self._step))
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
        """Carry out an operator's command; [] when there is nothing to change. Raises CommandRefusedError.

        A pause stops the machine, not the operator; the other causes of a hold do as far as they bear on the command
        (decision 0016).
        """
        self._stop_in_hold(command, standings)
        field = self.field(command.ts, standings)
        change = self._operator.carry_out(field, command)
        if change is None:
            return []
        self._judge_blocks()
        self.cash_reasons = self._reasons.why_cash(field)
        return [change]

    def act(
        self,
        ts: int,
        action: Action,
        symbol: str,
        symbol_out: str | None = None,
        *,
        signal_id: str,
        standings: Standings,
    ) -> list[Message]:
        """Carry out an approved signal: ADD or REMOVE `symbol`, or REPLACE `symbol_out` by it (numbers.md §4).

        Raises CommandRefusedError, whose code names the limit that stops it, and ValueError for a REPLACE without
        `symbol_out`.
        """
        if self.hold.on:
            raise CommandRefusedError("holding", f"the book holds ({self.hold.reason})")
        field, who = self.field(ts, standings), f"signal:{signal_id}"
        if action == "ADD":
            change = self._approved.add(field, symbol, who)
        elif action == "REMOVE":
            change = self._approved.remove(field, symbol, who)
        elif symbol_out is None:
            raise ValueError(f"REPLACE by {symbol} names no holding to replace")
        else:
            change = self._approved.replace(field, symbol, symbol_out, who)
        self.cash_reasons = self._reasons.why_cash(field)
        return [change]

    def swap_verdict(
        self, symbol_out: str, symbol_in: str, standings: Standings, extra_points: float = 0.0
    ) -> SwapVerdict:
        """Whether replacing `symbol_out` by `symbol_in` would pay now; one without composite or price does not."""
        return self.field(0, standings).verdict(symbol_out, symbol_in, extra_points)

    def reweighed(self, ts: int, weights: Weights, why: Why) -> PortfolioChange | None:
        """Write other weights into the book; None when it has them. Raises BrokenBookError unless they are whole."""
        return self._book.reweigh(ts, weights, why)

    def check(self) -> None:
        """Raise BrokenBookError if the book breaks a rule that every book keeps."""
        check_book(self.portfolio, max(MOST_SYMBOLS, self._settings.max_symbols))

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
        """What the rules remember of `symbol`: streaks, re-entry, pin and block, and what its swaps wait for."""
        until, holding = self.memory.barred.get(symbol), self._book.get(symbol)
        return {
            "closes_not_eligible": self.memory.shut.get(symbol, 0),
            "closes_below_exit": self.memory.low.get(symbol, 0),
            "challenged": {pair[0]: n for pair, n in self.memory.pairs.items() if pair[1] == symbol},
            "challenges": {pair[1]: n for pair, n in self.memory.pairs.items() if pair[0] == symbol},
            "barred": self.memory.is_barred(symbol, ts),
            "barred_until": until,
            "pinned": holding is not None and holding.pinned,
            "blocked": symbol in self.portfolio.blocked,
            "waiting": [
                {"candidate": pair[0], "holding": pair[1], **msgspec.to_builtins(obstacle)}
                for pair, obstacle in self.memory.waiting.items()
                if symbol in pair
            ],
        }

    def adopt(self, portfolio: Portfolio, changes: Iterable[PortfolioChange]) -> None:
        """Take over the stored book; `changes` are those the snapshot does not know, oldest first."""
        self._book.portfolio = portfolio
        self._hand.remember(changes)
        held = self._book.symbols
        memory = self.memory
        memory.filled = memory.filled or bool(held)
        memory.keep_streaks_of(held)
        self._judge_blocks()

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
        self._judge_blocks()

    def _machine(self, field: Field) -> list[Message]:
        told: list[Message] = list(self._rules.resize(field))  # the operator's own wish, automatic or not
        if not self._settings.automatic:
            self.memory.stop_waiting()
            return told
        for rule in (self._rules.remove, self._rules.replace, self._rules.fill):
            told.extend(rule(field))
        return told

    def _judge_blocks(self) -> None:
        self.eligibility.blocked = frozenset(self.portfolio.blocked)

    def _stop_in_hold(self, command: BookCommand, standings: Standings) -> None:
        """Raise CommandRefusedError (holding) where the hold's cause bears on the command."""
        trades = isinstance(command, TRADES)
        cause = self.hold.words("storage", "venue_status") if trades else self.hold.words("storage")
        if cause:
            raise CommandRefusedError("holding", f"the book holds ({cause})")
        doubt = self.hold.words("universe_live", "gap")
        leaves = _leaving(command)
        standing = standings.get(leaves) if leaves is not None else None
        if doubt and standing is not None and not standing.live:
            detail = f"the book holds ({doubt}) and {leaves} has no live price to leave at"
            raise CommandRefusedError("holding", detail)

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


def _leaving(command: BookCommand) -> str | None:
    if isinstance(command, RemoveHolding):
        return command.symbol
    return command.symbol_out if isinstance(command, ReplaceHolding) else None
