"""Everything there is to choose from at one moment: standings, candidates in order, and what the caps allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import nan

from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.caps import Caps, Correlation, Obstacle
from zmart_stream.portfolio.economics import Economics, Leg, SwapVerdict, judge_swap
from zmart_stream.portfolio.eligibility import Eligibility
from zmart_stream.portfolio.memory import Memory

Price = Callable[[str], Leg]
"""What a trade in a contract would cost now."""


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
        price: Price,
    ) -> None:
        self.ts = ts
        self.standings = standings
        self.eligibility = eligibility
        self._caps = Caps(settings, self._sector, correlation)
        self._price = price
        self._economics = Economics(
            bps_per_point=settings.bps_per_point,
            cost_safety=settings.cost_safety,
            signal_points=settings.signal_points,
        )

    @cached_property
    def eligible(self) -> list[Standing]:
        """Eligible contracts by merit; worked out when somebody chooses among them, not for one that is named."""
        return sorted((s for s in self.standings.values() if self.eligibility.candidate(s)), key=by_merit)

    def score(self, symbol: str) -> float | None:
        """The composite of `symbol`, None if it has none or is unknown."""
        standing = self.standings.get(symbol)
        return standing.score if standing is not None else None

    def gap(self, symbol_out: str, symbol_in: str) -> float:
        """Points by which `symbol_in` outscores `symbol_out`; nan where one has no composite."""
        leads, trails = self.score(symbol_in), self.score(symbol_out)
        return nan if leads is None or trails is None else round(leads - trails, 6)

    def verdict(self, symbol_out: str, symbol_in: str, extra_points: float = 0.0) -> SwapVerdict:
        """Whether replacing `symbol_out` by `symbol_in` pays at the present prices; without a gap it does not."""
        out, into = self._price(symbol_out), self._price(symbol_in)
        return judge_swap(self.gap(symbol_out, symbol_in), out, into, self._economics, extra_points=extra_points)

    def breach(self, symbol: str, book: Sequence[str]) -> Obstacle | None:
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

    def _sector(self, symbol: str) -> str | None:
        standing = self.standings.get(symbol)
        return standing.sector if standing is not None else None
