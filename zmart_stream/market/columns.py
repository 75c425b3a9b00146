"""What a scorer's `close` reads: ring columns and the figures of a close, over rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from zmart_stream.market.bars import BarRing, Field, FloatArray, IntArray
from zmart_stream.market.contract_state import ContractState


@dataclass(frozen=True, slots=True)
class HourColumns:
    """Figures after the newest closed hour bar: a window of N is the newest N closed bars. A value per row, nan absent.

    They equal what `touch` computes from the handed-back slots just before the close, with the forming bar as the last.
    """

    seen: FloatArray  # hour bars since the row's first
    close: FloatArray
    ew_mean: FloatArray  # of 1 h returns, half-life 72 h
    ew_var: FloatArray
    max_return: FloatArray  # largest 1 h return in 168 h
    drawdown: FloatArray  # max drawdown in 168 h, fraction >= 0
    turnover_24: FloatArray  # quote currency, newest 24 bars
    base_close_24: FloatArray  # the close 24 bars before the newest
    buy_24: FloatArray  # taker buy lots where the split is known
    sell_24: FloatArray
    rsi: FloatArray  # RSI(14) on hour bars
    efficiency: FloatArray  # Kaufman over 168 h
    amihud: FloatArray  # mean |return| / turnover over 168 h
    correlation: FloatArray  # EW, half-life 72 h, with the universe's mean return


@dataclass(frozen=True, slots=True)
class DayColumns:
    """Day figures with today (its closed hours) as the provisional newest day; means of turnover are of closed days.

    At the close that ends a UTC day they are taken before that day is committed, as `touch` saw it.
    """

    seen: FloatArray  # closed day bars since the row's first, without today
    close: FloatArray  # the provisional close: the newest closed hour's
    high: FloatArray
    low: FloatArray
    rsi: FloatArray
    macd: FloatArray  # line, price units
    atr: FloatArray  # price units
    boll_mean: FloatArray
    boll_std: FloatArray  # population
    turnover_7: FloatArray
    turnover_20: FloatArray
    turnover_30: FloatArray


class RingColumns:
    """One ring's fields for some rows: each property has shape (rows, slots), oldest to newest."""

    __slots__ = ("_ring", "_rows")

    def __init__(self, ring: BarRing, rows: IntArray | None) -> None:
        self._ring = ring
        self._rows = rows

    def _field(self, field: Field) -> FloatArray:
        window = self._ring.window(field).T
        return window if self._rows is None else window[self._rows]

    @property
    def open(self) -> FloatArray:
        """Open prices."""
        return self._field(Field.OPEN)

    @property
    def high(self) -> FloatArray:
        """High prices."""
        return self._field(Field.HIGH)

    @property
    def low(self) -> FloatArray:
        """Low prices."""
        return self._field(Field.LOW)

    @property
    def close(self) -> FloatArray:
        """Closes, carried forward through intervals without a trade."""
        return self._field(Field.CLOSE)

    @property
    def lots(self) -> FloatArray:
        """Lots traded."""
        return self._field(Field.LOTS)

    @property
    def turnover(self) -> FloatArray:
        """Turnover in quote currency."""
        return self._field(Field.TURNOVER)

    @property
    def buy(self) -> FloatArray:
        """Taker buy lots, nan where the split is unknown."""
        return self._field(Field.BUY)

    @property
    def sell(self) -> FloatArray:
        """Taker sell lots, nan where the split is unknown."""
        return self._field(Field.SELL)

    @property
    def count(self) -> FloatArray:
        """Trades, nan where unknown."""
        return self._field(Field.COUNT)

    @property
    def whole(self) -> FloatArray:
        """1.0 where the bar is known to equal the venue's."""
        return self._field(Field.WHOLE)


class BarView:
    """All that `close(bars)` may read; `rows[i]` is the row of `contracts[i]` and of every array's i-th value.

    `hours` and `days` are views of the rings; the figures `hour` and `day` are made when they are first asked for.
    """

    def __init__(
        self,
        rows: IntArray,
        contracts: list[ContractState],
        *,
        rings: tuple[RingColumns, RingColumns],
        make_hour: Callable[[], HourColumns],
        make_day: Callable[[], DayColumns],
    ) -> None:
        self.rows = rows
        self.contracts = contracts
        self.hours, self.days = rings
        self._make_hour = make_hour
        self._make_day = make_day

    @cached_property
    def hour(self) -> HourColumns:
        """Figures of the newest closed hour."""
        return self._make_hour()

    @cached_property
    def day(self) -> DayColumns:
        """Figures of the provisional day."""
        return self._make_day()
