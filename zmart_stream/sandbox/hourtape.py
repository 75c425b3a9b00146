"""One hour of one contract: its minute bars, the trades in them, and what the hour looks like part of the way."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from zmart_stream.sandbox.contracts import HOUR_NS, MINUTE_NS, MS, Contract
from zmart_stream.sandbox.expand import Tape, TickBars, split_trades
from zmart_stream.sandbox.keyed import FloatArray, IntArray
from zmart_stream.sandbox.klines import ValuedBars
from zmart_stream.sandbox.market import Print

_TRADES = 0x7AADE5
_SEQUENCE_ROOM = 10**11
_MINUTES = np.arange(60, dtype=np.int64)


class Running(NamedTuple):
    """The hour up to an instant; prices in ticks, 0 lots = no trade yet."""

    open: int
    high: int
    low: int
    lots: int
    money: float


def money_of(contract: Contract, bars: TickBars) -> FloatArray:
    """Price × lots of each bar (linear contracts)."""
    return np.asarray(bars.value * contract.step / contract.scale, dtype=np.float64)


def minute_money(contract: Contract, first: int, minutes: TickBars) -> FloatArray:
    """Lots ÷ price of each of consecutive minute bars, the first being minute `first` (inverse contracts)."""
    return _inverse_money(contract, _tape_of(contract, first, minutes))


def _tape_of(contract: Contract, first: int, minutes: TickBars) -> Tape:
    index = np.arange(first, first + len(minutes.lots), dtype=np.int64)
    return split_trades(minutes, index=index, key=contract.key ^ _TRADES)


def _inverse_money(contract: Contract, tape: Tape) -> FloatArray:
    """Sums minute by minute, in an order that does not depend on what stands before the minute."""
    worth = _worth(contract, tape.ticks, tape.lots)
    table = np.zeros((len(tape.offset) - 1, 8))
    counts = np.diff(tape.offset)
    table[np.arange(8) < counts[:, None]] = worth
    return np.asarray(np.cumsum(table, axis=1)[:, -1], dtype=np.float64)


def _worth(contract: Contract, ticks: IntArray, lots: IntArray) -> FloatArray:
    prices = contract.prices_of(ticks)
    return lots / prices if contract.inverse else lots * prices


class HourTape:
    """Minute bars at once, trades when first asked for."""

    def __init__(self, contract: Contract, hour: int, minutes: TickBars) -> None:
        """`minutes` are the 60 bars of `hour` (hours since the epoch)."""
        self._contract = contract
        self._hour = hour
        self.minutes = minutes

    def draw(self) -> None:
        """Draw the trades now rather than when they are asked for."""
        _ = self._times

    def prints(self, minute: int) -> list[Print]:
        """The trades of one minute of the hour, 0..59."""
        tape = self._tape
        part = slice(int(tape.offset[minute]), int(tape.offset[minute + 1]))
        times = self._times[part]
        sequences = times // MS + self._contract.key % _SEQUENCE_ROOM
        sides = ["buy" if buy else "sell" for buy in tape.buy[part].tolist()]
        columns = (times.tolist(), self._prices[part].tolist(), tape.lots[part].tolist(), sides, sequences.tolist())
        return [Print(*row) for row in zip(*columns, strict=True)]

    def last(self, now: int) -> tuple[int, bool] | None:
        """(ticks, taker bought) of the last trade of the hour up to `now` (ns)."""
        at = int(np.searchsorted(self._times, now, side="right")) - 1
        return None if at < 0 else (int(self._tape.ticks[at]), bool(self._tape.buy[at]))

    def upto(self, now: int) -> Running:
        """The hour up to and including `now` (ns)."""
        at = int(np.searchsorted(self._times, now, side="right")) - 1
        if at < 0:
            return Running(0, 0, 0, 0, 0.0)
        highs, lows, lots, money = self._progress
        return Running(int(self._tape.ticks[0]), int(highs[at]), int(lows[at]), int(lots[at]), float(money[at]))

    def valued(self, first: int, last: int) -> ValuedBars:
        """Minutes [first, last) of the hour."""
        return ValuedBars(self.minutes.take(slice(first, last)), self.money[first:last])

    def part(self, minute: int, now: int) -> ValuedBars:
        """One minute up to and including `now` (ns), one row."""
        tape = self._tape
        first = int(tape.offset[minute])
        last = min(int(tape.offset[minute + 1]), int(np.searchsorted(self._times, now, side="right")))
        if last <= first:
            return ValuedBars(TickBars(*np.zeros((6, 1), dtype=np.int64)), np.zeros(1))
        ticks, lots = tape.ticks[first:last], tape.lots[first:last]
        figures = (ticks[0], ticks.max(), ticks.min(), ticks[-1], lots.sum(), (ticks * lots).sum())
        bar = TickBars(*(np.array([figure], dtype=np.int64) for figure in figures))
        return ValuedBars(bar, np.cumsum(_worth(self._contract, ticks, lots))[-1:])

    @cached_property
    def money(self) -> FloatArray:
        """Price × lots (or lots ÷ price) of each minute."""
        if not self._contract.inverse:
            return money_of(self._contract, self.minutes)
        return _inverse_money(self._contract, self._tape)

    @cached_property
    def _tape(self) -> Tape:
        return _tape_of(self._contract, self._hour * 60, self.minutes)

    @cached_property
    def _times(self) -> IntArray:
        tape = self._tape
        starts = np.repeat(self._hour * HOUR_NS + _MINUTES * MINUTE_NS, np.diff(tape.offset))
        return np.asarray(starts + tape.ms * MS, dtype=np.int64)

    @cached_property
    def _prices(self) -> FloatArray:
        return self._contract.prices_of(self._tape.ticks)

    @cached_property
    def _progress(self) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        ticks, lots = self._tape.ticks, self._tape.lots
        highs, lows = np.maximum.accumulate(ticks), np.minimum.accumulate(ticks)
        return highs, lows, np.cumsum(lots), np.cumsum(_worth(self._contract, ticks, lots))
