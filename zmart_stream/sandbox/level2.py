"""One book and one counter per symbol, shared by level2, tickerV2, the depth topics and the REST books."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from zmart_stream.sandbox.market import Market, Quotes

_FIRST = 1_250_000_000_000
_RESTARTED = 1_000
_MS = 1_000_000
_MS_PER_SEQUENCE = 4


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
    which names every changed level and adds exactly 1 for each.
    """

    __slots__ = ("_levels", "_market", "_origin", "_seen", "as_of", "live", "sequence", "symbol")

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
        if seen is None or (not self.live and len(seen.bids) < levels and len(seen.asks) < levels):
            seen = self._seen = self._market.quotes(self.symbol, self.as_of, levels)
        return Quotes(seen.bids[:levels], seen.asks[:levels])

    def go_live(self) -> None:
        """Hold the full book from the present picture on, at the present sequence."""
        if not self.live:
            self._seen = self._market.quotes(self.symbol, self.as_of, self._levels)
            self.live = True

    def go_lazy(self) -> None:
        """Nobody follows the changes any more."""
        self.live = False

    def refresh(self, now: int) -> list[Change]:
        """Move a live book to `now`; the changed levels, deletions first so that the book never crosses between."""
        if not self.live or now <= self.as_of or self._seen is None:
            return []
        before, after = self._seen, self._market.quotes(self.symbol, now, self._levels)
        gone: list[tuple[float, str, int]] = []
        new: list[tuple[float, str, int]] = []
        for side, old_rows, new_rows in (("buy", before.bids, after.bids), ("sell", before.asks, after.asks)):
            old, fresh = dict(old_rows), dict(new_rows)
            gone += [(price, side, 0) for price in old if price not in fresh]
            new += [(price, side, lots) for price, lots in fresh.items() if old.get(price) != lots]
        self.as_of, self._seen = now, after
        return [Change(self.skip(), *change) for change in gone + new]

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
