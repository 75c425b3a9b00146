"""Whether the daemon is alive, and whether it is ready to be asked: facts with their reasons.

Ready: fresh data is served and what is told is on disk. Alive: the loop turns and the parts that must run do; a venue
that is silent makes the daemon not ready, never dead, since starting again would not help.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

Probe = Callable[[], str | None]
"""Asked for a fact: None when all is well, else why not, in words."""


class Health:
    """Probes by purpose; each is asked anew every time."""

    def __init__(self, *, ready: Sequence[Probe], alive: Sequence[Probe]) -> None:
        """Whatever is not alive is not ready either."""
        self._ready = tuple(ready)
        self._alive = tuple(alive)

    def not_ready(self) -> list[str]:
        """Why fresh data is not served; empty when it is."""
        return [*self.not_alive(), *_said(self._ready)]

    def not_alive(self) -> list[str]:
        """Why the service manager should start us again; empty while all is well."""
        return _said(self._alive)


class LoopWatch:
    """How late the event loop is: a timer's delay, as the largest of the last while."""

    def __init__(self, *, every_s: float = 0.25, remember: int = 20, limit_s: float = 1.0) -> None:
        """`probe` complains when a turn within the last `remember` × `every_s` came `limit_s` late."""
        self._every_s = every_s
        self._limit_s = limit_s
        self._lags: deque[float] = deque(maxlen=remember)

    @property
    def lag_s(self) -> float:
        """The largest delay lately, in seconds."""
        return max(self._lags, default=0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._every_s
            await asyncio.sleep(self._every_s)
            self._lags.append(max(0.0, loop.time() - due))

    def probe(self) -> str | None:
        """Why the loop is not well."""
        lag_s = self.lag_s
        return f"the event loop came {lag_s:.1f} s late" if lag_s >= self._limit_s else None


def feed_fresh(age_s: Callable[[], float | None], limit_s: float) -> Probe:
    """A probe on the age (real seconds) of the last market message; None when there was none yet."""

    def probe() -> str | None:
        age = age_s()
        if age is None:
            return "feed: nothing has arrived yet"
        return f"feed: nothing has arrived for {age:.0f} s" if age > limit_s else None

    return probe


def database_writable(fault: Callable[[], str | None]) -> Probe:
    """A probe on the writer: `fault` is why commits fail, None while they succeed."""

    def probe() -> str | None:
        reason = fault()
        return f"database: {reason}" if reason else None

    return probe


def _said(probes: Sequence[Probe]) -> list[str]:
    return [reason for probe in probes if (reason := probe()) is not None]
