"""The core as an earlier session left it, or as a capture recorded it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import structlog

from zmart_stream.capture.format import SegmentHead
from zmart_stream.capture.reader import CaptureReader
from zmart_stream.domain.errors import CaptureError, ConfigError, SnapshotError
from zmart_stream.domain.settings import CoreSettings, ScoringSettings, SignalSettings
from zmart_stream.engine.commands import BuildScorers
from zmart_stream.engine.engine import Engine
from zmart_stream.engine.judging import BuildJudges, Judges
from zmart_stream.feeds.replay import ReplayFeed, VerifyResult, verify
from zmart_stream.scoring.base import Scorer
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.signals.registry import AGENT_GROUP, DETECTOR_GROUP, Post, Seat, build_agents, build_detectors
from zmart_stream.storage.reader import StoredState

log = structlog.get_logger("daemon")


def scorers_of(settings: ScoringSettings) -> tuple[Scorer, ...]:
    """The scorers of the settings, entry points included. Raises ConfigError."""
    extra = {}
    if any(component.path is None for component in settings.components):
        names = {component.name for component in settings.components}
        extra = {
            point.name: point.load() for point in entry_points(group="zmart_stream.scorers") if point.name in names
        }
    return build_scorers(settings, extra)


def judges_of(settings: SignalSettings) -> Judges:
    """Agents and detectors of the settings, entry points included. Raises ConfigError."""
    return Judges(_agents_of(settings), _detectors_of(settings))


def _agents_of(settings: SignalSettings) -> tuple[Seat, ...]:
    names = [agent.name for agent in settings.agents or () if agent.path is None]
    return build_agents(settings, _found(AGENT_GROUP, names))


def _detectors_of(settings: SignalSettings) -> tuple[Post, ...]:
    names = [detector.name for detector in settings.detectors if detector.path is None]
    return build_detectors(settings, _found(DETECTOR_GROUP, names))


def _found(group: str, names: Sequence[str]) -> dict[str, type[Any]]:
    """The classes under a group's entry points that settings name; nothing else is imported."""
    return {point.name: point.load() for point in entry_points(group=group) if point.name in names}


def wrong_plugins(core: CoreSettings) -> list[str]:
    """What a start would say against the options of scorers, agents and detectors."""
    problems: list[str] = []
    signals = core.signals
    for build in (lambda: scorers_of(core.scoring), lambda: _agents_of(signals), lambda: _detectors_of(signals)):
        try:
            build()
        except ConfigError as error:
            problems += error.problems
    return problems


def engine_of(head: SegmentHead) -> Engine:
    """An engine with the settings of a capture's segment; its state is restored by the caller."""
    return Engine(
        head.settings,
        scorers_of(head.settings.scoring),
        session=head.session,
        revision=head.revision,
        build_scorers=scorers_of,
        build_judges=judges_of,
    )


def verify_capture(directory: Path) -> VerifyResult:
    """Whether the core still derives from a capture what is recorded in it. Raises CaptureError and SnapshotError."""
    return verify(directory, engine_of)


def replay_capture(directory: Path) -> tuple[Engine, int, int]:
    """The core after all inputs of a capture, how many they were, and how many messages followed.

    Raises CaptureError and SnapshotError.
    """
    feed = ReplayFeed(CaptureReader(directory))
    if feed.head is None:
        raise CaptureError(f"{directory}: no segment with a whole head")
    engine, inputs, derived = engine_of(feed.head), 0, 0
    engine.restore(feed.head.snapshot)
    for message in feed:
        inputs += 1
        derived += len(engine.process(message))
    return engine, inputs, derived


def restored_engine(
    core: CoreSettings,
    stored: StoredState,
    build_judges: BuildJudges = judges_of,
    build_scorers: BuildScorers = scorers_of,
) -> Engine:
    """An engine that goes on where the store says the last session was; a snapshot that does not fit is left out."""
    scorers = build_scorers(core.scoring)

    def fresh() -> Engine:
        return Engine(
            core,
            scorers,
            session=stored.session,
            revision=stored.revision,
            build_scorers=build_scorers,
            build_judges=build_judges,
        )

    engine, ledger = fresh(), stored.ledger
    for problem in stored.problems:
        log.warning("storage.notice", reason=problem)
    if stored.snapshot is not None:
        try:
            engine.restore(stored.snapshot)
            for block in stored.blocks:
                engine.market.load_block(block)
            for amended in stored.amendments:
                engine.market.load_amended(amended)
        except SnapshotError as error:
            log.warning("storage.snapshot_unused", reason=str(error))
            engine = fresh()
            if not engine.restore_ledger(stored.snapshot, stored.equity):
                ledger = ()
    engine.restore_signals(stored.signals)
    if stored.snapshot is not None or stored.changes:
        engine.restore_book(stored.book, stored.changes, ledger)
        engine.restart(stored.session)
    hold = engine.symbols.hold
    if stored.paused:
        hold.begin("paused", "as before the restart")
    else:
        hold.end("paused")
    hold.end("storage")  # of the last session: this one's writer says so itself
    return engine
