"""The core without a socket: warmed on the bench's market, fed what its frames say."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from tests.bench.market import DAY, EPOCH, HOUR, MS, SEQUENCE, Market, Template
from zmart_stream.app.compose import scorers_of
from zmart_stream.app.config import Sources, load
from zmart_stream.app.core_settings import core_settings
from zmart_stream.domain.market import (
    DAY_S,
    HOUR_S,
    Bars,
    ContractStats,
    Coverage,
    Depth,
    FundingHistory,
    Listing,
    Tick,
    WarmUp,
)
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.feeds.kucoin.rows import ContractRows, bar_rows, contract_of, stats_of
from zmart_stream.feeds.kucoin.wire import Wire

SECOND = 1_000_000_000
TIER = 40
_BODY = len('{"topic":"/contract/')


def settings(**market: Any) -> CoreSettings:
    """The core's settings as shipped, with these of `market` changed."""
    core = core_settings(load(Sources(environ={})).settings, 1.0)
    return msgspec.structs.replace(core, market=msgspec.structs.replace(core.market, **market))


def wire() -> Wire:
    """A decoder with the feed's bounds at speed 1."""
    return Wire(ahead_ns=60 * SECOND, behind_ns=86_400 * SECOND)


class Fed:
    """An engine that has seen a start with full history, and what to feed it next."""

    def __init__(self, market: Market, core: CoreSettings | None = None) -> None:
        self.market = market
        chosen = core or settings()
        self.engine = Engine(chosen, scorers_of(chosen.scoring), session=1)
        self.now = EPOCH
        self._sequence = SEQUENCE
        self._wire = wire()
        decoder = ContractRows()
        self._rows, errors = decoder.read(decoder.split(msgspec.Raw(market.rows(EPOCH))))
        assert not errors
        for message in self._start():
            self.engine.process(message)
        self.engine.process(self.to_close(HOUR))  # cross-sections are those of a close, with every part present
        self.hear_all()

    def _start(self) -> Iterator[Message]:
        market, now = self.market, self.now
        symbols, count = tuple(market.symbols), len(market.symbols)
        for row in self._rows:
            yield Listing(ts=now, contract=contract_of(row), change="listed")
        yield from self.polls()
        for topic in ("ticker", "execution"):
            yield Coverage(ts=now, topic=topic, symbols=symbols, since=now - 2 * HOUR)
        yield from self.heard()
        for n in range(count):
            yield self._bars(n, HOUR, 240)
            yield self._bars(n, DAY, 60)
            settled = tuple((r["timepoint"] * MS, r["fundingRate"]) for r in market.settlements(n, now - 3 * DAY, now))
            yield FundingHistory(ts=now, symbol=symbols[n], settlements=settled[::-1])
            yield WarmUp(ts=now, done=n + 1, of=count)
        yield WarmUp(ts=now, done=count, of=count, ended=True)

    def _bars(self, n: int, interval: int, count: int) -> Bars:
        until = self.now // interval * interval + interval
        since = until - (count + 1) * interval
        rows = [r for r in self.market.klines(n, interval, since, until - 1) if since <= r[0] * MS < until]
        found = bar_rows(rows, self.market.contracts[n].multiplier, interval)
        seconds = HOUR_S if interval == HOUR else DAY_S
        symbol = self.market.symbols[n]
        return Bars(
            ts=self.now, symbol=symbol, interval_s=seconds, since=since, until=until, as_of=self.now, rows=found
        )

    def polls(self) -> list[ContractStats]:
        """One contracts poll."""
        return [stats_of(row, self.now) for row in self._rows]

    def decoded(self, template: Template) -> Message:
        """The message of a frame with the next sequence, 10 µs after the last."""
        self._sequence += 1
        self.now += 10_000
        message = self._wire.decode(template.frame(self._sequence, self.now), self.now)
        assert isinstance(message, Message)
        return message

    def frames(self, tape: Iterator[Template], count: int) -> list[tuple[bytes, int]]:
        """The next `count` frames of `tape`, each with the time (ns) at which it is received, 10 µs after the last."""
        found = []
        for template in islice(tape, count):
            self._sequence += 1
            self.now += 10_000
            found.append((template.frame(self._sequence, self.now), self.now))
        return found

    def some(self, templates: Sequence[Template], count: int) -> list[Message]:
        """Messages of the next `count` of `templates`, from the start again when they end."""
        endless = (template for _ in range(count // max(1, len(templates)) + 1) for template in templates)
        return [self.decoded(template) for template in islice(endless, count)]

    def books(self) -> list[Depth]:
        """A REST book of every contract."""
        found = []
        for template in self.market.depths(list(range(len(self.market.symbols))), 1):
            depth = self.decoded(template)
            assert isinstance(depth, Depth)
            found.append(msgspec.structs.replace(depth, source="rest"))
        return found

    def heard(self) -> list[Message]:
        """Every contract polled, quoted, traded, with a book: nothing is stale or absent afterwards."""
        quotes = map(self.decoded, self.market.tickers(1))
        return [*self.polls(), *quotes, *map(self.decoded, self.market.trades(1)), *self.books()]

    def hear_all(self) -> None:
        """Process all of that."""
        for message in self.heard():
            self.engine.process(message)

    def to_close(self, interval: int) -> Tick:
        """Let time pass to the next end of `interval`, with everybody heard just before; the tick that closes it."""
        end = (self.now // interval + 1) * interval
        self.now = end - SECOND
        self.hear_all()
        self.hear_all()  # what a silence had made stale is fresh after two
        self.now = end + int(self.engine.settings.market.close_grace_s * SECOND)
        self.engine.process(Tick(ts=self.now - 1))  # the sweeps that were due meanwhile are no part of the close
        self.now += 1
        return Tick(ts=self.now)

    def to_silence(self, seconds: int) -> Tick:
        """Nobody says anything for so long; the tick whose sweep finds it out."""
        self.hear_all()
        self.hear_all()
        self.now += seconds * SECOND
        return Tick(ts=self.now)


def cpu_us(act: Callable[[Any], object], batches: Sequence[Sequence[Any]]) -> float:
    """Thread CPU microseconds that `act` takes an item, in the best of `batches`: neighbours only ever add."""
    gc.collect()
    gc.freeze()  # as the daemon does once it has started: what is measured with is not looked at again and again
    taken = []
    for batch in batches:
        began = time.thread_time_ns()
        for item in batch:
            act(item)
        taken.append((time.thread_time_ns() - began) / 1e3 / len(batch))
    return min(taken)
