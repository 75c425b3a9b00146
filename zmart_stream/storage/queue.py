"""The writer's queue: bounded in rows, with a rule for what gives way.

While storage is degraded, score rows and all but the newest snapshot are dropped, and counted. At the limit, bars
are dropped, and counted: REST brings them back. Book changes, the ledger, signals, holds, commands and configuration
are never dropped; their number is bounded because the book holds and operator writes are refused while storage is
degraded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence

from zmart_stream.domain.bars import BarBlock, BarsAmended
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxFilled, OutboxMoved
from zmart_stream.domain.scores import ScoresClosed
from zmart_stream.domain.signals import SignalEvaluated
from zmart_stream.storage.items import SnapshotTaken

Unit = tuple[Message, ...]
"""What one `put` brought: it is committed, and told, as a whole."""

CROWDED = 0.8
CALM = 0.5


def rows_of(message: Message) -> int:
    """How many rows `message` becomes, at least 1."""
    if isinstance(message, ScoresClosed | BarsAmended):
        return max(1, len(message.rows))
    if isinstance(message, SignalEvaluated):
        return 1 + len(message.opinions)
    if isinstance(message, OutboxFilled | OutboxMoved):
        return max(1, len(message.entries))
    return 1


class WriterQueue:
    """Units in the order they were put; those handed out count until `done`."""

    def __init__(self, limit: int) -> None:
        """`limit` in rows."""
        self.dropped: Counter[str] = Counter()
        self.rows = 0
        self.shedding = False
        self._limit = limit
        self._units: deque[Unit] = deque()

    def __len__(self) -> int:
        return len(self._units)

    @property
    def units(self) -> Iterable[Unit]:
        """What waits, oldest first."""
        return self._units

    @property
    def crowded(self) -> bool:
        """True from 80 % of the limit on."""
        return self.rows >= CROWDED * self._limit

    @property
    def calm(self) -> bool:
        """True below half of the limit."""
        return self.rows < CALM * self._limit

    def put(self, messages: Sequence[Message]) -> None:
        """Append what the rule lets in."""
        unit = self._admitted(messages)
        if unit:
            self._units.append(unit)
            self.rows += sum(map(rows_of, unit))

    def take(self, limit: int) -> list[Unit]:
        """The oldest units, whole, up to `limit` rows, but at least one."""
        taken: list[Unit] = []
        rows = 0
        while self._units and (not taken or rows + sum(map(rows_of, self._units[0])) <= limit):
            taken.append(self._units.popleft())
            rows += sum(map(rows_of, taken[-1]))
        return taken

    def done(self, units: Sequence[Unit]) -> None:
        """These are committed."""
        self.rows -= sum(rows_of(message) for unit in units for message in unit)

    def shed(self) -> None:
        """Drop what gives way while storage is degraded, from here on and from what waits."""
        self.shedding = True
        waiting, self._units = self._units, deque()
        self.rows -= sum(rows_of(message) for unit in waiting for message in unit)
        for unit in waiting:
            self.put(unit)

    def keep(self) -> None:
        """Storage works again: take everything."""
        self.shedding = False

    def _admitted(self, messages: Sequence[Message]) -> Unit:
        if self.shedding and any(isinstance(message, SnapshotTaken) for message in messages):
            self._forget_snapshots()
        return tuple(self._kept(messages))

    def _kept(self, messages: Sequence[Message]) -> Iterator[Message]:
        for message in messages:
            if self.shedding and isinstance(message, ScoresClosed):
                self.dropped["scores"] += len(message.rows)
            elif self.rows >= self._limit and isinstance(message, BarBlock | BarsAmended):
                self.dropped["bars"] += rows_of(message)
            else:
                yield message

    def _forget_snapshots(self) -> None:
        for index, unit in enumerate(self._units):
            kept = tuple(message for message in unit if not isinstance(message, SnapshotTaken))
            self.dropped["snapshots"] += len(unit) - len(kept)
            self.rows -= len(unit) - len(kept)
            self._units[index] = kept
