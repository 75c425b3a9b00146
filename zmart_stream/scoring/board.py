"""The composites of all rows: from raw values to marks, one row, some, or all at once; and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray

from zmart_stream.domain.scores import ComponentScore, ScoreChanged
from zmart_stream.domain.settings import ScoringSettings
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.scoring.base import FloatArray
from zmart_stream.scoring.cells import columns_of
from zmart_stream.scoring.composite import NEUTRAL, seen_columns
from zmart_stream.scoring.lineup import Lineup
from zmart_stream.scoring.marks import ASLEEP, FRESH, HALF_DIGIT, STALE, WHOLE, Mark, changed, settle

Flags = NDArray[np.bool_]
MANY = 24
"""From so many rows on, columns are cheaper than one row after the other."""


class Board:
    """Marks of all rows over a line-up; what is published is rounded to 1e-6."""

    def __init__(self, states: list[ContractState]) -> None:
        self._states = states
        self._marks: list[Mark] = []
        self._lineup: Lineup

    def _use(self, settings: ScoringSettings) -> None:
        self._step = settings.publish_step
        self._near = settings.publish_step - 2e-6  # rounding to 1e-6 cannot carry a smaller move over the step
        self._least = settings.min_confidence

    def _grow(self) -> None:
        """Rows appear with their listing and stay."""
        if len(self._marks) < len(self._states):
            self._lineup.grow()
            parts = len(self._lineup.components)
            self._marks += [Mark(parts) for _ in range(len(self._states) - len(self._marks))]

    # -- one row -----------------------------------------------------------------------------------------------------

    def _blend(self, state: ContractState) -> None:
        """Map and blend one contract from its raw values."""
        row = state.row
        mark = self._marks[row]
        stale = False
        confidence = 0.0
        for k, component in enumerate(self._lineup.components):
            stale = component.count(state) or stale
            cell = component.open(row)
            mark.pulls[k] = cell.gain * cell.above
            confidence += cell.gain
        settle(mark, state, confidence, stale, self._least)
        self._set_pace(mark, state)

    def _set_pace(self, mark: Mark, state: ContractState) -> None:
        lineup = self._lineup
        hours, days = lineup.grown_up
        if not (state.hours_seen or state.days_seen) and lineup.barless < self._least - HALF_DIGIT:
            self._sleep(mark, state.row)
            return
        if state.price_is_mid or state.hours_seen < hours or state.days_seen < days or mark.value != mark.value:
            mark.pace = WHOLE
            return
        mark.pace = STALE if mark.stale else FRESH
        for component in lineup.components:
            if component.absent[state.row]:
                mark.pace = WHOLE

    def _sleep(self, mark: Mark, row: int) -> None:
        """Without any bars no composite can reach the least confidence: nothing is taken until there are some."""
        mark.pace, mark.stale = ASLEEP, False
        mark.pulls, mark.blended, mark.confidence = [0.0] * len(self._lineup.components), NEUTRAL, 0.0
        for component in self._lineup.components:
            component.clear(row)

    def _announce(self, state: ContractState, mark: Mark, ts: int) -> ScoreChanged | None:
        """ScoreChanged if the composite moved by the publish step, appeared or vanished."""
        if not changed(mark, self._step):
            return None
        previous, mark.told = mark.told, round(mark.value, 6)
        return ScoreChanged(
            ts=ts,
            symbol=state.symbol,
            score=known(mark.told),
            previous=known(previous),
            confidence=round(mark.confidence, 6),
            components=self.components(state.row),
        )

    def components(self, row: int) -> tuple[ComponentScore, ...]:
        """Score and confidence of every enabled component, rounded to 1e-6."""
        found = []
        for component in self._lineup.components:
            cell = component.open(row)
            score = round(NEUTRAL + cell.above, 6) if cell.present > 0.0 else None
            found.append(ComponentScore(name=component.name, score=score, confidence=round(cell.confidence, 6)))
        return tuple(found)

    def component_scores(self, start: int, stop: int) -> dict[str, list[float | None]]:
        """Scores of every enabled component, rounded to 1e-6, of rows from `start` on: what `components` says of each.

        Reads columns where it can: a ranking must not open the cells of contracts that nobody trades.
        """
        found: dict[str, list[float | None]] = {}
        for component in self._lineup.components:
            scores = component.scores(start, stop).tolist()
            found[component.name] = [round(score, 6) if score == score else None for score in scores]
        return found

    # -- some rows ---------------------------------------------------------------------------------------------------

    def refresh(self, states: Sequence[ContractState], ts: int) -> list[ScoreChanged]:
        """Freshness changed and nothing else: a composite falls or vanishes, and rises only when all is fresh again."""
        self._grow()
        chosen = [state for state in states if self._marks[state.row].pace != ASLEEP]
        if len(chosen) < MANY:
            for state in chosen:
                mark = self._marks[state.row]
                before = mark.value
                self._blend(state)
                if mark.stale and mark.value > before:
                    mark.value = before
        else:
            self._age(chosen)
        return self._tell(chosen, ts)

    def _age(self, states: Sequence[ContractState]) -> None:
        """`refresh` for rows whose raw values are as they were mapped."""
        rows = np.array([state.row for state in states], dtype=np.intp)
        fresh = columns_of([state.fresh for state in states], len(Moves))
        parts = self._lineup.components
        seen = seen_columns(parts, states)
        stale, confidence, total = np.zeros((3, len(rows)))
        pulls = np.empty((len(rows), len(parts)))
        for k, component in enumerate(parts):
            pulls[:, k], weight = component.age(rows, fresh, seen)
            stale += weight
            total += pulls[:, k]
            confidence += component.gain[rows]
        least = self._least
        columns = (pulls.tolist(), (NEUTRAL + total).tolist(), confidence.tolist(), (stale > 0.0).tolist())
        for state, pull, blended, sure, aged in zip(states, *columns, strict=True):
            mark = self._marks[state.row]
            before = mark.value
            mark.pulls = pull
            if not (aged and mark.stale and sure >= least and mark.lid == mark.lid):
                settle(mark, state, sure, aged, least)
                self._set_pace(mark, state)
            else:  # `settle` for what was stale and stays so
                mark.blended, mark.confidence, mark.counted = blended, sure, state.fresh
                mark.value = blended if blended < mark.lid else mark.lid
            if mark.stale and mark.value > before:
                mark.value = before

    # -- all rows ----------------------------------------------------------------------------------------------------

    def _blend_all(self) -> None:
        """`_blend` for every row at once."""
        self._grow()
        states, parts = self._states, self._lineup.components
        fresh = columns_of([state.fresh for state in states], len(Moves))
        aged = None if bool((fresh >= 1.0).all()) else fresh
        seen = self._lineup.seen()
        confidence, stale, total = np.zeros((3, len(states)))
        pulls = np.zeros((len(states), len(parts)))
        for k, component in enumerate(parts):
            pulls[:, k], weight = component.count_all(aged, seen)
            stale += weight
            total += pulls[:, k]
            confidence += component.gain
        self._settle_all(pulls, NEUTRAL + total, confidence, stale > 0.0, seen)

    def _settle_all(
        self, pulls: FloatArray, blended: FloatArray, confidence: FloatArray, stale: Flags, seen: dict[str, FloatArray]
    ) -> None:
        """`settle` and `_set_pace` for every row; only where staleness or absence is about, one by one."""
        hours, days = self._lineup.grown_up
        slow = ~(seen["hours_seen"] >= hours) | ~(seen["days_seen"] >= days) | ~(confidence >= self._least)
        slow |= stale | (confidence <= 0.0)
        for component in self._lineup.components:
            slow |= np.array(component.absent, dtype=bool)
        columns = (pulls.tolist(), blended.tolist(), confidence.tolist(), stale.tolist(), slow.tolist())
        for state, mark, pull, value, sure, aged, whole in zip(self._states, self._marks, *columns, strict=True):
            mark.pulls = pull
            if whole or mark.stale or state.price_is_mid:
                settle(mark, state, sure, aged, self._least)
                self._set_pace(mark, state)
            else:
                mark.blended = mark.value = value
                mark.confidence = sure
                mark.counted = state.fresh
                mark.pace = FRESH

    def _tell(self, states: Sequence[ContractState], ts: int) -> list[ScoreChanged]:
        """One message per contract whose composite moved by the publish step, appeared or vanished."""
        told, near, marks = [], self._near, self._marks
        for state in states:
            mark = marks[state.row]
            if not -near < mark.value - mark.told < near:  # also where either is absent
                told.append(self._announce(state, mark, ts))
        return [message for message in told if message is not None]

    # -- reading -----------------------------------------------------------------------------------------------------

    def composite(self, row: int) -> float:
        """The composite, 0..100, rounded to 1e-6; nan = none."""
        return round(self._marks[row].value, 6) if row < len(self._marks) else nan

    def confidence(self, row: int) -> float:
        """C, 0..1, rounded to 1e-6."""
        return round(self._marks[row].confidence, 6) if row < len(self._marks) else 0.0

    def published(self, row: int) -> tuple[float | None, float]:
        """(composite or None, C), both rounded to 1e-6."""
        if row >= len(self._marks):
            return None, 0.0
        mark = self._marks[row]
        value = mark.value
        return (round(value, 6) if value == value else None), round(mark.confidence, 6)


def known(x: float) -> float | None:
    """None for nan: absent."""
    return x if x == x else None
