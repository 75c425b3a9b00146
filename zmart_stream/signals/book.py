"""Everything remembered of signals, shaped by their messages alone: what waits, what was answered, what is awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from typing import Any

from zmart_stream.domain.commands import ReleaseSource
from zmart_stream.domain.errors import SnapshotError
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import (
    Opinion,
    Signal,
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SignalRejected,
    SignalSettled,
)
from zmart_stream.signals.outcomes import Outcomes
from zmart_stream.signals.records import Records
from zmart_stream.signals.register import Answer, Register
from zmart_stream.signals.scorecard import Scorecards
from zmart_stream.signals.statistics import Statistics
from zmart_stream.signals.validation import NS, data_bytes

MOST_SPENT = 1000
"""Expiries of signals that wait no longer, kept before they are swept out."""


class SignalBook:
    """State that survives a restart: in the snapshot, and by `adopt` from what was stored after it.

    `waiting` holds signals that are not decided, in order of arrival; `waiting_bytes` the size of their data.
    """

    def __init__(self, settings: SignalSettings) -> None:
        self.waiting: dict[str, Signal] = {}
        self.waiting_bytes = 0
        self.register = Register()
        self.outcomes = Outcomes()
        self.cards = Scorecards(settings)
        self.statistics = Statistics()
        self.records = Records()
        self._dedupe_ns = int(settings.dedupe_s * NS)
        self._expiries: list[tuple[int, str]] = []
        self._opinions: dict[str, tuple[Opinion, ...]] = {}  # evaluated, not decided: within a cascade
        self._take: dict[type[Message], Callable[[Any], None]] = {
            SignalReceived: self._received,
            SignalRejected: self._rejected,
            SignalEvaluated: self._evaluated,
            SignalDecided: self._decided,
            SignalEnded: self._ended,
            SignalSettled: self._settled,
            ReleaseSource: self._released,
        }

    def reconfigure(self, settings: SignalSettings) -> None:
        """Remember by `settings` from now on."""
        self._dedupe_ns = int(settings.dedupe_s * NS)
        self.cards.reconfigure(settings)

    def apply(self, message: Message) -> None:
        """Take over a step of a signal's life. Raises KeyError for any other message."""
        self._take[type(message)](message)

    def repeated(self, first: Answer) -> None:
        """A signal came again."""
        owner, source, _, signal_type, _ = first.content
        self.statistics.repeated((owner, source), signal_type)

    @property
    def next_expiry(self) -> int | None:
        """When the next waiting signal expires (ns), None while none waits."""
        while self._expiries and self._expiries[0][1] not in self.waiting:
            heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else None

    def expired(self, now: int) -> list[Signal]:
        """Waiting signals whose time is over at `now` (ns), earliest first; `apply` of their end takes them out."""
        over: list[Signal] = []
        while (at := self.next_expiry) is not None and at <= now:
            over.append(self.waiting[heappop(self._expiries)[1]])
        return over

    def adopt(self, stored: Iterable[Message], *, after: str) -> None:
        """Apply stored messages, oldest first, that a state with `after` as its last id does not know yet."""
        for message in stored:
            if type(message) in self._take and self._is_news(message, after):
                self.apply(message)
        self._opinions.clear()

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {
            "waiting": list(self.waiting),
            "register": self.register.snapshot(),
            "outcomes": self.outcomes.snapshot(),
            "cards": self.cards.snapshot(),
            "statistics": self.statistics.snapshot(),
            "records": self.records.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self.waiting.clear()
        self.waiting_bytes = 0
        self._expiries.clear()
        self.register.restore(state["register"])
        self.outcomes.restore(state["outcomes"])
        self.cards.restore(state["cards"])
        self.statistics.restore(state["statistics"])
        self.records.restore(state["records"])
        for signal_id in state["waiting"]:
            record = self.records.get(signal_id)
            if record is None:
                raise SnapshotError(f"signals: {signal_id} waits and has no record")
            self._wait(record.signal)

    # -- the steps ---------------------------------------------------------------------------------------------------

    def _released(self, command: ReleaseSource) -> None:
        self.register.release(command.source_name)

    def _received(self, message: SignalReceived) -> None:
        signal = message.signal
        self.register.put(signal, self._dedupe_ns)
        self.records.open(signal)
        self.statistics.count("received", signal)
        self._wait(signal)

    def _rejected(self, message: SignalRejected) -> None:
        self.statistics.refused(message.signal.signal_type)
        for problem in message.problems:
            self.statistics.because(problem.code)
        record = self.records.open(message.signal)
        record.problems = message.problems
        record.steps.clear()
        self.records.move(record, "rejected", message.ts, message.problems[0].code)

    def _evaluated(self, message: SignalEvaluated) -> None:
        signal = message.signal
        self._opinions[signal.id] = message.opinions
        self.statistics.count("evaluated", signal)
        self.statistics.took("received_to_evaluated", message.ts - signal.received)
        record = self.records.get(signal.id)
        if record is not None:
            record.plan, record.opinions = message.plan, message.opinions
            self.records.move(record, "evaluated", message.ts)

    def _decided(self, message: SignalDecided) -> None:
        signal, decision = message.signal, message.decision
        status: Any = "approved" if decision.approved else "declined"
        opinions = self._opinions.pop(signal.id, ())
        self._wait_no_longer(signal.id)
        self.outcomes.put(message, opinions)
        self.statistics.count(status, signal)
        self.statistics.because(decision.reason)
        record = self.records.get(signal.id)
        if record is not None:
            self.statistics.took("evaluated_to_decided", message.ts - record.steps[-1].ts)
            record.decision = decision
            self.records.move(record, status, message.ts, decision.reason)
        self.register.decided(signal.id, status, decision)

    def _ended(self, message: SignalEnded) -> None:
        waited = self._wait_no_longer(message.signal_id)
        self.statistics.because(message.reason)
        self.register.ended(message)
        record = self.records.get(message.signal_id)
        if record is None:
            return
        self.statistics.count(message.status, record.signal)
        if waited is not None:
            self.statistics.took("received_to_expired", message.ts - waited.received)
        else:
            self.statistics.took("decided_to_ended", message.ts - record.steps[-1].ts)
        record.ended = message
        self.records.move(record, message.status, message.ts, message.reason)

    def _settled(self, message: SignalSettled) -> None:
        self.outcomes.take(message.signal_id)
        self.cards.settle(message)
        self.statistics.settled(message)
        record = self.records.get(message.signal_id)
        if record is not None:
            self.records.settle(record, message)

    def _is_news(self, message: Message, after: str) -> bool:
        """Whether a stored message tells what this state does not know."""
        match message:
            case SignalReceived() | SignalRejected():
                return message.signal.id > after and self.records.get(message.signal.id) is None
            case SignalEvaluated() | SignalDecided():
                return message.signal.id in self.waiting
            case SignalEnded():
                record = self.records.get(message.signal_id)
                return record is not None and not record.is_final
            case SignalSettled():
                return message.signal_id in self.outcomes
            case ReleaseSource():
                return True
        return False

    def _wait(self, signal: Signal) -> None:
        self.waiting[signal.id] = signal
        self.waiting_bytes += data_bytes(signal.data)
        heappush(self._expiries, (signal.expires, signal.id))

    def _wait_no_longer(self, signal_id: str) -> Signal | None:
        signal = self.waiting.pop(signal_id, None)
        if signal is not None:
            self.waiting_bytes -= data_bytes(signal.data)
            if len(self._expiries) > MOST_SPENT + 2 * len(self.waiting):
                self._expiries = [(waiting.expires, waiting.id) for waiting in self.waiting.values()]
                heapify(self._expiries)
        return signal
