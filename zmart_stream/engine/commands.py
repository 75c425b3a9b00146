"""What the core does when it is asked: each command, its facts, and its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zmart_stream.domain.commands import (
    Command,
    CommandDone,
    DisablePlugin,
    Pause,
    Rebalance,
    Recalculate,
    Reconfigure,
    Reconfigured,
    ReleaseSource,
    Resume,
    StorageDegraded,
    StorageRecovered,
)
from zmart_stream.domain.errors import CommandRefusedError, ConfigError
from zmart_stream.domain.message import Message
from zmart_stream.domain.scores import Recalculated
from zmart_stream.domain.settings import ScoringSettings
from zmart_stream.engine.judging import BuildJudges, Judging
from zmart_stream.engine.stages import Stages, known
from zmart_stream.portfolio.operator import BookCommand
from zmart_stream.scoring.base import Scorer

DRIFT_LIMIT = 1e-9
"""Relative difference of incremental and recomputed state above which a row counts as re-anchored (numbers.md §2)."""
BuildScorers = Callable[[ScoringSettings], Sequence[Scorer]]


class Commands:
    """Carries out commands on the stages. Every command ends its cascade with one `CommandDone`."""

    def __init__(
        self, stages: Stages, judging: Judging, build_scorers: BuildScorers, build_judges: BuildJudges
    ) -> None:
        self._stages = stages
        self._judging = judging
        self._build_scorers = build_scorers
        self._build_judges = build_judges

    def book(self, command: BookCommand) -> list[Message]:
        """An operator's change of the book, and the weights and paper trades that follow."""
        stages = self._stages
        standings = stages.standings(command.ts)
        try:
            told = stages.followed(command.ts, stages.symbols.command(command, standings), standings)
        except CommandRefusedError as refusal:
            return [_refused(command, refusal)]
        return [*told, _done(command, "" if told else "nothing to change")]

    def rebalance(self, command: Rebalance) -> list[Message]:
        """An operator's wish for weights at their targets."""
        stages = self._stages
        try:
            told = stages.manager.rebalance(command, stages.standings(command.ts))
        except CommandRefusedError as refusal:
            return [_refused(command, refusal)]
        conflict = stages.manager.memory.kept
        if conflict and stages.symbols.portfolio.holdings:
            return [*told, _refused(command, CommandRefusedError("infeasible", conflict))]
        return [*told, _done(command, "" if told else "nothing to change")]

    def pause(self, command: Pause) -> list[Message]:
        """The book holds until `Resume`."""
        self._stages.symbols.hold.begin("paused", command.note)
        return [*self._hold_changed(command.ts), _done(command)]

    def resume(self, command: Resume) -> list[Message]:
        """End a pause."""
        was_paused = self._stages.symbols.hold.has("paused")
        self._stages.symbols.hold.end("paused")
        return [*self._hold_changed(command.ts), _done(command, "" if was_paused else "was not paused")]

    def degraded(self, message: StorageDegraded) -> list[Message]:
        """Storage fails: the book holds."""
        self._stages.symbols.hold.begin("storage", message.reason)
        return self._hold_changed(message.ts)

    def recovered(self, message: StorageRecovered) -> list[Message]:
        """Storage works again."""
        self._stages.symbols.hold.end("storage")
        return self._hold_changed(message.ts)

    def release_source(self, command: ReleaseSource) -> list[Message]:
        """A source's name goes to whoever uses it next."""
        if not self._judging.processor.book.register.release(command.source_name):
            return [_refused(command, CommandRefusedError("unknown_source", "that source is nobody's"))]
        return [_done(command)]

    def recalculate(self, command: Recalculate) -> list[Message]:
        """Recompute committed state from anchor and ring; re-anchor the rows that drifted."""
        stages = self._stages
        states = stages.market.states
        if command.symbol is not None:
            state = stages.market.by_symbol.get(command.symbol)
            if state is None:
                return [_refused(command, CommandRefusedError("unknown_symbol", f"no contract {command.symbol}"))]
            states = [state]
        drifts = stages.market.recompute(None if command.symbol is None else [state.row for state in states])
        for state in states:
            stages.scoring.row_loaded(state)
        told: list[Message] = list(stages.scoring.catch_up(command.ts))
        answer = Recalculated(
            ts=command.ts,
            request_id=command.request_id,
            symbols_processed=len(states),
            drift=max(drifts, default=0.0),
            reanchored=sum(1 for drift in drifts if drift > DRIFT_LIMIT),
            scores={state.symbol: known(stages.scoring.composite(state.row)) for state in states},
        )
        return [*told, answer, _done(command)]

    def reconfigure(self, command: Reconfigure) -> list[Message]:
        """Use other settings from now on: all of them, or none if a plug-in cannot be built."""
        stages, settings = self._stages, command.settings
        try:
            scorers = self._build_scorers(settings.scoring)
            judges = self._build_judges(settings.signals)
        except ConfigError as error:
            return [_refused(command, CommandRefusedError("config", str(error)))]
        stages.settings, stages.revision = settings, command.revision
        stages.market.reconfigure(
            settings.market, probe_usdt=settings.scoring.probe_usdt, sectors=settings.portfolio.sectors
        )
        stages.scoring.reconfigure(settings.scoring, scorers, command.ts)
        stages.symbols.reconfigure(settings, revision=command.revision)
        stages.manager.reconfigure(settings)
        self._judging.reconfigure(settings.signals, judges)
        told: list[Message] = [Reconfigured(ts=command.ts, revision=command.revision, changed=command.changed)]
        return [*told, *stages.scoring.publish(command.ts), _done(command)]

    def disable(self, command: DisablePlugin) -> list[Message]:
        """Leave a plug-in out from now on."""
        if command.kind == "scorer":
            message = self._stages.scoring.disable(command.name, command.reason, command.ts)
        else:
            message = self._judging.disable(command.kind, command.name, command.reason, command.ts)
        if message is None:
            detail = f"no {command.kind} {command.name} is in force"
            return [_refused(command, CommandRefusedError("unknown_plugin", detail))]
        return [message, *self._stages.scoring.publish(command.ts), _done(command)]

    def _hold_changed(self, ts: int) -> list[Message]:
        changed = self._stages.symbols.hold.changed(ts)
        return [] if changed is None else [changed]


def _done(command: Command, detail: str = "") -> CommandDone:
    return CommandDone(ts=command.ts, request_id=command.request_id, accepted=True, detail=detail)


def _refused(command: Command, refusal: CommandRefusedError) -> CommandDone:
    return CommandDone(
        ts=command.ts,
        request_id=command.request_id,
        accepted=False,
        code=refusal.code,
        detail=str(refusal),
        facts=refusal.facts,
    )
