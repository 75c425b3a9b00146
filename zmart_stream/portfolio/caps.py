"""The limits on what the book may hold together: contracts of one sector, and pairs that move as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.settings import PortfolioSettings

Correlation = Callable[[str, str], float]
"""EW correlation of two contracts' hour returns; nan where there is no history."""

Sector = Callable[[str], str | None]
"""The sector of a contract, None without one."""

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
    """Judges contracts against possible books at one moment."""

    def __init__(self, settings: PortfolioSettings, sector: Sector, correlation: Correlation) -> None:
        self._settings = settings
        self._sector_of = sector
        self._correlation = correlation

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

    def _correlated(self, symbol: str, book: Sequence[str]) -> Obstacle | None:
        limit = self._settings.max_correlation
        for held in book:
            value = self._correlation(symbol, held)
            if value > limit:  # an unknown correlation (nan) is no reason against a contract
                text = f"{symbol}: correlation {value:.3f} with {held} is above {limit:g}"
                numbers: Numbers = {"with": held, "correlation": value, "max_correlation": limit}
                return Obstacle(code="correlation", text=text, numbers=numbers)
        return None
