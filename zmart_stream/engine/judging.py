"""Signals in the core: detectors and commands bring them, agents judge them, the book acts, time settles them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from zmart_stream.domain.commands import CommandDone, PluginDisabled
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import HoldChanged, PortfolioChange
from zmart_stream.domain.scores import ScoreChanged, ScoresClosed
from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import (
    Plan,
    Signal,
    SignalDecided,
    SignalEvaluated,
    SignalReceived,
    SignalRejected,
    SubmitSignal,
)
from zmart_stream.engine.bus import Bus
from zmart_stream.engine.desk import WARM_UP, CoreView
from zmart_stream.engine.market_view import LazyStandings
from zmart_stream.engine.score_trail import ScoreTrail
from zmart_stream.engine.stages import Stages
from zmart_stream.engine.timers import NEVER, Timers
from zmart_stream.engine.warmup import NS, Start
from zmart_stream.signals.book import SignalBook
from zmart_stream.signals.processor import SignalProcessor
from zmart_stream.signals.registry import Post, Seat, build_agents, build_detectors
from zmart_stream.signals.watch import Found, Watch

TIMER = "signals"
COMPOSITE = "composite"
BAD_SIGNAL = "bad_signal"
"""Code of a refusal when a value breaks its rule; other problems have codes of their own."""


class Judges(NamedTuple):
    """Who judges signals and who raises them."""

    seats: Sequence[Seat]
    posts: Sequence[Post]


BuildJudges = Callable[[SignalSettings], Judges]
"""Makes agents and detectors of the settings; raises ConfigError."""


def built_in_judges(settings: SignalSettings) -> Judges:
    """Built-in and dotted-path agents and detectors."""
    return Judges(build_agents(settings), build_detectors(settings))


class Judging:
    """The signal stages, wired. `now` tells market time; `timers` has a timer named `signals`."""

    def __init__(self, stages: Stages, start: Start, judges: Judges, *, timers: Timers, now: Callable[[], int]) -> None:
        settings = stages.settings.signals
        self._stages = stages
        self._timers = timers
        self._trail = ScoreTrail()
        book = SignalBook(settings)
        self.view = CoreView(stages, start, self._trail, book.cards, now)
        self.processor = SignalProcessor(settings, judges.seats, book, self.view)
        self.watch = Watch(settings, judges.posts)

    def subscribe(self, bus: Bus) -> None:
        """Listen where signals come from and go to."""
        bus.subscribe(ScoreChanged, self._scored)
        bus.subscribe(ScoresClosed, self._closed)
        bus.subscribe(HoldChanged, self._armed)
        bus.subscribe(SignalReceived, self._received)
        bus.subscribe(SignalEvaluated, self.processor.evaluated)
        bus.subscribe(SignalDecided, self._decided)

    def submit(self, command: SubmitSignal) -> list[Message]:
        """A signal, and the answer to whoever sent it."""
        answer = self.processor.submit(command)
        if isinstance(answer, SignalRejected):
            return [answer, _refused(command, answer)]
        detail = answer.signal.id if isinstance(answer, SignalReceived) else answer.signal_id
        done = CommandDone(ts=command.ts, request_id=command.request_id, accepted=True, detail=detail)
        return [answer, done]

    def advance(self, upto: int) -> Iterator[Message]:
        """The timer fell due; messages up to `upto` (ns) are taken in one piece with it."""
        yield from self.processor.advance(upto)
        self.arm()

    def arm(self) -> None:
        """Let the timer fall due when there is something to do next."""
        due = self.processor.due
        self._timers.set(TIMER, NEVER if due is None else due)

    def note_scores(self) -> None:
        """A decision's close: its scores are what later ones are compared with."""
        scoring = self._stages.scoring
        self._trail.put((COMPOSITE, *scoring.component_names), scoring.score_columns())

    def take_notices(self) -> list[Message]:
        """Agents and detectors left out since the last call."""
        told: list[Message] = []
        for failures in (self.processor.panel.failures, self.watch.failures):
            told += failures.notices
            failures.notices.clear()
        return told

    def reconfigure(self, settings: SignalSettings, judges: Judges) -> None:
        """Judge by `settings` from now on."""
        self.processor.reconfigure(settings, judges.seats)
        self.watch.reconfigure(settings, judges.posts)
        self.arm()

    def disable(self, kind: str, name: str, reason: str, ts: int) -> PluginDisabled | None:
        """Leave an agent or a detector out from now on; None if there is no such one in force."""
        part = self.watch if kind == "detector" else self.processor.panel
        return part.disable(name, reason, ts)

    def adopt(self, stored: Iterable[Message], *, after: str) -> None:
        """Take over stored messages of signals that the snapshot does not know (see SignalProcessor.adopt)."""
        messages = list(stored)
        self.processor.adopt(messages, after=after)
        self.watch.adopt(messages)

    def plugins(self) -> dict[str, dict[str, Any]]:
        """Failures and who is left out, by kind."""
        parts = {"agents": self.processor.panel.failures, "detectors": self.watch.failures}
        return {kind: {"failures": dict(f.counts), "disabled": dict(f.disabled)} for kind, f in parts.items()}

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {
            "processor": self.processor.snapshot(),
            "watch": self.watch.snapshot(),
            "trail": self._trail.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot; the timers have theirs."""
        self.processor.restore(state["processor"])
        self.watch.restore(state["watch"])
        self._trail.restore(state["trail"])

    # -- on the bus --------------------------------------------------------------------------------------------------

    def _scored(self, change: ScoreChanged) -> Iterable[Message]:
        """Detectors that watch moved composites within a bar."""
        if not self.watch.watches_scores or change.score is None or self.view.waits_for() == WARM_UP:
            return ()
        return self._raised(self.watch.scored(change.symbol, self.view))

    def _closed(self, _: ScoresClosed) -> Iterator[Message]:
        """Detectors look at what the close shows; in warm-up at nothing, the past is only being loaded."""
        found = [] if self.view.waits_for() == WARM_UP else self.watch.closed(self.view)
        yield from self._raised(found)
        yield from self.take_notices()

    def _raised(self, found: Sequence[Found]) -> Iterator[Message]:
        for each in found:
            yield from self.processor.raised(each)

    def _armed(self, _: HoldChanged) -> Iterable[Message]:
        """What waited may take its turn, or has to wait."""
        self.arm()
        return ()

    def _received(self, message: SignalReceived) -> list[Message]:
        told = [*self.processor.received(message), *self.take_notices()]
        self.arm()
        return told

    def _decided(self, message: SignalDecided) -> list[Message]:
        told = self.processor.decided(message, self._act)
        self.arm()
        return told

    def _act(self, signal: Signal, plan: Plan) -> list[Message]:
        """The book acts. Raises CommandRefusedError naming the limit that stops it."""
        stages, now = self._stages, self.view.now
        standings, symbol = LazyStandings(stages, now), plan.symbol or ""
        if plan.action in ("WEIGHT_UP", "WEIGHT_DOWN"):
            return self._tilted(signal, plan, standings)
        action: Any = plan.action
        changed = stages.symbols.act(now, action, symbol, plan.symbol_out, signal_id=signal.id, standings=standings)
        return stages.followed(now, changed, standings)

    def _tilted(self, signal: Signal, plan: Plan, standings: LazyStandings) -> list[Message]:
        """A holding's weight moves for a while. Raises CommandRefusedError: `infeasible`, `already_tilted`.

        A tilt that moves no weight is taken back: a signal that ended without an action does not act a day later. One
        of a holding that is tilted so already goes on for as long as this one would.
        """
        manager, settings, now = self._stages.manager, self._stages.settings.signals, self.view.now
        before, symbol = manager.memory.tilts, plan.symbol or ""
        factor = settings.tilt_up if plan.action == "WEIGHT_UP" else settings.tilt_down
        manager.tilt(symbol, factor, now + int(settings.tilt_ttl_s * NS))
        told = manager.reweigh(now, standings, reason="signal", who=f"signal:{signal.id}")
        if any(isinstance(each, PortfolioChange) for each in told):
            return told
        if not manager.memory.kept and symbol in before and before[symbol].factor == factor:
            hours = settings.tilt_ttl_s / 3600.0
            text = f"{symbol} is tilted × {factor:g} already, which goes on for {hours:g} h from now"
            raise CommandRefusedError("already_tilted", text)
        manager.memory.tilts = before
        if manager.memory.kept and not told:
            raise CommandRefusedError("infeasible", manager.memory.kept)
        return told


def _refused(command: SubmitSignal, rejected: SignalRejected) -> CommandDone:
    """Refused with the first problem that has a code of its own, and all of them as facts."""
    codes = [problem.code for problem in rejected.problems if problem.code != "invalid"]
    problems = [
        {"field": problem.field, "value": problem.value, "rule": problem.rule, "code": problem.code}
        for problem in rejected.problems
    ]
    return CommandDone(
        ts=command.ts,
        request_id=command.request_id,
        accepted=False,
        code=codes[0] if codes else BAD_SIGNAL,
        detail="; ".join(str(problem) for problem in rejected.problems),
        facts={"signal_id": rejected.signal.id, "problems": problems},
    )
