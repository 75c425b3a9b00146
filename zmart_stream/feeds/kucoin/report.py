"""What the feed tells the log and its statistics: one place for event names, counts and rate limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import structlog

REPEAT_S = 60.0
"""A repeated event is logged once in so many seconds, with the count of those left out."""


class Report:
    """Counts everything, logs the first of each kind a minute."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """`seconds` is a monotonic clock."""
        self.log: structlog.stdlib.BoundLogger = structlog.get_logger("feed")
        self.reconnects: Counter[str] = Counter()
        self.malformed: Counter[str] = Counter()
        self.gaps = 0
        self._seconds = seconds
        self._last: dict[tuple[str, str], float] = {}
        self._unsaid: Counter[tuple[str, str]] = Counter()

    def limited(self, event: str, reason: str, **keys: object) -> None:
        """Log a warning once a minute per (event, reason); `count` says how many it stands for."""
        kind = (event, reason)
        self._unsaid[kind] += 1
        now = self._seconds()
        if now - self._last.get(kind, -REPEAT_S) < REPEAT_S:
            return
        if len(self._last) > 1000:
            self._last.clear()
        self._last[kind] = now
        self.log.warning(event, reason=reason, count=self._unsaid.pop(kind), **keys)

    def bad(self, reason: str, detail: str, sample: bytes = b"", source: str = "rest") -> None:
        """A frame, reply or row that was dropped."""
        self.malformed[reason] += 1
        text = sample.decode("ascii", "backslashreplace")
        self.limited("feed.malformed", reason, source=source, detail=detail, sample=text)
