"""Everything there is to choose from at one moment: standings, candidates in order, and what the caps allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.caps import CapBreach, Caps, Correlation
from zmart_stream.portfolio.eligibility import Eligibility
from zmart_stream.portfolio.memory import Memory

_LIKELY = 40


def by_merit(standing: Standing) -> tuple[float, float, str]:
    """Sort key: composite, then turnover, both high first, then symbol."""
    return (-(standing.score or 0.0), -(standing.turnover or 0.0), standing.symbol)


class Field:
    """One moment's choice. Built for a close, a command or a question, then dropped."""

    def __init__(
        self,
        ts: int,
        standings: Mapping[str, Standing],
        *,
        eligibility: Eligibility,
        settings: PortfolioSettings,
        correlation: Correlation,
    ) -> None:
        self.ts = ts
        self.standings = standings
        self.eligibility = eligibility
        self.eligible = sorted((s for s in standings.values() if eligibility.candidate(s)), key=by_merit)
        self._caps = Caps(settings, standings, correlation, [s.symbol for s in self.eligible[:_LIKELY]])

    def score(self, symbol: str) -> float | None:
        """The composite of `symbol`, None if it has none or is unknown."""
        standing = self.standings.get(symbol)
        return standing.score if standing is not None else None

    def breach(self, symbol: str, book: Sequence[str]) -> CapBreach | None:
        """What the caps say against `symbol` beside the holdings `book`."""
        return self._caps.breach(symbol, book)

    def best(
        self, held: Sequence[str], memory: Memory, *, instead_of: str | None = None, beside: str | None = None
    ) -> Standing | None:
        """The best candidate (other than `beside`) for a free place, or for the place of the holding `instead_of`."""
        book = [symbol for symbol in held if symbol != instead_of]
        for standing in self.eligible:
            if standing.symbol == beside or standing.symbol in held or memory.is_barred(standing.symbol, self.ts):
                continue
            if self.breach(standing.symbol, book) is None:
                return standing
        return None
