"""How late the loop wakes who sleeps: what everything that waits for its turn pays."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

STEP_S = 0.02
WINDOW_S = 60.0


class LoopLag:
    """Lateness of a sleeper that is due every `STEP_S`, over the newest `WINDOW_S`; real time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._late: deque[tuple[float, float]] = deque(maxlen=round(WINDOW_S / STEP_S))

    async def watch(self) -> None:
        """Sleep and look, until cancelled."""
        while True:
            due = self._clock() + STEP_S
            await asyncio.sleep(STEP_S)
            self.note(due)

    def note(self, due: float) -> None:
        """A sleeper that was due then (s) is awake."""
        now = self._clock()
        self._late.append((now, max(0.0, now - due)))

    def facts(self) -> dict[str, Any]:
        """Median, 99th percentile and largest lateness in ms, nulls before the first; and how many s they cover."""
        since = self._clock() - WINDOW_S
        late = sorted(late for at, late in self._late if at >= since)
        shares = {"lag_p50_ms": 0.5, "lag_p99_ms": 0.99, "lag_max_ms": 1.0}
        found = {name: _at(late, share) for name, share in shares.items()}
        return {**found, "window_s": WINDOW_S}


def _at(ordered: list[float], share: float) -> float | None:
    """In ms, the value that `share` of `ordered` do not exceed."""
    return round(1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None
