"""The venue's limits: the REST weight window of an address, and counters over a sliding time."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

MARKET_WEIGHTS = {
    "contracts/active": 3,
    "contracts": 3,
    "contracts/risk-limit": 5,
    "ticker": 2,
    "allTickers": 5,
    "level2/snapshot": 3,
    "level2/depth20": 5,
    "level2/depth100": 5,
    "trade/history": 5,
    "kline/query": 3,
    "mark-price": 3,
    "index/query": 2,
    "interest/query": 5,
    "premium/query": 3,
    "funding-rate": 2,
    "contract/funding-rates": 5,
    "timestamp": 2,
    "status": 4,
    "bullet-public": 10,
    "bullet-private": 10,
    "trade-statistics": 3,
}
"""Weight of a call by endpoint (protocol §1.3)."""


class Charge(NamedTuple):
    """What a call did to the pool."""

    allowed: bool
    limit: int
    remaining: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        """The three `gw-ratelimit-*` headers."""
        return {
            "gw-ratelimit-limit": str(self.limit),
            "gw-ratelimit-remaining": str(self.remaining),
            "gw-ratelimit-reset": str(self.reset_ms),
        }


class WeightPool:
    """A fixed window of weight that begins with the first call and resets whole."""

    def __init__(self, limit: int, window_s: float) -> None:
        """`limit` weight per `window_s` real seconds."""
        self.limit = limit
        self.used = 0
        self.most = 0  # that any window saw
        self._window = window_s
        self._opened = -math.inf

    def charge(self, weight: int, now: float) -> Charge:
        """Take `weight` at monotonic second `now`; a refused call costs nothing and shows 0 remaining."""
        if now - self._opened >= self._window:
            self._opened, self.used = now, 0
        reset = max(1, int((self._opened + self._window - now) * 1000))
        if self.used + weight > self.limit:
            return Charge(False, self.limit, 0, reset)
        self.used += weight
        self.most = max(self.most, self.used)
        return Charge(True, self.limit, self.limit - self.used, reset)


class RateCounter:
    """At most `limit` events in any `window_s` seconds."""

    def __init__(self, limit: int, window_s: float) -> None:
        """An empty counter."""
        self._limit = limit
        self._window = window_s
        self._times: deque[float] = deque()

    def admit(self, now: float) -> bool:
        """Count an event at monotonic second `now`; False if it is one too many."""
        while self._times and now - self._times[0] >= self._window:
            self._times.popleft()
        if len(self._times) >= self._limit:
            return False
        self._times.append(now)
        return True
