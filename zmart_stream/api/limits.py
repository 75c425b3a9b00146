"""How much one caller may ask: the figures, and the buckets that keep them."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from zmart_stream.domain.errors import RequestError

BODY_FACTOR = 3
"""A body gets so many times the header's time, and a kept connection so long for its next request."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the server allows; `api.*` of the settings."""

    max_connections: int = 256
    max_connections_per_address: int = 64
    max_body_bytes: int = 256 * 1024
    receive_deadline_s: float = 10.0  # of a request's header, from the connection's first moment
    requests_per_minute: int = 6000  # of one token or address
    failed_logins_per_minute: int = 5  # of one address
    openings_per_minute: int = 30  # of freqtrade's websocket, by one address
    command_deadline_s: float = 30.0  # until a command is on disk

    @property
    def body_deadline_s(self) -> float:
        """Time in which a body must arrive."""
        return BODY_FACTOR * self.receive_deadline_s


class PushLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What listening clients are allowed; `api.push_*` of the settings."""

    ring: int = 4096  # events kept: for who comes back, and what a client may lag behind
    clients: int = 64
    clients_per_caller: int = 16
    deadline_s: float = 5.0  # in which a client takes what is written
    heartbeat_s: float = 15.0


class _Bucket(NamedTuple):
    left: float
    at_s: float


class Buckets:
    """A token bucket per key: `per_minute` at once, refilled evenly; the keys least lately used are forgotten."""

    def __init__(self, per_minute: int, *, keys: int = 4096, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives real seconds."""
        self._size = float(per_minute)
        self._rate = per_minute / 60.0
        self._keys = keys
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, what: str, amount: int = 1) -> None:
        """Take so many; raises RequestError rate_limited with the time to wait, in which nothing is taken."""
        now = self._clock()
        bucket = self._buckets.pop(key, None) or _Bucket(self._size, now)
        left = min(self._size, bucket.left + (now - bucket.at_s) * self._rate)
        allowed = left >= amount
        self._buckets[key] = _Bucket(left - amount if allowed else left, now)
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        if not allowed:
            wait_s = math.ceil((amount - left) / self._rate)
            text = f"at most {self._size:.0f} {what} a minute; wait {wait_s} s"
            raise RequestError("rate_limited", text, retry_after_s=wait_s)
