"""The recorded market: a record's bars as trades, tickers, books and klines that give the record back exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.sectors import sector_of
from zmart_stream.sandbox.barmarket import BarMarket
from zmart_stream.sandbox.contracts import DAY_NS, HOUR_MS, MINUTE_NS, Contract
from zmart_stream.sandbox.expand import TickBars, split_bars
from zmart_stream.sandbox.funding import RecordedFunding
from zmart_stream.sandbox.keyed import FloatArray, IntArray, derive
from zmart_stream.sandbox.klines import ValuedBars, joined
from zmart_stream.sandbox.market import Market
from zmart_stream.sandbox.recordfile import Record, Series, read_events, read_record, split_name

_CAPITAL_LEVERAGE = (1e9, 125), (1e8, 75), (1e7, 50)  # by turnover of a day
_SPREAD_AT_1E6, _SPREAD_POWER = 8.0, -0.4


class _Held(NamedTuple):
    """The bars of one contract on a dense grid of minutes or of five minutes, whole hours only."""

    first_hour: int
    bars: TickBars  # at the record's own resolution
    hours: TickBars


class RecordedBars:
    """Hour and minute bars out of a record; five-minute bars are split."""

    def __init__(self, held: dict[str, _Held], minutes: int) -> None:
        """`held` by venue symbol; `minutes` is the length of the record's bars."""
        self._held = held
        self._minutes = minutes

    def hours(self, contract: Contract, first: int, last: int) -> TickBars:
        """Hour bars [first, last) since the epoch, dense; outside the record they stand still."""
        held = self._held[contract.symbol]
        return _padded(held.hours, first - held.first_hour, last - held.first_hour)

    def minutes(self, contract: Contract, first: int, last: int) -> TickBars:
        """The minute bars of hours [first, last), 60 each, in a row."""
        held = self._held[contract.symbol]
        per_hour = 60 // self._minutes
        bars = _padded(held.bars, (first - held.first_hour) * per_hour, (last - held.first_hour) * per_hour)
        if self._minutes == 1:
            return bars
        index = np.arange(first * per_hour, last * per_hour, dtype=np.int64)
        return split_bars(bars, index=index, parts=self._minutes, key=contract.key ^ 0x31, activity=1.0).flat()

    def minutes_of(self, contracts: Sequence[Contract], hour: int) -> TickBars:
        """The 60 minute bars of one hour of each contract, contract after contract."""
        columns = zip(*(self.minutes(contract, hour, hour + 1) for contract in contracts), strict=True)
        return TickBars(*(np.concatenate(column) for column in columns))

    def prepare(self, contracts: Sequence[Contract], first: int, last: int) -> None:
        """Nothing to do: the record is in memory."""


class RecordedRoster:
    """Contracts of a record, listed with their first bar."""

    def __init__(self, contracts: list[Contract]) -> None:
        """`contracts` in any order."""
        self._contracts = sorted(contracts, key=lambda c: (-c.turnover, c.symbol))
        self._by_symbol = {c.symbol: c for c in contracts}

    def alive(self, now: int) -> tuple[str, ...]:
        """Symbols listed at `now` (ns), most liquid first."""
        return tuple(c.symbol for c in self._contracts if c.listed <= now)

    def contract(self, symbol: str) -> Contract:
        """The contract of a symbol; KeyError if the record has none."""
        return self._by_symbol[symbol]


def _padded(bars: TickBars, first: int, last: int) -> TickBars:
    """Rows [first, last), beyond the ends without trades at the price of the nearest row."""
    count = len(bars.lots)
    wanted = np.arange(first, last, dtype=np.int64)
    taken = bars.take(np.clip(wanted, 0, count - 1))
    outside = (wanted < 0) | (wanted >= count)
    if not outside.any():
        return taken
    return taken.standing(outside, np.where(wanted < 0, bars.open[0], bars.close[-1]))


def _held(series: Series, minutes: int) -> _Held:
    """A series on its dense grid: gaps stand still at the last close, lots 0."""
    first_hour = int(series.start[0]) // 60
    hours = int(series.start[-1]) // 60 - first_hour + 1
    per_hour = 60 // minutes
    place = series.start // minutes - first_hour * per_hour
    grid = np.arange(hours * per_hour, dtype=np.int64)
    absent = np.ones(len(grid), dtype=np.bool_)
    absent[place] = False
    bars = series.bars.take(np.maximum(np.searchsorted(place, grid, side="right") - 1, 0))
    dense = bars.standing(absent, np.where(grid < place[0], series.bars.open[0], bars.close))
    whole = joined(ValuedBars(dense), per_hour).bars
    return _Held(first_hour, dense, whole.standing(whole.lots == 0, dense.open[::per_hour]))


