"""What is pushed when: the one loop that turns venue time into frames."""

from __future__ import annotations

import heapq
import time
from typing import Literal

from zmart_stream.sandbox.cadenced import Cadenced, Desk
from zmart_stream.sandbox.hub import Channel, Hub
from zmart_stream.sandbox.level2 import Book, Change
from zmart_stream.sandbox.market import Print
from zmart_stream.sandbox.settings import Cadence
from zmart_stream.sandbox.settlement import Settlements
from zmart_stream.sandbox.tape import Tape
from zmart_stream.sandbox.topics import Wording
from zmart_stream.sandbox.venue import Venue

_TRADE_TOPICS = ("execution", "ticker", "tickerV2")
_FUNDING = "#funding"  # the minute estimate of an instrument channel has a cadence of its own
_DEPTHS = {"level2Depth5": 5, "level2Depth50": 50}
_MOVED_S = 1.0  # above speed 1 a moved touch waits for no longer than this
_GOLDEN = 0.6180339887  # spreads the first cadences of many symbols over one period

_Push = tuple[Channel, Desk]


class Publisher:
    """Pushes every topic on its cadence; one `step` covers what happened since the last."""

    def __init__(self, venue: Venue, hub: Hub, cadence: Cadence) -> None:
        """Nobody listens yet."""
        self._venue = venue
        self._hub = hub
        self._cadence = cadence
        self._moved_s = _moved_s(cadence, venue.clock.speed)
        now = venue.clock.now()
        self._tape: Tape[Desk] = Tape(venue.market, now)
        self._settlements = Settlements(venue.market)
        self._cadenced = Cadenced(venue, hub, cadence)
        self._desks: dict[str, Desk] = {}
        self._ranks = {symbol: rank for rank, symbol in enumerate(venue.market.symbols(now))}
        self._jobs: list[tuple[float, int, Channel]] = []
        self._job_number = 0
        self._moved: dict[int, Desk] = {}

    def opened(self, channel: Channel) -> None:
        """`channel` has its first subscriber: begin to publish it."""
        now = self._venue.clock.now()
        if channel.kind == "announcement":
            for symbol in self._venue.symbols():
                self._settlements.watch(symbol, now)
            return
        if not self._venue.known(channel.symbol):
            return
        desk = self._desk(channel.symbol)
        desk.channels[channel.kind] = channel
        if channel.kind in _TRADE_TOPICS:
            self._tape.follow(desk.rank, desk.symbol, desk)
        if channel.kind == "level2":
            desk.book.go_live()
        if channel.kind == "instrument":
            self._settlements.watch(channel.symbol, now)
            self._schedule(self._hub.channel(f"{channel.topic}{_FUNDING}", "instrument.funding", channel.symbol))
        self._schedule(channel)

    def closed(self, channel: Channel) -> None:
        """`channel` lost its last subscriber."""
        desk = self._desks.get(channel.symbol)
        if desk is None:
            return
        desk.channels.pop(channel.kind, None)
        if channel.kind == "level2":
            desk.book.go_lazy()
        if channel.kind.startswith("limitCandle"):
            self._cadenced.candles.forget(channel.topic)
        if not any(kind in desk.channels for kind in _TRADE_TOPICS):
            self._tape.unfollow(desk.rank)

    def replay(self, channel: Channel, count: int) -> list[bytes]:
        """The last `count` trades told on an execution channel, once more."""
        desk = self._desks.get(channel.symbol)
        if desk is None or count <= 0:
            return []
        return [desk.wording.execution(trade) for trade in list(desk.recent)[-count:]]

    def skip_sequence(self, symbol: str, now: int) -> None:
        """Send a level2 change at price 0, which moves the sequence and nothing else."""
        desk = self._desks.get(symbol)
        channel = desk.channels.get("level2") if desk else None
        if desk is not None and channel is not None:
            frame = desk.wording.change(Change(desk.book.skip(), 0.0, "buy", 0), now)
            self._hub.emit(channel, frame)

    def step(self, now: int, real: float) -> None:
        """Push what fell due up to venue time `now` (ns); `real` is the monotonic second."""
        self._tell_trades(now)
        moved, due = self._moves_due(real), self._jobs_due(real)
        self._look(now, moved, due)
        for channel, desk in moved:
            self._push_touch(channel, desk, now, real, changed_only=True)
        for channel, desk in due:
            if channel.kind == "tickerV2":
                self._push_ticker_v2(channel, desk, now, real)
            else:
                self._cadenced.push(channel, desk, now)
        for settled in self._settlements.due(now):
            self._cadenced.settlement(settled)
        self._cadenced.late_candles(now, self._desks)

    def prefetch(self, venue_ns: int) -> None:
        """Prepare what is told next, as far as `venue_ns` of venue time asks for."""
        self._tape.prefetch(venue_ns)

    def _desk(self, symbol: str) -> Desk:
        desk = self._desks.get(symbol)
        if desk is None:
            rank = self._ranks.setdefault(symbol, len(self._ranks))
            wording = Wording(symbol, self._venue.facts(symbol).tick)
            desk = self._desks[symbol] = Desk(symbol, rank, self._venue.book(symbol), wording)
        return desk

    def _schedule(self, channel: Channel) -> None:
        if channel.scheduled or self._period(channel) is None:
            return
        channel.scheduled = True
        self._queue(channel, time.monotonic())

    def _queue(self, channel: Channel, due: float) -> None:
        self._job_number += 1
        heapq.heappush(self._jobs, (due, self._job_number, channel))

    def _period(self, channel: Channel) -> float | None:
        cadence = self._cadence
        kind = channel.kind
        if kind == "tickerV2":
            return 1 / (self._rate(channel.symbol) * cadence.ticker_scale)
        if kind == "level2":
            return cadence.level2_ms / 1000 * cadence.ticker_classes[0][1] / self._rate(channel.symbol)
        if kind.startswith("limitCandle"):
            return cadence.candle_s
        return {
            "level2Depth5": cadence.depth_ms / 1000,
            "level2Depth50": cadence.depth_ms / 1000,
            "snapshot": cadence.snapshot_s,
            "instrument": cadence.instrument_s,
            "instrument.funding": cadence.funding_s,
        }.get(kind)

    def _jobs_due(self, real: float) -> list[_Push]:
        """The cadenced pushes whose time has come, of contracts that trade; each is put in its next place."""
        jobs = self._jobs
        found = []
        while jobs and jobs[0][0] <= real:
            due, _, channel = heapq.heappop(jobs)
            period = self._period(channel)
            if period is None or not self._followed(channel):
                channel.scheduled = False
                continue
            self._queue(channel, self._following(channel, due, period, real))
            if self._venue.trading(channel.symbol):
                found.append((channel, self._desks[channel.symbol]))
        return found

    def _following(self, channel: Channel, due: float, period: float, real: float) -> float:
        """When a push is due again; depths are looked at together, the rest is spread over the period."""
        if channel.kind in _DEPTHS:
            return (real // period + 1) * period
        following = due + period * (self._phase(channel) if channel.pushed == 0 else 1.0)
        return following if following > real else real + period

    def _look(self, now: int, moved: list[_Push], due: list[_Push]) -> None:
        """Look at all books that are about to be told in one go."""
        wanted: dict[int, dict[str, Book]] = {}
        for channel, desk in due + moved:
            levels = _DEPTHS.get(channel.kind, 1 if channel.kind == "tickerV2" else 0)
            if levels:
                wanted.setdefault(levels, {})[desk.symbol] = desk.book
        for levels in sorted(wanted, reverse=True):
            for book in wanted[levels].values():
                book.observe(now)
            books = {s: book for s, book in wanted[levels].items() if book.as_of == now and book.lacks(levels)}
            if len(books) > 1:
                for book, seen in zip(
                    books.values(), self._venue.market.quotes_of(list(books), now, levels), strict=True
                ):
                    book.show(seen)

    def _rate(self, symbol: str) -> float:
        rank = self._ranks.get(symbol, 0)
        classes = self._cadence.ticker_classes
        return next((rate for below, rate in classes if rank < below), classes[-1][1])

    def _phase(self, channel: Channel) -> float:
        return 0.1 + self._ranks.get(channel.symbol, 0) * _GOLDEN % 0.9

    def _followed(self, channel: Channel) -> bool:
        if channel.kind == "instrument.funding":
            channel = self._hub.channels[channel.topic.removesuffix(_FUNDING)]
        return bool(channel.subscribers)

    def _tell_trades(self, now: int) -> None:
        emit = self._hub.emit
        trading = self._venue.trading_now()
        simultaneous: tuple[Desk, Print] | None = None
        for desk, trade in self._tape.due(now):
            if desk.symbol not in trading:
                continue
            desk.recent.append(trade)
            self._moved[desk.rank] = desk
            channel = desk.channels.get("execution")
            if channel is not None:
                emit(channel, desk.wording.execution(trade))
            if "ticker" in desk.channels:
                if simultaneous and (simultaneous[0] is not desk or simultaneous[1].ts != trade.ts):
                    self._tell_ticker(*simultaneous, now)
                simultaneous = (desk, trade)
        if simultaneous:
            self._tell_ticker(*simultaneous, now)

    def _tell_ticker(self, desk: Desk, trade: Print, now: int) -> None:
        desk.book.observe(now)
        self._hub.emit(desk.channels["ticker"], desk.wording.ticker(trade, desk.wording.touch(desk.book.quotes(1))))

    def _moves_due(self, real: float) -> list[_Push]:
        """The contracts that traded and may be told again; the others wait."""
        found: list[_Push] = []
        waiting: dict[int, Desk] = {}
        for rank, desk in self._moved.items():
            channel = desk.channels.get("tickerV2")
            if channel is None:
                continue
            if real - desk.ticker_at < self._moved_s:
                waiting[rank] = desk
            else:
                found.append((channel, desk))
        self._moved = waiting
        return found

    def _push_ticker_v2(self, channel: Channel, desk: Desk, now: int, real: float) -> None:
        if real - desk.ticker_at >= self._cadence.ticker_min_ms / 1000 - 1e-3:
            self._push_touch(channel, desk, now, real, changed_only=False)

    def _push_touch(self, channel: Channel, desk: Desk, now: int, real: float, *, changed_only: bool) -> None:
        book = desk.book
        book.observe(now)
        touch = desk.wording.touch(book.quotes(1))
        if changed_only and touch == desk.told:
            return
        desk.told, desk.ticker_at = touch, real
        self._hub.emit(channel, desk.wording.ticker_v2(book.sequence, touch, book.as_of))


def _moved_s(cadence: Cadence, speed: float | Literal["max"]) -> float:
    """Least real seconds from a contract's ticker to one that a trade calls for.

    It is `ticker_min_ms` of venue time, so that a fast market pushes hardly more tickers than a slow one; but where the
    readers set the pace, real time.
    """
    least = cadence.ticker_min_ms / 1000
    return least if speed == "max" else max(least, min(least * speed, _MOVED_S))
