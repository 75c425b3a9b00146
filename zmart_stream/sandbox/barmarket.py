"""A market made of bars: everything the venue asks, answered from hour bars, minute bars and the trades within them."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Any, NamedTuple, Protocol

import numpy as np

from zmart_stream.sandbox.contracts import DAY_NS, HOUR_MS, HOUR_NS, MINUTE_NS, MS, Contract, contract_row
from zmart_stream.sandbox.expand import TickBars
from zmart_stream.sandbox.funding import Funding
from zmart_stream.sandbox.hourtape import HourTapes, minute_money, money_of
from zmart_stream.sandbox.keyed import FloatArray, smooth_at, uniform_at
from zmart_stream.sandbox.klines import ValuedBars, bar_start, bar_starts, chained, joined, traded_rows
from zmart_stream.sandbox.market import Bars, DayStats, FundingState, Print, Quotes
from zmart_stream.sandbox.orderbook import FEW, Ladders, book

_CACHED_HOURS = 2.25  # of each contract, on average
_WORTH_BATCHING = 36  # books × (levels + 1) from which arrays are quicker than plain numbers
_LOOK_BACK = 72  # hours without a trade after which the last price is the hour's open
_HIGHEST = 2**62
_DAILY_INTEREST = 3.0e-4
_INVERSE_BATCH = 24  # hours
_DRAW_AHEAD = 20  # minutes of an hour over which its successor's trades are drawn, contract by contract


class Roster(Protocol):
    """Which contracts there are, and when."""

    def alive(self, now: int) -> tuple[str, ...]:
        """Symbols listed at `now` (ns), most liquid first."""
        ...

    def contract(self, symbol: str) -> Contract:
        """The contract of a symbol that was listed at some time asked for; KeyError if there is none."""
        ...


class BarSource(Protocol):
    """Bars in whole numbers; hours and minutes of one contract agree exactly."""

    def hours(self, contract: Contract, first: int, last: int) -> TickBars:
        """Hour bars of hours [first, last) since the epoch, dense; lots 0 = no trades, prices then stand still."""
        ...

    def minutes(self, contract: Contract, first: int, last: int) -> TickBars:
        """The minute bars of hours [first, last), 60 each, in a row."""
        ...

    def minutes_of(self, contracts: Sequence[Contract], hour: int) -> TickBars:
        """The 60 minute bars of one hour of each contract, contract after contract."""
        ...

    def prepare(self, contracts: Sequence[Contract], first: int, last: int) -> None:
        """All these contracts are about to be asked for hours [first, last); changes no answer."""
        ...


class _Past(NamedTuple):
    """The 24 hours before the running one; prices in ticks, open 0 = no trade, lots and money without the oldest."""

    open: int
    high: int
    low: int
    lots: int
    money: float
    oldest_lots: int
    oldest_money: float


class BarMarket:
    """A `Market` over a roster, a source of bars and a funding clock."""

    def __init__(
        self, *, name: str, seed: int, span: tuple[int, int | None], roster: Roster, source: BarSource, funding: Funding
    ) -> None:
        """`span` is (start, end) in ns, end None for an endless market."""
        self.name = name
        self.seed = seed
        self.start, self.end = span
        self._roster = roster
        self._source = source
        self._funding = funding
        self._tapes = HourTapes(source.minutes_of, int(_CACHED_HOURS * len(roster.alive(self.start))))
        self._ladders = Ladders()
        self._inverse_hours: dict[str, dict[int, float]] = {}
        self._past: dict[str, tuple[int, _Past]] = {}

    def symbols(self, now: int) -> tuple[str, ...]:
        """Symbols listed at `now`, most liquid first."""
        return self._roster.alive(now)

    def prints(self, symbol: str, minute: int) -> list[Print]:
        """All trades of the minute, in order; the coming hour is drawn ahead so that none begins with a stall."""
        contract = self._roster.contract(symbol)
        hour, within = divmod(minute, 60)
        if within == 60 - _DRAW_AHEAD + contract.key % _DRAW_AHEAD:
            self._tapes.of(contract, hour + 1)
        return self._tapes.of(contract, hour).prints(within)

    def bars(self, symbol: str, granularity: int, start_ms: int, end_ms: int) -> Bars:
        """Whole bars whose start lies in [start_ms, end_ms), also those in the future of any clock."""
        contract = self._roster.contract(symbol)
        begin, finish = self._life(contract)
        floor = bar_start(begin // MINUTE_NS, granularity) * 60_000
        first, last = bar_starts(max(start_ms, floor), min(end_ms, finish // MS), granularity)
        if last <= first:
            return np.empty((0, 7))
        per = 60 if granularity >= 60 else 1
        fine = self._valued_hours(contract, first // 60, last // 60) if per == 60 else self._span(contract, first, last)
        whole = joined(fine, granularity // per)
        return _rows(contract, *traded_rows(whole, np.arange(first, last, granularity, dtype=np.int64)))

    def running_bar(self, symbol: str, granularity: int, now: int) -> list[float] | None:
        """The bar that contains `now`, of the trades up to and including `now`; None if there were none."""
        contract = self._roster.contract(symbol)
        start, hour = bar_start(now // MINUTE_NS, granularity), now // HOUR_NS
        run = self._tapes.of(contract, hour).since(start % 60, now)
        if start // 60 == hour:
            money = run.money if contract.inverse else run.money * contract.multiplier
            prices = (contract.price_of(ticks) for ticks in run[:4])
            return [start * 60_000.0, *prices, float(run.lots), money] if run.lots else None
        figures = (run.open, run.high, run.low, run.close, run.lots, run.value)
        piece = TickBars(*(np.array([figure], dtype=np.int64) for figure in figures))
        before = self._valued_hours(contract, start // 60, hour)
        source = chained(before, ValuedBars(piece, np.array([run.money]) if contract.inverse else None))
        whole = joined(source, len(source.bars.lots))
        rows = _rows(contract, *traded_rows(whole, np.array([start], dtype=np.int64))).tolist()
        return list(rows[0]) if rows else None

    def quotes(self, symbol: str, now: int, levels: int) -> Quotes:
        """The book at `now`, best `levels` a side (at most 1000)."""
        contract = self._roster.contract(symbol)
        ticks, bought = self._last(contract, now)
        return book(contract, ticks, bought, now, levels)

    def quotes_of(self, symbols: Sequence[str], now: int, levels: int) -> list[Quotes]:
        """`quotes` of several contracts at one instant, in the same order."""
        contracts = [self._roster.contract(symbol) for symbol in symbols]
        lasts = [self._last(contract, now) for contract in contracts]
        if levels > FEW or len(contracts) * (levels + 1) < _WORTH_BATCHING:
            return [book(c, *last, now, levels) for c, last in zip(contracts, lasts, strict=True)]
        return self._ladders.books(contracts, lasts, now, levels)

    def mark_index(self, symbol: str, now: int) -> tuple[float, float]:
        """(mark price, index price)."""
        contract = self._roster.contract(symbol)
        return self._mark_index(contract, contract.price_of(self._last(contract, now)[0]), now)

    def funding(self, symbol: str, now: int) -> FundingState | None:
        """The funding clock, None for dated contracts."""
        return self._funding.state(self._roster.contract(symbol), now)

    def settlements(self, symbol: str, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
        """Settled rates with settlement time (ms) in [start_ms, end_ms], ascending."""
        contract = self._roster.contract(symbol)
        return self._funding.settlements(contract, start_ms, min(end_ms, self._life(contract)[1] // MS))

    def open_interest(self, symbol: str, now: int) -> int:
        """Open interest in lots: a share of a day's turnover that wanders over days, hours and minutes."""
        c = self._roster.contract(symbol)
        at = now // MS
        wander = 0.45 * smooth_at(c.key ^ 0x01, at, 144 * HOUR_MS) + 0.12 * smooth_at(c.key ^ 0x02, at, 10 * HOUR_MS)
        wander += 0.01 * smooth_at(c.key ^ 0x03, at, HOUR_MS // 4)
        typical = c.turnover * (0.2 + 0.8 * uniform_at(c.key, 301)) / c.lot_usd
        return max(1, round(typical * exp(0.7 * wander)))

    def day_stats(self, symbol: str, now: int) -> DayStats:
        """Rolling 24 h: 23 whole hours, the running one up to `now`, and the oldest one by its remaining share."""
        return self._day(self._roster.contract(symbol), now)[0]

    def contract_row(self, symbol: str, now: int) -> dict[str, Any]:
        """The full `contracts/active` row as JSON values at `now`."""
        return self._row(self._roster.contract(symbol), now)

    def contract_rows(self, symbols: Sequence[str], now: int) -> list[dict[str, Any]]:
        """`contract_row` of several contracts; what they have not drawn yet is drawn together."""
        contracts, hour = [self._roster.contract(symbol) for symbol in symbols], now // HOUR_NS
        self._tapes.prepare(contracts, hour)
        unknown = [contract for contract in contracts if self._past.get(contract.symbol, (0,))[0] != hour]
        if unknown:
            self._source.prepare(unknown, hour - 24, hour)
            self._past.update((contract.symbol, (hour, self._drawn_past(contract, hour))) for contract in unknown)
        return [self._row(contract, now) for contract in contracts]

    def _row(self, contract: Contract, now: int) -> dict[str, Any]:
        symbol = contract.symbol
        stats, ticks = self._day(contract, now)
        mark, index = self._mark_index(contract, contract.price_of(ticks), now)
        volume = float(stats.lots) if contract.inverse else stats.lots * contract.multiplier
        change = 0.0 if stats.last is None else stats.last - stats.open
        band = contract.static_row["orderPriceRange"]
        moving = {
            "openInterest": str(self.open_interest(symbol, now)),
            "volumeOf24h": round(volume, 8),
            "turnoverOf24h": round(stats.turnover, 8),
            "markPrice": mark,
            "indexPrice": index,
            "lastTradePrice": stats.last,
            "lowPrice": stats.low,
            "highPrice": stats.high,
            "priceChg": round(change, contract.digits),
            "priceChgPct": round(change / stats.open, 4) if stats.open else 0.0,
            "buyLimit": round(mark * (1 + band), contract.digits),
            "sellLimit": round(mark * (1 - band), contract.digits),
        }
        return contract_row(contract, now, moving | _funding_fields(contract, self._funding.state(contract, now), now))

    def _life(self, contract: Contract) -> tuple[int, int]:
        """(first, last) ns of its market."""
        ends = [end for end in (contract.delisted, self.end) if end is not None]
        return contract.listed, min(ends) if ends else 2**62

    def _valued_hours(self, contract: Contract, first: int, last: int) -> ValuedBars:
        bars = self._source.hours(contract, first, last)
        return ValuedBars(bars, self._inverse_money(contract, first, last) if contract.inverse else None)

    def _inverse_money(self, contract: Contract, first: int, last: int) -> FloatArray:
        """Σ lots ÷ price of each hour: the one figure that only the trades can tell."""
        known = self._inverse_hours.setdefault(contract.symbol, {})
        for start in range(first, last):
            if start in known:
                continue
            batch = range(start, min(start + _INVERSE_BATCH, last))
            minutes = self._source.minutes(contract, batch.start, batch.stop)
            sums = np.cumsum(minute_money(contract, batch.start * 60, minutes).reshape(-1, 60), axis=1)[:, -1]
            known.update(zip(batch, sums.tolist(), strict=True))
        return np.array([known[hour] for hour in range(first, last)])

    def _span(self, contract: Contract, first: int, last: int) -> ValuedBars:
        """Minutes [first, last), both on one side of hour boundaries or across them."""
        hours = range(first // 60, (last - 1) // 60 + 1)
        if len(hours) == 1:
            return self._tapes.of(contract, hours[0]).valued(first - hours[0] * 60, last - hours[0] * 60)
        start = hours[0] * 60
        minutes = self._source.minutes(contract, hours.start, hours.stop)
        part = slice(first - start, last - start)
        money = minute_money(contract, start, minutes)[part] if contract.inverse else None
        return ValuedBars(minutes.take(part), money)

    def _last(self, contract: Contract, now: int) -> tuple[int, bool]:
        """(ticks, taker bought) of the last trade up to `now`."""
        hour = now // HOUR_NS
        tape = self._tapes.of(contract, hour)
        found = tape.last(now) or tape.before
        if found is None:
            bars = self._source.hours(contract, hour - _LOOK_BACK, hour + 1)
            traded = np.flatnonzero(bars.lots[:-1] > 0)
            ticks = bars.close[traded[-1]] if len(traded) else bars.open[-1]
            found = tape.before = int(ticks), bool(hour & 1)
        return found

    def _day(self, contract: Contract, now: int) -> tuple[DayStats, int]:
        """The rolling figures and the price (ticks) everything else leans on."""
        hour = now // HOUR_NS
        share = 1.0 - (now - hour * HOUR_NS) / HOUR_NS
        past = self._past_day(contract, hour)
        running = self._tapes.of(contract, hour).since(0, now)
        ticks, _ = self._last(contract, now)
        lots = past.lots + int(past.oldest_lots * share) + running.lots
        turnover = past.money + past.oldest_money * share + running.money
        price_of = contract.price_of
        if not lots:
            price = None if now - contract.listed < DAY_NS else price_of(ticks)
            return DayStats(price, 0.0, 0.0, price_of(ticks), 0, 0.0), ticks
        high = max(past.high, running.high)
        low = min(past.low, running.low) if running.lots else past.low
        before = past.open or running.open
        scale = 1.0 if contract.inverse else contract.multiplier
        return DayStats(price_of(ticks), price_of(high), price_of(low), price_of(before), lots, turnover * scale), ticks

    def _past_day(self, contract: Contract, hour: int) -> _Past:
        """The 24 whole hours before `hour`."""
        known = self._past.get(contract.symbol)
        if known is not None and known[0] == hour:
            return known[1]
        past = self._drawn_past(contract, hour)
        self._past[contract.symbol] = (hour, past)
        return past

    def _drawn_past(self, contract: Contract, hour: int) -> _Past:
        day, inverse = self._valued_hours(contract, hour - 24, hour)
        money = money_of(contract, day) if inverse is None else inverse
        traded = day.lots > 0
        return _Past(
            open=int(day.open[np.argmax(traded)]) if traded.any() else 0,
            high=int(np.where(traded, day.high, 0).max()),
            low=int(np.where(traded, day.low, _HIGHEST).min()),
            lots=int(day.lots[1:].sum()),
            money=float(money[1:].sum()),
            oldest_lots=int(day.lots[0]),
            oldest_money=float(money[0]),
        )

    def _mark_index(self, contract: Contract, last: float, now: int) -> tuple[float, float]:
        premium = self._funding.premium(contract, now)
        index = last / (1.0 + premium)
        mark = index * (1.0 + 0.8 * premium)
        digits = contract.digits + 1
        return round(mark, digits), round(index, digits)


def _funding_fields(contract: Contract, state: FundingState | None, now: int) -> dict[str, Any]:
    if state is None:
        return {}
    interval, following = state.interval // MS, state.next_time // MS
    return {
        "fundingFeeRate": state.rate,
        "lastTimeFundingRate": state.last_rate,
        "dailyInterestRate": _DAILY_INTEREST,
        "fundingRateGranularity": interval,
        "currentFundingRateGranularity": interval if contract.granularity_known else None,
        "effectiveFundingRateCycleStartTime": contract.listed // MS if interval != 8 * HOUR_MS else None,
        "fundingRateCap": state.cap,
        "fundingRateFloor": state.floor,
        "period": 1,
        "nextFundingRateTime": following - now // MS,
        "nextFundingRateDateTime": following,
    }


def _rows(contract: Contract, source: ValuedBars, starts: Any) -> Bars:
    bars = source.bars
    prices = [contract.prices_of(column) for column in (bars.open, bars.high, bars.low, bars.close)]
    money = money_of(contract, bars) * contract.multiplier if source.money is None else source.money
    rows = np.empty((len(starts), 7))
    for at, column in enumerate((starts * 60_000.0, *prices, bars.lots, money)):
        rows[:, at] = column
    return rows
