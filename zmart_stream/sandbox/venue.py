"""The venue's facts at this moment: the market's, with what faults and notices lay over them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, NamedTuple

from zmart_stream.sandbox.clock import MINUTE, VenueClock
from zmart_stream.sandbox.level2 import Book
from zmart_stream.sandbox.market import Market, Print, Quotes
from zmart_stream.sandbox.settings import SandboxSettings
from zmart_stream.sandbox.settlement import around_settlement

_MS = 1_000_000
_LOOK_BACK_MINUTES = 240
_FUNDING_KEYS = (
    "fundingFeeRate",
    "lastTimeFundingRate",
    "nextFundingRateTime",
    "nextFundingRateDateTime",
    "currentFundingRateGranularity",
    "fundingRateCap",
    "fundingRateFloor",
    "dailyInterestRate",
    "period",
)


class Facts(NamedTuple):
    """What never changes about a contract."""

    tick: float
    multiplier: float
    inverse: bool
    index_symbol: str
    rate_symbol: str | None
    opened_ms: int


class Seen(NamedTuple):
    """A book as a REST reply shows it."""

    sequence: int
    quotes: Quotes
    ts: int  # ns


class Venue:
    """Contracts, books and trades as clients may see them now."""

    def __init__(self, market: Market, clock: VenueClock, settings: SandboxSettings) -> None:
        """Nothing is hidden, paused or nulled."""
        self.market = market
        self.clock = clock
        self.settings = settings
        self.status = "open"
        self.hidden: dict[str, None] = {}
        self.paused: dict[str, None] = {}
        self.without_funding: dict[str, None] = {}
        self.delisting: dict[str, int] = {}  # symbol -> ms of the announced end
        self.listed: dict[str, int] = {}  # symbol -> ms of a listing by fault
        self.books: dict[str, Book] = {}
        self.stale_books: dict[str, Seen] = {}
        self._facts: dict[str, Facts] = {}
        self._minute = -1
        self._listing: dict[str, None] = {}

    def symbols(self) -> tuple[str, ...]:
        """Symbols listed now, most liquid first."""
        return tuple(symbol for symbol in self._listed() if symbol not in self.hidden)

    def known(self, symbol: str) -> bool:
        """True if `symbol` is listed now."""
        return symbol not in self.hidden and symbol in self._listed()

    def trading(self, symbol: str) -> bool:
        """True if `symbol` is listed and not paused."""
        return symbol not in self.paused and self.known(symbol)

    def trading_now(self) -> Container[str]:
        """The symbols that are listed and not paused at this moment."""
        listed = self._listed()
        if not self.paused and not self.hidden:
            return listed
        return {symbol for symbol in listed if symbol not in self.paused and symbol not in self.hidden}

    def facts(self, symbol: str) -> Facts:
        """The constant facts of a listed contract."""
        facts = self._facts.get(symbol)
        if facts is None:
            row = self.market.contract_row(symbol, self.clock.now())
            facts = self._facts[symbol] = Facts(
                float(row["tickSize"]),
                float(row["multiplier"]),
                bool(row["isInverse"]),
                str(row["indexSymbol"]),
                row["fundingRateSymbol"],
                int(row["firstOpenDate"]),
            )
        return facts

    def row(self, symbol: str, now: int) -> dict[str, Any]:
        """The contract row, with faults laid over it."""
        return self._seen(symbol, self.market.contract_row(symbol, now), now)

    def rows(self, symbols: Sequence[str], now: int) -> list[dict[str, Any]]:
        """`row` of several contracts."""
        rows = self.market.contract_rows(symbols, now)
        return [self._seen(symbol, row, now) for symbol, row in zip(symbols, rows, strict=True)]

    def _seen(self, symbol: str, row: dict[str, Any], now: int) -> dict[str, Any]:
        around_settlement(self.market, symbol, row, now)
        if symbol in self.paused:
            row["status"] = "Paused"
        if symbol in self.delisting:
            row["expireDate"] = row["settleDate"] = self.delisting[symbol]
        if symbol in self.listed:
            row["firstOpenDate"] = self.listed[symbol]
        if symbol in self.without_funding:
            row.update(dict.fromkeys(_FUNDING_KEYS))
        return row

    def book(self, symbol: str) -> Book:
        """The one book of a listed contract, looked at now."""
        book = self.books.get(symbol)
        if book is None:
            book = self.books[symbol] = Book(self.market, symbol, self.clock.now(), self.settings.book_levels)
        if symbol not in self.paused:
            book.observe(self.clock.now())
        return book

    def book_picture(self, symbol: str, levels: int) -> Seen:
        """The book for a REST reply: the present one, or a stale one while that fault is in force."""
        frozen = self.stale_books.get(symbol)
        if frozen is not None:
            return Seen(frozen.sequence, Quotes(frozen.quotes.bids[:levels], frozen.quotes.asks[:levels]), frozen.ts)
        book = self.book(symbol)
        return Seen(book.sequence, book.quotes(levels), book.as_of)

    def freeze_book(self, symbol: str) -> None:
        """Let REST show the present book of `symbol` from now on, however the stream goes on."""
        self.stale_books[symbol] = self.book_picture(symbol, self.settings.book_levels)

    def recent(self, symbol: str, count: int) -> list[Print]:
        """The last `count` trades up to now, newest first, of the last hours."""
        now = self.clock.now()
        found: list[Print] = []
        minute = now // MINUTE
        for back in range(_LOOK_BACK_MINUTES):
            found += [trade for trade in reversed(self.market.prints(symbol, minute - back)) if trade.ts <= now]
            if len(found) >= count:
                break
        return found[:count]

    def now_ms(self) -> int:
        """Venue time in ms."""
        return self.clock.now() // _MS

    def _listed(self) -> dict[str, None]:
        minute = self.clock.now() // MINUTE
        if minute != self._minute:
            self._minute, self._listing = minute, dict.fromkeys(self.market.symbols(self.clock.now()))
        return self._listing
