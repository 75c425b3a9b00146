"""What is on disk, as the API asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from zmart_stream.app.read_model import iso
from zmart_stream.domain.portfolio import EquityMarked, PortfolioChange
from zmart_stream.domain.ports import ChangesAsked, SignalsAsked

_UNTOLD = frozenset({"owner", "received_ns", "expires_ns", "due_ns"})
"""Columns of a signal that others stand for."""

_MOMENTS = ("created_at", "processed_at", "expires_at")
_SCORE = ("score_type", "score_value", "rank", "confidence_level", "supporting_data")


class Pages(Protocol):
    """The database's answers that are used here."""

    async def history_and_count(
        self, limit: int, offset: int, *, kind: str | None, symbol: str | None, since: int | None
    ) -> tuple[tuple[PortfolioChange, ...], int]:
        """Changes of the book, newest first, and how many there are of them."""
        ...

    async def equity(self, since: int | None, until: int | None, points: int | None) -> tuple[EquityMarked, ...]:
        """The ledger's points, thinned."""
        ...

    async def scores(self, symbol: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """Rows of a contract's stored scores. Raises KeyError for one that has none."""
        ...

    async def signals_and_count(
        self,
        limit: int,
        offset: int,
        *,
        state: Literal["pending", "processed"] | None,
        source: str | None,
        symbol: str | None,
    ) -> tuple[list[dict[str, Any]], int]:
        """Rows of signals, newest first, and how many there are of them."""
        ...

    async def signal(self, which: str) -> dict[str, Any] | None:
        """One with steps, opinions, outcome."""
        ...


class StoredArchive:
    """Answers for `Archive` from the database."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def history(self, wanted: ChangesAsked, limit: int, offset: int) -> tuple[Sequence[PortfolioChange], int]:
        """Changes of the book, newest first, and how many there are of the wanted ones."""
        return await self._pages.history_and_count(limit, offset, **wanted._asdict())

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

    async def signals(self, wanted: SignalsAsked, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Signals, newest first, JSON-ready, and how many there are of the wanted ones."""
        rows, total = await self._pages.signals_and_count(limit, offset, **wanted._asdict())
        return [_signal(row) for row in rows], total

    async def signal(self, which: str) -> dict[str, Any] | None:
        """One signal by id with steps, opinions and outcome, JSON-ready; None: there is none."""
        found = await self._pages.signal(which)
        if found is None:
            return None
        steps = [{**step, "ts": iso(step["ts"])} for step in found["steps"]]
        outcome = found["outcome"]
        if outcome is not None:
            untold = ("owner", "ts", "sequence")
            outcome = {name: value for name, value in outcome.items() if name not in untold}
            outcome |= {"since": iso(outcome["since"]), "until": iso(outcome["until"])}
        return _signal(found | {"steps": steps, "outcome": outcome})


def _signal(row: dict[str, Any]) -> dict[str, Any]:
    """A signal's row with times in ISO 8601 and nothing that only the machine needs."""
    shown = {name: value for name, value in row.items() if name not in _UNTOLD}
    return shown | {name: iso(row[name]) for name in _MOMENTS} | {"due_at": iso(row["due_ns"])}
