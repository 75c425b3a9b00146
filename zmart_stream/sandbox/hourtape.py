"""One hour of one contract: its minute bars, the trades in them, and what the hour looks like part of the way."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from zmart_stream.sandbox.contracts import MINUTE_NS, MS, Contract, keys_of
from zmart_stream.sandbox.expand import Tape, TickBars, split_trades
from zmart_stream.sandbox.keyed import BoolArray, FloatArray, IntArray
from zmart_stream.sandbox.klines import ValuedBars
from zmart_stream.sandbox.market import Print

_TRADES = 0x7AADE5
_SEQUENCE_ROOM = 10**11
_TOGETHER = 64  # contracts whose trades are drawn at once
_SIDES = ("sell", "buy")
_print = partial(tuple.__new__, Print)  # what `Print(*row)` does, without a call of Python code


class Running(NamedTuple):
    """A part of the hour up to an instant; prices in ticks, 0 lots = no trade yet."""

    open: int
    high: int
    low: int
    close: int
    lots: int
    money: float  # Σ price × lots, or lots ÷ price on inverse contracts
    value: int  # Σ ticks × lots


_NOTHING = Running(0, 0, 0, 0, 0, 0.0, 0)


class _Trades(NamedTuple):
    """The trades of an hour, in order."""

    times: IntArray  # ns
    ticks: IntArray
    prices: FloatArray
    lots: IntArray
    buy: BoolArray

    def part(self, first: int, last: int) -> _Trades:
        """Trades [first, last)."""
        cut = slice(first, last)
        return _Trades(self.times[cut], self.ticks[cut], self.prices[cut], self.lots[cut], self.buy[cut])


def money_of(contract: Contract, bars: TickBars) -> FloatArray:
    """Price × lots of each bar (linear contracts)."""
    return contract.prices_of(bars.value)


def minute_money(contract: Contract, first: int, minutes: TickBars) -> FloatArray:
    """Lots ÷ price of each of consecutive minute bars, the first being minute `first` (inverse contracts)."""
    index = np.arange(first, first + len(minutes.lots), dtype=np.int64)
    tape = split_trades(minutes, index=index, key=contract.key ^ _TRADES)
    return _by_minute(tape.lots / contract.prices_of(tape.ticks), tape.offset)


def _by_minute(worth: FloatArray, offset: IntArray) -> FloatArray:
    """Sums minute by minute, in an order that does not depend on what stands before the minute."""
    table = np.zeros((len(offset) - 1, 8))
    table[np.arange(8) < np.diff(offset)[:, None]] = worth
    return np.asarray(np.cumsum(table, axis=1)[:, -1], dtype=np.float64)


def hour_tapes(contracts: Sequence[Contract], hour: int, minutes: TickBars) -> list[HourTape]:
    """The tapes of one hour (since the epoch) of several contracts; `minutes` are their 60 bars each, in a row."""
    count = len(contracts)
    index = np.tile(np.arange(hour * 60, hour * 60 + 60, dtype=np.int64), count)
    tape = split_trades(minutes, index=index, key=np.repeat(keys_of(contracts, _TRADES), 60))
    trades = _trades(contracts, index * MINUTE_NS, tape)
    ends = tape.offset[::60].tolist()
    tapes = []
    for at, contract in enumerate(contracts):
        first, last = ends[at], ends[at + 1]
        offset = (tape.offset[at * 60 : at * 60 + 61] - first).tolist()
        tapes.append(HourTape(contract, minutes.take(slice(at * 60, at * 60 + 60)), offset, trades.part(first, last)))
    return tapes


def _trades(contracts: Sequence[Contract], starts: IntArray, tape: Tape) -> _Trades:
    """The trades of all contracts with their times and prices; `starts` (ns) of every minute."""
    counts = np.diff(tape.offset[::60])
    step = np.repeat(np.array([contract.step for contract in contracts], dtype=np.int64), counts)
    scale = np.repeat(np.array([contract.scale for contract in contracts]), counts)
    times = np.repeat(starts, np.diff(tape.offset)) + tape.ms * MS
    return _Trades(times, tape.ticks, tape.ticks * step / scale, tape.lots, tape.buy)


class HourTape:
    """Minute bars and trades of one hour."""

    def __init__(self, contract: Contract, minutes: TickBars, offset: list[int], trades: _Trades) -> None:
        """`minutes` are the hour's 60 bars; trades of minute i are [offset[i], offset[i + 1])."""
        self.contract = contract
        self._offset = offset
        self._trades = trades
        self._times = memoryview(trades.times)  # type: ignore[arg-type]  # an array is a buffer; a view is quick to bisect
        self.minutes = minutes
        self.before: tuple[int, bool] | None = None
        """(ticks, taker bought) of the last trade before the hour, once somebody has looked for it."""

    def prints(self, minute: int) -> list[Print]:
        """The trades of one minute of the hour, 0..59."""
        part = slice(self._offset[minute], self._offset[minute + 1])
        times, _, prices, lots, buy = self._trades
        stamps, shift = times[part].tolist(), self.contract.key % _SEQUENCE_ROOM
        sides = [_SIDES[bought] for bought in buy[part].tolist()]
        sequences = [stamp // MS + shift for stamp in stamps]
        return list(map(Print, stamps, prices[part].tolist(), lots[part].tolist(), sides, sequences))

    def last(self, now: int) -> tuple[int, bool] | None:
        """(ticks, taker bought) of the last trade of the hour up to `now` (ns)."""
        at = bisect_right(self._times, now) - 1
        return None if at < 0 else (int(self._trades.ticks[at]), bool(self._trades.buy[at]))

    def since(self, minute: int, now: int) -> Running:
        """From the start of a minute of the hour up to and including `now` (ns)."""
        first, last = self._offset[minute], bisect_right(self._times, now)
        if last <= first:
            return _NOTHING
        ticks, lots = self._trades.ticks[first:last], self._trades.lots[first:last]
        value = int((ticks * lots).sum())
        money = self._inverse_worth(first, last) if self.contract.inverse else self.contract.price_of(value)
        return Running(int(ticks[0]), int(ticks.max()), int(ticks.min()), int(ticks[-1]), int(lots.sum()), money, value)

    def valued(self, first: int, last: int) -> ValuedBars:
        """Minutes [first, last) of the hour."""
        bars = self.minutes.take(slice(first, last))
        return ValuedBars(bars, self._money[first:last] if self.contract.inverse else None)

    @cached_property
    def _money(self) -> FloatArray:
        """Lots ÷ price of each minute."""
        return _by_minute(self._trades.lots / self._trades.prices, np.array(self._offset))

    def _inverse_worth(self, first: int, last: int) -> float:
        """Lots ÷ price of some trades, added up one by one."""
        return float(np.cumsum(self._trades.lots[first:last] / self._trades.prices[first:last])[-1])


class HourTapes:
    """The tapes in use; several contracts are drawn together, which is many times cheaper and changes no figure."""

    def __init__(self, minutes_of: Callable[[Sequence[Contract], int], TickBars], room: int) -> None:
        """`minutes_of` gives the 60 bars of an hour of several contracts; about `room` tapes are kept."""
        self._minutes_of = minutes_of
        self._room = room + 2 * _TOGETHER
        self._hours: OrderedDict[int, dict[str, HourTape]] = OrderedDict()
        self._held = 0

    def of(self, contract: Contract, hour: int) -> HourTape:
        """The tape of a contract's hour (since the epoch)."""
        tapes = self._hours.get(hour)
        tape = None if tapes is None else tapes.get(contract.symbol)
        if tape is None:
            self._draw([contract, *self._companions(contract, hour)], hour)
            return self._hours[hour][contract.symbol]
        self._hours.move_to_end(hour)
        return tape

    def prepare(self, contracts: Sequence[Contract], hour: int) -> None:
        """Draw what is missing of the hour of these contracts."""
        here = self._hours.get(hour, {})
        missing = [contract for contract in contracts if contract.symbol not in here]
        for at in range(0, len(missing), _TOGETHER):
            self._draw(missing[at : at + _TOGETHER], hour)

    def _companions(self, contract: Contract, hour: int) -> list[Contract]:
        """Contracts that were asked for an hour before, and so will be in this one."""
        here = self._hours.get(hour, {})
        found = [tape.contract for symbol, tape in self._hours.get(hour - 1, {}).items() if symbol not in here]
        return [other for other in found if other is not contract][: _TOGETHER - 1]

    def _draw(self, contracts: Sequence[Contract], hour: int) -> None:
        """Draw tapes of one hour; the hour that nobody looked at for longest makes room."""
        drawn = hour_tapes(contracts, hour, self._minutes_of(contracts, hour))
        self._hours.setdefault(hour, {}).update((tape.contract.symbol, tape) for tape in drawn)
        self._hours.move_to_end(hour)
        self._held += len(drawn)
        while self._held > self._room and len(self._hours) > 1:
            self._held -= len(self._hours.popitem(last=False)[1])
