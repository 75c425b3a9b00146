"""The funding clock of all contracts: which settlements fall due, and what the contract row shows around one."""

from __future__ import annotations

import heapq
import zlib
from typing import Any, NamedTuple

from zmart_stream.sandbox.clock import SECOND
from zmart_stream.sandbox.market import Market

_MS = 1_000_000
_END_AFTER_MS = 10_000  # funding.end follows funding.begin
_ADOPTED_AFTER_S = (5, 20)  # the row shows the old estimate this long after the settlement
_SHOWN_FOR_S = 60  # then the settled rate this long


class Settled(NamedTuple):
    """One settlement, or its end announcement."""

    symbol: str
    begins: bool
    rate: float
    estimate: float  # the minute estimate just before
    interval_ms: int
    funding_ms: int  # settlement time
    time_ms: int  # when this is told


class Settlements:
    """Tells settlements when venue time passes them."""

    def __init__(self, market: Market) -> None:
        """No symbol is watched."""
        self._market = market
        self._watched: dict[str, None] = {}
        self._next: list[tuple[int, str]] = []
        self._ends: list[tuple[int, Settled]] = []

    def watch(self, symbol: str, now: int) -> None:
        """Tell the settlements of `symbol` from `now` on."""
        if symbol in self._watched:
            return
        funding = self._market.funding(symbol, now)
        if funding is not None:
            self._watched[symbol] = None
            heapq.heappush(self._next, (funding.next_time, symbol))

    def due(self, now: int) -> list[Settled]:
        """Every settlement and end up to `now`, in order of time."""
        told = []
        while self._next and self._next[0][0] <= now:
            moment, symbol = heapq.heappop(self._next)
            settled = self._settled(symbol, moment)
            told.append(settled)
            ended = settled._replace(begins=False, time_ms=settled.funding_ms + _END_AFTER_MS)
            heapq.heappush(self._ends, (ended.time_ms, ended))
            self._watch_again(symbol, moment)
        while self._ends and self._ends[0][0] * _MS <= now:
            told.append(heapq.heappop(self._ends)[1])
        return told

    def _watch_again(self, symbol: str, moment: int) -> None:
        following = self._market.funding(symbol, moment + 1)
        if following is None:
            self._watched.pop(symbol, None)
        else:
            heapq.heappush(self._next, (max(following.next_time, moment + SECOND), symbol))

    def _settled(self, symbol: str, moment: int) -> Settled:
        before = self._market.funding(symbol, moment - _MS)
        after = self._market.funding(symbol, moment)
        rates = self._market.settlements(symbol, moment // _MS, moment // _MS)
        estimate = before.rate if before else 0.0
        rate = rates[0][1] if rates else (after.last_rate if after else estimate)
        interval_ms = (before.interval if before else 8 * 3600 * SECOND) // _MS
        return Settled(symbol, True, rate, estimate, interval_ms, moment // _MS, moment // _MS)


def around_settlement(market: Market, symbol: str, row: dict[str, Any], now: int) -> None:
    """Change `row` to what the venue shows just after a settlement (protocol §1.8).

    First the old estimate stays though the next time has moved, then the settled rate stands in both fields.
    """
    funding = market.funding(symbol, now)
    if funding is None:
        return
    since_s = (now - funding.last_time) / SECOND
    low, high = _ADOPTED_AFTER_S
    adopted_s = low + zlib.crc32(f"{symbol} {funding.last_time}".encode()) % (high - low + 1)
    if since_s >= adopted_s + _SHOWN_FOR_S:
        return
    if since_s >= adopted_s:
        row["fundingFeeRate"] = row["lastTimeFundingRate"] = funding.last_rate
        return
    before = market.funding(symbol, funding.last_time - _MS)
    if before is not None:
        row["fundingFeeRate"], row["lastTimeFundingRate"] = before.rate, before.last_rate
