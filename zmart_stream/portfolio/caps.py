"""The limits on what the book may hold together: contracts of one sector, and pairs that move as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing

Correlation = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""EW correlation of hourly returns of the symbols, as a matrix in their order; nan where there is no history."""


Numbers = dict[str, float | str | None]


class Obstacle(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why something that would have come is not done: stable code, words, figures."""

    code: str  # sector, correlation, reentry; of a swap: replace_margin, min_hold, swap_limit, does_not_pay
    text: str
    numbers: Numbers

    def refusal(self) -> CommandRefusedError:
        """The same as the answer to whoever asked for it."""
        return CommandRefusedError(self.code, self.text, numbers=self.numbers)


class Caps:
    """Judges contracts against possible books at one moment; correlations are measured once, where needed."""

    def __init__(
        self, settings: PortfolioSettings, standings: Mapping[str, Standing], correlation: Correlation
    ) -> None:
        self._settings = settings
        self._standings = standings
        self._correlation = correlation
        self._likely: tuple[str, ...] = ()
        self._pairs: dict[tuple[str, str], float] = {}

    def expect(self, likely: Sequence[str]) -> None:
        """These contracts will most probably be asked about: they are measured in one go."""
        self._likely = tuple(likely)

    def breach(self, symbol: str, book: Sequence[str]) -> Obstacle | None:
        """What stands against `symbol` beside the holdings `book`, None if nothing does."""
        return self._sector(symbol, book) or self._correlated(symbol, book)

    def _sector(self, symbol: str, book: Sequence[str]) -> Obstacle | None:
        sector = self._sector_of(symbol)
        if sector is None:
            return None
        count = sum(1 for held in book if self._sector_of(held) == sector)
        limit = self._settings.max_per_sector
        if count < limit:
            return None
        text = f"{symbol}: {count} of at most {limit} holdings are in sector {sector}"
        return Obstacle(code="sector", text=text, numbers={"sector": sector, "held": count, "max_per_sector": limit})

    def _sector_of(self, symbol: str) -> str | None:
        standing = self._standings.get(symbol)
        return standing.sector if standing is not None else None

    def _correlated(self, symbol: str, book: Sequence[str]) -> Obstacle | None:
        limit = self._settings.max_correlation
        for held in book:
            value = self._pair(symbol, held, book)
            if value > limit:  # an unknown correlation (nan) is no reason against a contract
                text = f"{symbol}: correlation {value:.3f} with {held} is above {limit:g}"
                numbers: Numbers = {"with": held, "correlation": value, "max_correlation": limit}
                return Obstacle(code="correlation", text=text, numbers=numbers)
        return None

    def _pair(self, a: str, b: str, book: Sequence[str]) -> float:
        key = (a, b) if a < b else (b, a)
        if key not in self._pairs and self._likely:
            self._measure(list(dict.fromkeys((*book, *self._likely))))
            self._likely = ()
        if key not in self._pairs:
            self._measure(list(dict.fromkeys((a, *book))))
        return self._pairs[key]

    def _measure(self, symbols: Sequence[str]) -> None:
        matrix = self._correlation(symbols)
        for i, a in enumerate(symbols):
            for j in range(i):
                b = symbols[j]
                self._pairs[(a, b) if a < b else (b, a)] = float(matrix[i][j])
