"""The venue's clock: venue time runs at k times real time, or stands until it is moved."""

from __future__ import annotations

import time
from typing import Literal

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


class VenueClock:
    """Venue time in ns UTC.

    At a fixed speed it follows the monotonic clock; at `max` it moves only by `advance`. It never goes back,
    stops at `end` and can be held.
    """

    def __init__(self, start: int, speed: float | Literal["max"], end: int | None = None) -> None:
        """Begin at `start` (ns); `end` (ns) is where a record has no more to tell."""
        self.start = start
        self.speed = speed
        self.end = end
        self.held = False
        self._venue = start
        self._real = time.monotonic_ns()

    @property
    def stepped(self) -> bool:
        """True at speed max, where the publisher moves the clock."""
        return self.speed == "max"

    @property
    def ended(self) -> bool:
        """True once a record has been told to its end."""
        return self.end is not None and self.now() >= self.end

    def now(self) -> int:
        """Venue time in ns, at millisecond resolution or finer."""
        if self.speed == "max" or self.held:
            return self._venue
        elapsed = time.monotonic_ns() - self._real
        return self._cap(self._venue + int(elapsed * self.speed))

    def advance(self, step: int) -> int:
        """Move a stepped clock by `step` ns; returns the new venue time."""
        if not self.held:
            self._venue = self._cap(self._venue + step)
        return self._venue

    def hold(self, held: bool) -> None:
        """Stop or go on; time that passes while held does not count."""
        now = self.now()
        self._venue, self._real, self.held = now, time.monotonic_ns(), held

    def _cap(self, moment: int) -> int:
        return moment if self.end is None else min(moment, self.end)
