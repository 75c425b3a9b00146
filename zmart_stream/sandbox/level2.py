"""One book and one counter per symbol, shared by level2, tickerV2, the depth topics and the REST books."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from zmart_stream.sandbox.market import Market, Quotes

_FIRST = 1_250_000_000_000
_RESTARTED = 1_000
_MS = 1_000_000
_MS_PER_SEQUENCE = 4
_NEAR = 5  # rows a side that always follow the market


def _deletions_first(change: tuple[float, str, int]) -> bool:
    return change[2] > 0


class Change(NamedTuple):
    """One level after its change: `lots` is the new absolute size, 0 deletes."""

    sequence: int
    price: float
    side: str  # "buy" is a bid
    lots: int


class Book:
    """The book of one symbol as clients may know it.

    While nobody follows its changes the book is looked at lazily: every look at a later time is a later sequence,
    so equal sequences are equal pictures. While `live` it holds `levels` rows a side and moves only by `refresh`,
    which names every changed level and adds exactly 1 for each; all views then show the held rows.
    """

    __slots__ = ("_levels", "_market", "_origin", "_seen", "_turn", "as_of", "live", "sequence", "symbol")

    def __init__(self, market: Market, symbol: str, now: int, levels: int) -> None:
        """The book as it stands at `now` (ns)."""
        self._market = market
        self._levels = levels
        self.symbol = symbol
        self._origin = _FIRST + (zlib.crc32(symbol.encode()) << 5)
        self.as_of = now
        self.sequence = self._floor(now)
        self.live = False
        self._seen: Quotes | None = None
        self._turn = 0

    def observe(self, now: int) -> None:
        """Move a lazy book to `now`; a live one stays where its last refresh left it."""
        if self.live or now <= self.as_of:
            return
        self.as_of = now
        self.sequence = max(self.sequence + 1, self._floor(now))
        self._seen = None

    def quotes(self, levels: int) -> Quotes:
        """The best `levels` rows a side at the present sequence."""
        seen = self._seen
        if seen is None or self.lacks(levels):
            seen = self._seen = self._market.quotes(self.symbol, self.as_of, levels)
        return Quotes(seen.bids[:levels], seen.asks[:levels])

    def lacks(self, levels: int) -> bool:
        """True if `quotes` of so many levels would have to ask the market."""
        seen = self._seen
        return seen is None or (not self.live and len(seen.bids) < levels and len(seen.asks) < levels)

    def show(self, seen: Quotes) -> None:
        """Take the market's picture at `as_of`, looked up together with those of other books."""
        self._seen = seen

    def go_live(self) -> None:
        """Hold the full book from the present picture on, at the present sequence."""
        if not self.live:
            self._seen = self._market.quotes(self.symbol, self.as_of, self._levels)
            self.live = True

    def go_lazy(self) -> None:
        """Nobody follows the changes any more."""
        if self.live:
            self.live = False
            self._seen = None
            self.as_of += 1  # the held rows were not a picture of this instant; the next one is a later sequence
            self.sequence += 1

    def refresh(self, now: int, most: int) -> list[Change]:
        """Move a live book towards `now` and name the changed levels, deletions first so that it never crosses.

        The rows near the touch always follow; of the deeper changes at most `most` are made, in turn, as on a real
        book, where not every level moves at once.
        """
        if not self.live or now <= self.as_of or self._seen is None:
            return []
        target = self._market.quotes(self.symbol, now, self._levels)
        bids, asks = dict(self._seen.bids), dict(self._seen.asks)
        changes = self._side(bids, target.bids, "buy", most) + self._side(asks, target.asks, "sell", most)
        changes.sort(key=_deletions_first)
        for price, side, lots in changes:
            rows = bids if side == "buy" else asks
            if lots:
                rows[price] = lots
            else:
                del rows[price]
        self._turn += 1
        self.as_of = now
        self._seen = Quotes(sorted(bids.items(), reverse=True), sorted(asks.items()))
        return [Change(self.skip(), *change) for change in changes]

    def _side(
        self, held: dict[float, int], target: list[tuple[float, int]], side: str, most: int
    ) -> list[tuple[float, str, int]]:
        """The changes of one side that are made now: all near the touch, `most` of the others."""
        fresh = dict(target)
        changed = [(price, side, 0) for price in held if price not in fresh]
        changed += [(price, side, lots) for price, lots in target if held.get(price) != lots]
        if len(changed) <= most or not target:
            return changed
        limit = target[min(_NEAR, len(target)) - 1][0]
        near: list[tuple[float, str, int]] = []
        deep: list[tuple[float, str, int]] = []
        for row in changed:
            (near if (row[0] >= limit if side == "buy" else row[0] <= limit) else deep).append(row)
        if len(deep) <= most:
            return changed
        first = self._turn * most % len(deep)
        return near + (deep + deep)[first : first + most]

    def skip(self) -> int:
        """Take the next sequence, also for a change that touches nothing; returns it."""
        self.sequence += 1
        return self.sequence

    def restart(self) -> None:
        """Begin the sequence anew, as a venue may after maintenance."""
        self._origin = _RESTARTED - self.as_of // (_MS_PER_SEQUENCE * _MS)
        self.sequence = _RESTARTED

    def _floor(self, now: int) -> int:
        return self._origin + now // (_MS_PER_SEQUENCE * _MS)
