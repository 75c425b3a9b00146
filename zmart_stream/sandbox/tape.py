"""The merged tape: the trades of all followed symbols in time order, minute by minute."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Generic, TypeVar

from zmart_stream.sandbox.clock import MINUTE
from zmart_stream.sandbox.market import Market, Print

Desk = TypeVar("Desk")

_HASTE = 2.0  # preparations are done in half the time there is


class _Sheet(Generic[Desk]):
    """The trades of one minute, of the symbols fetched so far."""

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.rows: list[tuple[int, int, int, Print]] = []
        self.have: dict[int, None] = {}
        self.at = 0

    def add(self, rank: int, prints: list[Print], after: int) -> None:
        """Put in the prints later than `after` (ns)."""
        self.have[rank] = None
        fresh = [(trade.ts, rank, trade.sequence, trade) for trade in prints if trade.ts > after]
        if self.at or len(self.have) > 1:
            for row in fresh:
                insort(self.rows, row, lo=self.at)
        else:
            self.rows = fresh


class Tape(Generic[Desk]):
    """Hands out each trade once, when venue time passes it."""

    def __init__(self, market: Market, now: int) -> None:
        """Nothing is followed; time stands at `now` (ns)."""
        self._market = market
        self._now = now
        self._followed: dict[int, tuple[str, Desk]] = {}
        self._hour = 0
        self._cold: list[tuple[str, Desk]] = []
        self._credit = 0.0
        self._sheet: _Sheet[Desk] = _Sheet(now // MINUTE)
        self._next: _Sheet[Desk] = _Sheet(now // MINUTE + 1)

    def follow(self, rank: int, symbol: str, desk: Desk) -> None:
        """Begin to hand out `symbol`'s trades as `desk`; `rank` orders simultaneous ones."""
        self._followed[rank] = (symbol, desk)
        if rank not in self._sheet.have:
            self._sheet.add(rank, self._market.prints(symbol, self._sheet.minute), self._now)

    def unfollow(self, rank: int) -> None:
        """Stop handing out the trades of the symbol with this rank."""
        self._followed.pop(rank, None)

    def prefetch(self, venue_ns: int) -> None:
        """Do the share that `venue_ns` of venue time asks for of two jobs, so that no minute or hour begins with a
        stall: fetch the coming minute, and ask for the coming hour, which markets prepare as a whole.
        """
        share = _HASTE * venue_ns * len(self._followed)
        self._fill(1 + int(share / MINUTE))
        hour = self._sheet.minute // 60 + 1
        if hour != self._hour:
            self._hour, self._cold, self._credit = hour, list(self._followed.values()), 0.0
        self._credit += share / (60 * MINUTE)
        while self._credit >= 1 and self._cold:
            self._credit -= 1
            self._market.prints(self._cold.pop()[0], hour * 60)

    def due(self, now: int) -> Iterator[tuple[Desk, Print]]:
        """Every trade up to and including `now` that was not handed out yet, in order."""
        while True:
            yield from self._pass(now)
            if now // MINUTE <= self._sheet.minute:
                self._now = max(self._now, now)
                return
            self._fill(len(self._followed))
            self._now = self._next.minute * MINUTE - 1
            self._sheet, self._next = self._next, _Sheet(self._next.minute + 1)
            self._sheet.rows.sort()

    def _pass(self, now: int) -> Iterator[tuple[Desk, Print]]:
        sheet = self._sheet
        rows = sheet.rows
        while sheet.at < len(rows) and rows[sheet.at][0] <= now:
            _, rank, _, trade = rows[sheet.at]
            sheet.at += 1
            followed = self._followed.get(rank)
            if followed is not None:
                yield followed[1], trade

    def _fill(self, number: int) -> None:
        sheet = self._next
        missing = [rank for rank in self._followed if rank not in sheet.have]
        if not missing:
            return
        rows = sheet.rows
        for rank in missing[:number]:
            sheet.have[rank] = None
            prints = self._market.prints(self._followed[rank][0], sheet.minute)
            rows += [(trade.ts, rank, trade.sequence, trade) for trade in prints]
