"""The hand that moves the book: whoever asks, a contract comes and goes this way, and the memory takes note of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import Book, Why
from zmart_stream.portfolio.memory import Memory

NS = 1_000_000_000
COUNTED = "swaps_left"
"""The figure that only a change within the day's limit on swaps carries."""


class Hand:
    """Moves the book. What a change means for limits and re-entry is read off the change, at once or from history."""

    def __init__(self, book: Book, memory: Memory, settings: PortfolioSettings) -> None:
        self._book = book
        self._memory = memory
        self._settings = settings
        self._reentry = int(settings.reentry_s * NS)

    @property
    def free(self) -> int:
        """Places without a holding."""
        return max(0, self._settings.max_symbols - len(self._book.holdings))

    def swaps_left(self, ts: int) -> int:
        """Replacements and fills after removals that the rolling day still allows."""
        return self._settings.max_swaps_per_day - self._memory.swaps_in_day(ts)

    def counts_filling(self, ts: int) -> bool | None:
        """Whether to fill a place now counts as a swap; None when the limit leaves only places that would."""
        if self._memory.vacated and self.swaps_left(ts) > 0:
            return True
        return False if self.free > self._memory.vacated else None

    def enter(self, ts: int, standing: Standing, why: Why, *, counts: bool = False) -> PortfolioChange:
        """Take a contract in; `counts` it as a swap."""
        return self._noted(self._book.enter(ts, standing, self._counted(ts, why) if counts else why))

    def leave(self, ts: int, symbol: str, why: Why) -> PortfolioChange:
        """Let a holding go."""
        return self._noted(self._book.leave(ts, symbol, why))

    def swap(self, ts: int, symbol_out: str, standing: Standing, why: Why, *, counts: bool) -> PortfolioChange:
        """Replace a holding; `counts` it as a swap."""
        return self._noted(self._book.swap(ts, symbol_out, standing, self._counted(ts, why) if counts else why))

    def unblock(self, ts: int, symbol: str, why: Why) -> PortfolioChange:
        """End a block, and the bar that an operator's removal left."""
        return self._noted(self._book.unblock(ts, symbol, why))

    def remember(self, changes: Iterable[PortfolioChange]) -> None:
        """Take note of changes made before a restart, oldest first."""
        for change in changes:
            self._note(change)

    def _counted(self, ts: int, why: Why) -> Why:
        return msgspec.structs.replace(why, numbers={**why.numbers, COUNTED: self.swaps_left(ts) - 1})

    def _noted(self, change: PortfolioChange) -> PortfolioChange:
        self._note(change)
        return change

    def _note(self, change: PortfolioChange) -> None:
        memory = self._memory
        free = max(0, self._settings.max_symbols - len(change.after.holdings))
        if change.reason == "first_fill":
            memory.filled = True
        if change.symbol_out is not None:
            memory.left(change.symbol_out, None if change.reason == "operator" else change.ts + self._reentry)
            if change.symbol_in is None:
                memory.vacated = 0 if change.kind == "resize" else min(memory.vacated + 1, free)
        if change.symbol_in is not None:
            if COUNTED in change.numbers:
                memory.swaps.append(change.ts)
                memory.vacated -= change.symbol_out is None and memory.vacated > 0
            memory.entered(change.symbol_in, free)
        if change.kind == "unblock":
            memory.allow(str(change.numbers["symbol"]))
