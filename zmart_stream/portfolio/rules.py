"""What the machine does to the book at a close (numbers.md §5): remove, replace, fill, resize."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from zmart_stream.domain.portfolio import Holding, PortfolioChange
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import Book, Why
from zmart_stream.portfolio.caps import Numbers, Obstacle
from zmart_stream.portfolio.eligibility import Figure, failing
from zmart_stream.portfolio.field import Field
from zmart_stream.portfolio.hand import Hand
from zmart_stream.portfolio.memory import Memory
from zmart_stream.portfolio.swapping import Swapping

Pair = tuple[str, str]
"""(candidate, holding)."""
T = TypeVar("T")


class Rules:
    """What the machine decides. Each method yields the changes it makes, already made."""

    def __init__(self, book: Book, memory: Memory, hand: Hand, swapping: Swapping, settings: PortfolioSettings) -> None:
        self._book = book
        self._memory = memory
        self._hand = hand
        self._swapping = swapping
        self._settings = settings

    def first_fill(self, field: Field) -> Iterator[PortfolioChange]:
        """Take the best candidates at or above the entry score, as many as there are places."""
        while self._hand.free and (best := self._worth_entering(field)) is not None:
            yield self._hand.enter(field.ts, best, self._why_enter(best, "first_fill", {}))

    def judge(self, field: Field) -> None:
        """Count this close towards each holding's grace and exit."""
        shut, low = {}, {}
        for holding in self._book.holdings:
            symbol, standing = holding.symbol, field.standings.get(holding.symbol)
            if standing is None or not field.eligibility.holding(standing):
                shut[symbol] = self._memory.shut.get(symbol, 0) + 1
            if standing is not None and standing.score is not None and standing.score < self._settings.exit_score:
                low[symbol] = self._memory.low.get(symbol, 0) + 1
        self._memory.shut, self._memory.low = shut, low

    def remove(self, field: Field) -> Iterator[PortfolioChange]:
        """Let go what is gone, not eligible for the grace, or below the exit score for its closes; pinned: the gone."""
        for holding in self._book.holdings:
            why = self._reason_to_leave(field, holding)
            if why is not None:
                yield self._hand.leave(field.ts, holding.symbol, why)

    def remove_gone(self, field: Field, symbol: str) -> Iterator[PortfolioChange]:
        """Let go a delisted or settled holding at once."""
        standing = field.standings.get(symbol)
        if self._book.get(symbol) is not None and standing is not None and standing.is_gone:
            yield self._hand.leave(field.ts, symbol, self._gone(standing))

    def resize(self, field: Field) -> Iterator[PortfolioChange]:
        """Let the weakest go while there are more holdings than places, pinned ones last."""
        while len(self._book.holdings) > self._settings.max_symbols:
            weakest = min(self._book.holdings, key=lambda holding: (holding.pinned, *_weakest_first(holding)))
            numbers: Numbers = {
                "max_symbols": self._settings.max_symbols,
                "holdings": len(self._book.holdings),
                "score_out": weakest.score,
            }
            yield self._hand.leave(field.ts, weakest.symbol, Why(kind="resize", reason="resize", numbers=numbers))

    def replace(self, field: Field) -> Iterator[PortfolioChange]:
        """Replace the weakest holdings by candidates that outscored them by the margin for the closes asked.

        A pair with all its closes that may not swap yet goes on counting, and the memory keeps what stops it.
        """
        pairs: dict[Pair, int] = {}
        waiting: dict[Pair, Obstacle] = {}
        for holding in sorted(self._book.holdings, key=_weakest_first):
            best = None if holding.pinned else self._challenger(field, holding)
            if best is None:
                continue
            pair = (best.symbol, holding.symbol)
            pairs[pair] = self._memory.pairs.get(pair, 0) + 1
            if pairs[pair] < self._settings.confirm:
                continue
            obstacle = self._swapping.obstacle(field, holding, best)
            if obstacle is None:
                yield self._swap(field, holding, best, pairs.pop(pair))
            else:
                waiting[pair] = obstacle
        self._memory.pairs = self._standing_pairs(pairs)
        self._memory.waiting = self._standing_pairs(waiting)

    def fill(self, field: Field) -> Iterator[PortfolioChange]:
        """Fill free places once the best candidate was at or above the entry score at the closes asked."""
        memory = self._memory
        if not self._hand.free or self._worth_entering(field) is None:
            memory.fill_streak = 0
            return
        memory.fill_streak += 1
        if memory.fill_streak < self._settings.fill_confirm:
            return
        while self._hand.free and (best := self._worth_entering(field)) is not None:
            counts = self._hand.counts_filling(field.ts)
            if counts is None:
                return
            why = self._why_enter(best, "fill", {"closes": memory.fill_streak})
            yield self._hand.enter(field.ts, best, why, counts=counts)
        if not self._hand.free:
            memory.fill_streak = 0

    def rerank(self, ts: int, publish_step: float) -> Iterator[PortfolioChange]:
        """Put the ranks right where scores differ by the publish step."""
        change = self._book.rerank(ts, Why(kind="rerank", reason="rerank", numbers={"publish_step": publish_step}))
        if change is not None:
            yield change

    def _worth_entering(self, field: Field) -> Standing | None:
        best = field.best(self._book.symbols, self._memory)
        return best if best is not None and _at_least(best.score, self._settings.entry_score) else None

    def _challenger(self, field: Field, holding: Holding) -> Standing | None:
        best = field.best(self._book.symbols, self._memory, instead_of=holding.symbol)
        if best is None or self._swapping.margin(field, holding, best, self._settings.replace_margin) is not None:
            return None
        return best

    def _standing_pairs(self, pairs: dict[Pair, T]) -> dict[Pair, T]:
        """Those whose holding is still in the book and whose candidate is still outside."""
        held = self._book.symbols
        return {pair: value for pair, value in pairs.items() if pair[1] in held and pair[0] not in held}

    def _swap(self, field: Field, holding: Holding, best: Standing, closes: int) -> PortfolioChange:
        numbers = self._swapping.numbers(field, holding, best)
        numbers |= {"replace_margin": self._settings.replace_margin, "closes": closes}
        why = Why(kind="replace", reason="replace", numbers=numbers)
        return self._hand.swap(field.ts, holding.symbol, best, why, counts=True)

    def _why_enter(self, best: Standing, reason: str, numbers: Numbers) -> Why:
        figures: Numbers = {"score_in": best.score, "entry_score": self._settings.entry_score, **numbers}
        return Why(kind="fill", reason=reason, numbers=figures)

    def _reason_to_leave(self, field: Field, holding: Holding) -> Why | None:
        standing = field.standings.get(holding.symbol)
        if standing is not None and standing.is_gone:
            return self._gone(standing)
        if holding.pinned:
            return None
        closes = self._memory.shut.get(holding.symbol, 0)
        if closes >= self._settings.grace:
            return Why(kind="remove", reason="not_eligible", numbers=self._shut_numbers(field, standing, closes))
        closes = self._memory.low.get(holding.symbol, 0)
        if closes >= self._settings.exit_confirm:
            low: Numbers = {"score_out": holding.score, "exit_score": self._settings.exit_score, "closes": closes}
            return Why(kind="remove", reason="exit_score", numbers=low)
        return None

    @staticmethod
    def _gone(standing: Standing) -> Why:
        return Why(kind="remove", reason="delisted", numbers={"status": standing.status, "score_out": standing.score})

    def _shut_numbers(self, field: Field, standing: Standing | None, closes: int) -> Numbers:
        numbers: Numbers = {"closes": closes, "grace": self._settings.grace}
        if standing is None:
            return {**numbers, "listed": "unknown contract"}
        for gate in failing(field.eligibility.holding_gates(standing)):
            numbers[gate.name] = _figure(gate.value)
            numbers[f"{gate.name}_limit"] = _figure(gate.limit)
        return numbers


def _weakest_first(holding: Holding) -> tuple[float, int]:
    return (holding.score if holding.score is not None else -1.0, -holding.rank)


def _figure(value: Figure) -> float | str | None:
    """As it stands in the record of a change, which knows no booleans."""
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _at_least(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit
