"""Which candle frames are due: the running candle while it trades, and a late last word on an ended one."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime

from zmart_stream.sandbox.market import Bars, Market
from zmart_stream.sandbox.topics import CANDLE_MINUTES

_MS = 1_000_000
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000

Row = list[float]


def month_start_ms(ms: int) -> int:
    """Start of the UTC month that holds `ms`."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp() * 1000)


def merged(bars: Bars, start_ms: int) -> Row | None:
    """One row over all of `bars`, as the candle that starts at `start_ms`."""
    if not len(bars):
        return None
    rows = bars.tolist()
    return [
        float(start_ms),
        rows[0][1],
        max(row[2] for row in rows),
        min(row[3] for row in rows),
        rows[-1][4],
        sum(row[5] for row in rows),
        sum(row[6] for row in rows),
    ]


def running_row(market: Market, symbol: str, kind: str, now: int) -> Row | None:
    """The candle of type `kind` that holds `now` (ns); None if nothing traded in it."""
    minutes = CANDLE_MINUTES[kind]
    if kind != "1month":
        return market.running_bar(symbol, minutes, now)
    now_ms = now // _MS
    start = month_start_ms(now_ms)
    bars = market.bars(symbol, 1440, start, now_ms - now_ms % _DAY_MS)
    today = market.running_bar(symbol, 1440, now)
    days = bars.tolist() + ([today] if today else [])
    if not days:
        return None
    prices = [value for row in days for value in (row[2], row[3])]
    volume, turnover = sum(row[5] for row in days), sum(row[6] for row in days)
    return [float(start), days[0][1], max(prices), min(prices), days[-1][4], volume, turnover]


def ended_row(market: Market, symbol: str, kind: str, start_ms: int) -> Row | None:
    """The final candle of type `kind` that began at `start_ms`."""
    if kind == "1month":
        following = month_start_ms(start_ms + 32 * _DAY_MS)
        return merged(market.bars(symbol, 1440, start_ms, following), start_ms)
    bars = market.bars(symbol, CANDLE_MINUTES[kind], start_ms, start_ms + 1)
    return bars[0].tolist() if len(bars) else None


class Candles:
    """Remembers what each candle topic was told last."""

    def __init__(self, market: Market, late_s: float) -> None:
        """`late_s` venue seconds is the most that a last word comes after the candle's end."""
        self._market = market
        self._late_ms = late_s * 1000
        self._told: dict[str, Row] = {}
        self._late: list[tuple[int, str, str, str, int]] = []

    def news(self, topic: str, symbol: str, kind: str, now: int) -> Row | None:
        """The running candle, if it moved since the topic was last told."""
        row = running_row(self._market, symbol, kind, now)
        told = self._told.get(topic)
        ended = told is not None and (row is None or row[0] != told[0])
        if told is not None and ended and self._over(kind, told, now // _MS):
            self._remember_late(topic, symbol, kind, int(told[0]))
            del self._told[topic]
        if row is None or row == told:
            return None
        self._told[topic] = row
        return row

    def late(self, now: int) -> list[tuple[str, Row]]:
        """(topic, final row) of every ended candle whose last word is due."""
        due = []
        now_ms = now // _MS
        while self._late and self._late[0][0] <= now_ms:
            _, topic, symbol, kind, start = heapq.heappop(self._late)
            row = ended_row(self._market, symbol, kind, start)
            if row is not None:
                due.append((topic, row))
        return due

    def forget(self, topic: str) -> None:
        """Nobody follows the topic any more."""
        self._told.pop(topic, None)
        self._late = [entry for entry in self._late if entry[1] != topic]
        heapq.heapify(self._late)

    def _over(self, kind: str, told: Sequence[float], now_ms: int) -> bool:
        return now_ms >= self._end_ms(kind, int(told[0]))

    def _remember_late(self, topic: str, symbol: str, kind: str, start: int) -> None:
        share = zlib.crc32(f"{topic} {start}".encode()) % 1000 / 1000
        due = self._end_ms(kind, start) + int(share * self._late_ms)
        heapq.heappush(self._late, (due, topic, symbol, kind, start))

    def _end_ms(self, kind: str, start: int) -> int:
        if kind == "1month":
            return month_start_ms(start + 32 * _DAY_MS)
        return start + CANDLE_MINUTES[kind] * _MINUTE_MS
