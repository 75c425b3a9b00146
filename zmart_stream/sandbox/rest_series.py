"""The REST endpoints that show the past: klines, index, interest and premium series, funding."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from zmart_stream.sandbox import envelope
from zmart_stream.sandbox.market import Bars
from zmart_stream.sandbox.numerals import java_column, java_values
from zmart_stream.sandbox.rest import Handler
from zmart_stream.sandbox.venue import Venue

_MS = 1_000_000
_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_GRANULARITIES = (1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10080)
_RETENTION_DAYS = {1: 1, 5: 10, 15: 15, 30: 60, 60: 120, 120: 240, 240: 480, 480: 720}
_INTEREST = re.compile(r"^\.[A-Z0-9]+INT(8H)?$")
_PREMIUM = re.compile(r"^\.([A-Z0-9]+)PI(8H)?$")
_EIGHT_HOURS_MS = 28_800_000
_DAILY_INTEREST = 3.0e-4
_PAGE, _PAGE_MAX = 10, 100


class RestSeries:
    """Answers about series over time."""

    def __init__(self, venue: Venue) -> None:
        """Nothing is cached but the names of indices."""
        self._venue = venue
        self._java = venue.settings.unknowns.number_style == "java"
        self._indices: dict[str, str] = {}

    def handlers(self) -> dict[str, tuple[str, Handler]]:
        """Path below `/api/v1/` → (endpoint name, handler) of every GET."""
        return {
            "kline/query": ("kline/query", self._klines),
            "index/query": ("index/query", self._index),
            "interest/query": ("interest/query", self._interest),
            "premium/query": ("premium/query", self._premium),
            "funding-rate/{symbol}/current": ("funding-rate", self._funding),
            "contract/funding-rates": ("contract/funding-rates", self._settled),
        }

    async def _klines(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol", "")
        numbers = _integers(request, ("granularity", "from", "to"))
        if numbers is None:
            return envelope.bad_parameter("granularity, from and to are integers")
        minutes = numbers.get("granularity")
        if minutes not in _GRANULARITIES:
            return envelope.bad_parameter("granularity is not supported")
        contract, read = self._source(symbol)
        if read is None:
            return envelope.invalid_symbol() if not symbol.startswith(".") else envelope.ok([])
        opened = self._venue.facts(contract).opened_ms
        if "from" in numbers:
            numbers["from"] = max(opened, numbers["from"])
        return envelope.ok(msgspec.json.encode(self._kline_rows(read, minutes, numbers)))

    def _kline_rows(self, read: Callable[[int, int, int], Bars], minutes: int, bounds: dict[str, int]) -> list[Any]:
        unknowns = self._venue.settings.unknowns
        step, cap, now = minutes * _MINUTE_MS, unknowns.kline_cap, self._venue.now_ms()
        end = min(bounds.get("to", now), now)
        if unknowns.kline_end == "inclusive" or "to" not in bounds:
            end += 1
        start = bounds.get("from", end - cap * step)
        if unknowns.kline_retention and minutes in _RETENTION_DAYS:
            start = max(start, now - _RETENTION_DAYS[minutes] * _DAY_MS)
        if start >= end:
            return []
        keeps_oldest = unknowns.kline_keeps == "oldest" and "from" in bounds
        bars = _capped(read, (minutes, start, end), cap, keeps_oldest=keeps_oldest)
        columns: list[list[Any]] = [bars[:, 0].astype(np.int64).tolist()]
        columns += [java_column(bars[:, at]) if self._java else bars[:, at].tolist() for at in (1, 2, 3, 4)]
        columns.append(bars[:, 5].astype(np.int64).tolist())
        if unknowns.kline_columns == 7:
            columns.append(java_column(bars[:, 6]) if self._java else bars[:, 6].tolist())
        return list(zip(*columns, strict=True))

    def _source(self, symbol: str) -> tuple[str, Callable[[int, int, int], Bars] | None]:
        """The contract behind a contract, index or premium symbol; its reader takes minutes, start ms, end ms."""
        if self._venue.known(symbol):
            return symbol, lambda minutes, start, end: self._contract_bars(symbol, minutes, start, end)
        premium = _PREMIUM.match(symbol)
        contract = premium.group(1) if premium else self._contract_of(symbol)
        if contract is None or not self._venue.known(contract):
            return symbol, None
        return contract, lambda minutes, start, end: self._sampled(contract, (minutes, start, end), bool(premium))

    def _contract_bars(self, symbol: str, minutes: int, start: int, end: int) -> Bars:
        """Closed bars and the running one as far as it has come."""
        now = self._venue.clock.now()
        step = minutes * _MINUTE_MS
        current = self._venue.market.running_bar(symbol, minutes, now)
        running_start = int(current[0]) if current else now // _MS // step * step
        bars = self._venue.market.bars(symbol, minutes, start, min(end, running_start))
        if current is None or not start <= running_start < end:
            return bars
        return np.vstack([bars, np.array([current])]) if len(bars) else np.array([current])

    def _sampled(self, contract: str, window: tuple[int, int, int], premium: bool) -> Bars:
        minutes, start, end = window
        step = minutes * _MINUTE_MS
        first = -(-start // step) * step
        now = self._venue.now_ms()
        rows = []
        for moment in range(first, end, step):
            times = (moment, moment + step // 2, moment + step - 1)
            values = [self._value(contract, min(at, now) * _MS, premium=premium) for at in times]
            rows.append([moment, values[0], max(values), min(values), values[-1], 0.0, 0.0])
        return np.array(rows, dtype=np.float64).reshape(-1, 7)

    def _value(self, contract: str, now: int, *, premium: bool) -> float:
        mark, index = self._venue.market.mark_index(contract, now)
        return (mark - index) / index if premium else index

    def _contract_of(self, index: str) -> str | None:
        if index not in self._indices and index.startswith("."):
            for symbol in self._venue.symbols():
                self._indices.setdefault(self._venue.facts(symbol).index_symbol, symbol)
        return self._indices.get(index)

    async def _index(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol", "")
        contract = self._contract_of(symbol)
        if contract is None:
            return envelope.ok({"dataList": [], "hasMore": False})
        exchanges = self._venue.market.contract_row(contract, self._venue.clock.now())["sourceExchanges"] or []

        def row(moment: int) -> dict[str, Any]:
            value = self._value(contract, moment * _MS, premium=False)
            parts = [_part(name, value, len(exchanges), moment) for name in exchanges]
            return {**_point(symbol, 1000, moment, value), "decomposionList": parts}

        return self._paged(request, 1000, row)

    async def _interest(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol", "")
        found = _INTEREST.match(symbol)
        if not found:
            return envelope.ok({"dataList": [], "hasMore": False})
        step = _EIGHT_HOURS_MS if found.group(1) else _MINUTE_MS
        return self._paged(request, step, lambda moment: _point(symbol, step, moment, _DAILY_INTEREST))

    async def _premium(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol", "")
        found = _PREMIUM.match(symbol)
        if not found or not self._venue.known(found.group(1)):
            return envelope.ok({"dataList": [], "hasMore": False})
        contract, step = found.group(1), _EIGHT_HOURS_MS if found.group(2) else _MINUTE_MS

        def row(moment: int) -> dict[str, Any]:
            return _point(symbol, step, moment, self._value(contract, moment * _MS, premium=True))

        return self._paged(request, step, row)

    def _paged(self, request: web.Request, step: int, row: Callable[[int], dict[str, Any]]) -> web.Response:
        """One page of a series; newest first unless `reverse=false`, going on after `offset`."""
        numbers = _integers(request, ("startAt", "endAt", "offset", "maxCount"))
        if numbers is None:
            return envelope.bad_parameter("startAt, endAt, offset and maxCount are integers")
        now = self._venue.now_ms()
        last = min(numbers.get("endAt", now), now) // step * step
        first = -(-max(numbers.get("startAt", last - _DAY_MS), 0) // step) * step
        count = max(1, min(numbers.get("maxCount", _PAGE), _PAGE_MAX))
        newest_first = request.query.get("reverse", "true") != "false"
        if "offset" in numbers:
            if newest_first:
                last = min(last, numbers["offset"] - step)
            else:
                first = max(first, numbers["offset"] + step)
        moments = range(last, first - 1, -step) if newest_first else range(first, last + 1, step)
        page = moments[:count]
        return self._ok({"dataList": [row(moment) for moment in page], "hasMore": len(moments) > count})

    async def _funding(self, request: web.Request) -> web.Response:
        symbol = request.match_info["symbol"]
        now = self._venue.clock.now()
        state = self._venue.market.funding(symbol, now) if self._venue.known(symbol) else None
        if state is None or symbol in self._venue.without_funding:
            return envelope.refused("415000", "funding rate is not supported")
        row: dict[str, Any] = {
            "symbol": self._venue.facts(symbol).rate_symbol,
            "granularity": state.interval // _MS,
            "timePoint": state.last_time // _MS,
            "value": state.rate,
            "dailyInterestRate": _DAILY_INTEREST,
            "fundingRateCap": state.cap,
            "fundingRateFloor": state.floor,
            "period": 1,
            "fundingTime": state.next_time // _MS,
            "lastTimeFundingRate": state.last_rate,
        }
        if self._venue.settings.unknowns.predicted_funding:
            row["predictedValue"] = state.rate
        return self._ok(row)

    async def _settled(self, request: web.Request) -> web.Response:
        numbers = _integers(request, ("from", "to"))
        symbol = request.query.get("symbol", "")
        if numbers is None or len(numbers) < 2 or not symbol:
            return envelope.bad_parameter("symbol, from and to are required")
        rates: list[tuple[int, float]] = []
        if self._venue.known(symbol):
            end = min(numbers["to"], self._venue.now_ms())
            rates = self._venue.market.settlements(symbol, numbers["from"], end)
        rows = [{"symbol": symbol, "fundingRate": rate, "timepoint": at} for at, rate in reversed(rates)]
        return self._ok(rows)

    def _ok(self, data: Any) -> web.Response:
        return envelope.ok(java_values(data) if self._java else data)


def _capped(
    read: Callable[[int, int, int], Bars], window: tuple[int, int, int], cap: int, *, keeps_oldest: bool
) -> Bars:
    """At most `cap` bars of the window, read in pieces so that a wide window costs no more than a full reply."""
    minutes, start, end = window
    found: list[Bars] = []
    rows = 0
    for low, high in _pieces(start, end, cap * minutes * _MINUTE_MS, forward=keeps_oldest):
        piece = read(minutes, low, high)
        rows += len(piece)
        found = [*found, piece] if keeps_oldest else [piece, *found]
        if rows >= cap:
            break
    bars = np.vstack(found) if rows else np.empty((0, 7))
    return bars[:cap] if keeps_oldest else bars[-cap:]


def _pieces(start: int, end: int, width: int, *, forward: bool) -> Iterator[tuple[int, int]]:
    if forward:
        yield from ((low, min(low + width, end)) for low in range(start, end, width))
    else:
        yield from ((max(start, high - width), high) for high in range(end, start, -width))


def _integers(request: web.Request, names: tuple[str, ...]) -> dict[str, int] | None:
    """The query's integers among `names`; None if one is not a whole number of plausible size."""
    found = {}
    for name in names:
        text = request.query.get(name)
        if text is None or text == "":
            continue
        if not re.fullmatch(r"[0-9]{1,16}", text, re.ASCII):
            return None
        found[name] = int(text)
    return found


def _point(symbol: str, step: int, moment: int, value: float) -> dict[str, Any]:
    return {"symbol": symbol, "granularity": step, "timePoint": moment, "value": value}


def _part(exchange: str, value: float, number: int, moment: int) -> dict[str, Any]:
    """One exchange's price in an index, a few basis points around it."""
    shift = zlib.crc32(f"{exchange} {moment // 1000}".encode()) % 9 - 4
    return {"exchange": exchange, "price": round(value * (1 + shift * 1e-5), 6), "weight": round(1 / number, 6)}
