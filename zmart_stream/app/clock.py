"""Market time (architecture §4a): the monotonic clock anchored to the venue's, run at the venue's speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

SLEW = 500e-6
"""Largest correction of the clock's rate."""

STEP_NS = 2_000_000_000
"""A venue further ahead than this was missed by our clock (a suspended machine): the clock jumps forward."""


_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_ns() -> int:
    """Monotonic ns that count suspended time where the system can tell."""
    return time.clock_gettime_ns(_STEADY)


class SteadyClock:
    """Runs by itself at `speed` market seconds a real second; never runs back."""

    def __init__(
        self,
        *,
        speed: float = 1.0,
        start: int | None = None,
        past: int | None = None,
        steady: Callable[[], int] = steady_ns,
    ) -> None:
        """Begin at `start` (market ns); None: at the wall clock's time, or from `past` on, until the first anchor.

        Without a past a faster venue may not have begun: time goes at the wall's pace, lest it run ahead of the venue
        and then have to stand still. With one it goes on at the venue's, so that what was known grows old.
        """
        self.speed = speed
        self.scale = max(1.0, speed)
        self.ticks = True
        self._steady = steady
        self._base_steady = steady()
        self._base = max(time.time_ns(), past or 0) if start is None else start
        self._rate = 1.0 if start is None and past is None else speed
        self._anchored = start is not None
        self._last = 0

    def now(self) -> int:
        """Market time in ns UTC."""
        now = self._base + int((self._steady() - self._base_steady) * self._rate)
        if now > self._last:  # noqa: PLR1730 - asked at each read of a socket, and max() costs three times as much
            self._last = now
        return self._last

    def seen(self, ts_event: int) -> None:
        """Nothing: this clock runs by itself."""

    def anchor(self, venue: int) -> int:
        """Take the venue's time; returns how far off we were (ns, positive: the venue is ahead).

        The first anchor sets the clock, later ones change its rate by at most 500 ppm so that the error
        is gone in a minute; only a venue far ahead moves it at once.
        """
        steady = self._steady()
        present = self._base + int((steady - self._base_steady) * self._rate)
        error = venue - present
        if not self._anchored or error > STEP_NS * max(1.0, self.speed):
            self._anchored, self._base, self._rate = True, venue, self.speed
        else:
            wanted = error / (60e9 * self.speed)
            self._base, self._rate = present, self.speed * (1 + min(SLEW, max(-SLEW, wanted)))
        self._base_steady = steady
        return error


class VenueClock:
    """At speed `max`: the highest venue time seen."""

    def __init__(self, start: int = 0) -> None:
        """Begin at `start` (market ns)."""
        self.speed: Literal["max"] = "max"
        self.scale = float("inf")
        self.ticks = False
        self._now = start

    def now(self) -> int:
        """The highest venue time seen, in ns UTC."""
        return self._now

    def seen(self, ts_event: int) -> None:
        """Move up to `ts_event`."""
        self._now = max(self._now, ts_event)

    def anchor(self, venue: int) -> int:
        """Move up to the venue's time; returns the distance in ns."""
        error = venue - self._now
        self.seen(venue)
        return error


Clock = SteadyClock | VenueClock


def make_clock(speed: float | Literal["max"], past: int | None = None) -> Clock:
    """The clock for a venue of that speed; `past` is the newest market time stored."""
    return VenueClock(past or 0) if speed == "max" else SteadyClock(speed=speed, past=past)
