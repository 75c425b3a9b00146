"""SignalProcessor: received → rejected | evaluated → approved | declined → acted | no_action; or expired.

Every step is a message. What is remembered is made of those messages alone (`SignalBook`), so that a restart that is
told the stored ones goes on where the last session was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, Protocol

import msgspec

from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange, WeightsKept
from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import (
    DETECTOR_SOURCE,
    MACHINE,
    Decision,
    Opinion,
    Plan,
    Problem,
    Signal,
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SignalRejected,
    SignalRepeated,
    SubmitSignal,
)
from zmart_stream.market.views import BookView
from zmart_stream.signals.base import Case
from zmart_stream.signals.book import SignalBook
from zmart_stream.signals.consensus import prior_of, verdict, weigh
from zmart_stream.signals.panel import Panel
from zmart_stream.signals.planning import plan_for
from zmart_stream.signals.register import Answer
from zmart_stream.signals.registry import Seat
from zmart_stream.signals.submission import signal_of
from zmart_stream.signals.validation import problems
from zmart_stream.signals.watch import Found

NS = 1_000_000_000
AT_ONCE = 10
"""Signals judged at one instant of market time; further ones take turns, so that no close is held up."""

RELEASED = 20
"""Waiting signals judged in one turn."""

TURN_NS = NS // 10
MOST_SETTLED = 200
"""Outcomes settled in one turn."""

MOST_WAITING = 10_000
MOST_WAITING_BYTES = 32 << 20
Act = Callable[[Signal, Plan], list[Message]]
"""Carries out a plan in the book; raises CommandRefusedError naming the limit that stops it."""


class Desk(BookView, Protocol):
    """The core as the processor needs it."""

    def new_id(self) -> str:
        """An id made of market time."""
        ...

    def find(self, name: str) -> str | None:
        """The contract of a symbol or of its UUID, None if there is none."""
        ...

    def waits_for(self) -> str:
        """Why nothing is judged now (the hold's cause, warm_up), "" while the book may act."""
        ...

    def mark(self, symbol: str) -> float:
        """The mark price, else the last price; nan while neither is known."""
        ...

    def paid_bps(self, symbol: str) -> float:
        """What one trade costs, with an assumed spread where none is known."""
        ...

    def price_at(self, symbol: str, at: int) -> float:
        """The price that held at `at` (ns, not long ago: the mark of now); nan while unknown."""
        ...


class SignalProcessor:
    """Validates, has signals judged, decides, and settles what became of them. `desk` is asked, never changed."""

    def __init__(self, settings: SignalSettings, seats: Sequence[Seat], book: SignalBook, desk: Desk) -> None:
        self.book = book
        self.panel = Panel(settings, seats)
        self._desk = desk
        self._settings = settings
        self._turn = (0, 0)  # instant (ns), signals judged at it
        self._released = 0  # ns of the newest turn of waiting signals

    def reconfigure(self, settings: SignalSettings, seats: Sequence[Seat]) -> None:
        """Judge by `settings` from now on; what waits and what is remembered stays."""
        self._settings = settings
        self.panel.reconfigure(settings, seats)
        self.book.reconfigure(settings)

    # -- in ----------------------------------------------------------------------------------------------------------

    def submit(self, command: SubmitSignal) -> SignalReceived | SignalRejected | SignalRepeated:
        """A signal came: received, rejected with every rule it breaks, or the first answer again.

        A key is looked up before anything is judged: what was valid when it came first may have expired by now, and
        its sender has to learn what became of it all the same.
        """
        register = self.book.register
        if command.idempotency_key is not None:
            first = register.keyed((command.owner, command.source_name, command.idempotency_key), command.ts)
            if first is not None:
                return self._repeated(first, command, "key")
        wrong = problems(command, self._desk.find, max_data_bytes=self._settings.max_data_bytes)
        signal = signal_of(command, self._desk, self._settings, is_valid=not wrong)
        if not wrong and (taken := register.refusal(signal.source, signal.owner)) is not None:
            wrong = [taken]
        if not wrong:
            first = register.same(signal, int(self._settings.dedupe_s * NS))
            if first is not None:
                return self._repeated(first, command, "content")
            wrong = self._backlog()
        if wrong:
            rejected = SignalRejected(
                ts=command.ts, signal=signal, problems=tuple(wrong), request_id=command.request_id
            )
            self.book.apply(rejected)
            return rejected
        received = SignalReceived(ts=command.ts, signal=signal, request_id=command.request_id)
        self.book.apply(received)
        return received

    def raised(self, found: Found) -> list[Message]:
        """A detector found something: received, or nothing while the same signal was there within the window."""
        finding, now = found.finding, self._desk.now
        command = SubmitSignal(
            ts=now,
            request_id="",
            who=found.detector,
            owner=MACHINE,
            source_name=DETECTOR_SOURCE + found.detector,
            signal_type=finding.signal_type,
            signal_strength=finding.strength,
            confidence_level=finding.confidence,
            symbol=finding.symbol,
            signal_direction=finding.direction,
            signal_data=finding.data,
            expires_in_s=finding.expires_in_s,
        )
        answer = self.submit(command)
        if isinstance(answer, SignalRepeated):
            return []
        return [msgspec.structs.replace(answer, request_id=None)]

    # -- judging -----------------------------------------------------------------------------------------------------

    def received(self, message: SignalReceived) -> list[Message]:
        """Judge at once, unless the book holds or this instant has had its share: then the signal waits."""
        if self._desk.waits_for() or not self._take_turn():
            return []
        return [self._evaluated(message.signal)]

    def evaluated(self, message: SignalEvaluated) -> list[Message]:
        """The consensus of the opinions."""
        signal, symbol, now = message.signal, message.plan.symbol, self._desk.now
        decided = SignalDecided(
            ts=now,
            signal=signal,
            decision=self._decide(message),
            price=None if symbol is None else _known(self._desk.mark(symbol)),
            cost=0.0 if symbol is None else self._round_trip(symbol),
            due=now + int(self._settings.outcome_horizon_s * NS),
        )
        self.book.apply(decided)
        return [decided]

    def decided(self, message: SignalDecided, act: Act) -> list[Message]:
        """Let the book act on an approved signal; how that ended."""
        if not message.decision.approved:
            return []
        plan = message.decision.plan
        if plan.action == "NONE":
            return [self._ended(message.signal, "no_action", plan.reason)]
        try:
            told = act(message.signal, plan)
        except CommandRefusedError as refusal:
            return [self._ended(message.signal, "no_action", refusal.code, detail=str(refusal))]
        change = next((each.id for each in told if isinstance(each, PortfolioChange)), None)
        if change is None:
            kept = next((each.reason for each in told if isinstance(each, WeightsKept)), "")
            why = ("infeasible", kept) if kept else ("no_change", "the limits leave the weights as they are")
            return [*told, self._ended(message.signal, "no_action", why[0], detail=why[1])]
        return [*told, self._ended(message.signal, "acted", plan.action.lower(), change_id=change)]

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def due(self) -> int | None:
        """When `advance` has something to do (ns), None: never as things stand."""
        times = [self.book.next_expiry]
        if not self._desk.waits_for():
            times.append(self.book.outcomes.due)
            if self.book.waiting:
                times.append(max(self._desk.now, self._released + TURN_NS))
        return min((at for at in times if at is not None), default=None)

    def advance(self, upto: int) -> Iterator[Message]:
        """What is due now: signals expire, waiting ones take their turn, outcomes are settled.

        The next turn comes after `upto` (ns), however far time jumps: no message pays for more than one. Whoever draws
        a signal from here lets the book act on it before drawing the next, which is judged against the book as it is
        then.
        """
        now, waits_for = self._desk.now, self._desk.waits_for()
        for signal in self.book.expired(now):
            yield self._ended(signal, "expired", waits_for or "turn")
        if waits_for:
            return
        if self.book.waiting and now >= self._released + TURN_NS:
            self._released = max(now, upto)
            for signal in list(islice(self.book.waiting.values(), RELEASED)):
                yield self._evaluated(signal)
        yield from self._settled(now)

    # -- state -------------------------------------------------------------------------------------------------------

    def adopt(self, stored: Iterable[Message], *, after: str) -> None:
        """Take over the stored messages of signals, oldest first, that a snapshot with `after` as last id lacks.

        SignalReceived, SignalRejected, SignalEvaluated, SignalDecided, SignalEnded and SignalSettled count; those that
        the snapshot knows change nothing. Nothing acts twice: what was decided is not decided again.
        """
        self.book.adopt(stored, after=after)

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {
            "book": self.book.snapshot(),
            "panel": self.panel.snapshot(),
            "turn": list(self._turn),
            "released": self._released,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self.book.restore(state["book"])
        self.panel.restore(state["panel"])
        self._turn = (state["turn"][0], state["turn"][1])
        self._released = state["released"]

    # -- parts -------------------------------------------------------------------------------------------------------

    def _backlog(self) -> list[Problem]:
        """Whether too many signals wait for one more."""
        if len(self.book.waiting) < MOST_WAITING and self.book.waiting_bytes < MOST_WAITING_BYTES:
            return []
        rule = f"at most {MOST_WAITING} signals wait ({self._desk.waits_for() or 'their turn'})"
        return [Problem(field="signal", value=len(self.book.waiting), rule=rule, code="backlog")]

    def _repeated(self, first: Answer, command: SubmitSignal, by: Literal["key", "content"]) -> SignalRepeated:
        self.book.repeated(first)
        return SignalRepeated(
            ts=command.ts,
            signal_id=first.id,
            request_id=command.request_id,
            by=by,
            first=first.first,
            status=first.status,
            approved=first.approved,
            p=first.p,
            action=first.action,
            symbol=first.symbol,
            symbol_out=first.symbol_out,
            spoke=first.spoke,
            veto=first.veto,
            dissent=first.dissent,
            verdict=first.verdict,
            reason=first.reason,
            detail=first.detail,
            change_id=first.change_id,
        )

    def _take_turn(self) -> bool:
        now = self._desk.now
        taken = self._turn[1] if self._turn[0] == now else 0
        self._turn = (now, taken + 1)
        if taken >= AT_ONCE:
            self._released = max(self._released, now)
        return taken < AT_ONCE

    def _evaluated(self, signal: Signal) -> SignalEvaluated:
        """Every agent's opinion; none where there is no contract to judge."""
        desk = self._desk
        plan = plan_for(signal, desk)
        opinions: tuple[Opinion, ...] = ()
        if plan.symbol is not None:
            opinions = self.panel.judge(Case(signal=signal, symbol=plan.symbol, plan=plan), desk)
        evaluated = SignalEvaluated(ts=desk.now, signal=signal, plan=plan, opinions=opinions)
        self.book.apply(evaluated)
        return evaluated

    def _decide(self, message: SignalEvaluated) -> Decision:
        signal, settings, cards = message.signal, self._settings, self.book.cards
        past = cards.source(signal.owner, signal.source, self._desk.now)
        is_calibrated = past.outcomes >= settings.calibrate_after
        confidence = past.hit_rate if is_calibrated else signal.confidence
        weights = {name: weight * cards.weight(name) for name, weight in self.panel.weights.items()}
        found = weigh(message.opinions, weights, prior_of(signal.strength, confidence))
        reason = verdict(found, approve_at=settings.approve_at, quorum=settings.quorum)
        if message.plan.symbol is None:
            reason = "no_target"
        return Decision(
            approved=reason == "approved",
            reason=reason,
            p=found.p,
            approve_at=settings.approve_at,
            prior=found.prior,
            confidence=confidence,
            is_calibrated=is_calibrated,
            spoke=found.spoke,
            quorum=settings.quorum,
            veto=found.veto,
            dissent=found.dissent,
            weights=found.weights,
            plan=message.plan,
        )

    def _settled(self, now: int) -> Iterator[Message]:
        """Outcomes whose horizon has passed, `MOST_SETTLED` at most."""
        for _ in range(MOST_SETTLED):
            if (self.book.outcomes.due or now + 1) > now:
                return
            settled = self.book.outcomes.settle(now, self._desk.price_at)
            if settled is not None:
                self.book.apply(settled)
                yield settled

    def _round_trip(self, symbol: str) -> float:
        """Fraction that two trades cost."""
        return 2e-4 * self._desk.paid_bps(symbol)

    def _ended(
        self, signal: Signal, status: Any, reason: str, *, detail: str = "", change_id: str | None = None
    ) -> SignalEnded:
        record = self.book.records.get(signal.id)
        plan = None if record is None else record.plan
        ended = SignalEnded(
            ts=self._desk.now,
            signal_id=signal.id,
            status=status,
            reason=reason,
            detail=detail,
            symbol=signal.symbol if plan is None else plan.symbol or signal.symbol,
            change_id=change_id,
        )
        self.book.apply(ended)
        return ended


def _known(value: float) -> float | None:
    return value if value > 0.0 else None
