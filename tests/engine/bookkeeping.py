"""A second set of books, kept in floats from what the core tells alone, and random histories for both."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from tests.engine.stream import DAY, HOUR, NS, Session
from zmart_stream.domain.commands import (
    AddHolding,
    BlockSymbol,
    Pause,
    PinHolding,
    Rebalance,
    RemoveHolding,
    ReplaceHolding,
    Resume,
)
from zmart_stream.domain.market import FundingSettled, Listing
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookTraded, EquityMarked, FundingPaid, PaperQuote
from zmart_stream.engine.engine import Engine

UNIT = 100_000_000


class Bookkeeper:
    """Cash, quantities and prices after every message; `check` holds each EquityMarked against them."""

    def __init__(self, start: float = 100_000.0) -> None:
        self.cash = start
        self.quantity: dict[str, float] = {}
        self.price: dict[str, float] = {}
        self.costs = self.funding = 0
        self.last: EquityMarked | None = None
        self.marked = 0

    @property
    def equity(self) -> float:
        return self.cash + sum(q * self.price[symbol] for symbol, q in self.quantity.items())

    def take(self, engine: Engine, told: list[Message]) -> None:
        """What the engine told about one message; its market is as it was then."""
        for message in told:
            if isinstance(message, EquityMarked):
                self._check(engine, message)
            elif isinstance(message, BookTraded):
                self._trade(message)
            elif isinstance(message, FundingPaid):
                self.cash += message.amount / UNIT
                self.funding += message.amount
                assert message.amount == -round(message.value * message.rate)

    def _trade(self, traded: BookTraded) -> None:
        for symbol, quote in traded.quotes.items():
            self.price[symbol] = quote.price
        before = self.equity
        held = {symbol: q * self.price[symbol] for symbol, q in self.quantity.items()}
        after = before - traded.costs / UNIT
        wanted = {symbol: after * weight / 100.0 for symbol, weight in traded.weights.items()}
        paid = sum(
            abs(wanted.get(symbol, 0.0) - held.get(symbol, 0.0)) * _cost(traded.quotes, symbol)
            for symbol in dict.fromkeys((*held, *wanted))
        )
        assert traded.costs / UNIT == pytest.approx(paid, rel=1e-6, abs=1e-4)
        self.quantity = {symbol: value / self.price[symbol] for symbol, value in wanted.items()}
        self.cash = after - sum(wanted.values())
        self.costs += traded.costs

    def _check(self, engine: Engine, marked: EquityMarked) -> None:
        marks = engine._stages.paper.marks()
        for symbol in self.quantity:
            self.price[symbol] = marks.get(symbol, self.price[symbol])
        assert marked.equity / UNIT == pytest.approx(self.equity, abs=0.01)
        assert marked.cash / UNIT == pytest.approx(self.cash, abs=0.01)
        if self.last is not None:
            assert marked.equity == self.last.equity + marked.price_pnl + marked.funding - marked.costs
            assert marked.end > self.last.end
        assert (marked.costs, marked.funding) == (self.costs, self.funding)
        self.costs = self.funding = 0
        self.last, self.marked = marked, self.marked + 1


def _cost(quotes: dict[str, PaperQuote], symbol: str) -> float:
    return quotes[symbol].cost_bps / 1e4


class History:
    """A random history on a `Session`: its ticks, settlements, delistings, and operators who do what they like."""

    def __init__(self, session: Session, seed: int, commands: float = 0.02) -> None:
        self._commands = commands
        self.session = session
        self.random = random.Random(seed)
        self.gone: list[str] = []
        self._asked = 0

    def messages(self, since: int, until: int, step: int) -> Iterator[Message]:
        settled = since // (8 * HOUR) * 8 * HOUR
        for message in self.session.run(since, until, step):
            yield message
            while message.ts >= settled + 8 * HOUR + 2 * NS:
                settled += 8 * HOUR
                yield from self.settlement(settled, message.ts)
            if self.random.random() < self._commands:
                yield self.command(message.ts)
            if self.random.random() < 0.002 and len(self.gone) < 4:
                contract = self.random.choice(self.session.contracts)
                self.gone.append(contract.symbol)
                yield Listing(ts=message.ts, contract=contract, change="delisted")

    def settlement(self, settled: int, ts: int) -> Iterator[Message]:
        for contract in self.session.contracts:
            if contract.symbol not in self.gone:
                rate = self.random.gauss(0.0, 5e-4)
                yield FundingSettled(ts=ts, ts_event=settled, symbol=contract.symbol, rate=rate)

    def command(self, ts: int) -> Message:
        self._asked += 1
        one, other = (self.random.choice(self.session.contracts).symbol for _ in range(2))
        asked: list[Message] = [
            AddHolding(ts=ts, request_id="", symbol=one),
            RemoveHolding(ts=ts, request_id="", symbol=one),
            ReplaceHolding(ts=ts, request_id="", symbol_out=one, symbol_in=other),
            ReplaceHolding(ts=ts, request_id="", symbol_out=other, symbol_in=one),
            PinHolding(ts=ts, request_id="", symbol=one),
            BlockSymbol(ts=ts, request_id="", symbol=one),
            Rebalance(ts=ts, request_id=""),
            Pause(ts=ts, request_id=""),
            Resume(ts=ts, request_id=""),
            Resume(ts=ts, request_id=""),
        ]
        return msgspec.structs.replace(self.random.choice(asked), request_id=str(self._asked))


def midnight(ts: int) -> int:
    """The first 00:00 UTC after `ts`."""
    return (ts // DAY + 1) * DAY
