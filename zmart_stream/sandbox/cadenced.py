"""The topics that push on a cadence of their own: book changes, depth, instrument, snapshot, candles, funding."""

from __future__ import annotations

from collections import deque
from typing import Any

from zmart_stream.sandbox import topics
from zmart_stream.sandbox.candles import Candles
from zmart_stream.sandbox.hub import Channel, Hub
from zmart_stream.sandbox.level2 import Book
from zmart_stream.sandbox.market import Print
from zmart_stream.sandbox.settings import Cadence
from zmart_stream.sandbox.settlement import Settled
from zmart_stream.sandbox.topics import Wording
from zmart_stream.sandbox.venue import Venue

_MS = 1_000_000
_REMEMBERED_TRADES = 50
_CANDLE = "limitCandle_"


class Desk:
    """Everything the publisher holds for one symbol."""

    __slots__ = ("book", "channels", "rank", "recent", "symbol", "ticker_at", "told", "wording")

    def __init__(self, symbol: str, rank: int, book: Book, wording: Wording) -> None:
        """A symbol nobody follows yet; `rank` is its place by liquidity."""
        self.symbol = symbol
        self.rank = rank
        self.book = book
        self.wording = wording
        self.channels: dict[str, Channel] = {}
        self.recent: deque[Print] = deque(maxlen=_REMEMBERED_TRADES)
        self.ticker_at = 0.0
        self.told: tuple[int, bytes, bytes, int] | None = None


class Cadenced:
    """Makes and emits one push of a cadenced topic when the publisher says it is due."""

    def __init__(self, venue: Venue, hub: Hub, cadence: Cadence) -> None:
        """No candle was told yet."""
        self._venue = venue
        self._market = venue.market
        self._hub = hub
        self._changes = cadence.level2_changes
        self.candles = Candles(venue.market, cadence.late_candle_s)

    def push(self, channel: Channel, desk: Desk, now: int) -> None:
        """Emit what `channel` has to tell at `now` (ns)."""
        match channel.kind:
            case "level2":
                for change in desk.book.refresh(now, self._changes):
                    self._hub.emit(channel, desk.wording.change(change, now))
            case "level2Depth5":
                self._depth(channel, desk, now, 5)
            case "level2Depth50":
                self._depth(channel, desk, now, 50)
            case "instrument":
                mark, index = self._market.mark_index(desk.symbol, now)
                self._hub.emit(channel, topics.mark_index(desk.symbol, mark, index, now))
            case "instrument.funding":
                self._estimate(channel, desk, now)
            case "snapshot":
                self._hub.emit(channel, topics.push(channel.topic, "snapshot.24h", self._snapshot(desk, now)))
            case _:
                row = self.candles.news(channel.topic, desk.symbol, channel.kind.removeprefix(_CANDLE), now)
                if row is not None:
                    self._row(channel, desk, row, now)

    def settlement(self, settled: Settled) -> None:
        """Emit a settlement to the contract's instrument channel and to the announcement."""
        unknowns = self._venue.settings.unknowns
        symbol, funding_ms = settled.symbol, settled.funding_ms
        instrument = self._hub.channels.get(f"{topics.INSTRUMENT}:{symbol}")
        if settled.begins and instrument is not None:
            whole = 28_800_000 if unknowns.settled_granularity == "8h" else settled.interval_ms
            self._hub.emit(instrument, topics.funding_estimate(symbol, settled.estimate, funding_ms * _MS))
            self._hub.emit(instrument, topics.funding_settled(symbol, settled.rate, whole, funding_ms))
        channel = self._hub.channels.get(topics.ANNOUNCEMENT)
        if channel is not None and unknowns.announcements:
            subject = "funding.begin" if settled.begins else "funding.end"
            times = {"funding_ms": funding_ms, "time_ms": settled.time_ms}
            self._hub.emit(channel, topics.announcement(subject, symbol, settled.rate, **times))

    def late_candles(self, now: int, desks: dict[str, Desk]) -> None:
        """Emit the last word on every ended candle whose time has come."""
        for topic, row in self.candles.late(now):
            channel = self._hub.channels[topic]
            self._row(channel, desks[channel.symbol], row, now)

    def _depth(self, channel: Channel, desk: Desk, now: int, levels: int) -> None:
        desk.book.observe(now)
        quotes = desk.book.quotes(levels)
        self._hub.emit(channel, desk.wording.depth(levels, quotes, desk.book.sequence, now))

    def _estimate(self, channel: Channel, desk: Desk, now: int) -> None:
        channel.pushed += 1
        funding = self._market.funding(desk.symbol, now)
        if funding is not None and desk.symbol not in self._venue.without_funding:
            parent = self._hub.channels[f"{topics.INSTRUMENT}:{desk.symbol}"]
            self._hub.emit(parent, topics.funding_estimate(desk.symbol, funding.rate, now))

    def _snapshot(self, desk: Desk, now: int) -> dict[str, Any]:
        stats = self._market.day_stats(desk.symbol, now)
        facts = self._venue.facts(desk.symbol)
        funding = self._market.funding(desk.symbol, now)
        last = stats.last or 0.0
        change = last - stats.open if stats.last and stats.open else 0.0
        data: dict[str, Any] = {
            "highPrice": topics.plain(stats.high),
            "lastPrice": topics.plain(last),
            "lowPrice": topics.plain(stats.low),
            "price24HoursBefore": topics.plain(stats.open),
            "priceChg": topics.plain(change),
            "priceChgPct": topics.plain(change / stats.open if stats.open else 0.0, 4),
            "symbol": desk.symbol,
            "ts": now,
            "turnover": topics.plain(stats.turnover),
            "volume": topics.plain(float(stats.lots) if facts.inverse else stats.lots * facts.multiplier),
        }
        if funding is not None and desk.symbol not in self._venue.without_funding:
            data["fundingRate"] = topics.plain(funding.rate)
        return data

    def _row(self, channel: Channel, desk: Desk, row: list[float], now: int) -> None:
        kind = channel.kind.removeprefix(_CANDLE)
        lots_first = self._venue.settings.unknowns.candle_column_5 == "lots"
        decimals = desk.wording.decimals
        frame = topics.candle(desk.symbol, kind, row, decimals, time_ms=now // _MS, lots_first=lots_first)
        self._hub.emit(channel, frame)