def _contract(series: Series, minutes: int, seed: int) -> Contract:
    base, quote = split_name(series.name)
    symbol = f"{base}{quote}M"
    scale, multiplier = 10.0**series.digits, float(f"1e{-series.lot_digits}")
    days = max(len(series.start) * minutes / 1440.0, 1.0 / 24.0)
    turnover = max(float(np.sum(series.bars.value, dtype=np.float64)) / scale * multiplier / days, 1.0)
    leverage = next((cap for least, cap in _CAPITAL_LEVERAGE if turnover >= least), 20)
    return Contract(
        symbol=symbol,
        key=derive("contract", seed, symbol),
        base=base,
        quote=quote,
        settle=quote,
        step=1,
        digits=series.digits,
        multiplier=multiplier,
        price=float(np.median(series.bars.close)) / scale,
        turnover=turnover,
        spread_bps=min(max(_SPREAD_AT_1E6 * (turnover / 1e6) ** _SPREAD_POWER, 0.3), 30.0),
        listed=int(series.start[0]) * MINUTE_NS,
        interval_ms=8 * HOUR_MS,
        max_leverage=leverage,
        sector=sector_of(base),
    )


def _end(record: Record) -> int:
    """Where at least half of the contracts still have bars, ns."""
    ends = sorted(int(series.start[-1]) + record.minutes for series in record.series)
    return ends[len(ends) // 2] * MINUTE_NS


def _funding(folder: Path, record: Record, contracts: list[Contract], held: dict[str, _Held]) -> RecordedFunding:
    """Recorded rates, and the premium at each recorded mark over the last trade there."""
    rates, anchors = {}, {}
    recorded = read_events(folder, "funding_rate", ("funding_rate",))
    marks = read_events(folder, "mark_8h", ("open",))
    for series, contract in zip(record.series, contracts, strict=True):
        if series.name in recorded:
            times, values = recorded[series.name]
            rates[contract.symbol] = (np.rint(times / 1000.0).astype(np.int64) * 1000, values)
        if series.name in marks:
            anchors[contract.symbol] = _anchors(held[contract.symbol], contract, *marks[series.name])
    return RecordedFunding(rates, {symbol: pair for symbol, pair in anchors.items() if len(pair[0])})


def _anchors(held: _Held, contract: Contract, times: IntArray, marks: FloatArray) -> tuple[IntArray, FloatArray]:
    hour = times // HOUR_MS - held.first_hour
    inside = (hour >= 0) & (hour < len(held.hours.open))
    traded = contract.prices_of(held.hours.open[hour[inside]])
    return times[inside], np.clip(traded / marks[inside] - 1.0, -0.005, 0.005)


def recorded_market(path: Path, *, history_days: float, seed: int, start: int | None) -> Market:
    """The market of a record (file or directory, see `recordfile`).

    It starts `history_days` into the record, or at `start` (ns); what lies before is served as klines. `seed` keys
    what a record does not tell: trades inside bars, books, open interest.
    """
    record = read_record(path)
    contracts = [_contract(series, record.minutes, seed) for series in record.series]
    if len({c.symbol for c in contracts}) < len(contracts):
        raise ConfigError(f"{path}: two of its symbols are the same contract")
    held = {c.symbol: _held(series, record.minutes) for c, series in zip(contracts, record.series, strict=True)}
    begin, end = min(c.listed for c in contracts), _end(record)
    first = begin + int(history_days * DAY_NS) if start is None else start
    if not begin <= first < end:
        days = (end - begin) / DAY_NS
        raise ConfigError(f"{path}: the record holds {days:.1f} days; the start lies outside of it")
    return BarMarket(
        name=record.name,
        seed=seed,
        span=(first, end),
        roster=RecordedRoster(contracts),
        source=RecordedBars(held, record.minutes),
        funding=_funding(path if path.is_dir() else path.parent, record, contracts, held),
    )
