"""What the machine does to the book at a close (numbers.md §5): remove, replace, fill, resize."""

from __future__ import annotations

from collections.abc import Iterator

from zmart_stream.domain.portfolio import Holding, PortfolioChange
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import Book, Why
from zmart_stream.portfolio.eligibility import failing
from zmart_stream.portfolio.field import Field
from zmart_stream.portfolio.memory import Memory

NS = 1_000_000_000
Numbers = dict[str, float | str | None]


class Rules:
    """The machine's hand. Each method yields the changes it makes, already made."""

    def __init__(self, book: Book, memory: Memory, settings: PortfolioSettings, publish_step: float) -> None:
        self._book = book
        self._memory = memory
        self._settings = settings
        self._limits = (settings.max_weight, publish_step)
        self._min_hold = int(settings.min_hold_s * NS)
        self._reentry = int(settings.reentry_s * NS)

    @property
    def free(self) -> int:
        """Places without a holding."""
        return max(0, self._settings.max_symbols - len(self._book.holdings))

    def first_fill(self, field: Field) -> Iterator[PortfolioChange]:
        """Take the best candidates at or above the entry score, as many as there are places."""
        while self.free and (best := self._worth_entering(field)) is not None:
            yield self._enter(field, best, "first_fill", {})
            self._memory.filled = True

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
        """Let go what is gone, not eligible for the grace, or below the exit score for its closes."""
        for holding in self._book.holdings:
            why = self._reason_to_leave(field, holding)
            if why is not None:
                yield self._leave(field.ts, holding.symbol, why)

    def remove_gone(self, field: Field, symbol: str) -> Iterator[PortfolioChange]:
        """Let go a delisted or settled holding at once."""
        standing = field.standings.get(symbol)
        if self._book.get(symbol) is not None and standing is not None and standing.is_gone:
            yield self._leave(field.ts, symbol, self._gone(standing))

    def resize(self, field: Field) -> Iterator[PortfolioChange]:
        """Let the weakest go while there are more holdings than places."""
        while len(self._book.holdings) > self._settings.max_symbols:
            weakest = min(self._book.holdings, key=_weakest_first)
            numbers: Numbers = {"max_symbols": self._settings.max_symbols, "score": weakest.score}
            why = Why(kind="resize", reason="resize", numbers=numbers)
            yield self._leave(field.ts, weakest.symbol, why)
            self._memory.vacated = 0

    def replace(self, field: Field) -> Iterator[PortfolioChange]:
        """Replace the weakest holdings by candidates that outscored them by the margin for the closes asked."""
        pairs: dict[tuple[str, str], int] = {}
        for holding in sorted(self._book.holdings, key=_weakest_first):
            best = None if holding.pinned or holding.score is None else self._challenger(field, holding)
            if best is None:
                continue
            pair = (best.symbol, holding.symbol)
            pairs[pair] = self._memory.pairs.get(pair, 0) + 1
            if pairs[pair] >= self._settings.confirm and self._may_swap(field.ts, holding):
                yield self._swap(field, holding, best, pairs.pop(pair))
        held = self._book.symbols
        self._memory.pairs = {pair: n for pair, n in pairs.items() if pair[1] in held and pair[0] not in held}

    def fill(self, field: Field) -> Iterator[PortfolioChange]:
        """Fill free places once the best candidate was at or above the entry score at the closes asked."""
        memory = self._memory
        if not self.free or self._worth_entering(field) is None:
            memory.fill_streak = 0
            return
        memory.fill_streak += 1
        if memory.fill_streak < self._settings.fill_confirm:
            return
        while self.free and (best := self._worth_entering(field)) is not None:
            after_removal = memory.vacated > 0
            if after_removal and self.swaps_left(field.ts) <= 0:
                if self.free <= memory.vacated:
                    return
                after_removal = False
            yield self._fill(field, best, after_removal=after_removal)
        if not self.free:
            memory.fill_streak = 0

    def swaps_left(self, ts: int) -> int:
        """Replacements and fills after removals that the rolling day still allows."""
        return self._settings.max_swaps_per_day - self._memory.swaps_in_day(ts)

    def rerank(self, ts: int) -> Iterator[PortfolioChange]:
        """Put the ranks right where scores differ by the publish step."""
        why = Why(kind="rerank", reason="rerank", numbers={"publish_step": self._limits[1]})
        change = self._book.rerank(ts, self._limits[1], why)
        if change is not None:
            yield change

    def _worth_entering(self, field: Field) -> Standing | None:
        best = field.best(self._book.symbols, self._memory)
        return best if best is not None and _at_least(best.score, self._settings.entry_score) else None

    def _challenger(self, field: Field, holding: Holding) -> Standing | None:
        best = field.best(self._book.symbols, self._memory, instead_of=holding.symbol)
        if best is None or best.score is None or holding.score is None:
            return None
        return best if best.score - holding.score >= self._settings.replace_margin else None

    def _may_swap(self, ts: int, holding: Holding) -> bool:
        return ts - holding.since >= self._min_hold and self.swaps_left(ts) > 0

    def _swap(self, field: Field, holding: Holding, best: Standing, closes: int) -> PortfolioChange:
        gap = (best.score or 0.0) - (holding.score or 0.0)
        numbers: Numbers = {
            "score_in": best.score,
            "score_out": holding.score,
            "gap": round(gap, 6),
            "replace_margin": self._settings.replace_margin,
            "closes": closes,
            "held_h": round((field.ts - holding.since) / (3600 * NS), 3),
            "swaps_left": self.swaps_left(field.ts) - 1,
        }
        why = Why(kind="replace", reason="replace", numbers=numbers)
        change = self._book.swap(field.ts, holding.symbol, best, why, limits=self._limits)
        self._memory.left(holding.symbol, field.ts + self._reentry)
        self._memory.entered(best.symbol, self.free)
        self._memory.swaps.append(field.ts)
        return change

    def _fill(self, field: Field, best: Standing, *, after_removal: bool) -> PortfolioChange:
        if after_removal:
            self._memory.swaps.append(field.ts)
            self._memory.vacated -= 1
        return self._enter(field, best, "fill", {"closes": self._memory.fill_streak})

    def _enter(self, field: Field, best: Standing, reason: str, numbers: Numbers) -> PortfolioChange:
        figures: Numbers = {"score_in": best.score, "entry_score": self._settings.entry_score, **numbers}
        why = Why(kind="fill", reason=reason, numbers=figures)
        change = self._book.enter(field.ts, best, why, limits=self._limits)
        self._memory.entered(best.symbol, self.free)
        return change

    def _leave(self, ts: int, symbol: str, why: Why) -> PortfolioChange:
        change = self._book.leave(ts, symbol, why, max_weight=self._limits[0])
        self._memory.left(symbol, ts + self._reentry)
        self._memory.vacated += 1
        return change

    def _reason_to_leave(self, field: Field, holding: Holding) -> Why | None:
        standing = field.standings.get(holding.symbol)
        if standing is not None and standing.is_gone:
            return self._gone(standing)
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
            numbers[gate.name] = gate.value
            numbers[f"{gate.name}_limit"] = gate.limit
        return numbers


def _weakest_first(holding: Holding) -> tuple[float, int]:
    return (holding.score if holding.score is not None else -1.0, -holding.rank)


def _at_least(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit
