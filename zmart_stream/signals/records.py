"""Signals as they stand: those that wait, and the newest that are through, for whoever asks the core."""

from __future__ import annotations

from typing import Any

import msgspec

from zmart_stream.domain.signals import (
    FINAL,
    Decision,
    Opinion,
    Plan,
    Problem,
    Signal,
    SignalEnded,
    SignalSettled,
    Status,
)
from zmart_stream.signals.packed import joined, opened, packed

MOST_FINISHED = 200
"""Signals kept here after their end; the store has all of them."""


class Step(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stage of a signal's life."""

    status: Status
    ts: int  # ns
    reason: str = ""


class Record(msgspec.Struct, kw_only=True, gc=False):
    """One signal from its arrival on; `signal.data` is left to the store once it is through."""

    signal: Signal
    status: Status
    steps: list[Step]
    problems: tuple[Problem, ...] = ()
    plan: Plan | None = None
    opinions: tuple[Opinion, ...] = ()
    decision: Decision | None = None
    ended: SignalEnded | None = None
    settled: SignalSettled | None = None

    @property
    def is_final(self) -> bool:
        """Whether its status stays."""
        return self.status in FINAL


class Records:
    """By id, in the order of arrival; finished ones are bounded."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._finished: dict[str, None] = {}
        self._packed: dict[str, bytes] = {}  # those that did not change since they were packed

    def open(self, signal: Signal) -> Record:
        """A signal came in."""
        step = Step(status="received", ts=signal.received)
        record = self._records[signal.id] = Record(signal=signal, status="received", steps=[step])
        self._packed[signal.id] = packed(record)  # at once: thousands may come to wait before the next snapshot
        return record

    def get(self, signal_id: str) -> Record | None:
        """One signal, None if it is not here (any more)."""
        return self._records.get(signal_id)

    def move(self, record: Record, status: Status, ts: int, reason: str = "") -> None:
        """A signal reached `status`; what else its record has to say of that was written before."""
        self._packed.pop(record.signal.id, None)
        record.status = status
        record.steps.append(Step(status=status, ts=ts, reason=reason))
        if record.is_final:
            self._finish(record)

    def settle(self, record: Record, outcome: SignalSettled) -> None:
        """An outcome is known."""
        self._packed.pop(record.signal.id, None)
        record.settled = outcome

    def of(self, statuses: tuple[Status, ...] | None = None) -> list[Record]:
        """Signals in these states (None: all), newest first."""
        chosen = [record for record in self._records.values() if statuses is None or record.status in statuses]
        return chosen[::-1]

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        for signal_id, record in self._records.items():
            if signal_id not in self._packed:
                self._packed[signal_id] = packed(record)
        rows = [self._packed[signal_id] for signal_id in self._records]
        return {"records": joined(rows), "finished": list(self._finished)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot. Raises msgspec.ValidationError for rows that are none."""
        self._packed.clear()
        self._records = {record.signal.id: record for record in opened(state["records"], Record)}
        self._finished = dict.fromkeys(state["finished"])

    def _finish(self, record: Record) -> None:
        record.signal = msgspec.structs.replace(record.signal, data={})
        self._finished[record.signal.id] = None
        while len(self._finished) > MOST_FINISHED:
            oldest = next(iter(self._finished))
            del self._finished[oldest]
            del self._records[oldest]
            self._packed.pop(oldest, None)
