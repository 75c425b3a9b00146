"""When the next attempt may be: after failures in a row an endpoint is left alone, and nobody is flooded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]


class Breaker:
    """A circuit: closed while all is well, open for a while after failures in a row, then open for one probe."""

    def __init__(self, *, failures: int, open_s: float, most_s: float) -> None:
        """Open for `open_s` after `failures`, twice as long after each probe that fails, `most_s` at most."""
        self._limit = failures
        self._first_s, self._most_s = open_s, most_s
        self._pause_s = open_s
        self._failures = 0
        self._until = 0.0
        self.state: State = "closed"

    def wait_s(self, now: float) -> float:
        """Seconds until something may be tried."""
        return max(0.0, self._until - now) if self.state == "open" else 0.0

    def trying(self) -> None:
        """An attempt begins: an open circuit whose time is over is on probe."""
        if self.state == "open":
            self.state = "half_open"

    def good(self) -> bool:
        """The endpoint answers; True when that closes the circuit."""
        closes = self.state != "closed"
        self.state, self._failures, self._pause_s = "closed", 0, self._first_s
        return closes

    def bad(self, now: float) -> bool:
        """The endpoint failed; True when that opens the circuit, which was closed."""
        self._failures += 1
        if self.state == "half_open":
            self._pause_s = min(2 * self._pause_s, self._most_s)
        elif self._failures < self._limit:
            return False
        opens = self.state == "closed"
        self.state, self._until = "open", now + self._pause_s
        return opens


class Window:
    """At most `most` messages in `window_s`; it begins with the first of them."""

    def __init__(self, most: int, window_s: float) -> None:
        self._most, self._length = most, window_s
        self._began = float("-inf")
        self._taken = 0

    def is_over(self, now: float) -> bool:
        """Whether a new one would begin now."""
        return now >= self._began + self._length

    def wait_s(self, now: float) -> float:
        """Seconds until the next message may go."""
        free = self.is_over(now) or self._taken < self._most
        return 0.0 if free else self._began + self._length - now

    def take(self, now: float) -> None:
        """A message goes."""
        if self.is_over(now):
            self._began, self._taken = now, 0
        self._taken += 1


def backoff(attempts: int, *, first_s: float, most_s: float, draw: Callable[[], float]) -> float:
    """Seconds before the next attempt after `attempts`: full jitter, drawn evenly from 0 to a bound that doubles."""
    bound = min(most_s, first_s * 2.0 ** min(attempts - 1, 60))
    return draw() * bound
