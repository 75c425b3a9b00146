"""What is on disk, as the API asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from zmart_stream.app.read_model import iso
from zmart_stream.domain.portfolio import EquityMarked, PortfolioChange
from zmart_stream.domain.ports import ChangesAsked

_SCORE = ("score_type", "score_value", "rank", "confidence_level", "supporting_data")


class Pages(Protocol):
    """The database's answers that are used here."""

    async def history(
        self, limit: int, offset: int, *, kind: str | None, symbol: str | None, since: int | None
    ) -> tuple[PortfolioChange, ...]:
        """Changes of the book, newest first."""
        ...

    async def history_count(self, *, kind: str | None, symbol: str | None, since: int | None) -> int:
        """How many there are of them."""
        ...

    async def equity(self, since: int | None, until: int | None, points: int | None) -> tuple[EquityMarked, ...]:
        """The ledger's points, thinned."""
        ...

    async def scores(self, symbol: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """Rows of a contract's stored scores. Raises KeyError for one that has none."""
        ...


class StoredArchive:
    """Answers for `Archive` from the database."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def history(self, wanted: ChangesAsked, limit: int, offset: int) -> tuple[Sequence[PortfolioChange], int]:
        """Changes of the book, newest first, and how many there are of the wanted ones."""
        conditions = wanted._asdict()
        changes = await self._pages.history(limit, offset, **conditions)
        return changes, await self._pages.history_count(**conditions)

    async def equity(self, since: int, until: int, most: int) -> Sequence[EquityMarked]:
        """Points of the ledger with an end in [since, until] (ns), ascending, evenly thinned to `most`."""
        return await self._pages.equity(since, until, most)

    async def scores(self, symbol: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """Stored scores of a contract, newest first, JSON-ready."""
        try:
            rows = await self._pages.scores(symbol, limit, offset)
        except KeyError:  # listed, and not on disk yet
            return []
        return [
            {**{name: row[name] for name in _SCORE}, "calculation_timestamp": iso(row["calculation_timestamp"])}
            for row in rows
        ]
