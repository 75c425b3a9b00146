"""The time that plug-ins take, measured outside the core: who is too slow is left out by a command."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from zmart_stream.domain.settings import ScoringSettings, SignalSettings
from zmart_stream.domain.signals import Opinion
from zmart_stream.engine.commands import BuildScorers
from zmart_stream.engine.judging import BuildJudges, Judges
from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.market.views import BookView, MarketView
from zmart_stream.scoring import SCORERS
from zmart_stream.scoring.base import FloatArray, Scorer
from zmart_stream.scoring.registry import build_scorers as build_named
from zmart_stream.signals import AGENTS, DETECTORS
from zmart_stream.signals.base import Agent, Case, Detector, Finding, ScoreDetector
from zmart_stream.signals.registry import Post, Seat

IN_A_ROW = 3
"""Overruns in a row after which a plug-in is left out."""

Kind = Literal["scorer", "agent", "detector"]
Overrun = Callable[[Kind, str, str], None]
"""(kind, name, reason): asks the core to leave the plug-in out."""


class Meter:
    """Wraps what `build` and `build_scorers` make; the wrapping changes no answer.

    `budget_s` is real time for one call: an opinion, a detector's look, a scorer's `touch` of one contract or its
    `close` of all.
    """

    def __init__(
        self,
        build: BuildJudges,
        budget_s: float,
        on_overrun: Overrun,
        *,
        build_scorers: BuildScorers = build_named,
    ) -> None:
        self.budget_s = budget_s
        self._build = build
        self._build_scorers = build_scorers
        self._on_overrun = on_overrun

    def scorers(self, settings: ScoringSettings) -> tuple[Scorer, ...]:
        """Scorers of the settings, the custom ones under watches; the built-in ones stay bare. Raises ConfigError."""
        own = tuple(SCORERS.values())
        return tuple(
            scorer if type(scorer) in own else _TimedScorer(scorer, self) for scorer in self._build_scorers(settings)
        )

    def judges(self, settings: SignalSettings) -> Judges:
        """Agents and detectors of the settings, each custom one with a watch of its own. Raises ConfigError.

        The built-in ones stay bare: what an overloaded machine takes from them would leave them out for good.
        """
        made = self._build(settings)
        return Judges([self._watched_seat(seat) for seat in made.seats], [self._watched_post(p) for p in made.posts])

    def _watched_seat(self, seat: Seat) -> Seat:
        if type(seat.agent) in AGENTS.values():
            return seat
        return msgspec.structs.replace(seat, agent=_TimedAgent(seat.agent, self.watch("agent", seat.settings.name)))

    def _watched_post(self, post: Post) -> Post:
        if type(post.detector) in DETECTORS.values():
            return post
        watch = self.watch("detector", post.settings.name)
        return msgspec.structs.replace(post, detector=_timed_detector(post.detector, watch))

    def watch(self, kind: Kind, name: str) -> StopWatch:
        """A watch for one plug-in."""
        return StopWatch(self, lambda reason: self._on_overrun(kind, name, reason))


class StopWatch:
    """Counts the overruns in a row of one plug-in; tells of them once."""

    def __init__(self, meter: Meter, tell: Callable[[str], None]) -> None:
        self._meter = meter
        self._tell = tell
        self._overruns = 0

    def stop(self, began: float) -> None:
        """A call that began at `began` (perf_counter) is over."""
        took = time.perf_counter() - began
        if took <= self._meter.budget_s:
            self._overruns = 0
            return
        self._overruns += 1
        if self._overruns == IN_A_ROW:
            limit = self._meter.budget_s * 1000
            self._tell(f"took {took * 1000:.0f} ms, {IN_A_ROW} times in a row over {limit:.0f} ms")


class _TimedScorer:
    """A scorer under two stop watches, so that quick touches do not excuse slow closes."""

    def __init__(self, scorer: Scorer, meter: Meter) -> None:
        self.name = scorer.name
        self.parts = scorer.parts
        self._scorer = scorer
        self._closes = meter.watch("scorer", scorer.name)
        self._touches = meter.watch("scorer", scorer.name)
        tells_all: Any = getattr(scorer, "touch_all", None)
        if tells_all is not None:  # asked by `explain` alone
            self.touch_all = tells_all

    def close(self, bars: BarView) -> FloatArray:
        """The scorer's own values."""
        began = time.perf_counter()
        try:
            return self._scorer.close(bars)
        finally:
            self._closes.stop(began)

    def touch(self, contract: ContractState, moves: Moves) -> tuple[float, ...]:
        """The scorer's own values."""
        began = time.perf_counter()
        try:
            return self._scorer.touch(contract, moves)
        finally:
            self._touches.stop(began)


class _TimedAgent:
    """An agent under a stop watch."""

    def __init__(self, agent: Agent, watch: StopWatch) -> None:
        self.name = agent.name
        self.may_veto = bool(getattr(agent, "may_veto", False))
        self._agent = agent
        self._watch = watch

    def judge(self, case: Case, view: BookView) -> Opinion:
        """The agent's own opinion."""
        began = time.perf_counter()
        try:
            return self._agent.judge(case, view)
        finally:
            self._watch.stop(began)


class _TimedDetector:
    """A detector under a stop watch; what it yields is drawn under it too."""

    def __init__(self, detector: Detector, watch: StopWatch) -> None:
        self.name = detector.name
        self._detector = detector
        self._watch = watch

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        """The detector's own findings."""
        began = time.perf_counter()
        try:
            return list(self._detector.at_close(view))
        finally:
            self._watch.stop(began)


class _TimedScoreDetector(_TimedDetector):
    """One that looks at moved composites too."""

    def __init__(self, detector: ScoreDetector, watch: StopWatch) -> None:
        super().__init__(detector, watch)
        self._at_score = detector.at_score

    def at_score(self, symbol: str, view: MarketView) -> Iterable[Finding]:
        """The detector's own findings."""
        began = time.perf_counter()
        try:
            return list(self._at_score(symbol, view))
        finally:
            self._watch.stop(began)


def _timed_detector(detector: Detector, watch: StopWatch) -> _TimedDetector:
    if isinstance(detector, ScoreDetector):
        return _TimedScoreDetector(detector, watch)
    return _TimedDetector(detector, watch)
