"""The components in force: who is touched by what, whose scorer failed, who is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from zmart_stream.domain.commands import PluginDisabled
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import ScoringSettings
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.scoring import SCORERS
from zmart_stream.scoring.base import AT_CLOSE, FloatArray, Scorer, moving
from zmart_stream.scoring.composite import Component, ordered_sum, seen_columns
from zmart_stream.scoring.isolation import Touch, checked_close, checked_touch
from zmart_stream.scoring.normalise import CrossSection
from zmart_stream.scoring.registry import components

Slots = tuple[tuple[int, float, CrossSection], ...]
Plan = tuple[tuple[int, Component, Touch, Slots], ...]

WITHIN = tuple(moves for moves in Moves if moves not in AT_CLOSE)
STEADY = ("", "hours_seen", "days_seen")
"""Counts that change at a close or a load alone; parts with others are judged in whole at each of their messages."""


class Lineup:
    """Raw values of all enabled components, taken from their scorers behind the plug-in boundary.

    `plans[moves]`: (component index, component, touch, ((part index, weight, cross-section), ...)) of every component
    that moves with `moves`; `whole[moves]`: such a message takes the long way, because maturity moves with it too or
    a cross-section has too few values for a percentile. `failures` counts by component name.
    """

    def __init__(
        self,
        settings: ScoringSettings,
        scorers: Sequence[Scorer],
        market: MarketCache,
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called after the line-up changed of itself (a scorer was disabled)."""
        self._market = market
        self._states = market.states
        self._changed = changed
        self.notices: list[Message] = []
        self.failures: dict[str, int] = {}
        self.disabled: dict[str, str] = {}
        self.plans: list[Plan] = []
        self.whole: tuple[bool, ...] = ()
        self.grown_up: tuple[float, float] = (0.0, 0.0)
        self.components: list[Component] = []
        self.settings = settings
        self._install(_made(settings, scorers))

    # -- taking raw values -------------------------------------------------------------------------------------------

    def take(self, state: ContractState, moves: Moves, ts: int) -> None:
        """Take over what the scorers return for `moves`; a component that had failed comes back whole."""
        for _, component, touch, slots in self.plans[moves]:
            if component.lost:
                continue
            if component.absent[state.row]:
                self.take_component(component, state, ts)
                continue
            try:
                values = touch(state, moves)
            except Exception as error:  # noqa: BLE001 - the plug-in boundary
                self.failed(component, state, error, ts)
                continue
            component.touch_failures = 0
            for value, (i, _, _) in zip(values, slots, strict=True):
                component.put(i, state, value)

    def take_component(self, component: Component, state: ContractState, ts: int) -> None:
        """Touch all parts of one component; it is absent for the contract if that fails."""
        for moves in WITHIN:
            indexes = moving(component.parts, moves)
            if not indexes:
                continue
            try:
                values = _touch_of(component.scorer, moves)(state, moves)
            except Exception as error:  # noqa: BLE001 - the plug-in boundary
                self.failed(component, state, error, ts)
                return
            for i, value in zip(indexes, values, strict=True):
                component.put(i, state, value)
        component.touch_failures = 0
        component.absent[state.row] = component.lost

    def take_row(self, state: ContractState, ts: int) -> None:
        """The parts of one contract that move within a bar, at the provisional price."""
        for component in tuple(self.components):
            self.take_component(component, state, ts)

    def take_closed(self, states: Sequence[ContractState], ts: int) -> None:
        """The parts of some contracts that only closed bars move."""
        bars = self._market.view(np.array([state.row for state in states], dtype=np.intp))
        for component in tuple(self.components):
            raw = self._closed(component, bars, ts)
            columns = [None] * len(states) if raw is None else raw.T.tolist()
            for state, values in zip(states, columns, strict=True):
                if values is None:
                    component.absent[state.row] = True
                    continue
                for i, part in enumerate(component.parts):
                    if part.moves in AT_CLOSE or part.weight <= 0.0:
                        component.put(i, state, values[i])
                if component.absent[state.row]:
                    self.take_component(component, state, ts)

    def take_close(self, ts: int) -> None:
        """All parts of all rows at the bar just closed."""
        bars, seen = self._market.view(), seen_columns(self.components, self._states)
        for component in tuple(self.components):
            self._take_columns(component, bars, seen, ts)

    def take_rows(self, ts: int) -> None:
        """All parts of all rows that move within a bar, at the provisional price."""
        for component in tuple(self.components):
            if not component.lost:
                for state in self._states:
                    self.take_component(component, state, ts)

    def _take_columns(self, component: Component, bars: BarView, seen: dict[str, FloatArray], ts: int) -> None:
        raw = self._closed(component, bars, ts)
        component.lost = raw is None
        component.absent = [component.lost] * len(self._states)
        if raw is not None:
            component.put_columns(raw, seen)

    def _closed(self, component: Component, bars: BarView, ts: int) -> FloatArray | None:
        """The component's raw values at a close, None if the scorer failed."""
        try:
            raw = checked_close(component.scorer, bars)
        except Exception as error:  # noqa: BLE001 - the plug-in boundary
            component.close_failures += 1
            self._count(component, component.close_failures, error, ts)
            return None
        component.close_failures = 0
        return raw

    # -- cross-sections ----------------------------------------------------------------------------------------------

    def freeze(self, wanted: Callable[[int, int], bool]) -> bool:
        """Freeze the parts for which `wanted(count frozen, count now)`; True if there were any: map all rows then."""
        universe = self._universe()
        frozen = False
        for component in self.components:
            component.columns = component.raw_columns()
            for i, raw in enumerate(component.columns):
                values = raw[universe]
                if wanted(component.sections[i].count, int(np.isfinite(values).sum())):
                    component.sections[i] = CrossSection.freeze(component.parts[i], values)
                    frozen = True
        if frozen:
            self.plan()
            return True
        for component in self.components:
            component.columns = None
        return False

    def counts(self) -> list[tuple[int, int]]:
        """(count frozen, count now) of every part."""
        universe = self._universe()
        return [
            (section.count, int(np.isfinite(raw[universe]).sum()))
            for component in self.components
            for section, raw in zip(component.sections, component.raw_columns(), strict=True)
        ]

    def _universe(self) -> NDArray[np.bool_]:
        return np.array([state.in_universe for state in self._states], dtype=bool)

    # -- plug-ins that fail ------------------------------------------------------------------------------------------

    def failed(self, component: Component, state: ContractState, error: Exception, ts: int) -> None:
        """A touch failed: the component is absent for this contract until a touch succeeds."""
        component.absent[state.row] = True
        component.touch_failures += 1
        self._count(component, component.touch_failures, error, ts)

    def _count(self, component: Component, in_a_row: int, error: Exception, ts: int) -> None:
        self.failures[component.name] = self.failures.get(component.name, 0) + 1
        if in_a_row >= self.settings.failures_to_disable and component.name not in self.disabled:
            reason = f"{in_a_row} failures in a row: {type(error).__name__}: {error}"
            self.notices.append(PluginDisabled(ts=ts, kind="scorer", name=component.name, reason=reason))
            self.disable(component.name, reason)

    def disable(self, name: str, reason: str) -> bool:
        """Leave a component out; False if there is none of that name."""
        rest = [component for component in self.components if component.name != name]
        if len(rest) == len(self.components):
            return False
        self.disabled[name] = reason
        self._install(rest)
        self._changed()
        return True

    # -- settings ----------------------------------------------------------------------------------------------------

    def reconfigure(self, settings: ScoringSettings, scorers: Sequence[Scorer], ts: int) -> None:
        """Use other settings and scorers.

        A component whose class, options and parts stay keeps its values, cross-sections and whether it was disabled;
        the others are computed and frozen now.
        """
        before = {component.name: component for component in self.components}
        old = {c.name: (c.path, c.options) for c in components(self.settings)}
        new = {c.name: (c.path, c.options) for c in components(settings)}
        same = {name for name in new if old.get(name) == new[name]}
        self.disabled = {name: why for name, why in self.disabled.items() if name in same}
        self.settings = settings
        self._install([c for c in _made(settings, scorers) if c.name not in self.disabled])
        for component in tuple(self.components):
            previous = before.get(component.name)
            if previous is None or component.name not in same or not component.carry(previous):
                self._compute(component, ts)
        self.plan()

    def _compute(self, component: Component, ts: int) -> None:
        """Values and cross-sections of a new component between two closes."""
        self._take_columns(component, self._market.view(), seen_columns((component,), self._states), ts)
        if component.lost:
            return
        for state in self._states:
            self.take_component(component, state, ts)
        universe = self._universe()
        columns = zip(component.parts, component.raw_columns(), strict=True)
        component.sections = [CrossSection.freeze(part, values[universe]) for part, values in columns]

    def _install(self, enabled: list[Component]) -> None:
        self.components = enabled
        weights = ordered_sum([component.weight for component in enabled])
        for component in enabled:
            component.share = component.weight / weights if weights > 0.0 else 0.0
        halves = [part for component in enabled for part in component.parts if part.half]
        hours = [part.needed / 2 for part in halves if part.seen == "hours_seen"]
        days = [part.needed / 2 for part in halves if part.seen == "days_seen"]
        self.grown_up = (max(hours, default=0.0), max(days, default=0.0))
        self.grow()
        self.plan()

    def grow(self) -> None:
        """Make room for the rows there are: they appear with their listing and stay."""
        for component in self.components:
            component.grow(len(self._states))

    def plan(self) -> None:
        """Precompile the plans; anew whenever cross-sections or components changed."""
        self.plans = [tuple(self._planned(moves)) for moves in Moves]
        self.whole = tuple(
            any(
                c.parts[i].seen not in STEADY or c.sections[i].few
                for c in self.components
                for i in moving(c.parts, moves)
            )
            for moves in Moves
        )

    def _planned(self, moves: Moves) -> Iterable[tuple[int, Component, Touch, Slots]]:
        for k, component in enumerate(self.components):
            indexes = moving(component.parts, moves)
            if indexes and moves not in AT_CLOSE:
                slots = tuple((i, component.weights[i], component.sections[i]) for i in indexes)
                yield k, component, _touch_of(component.scorer, moves), slots


def _made(settings: ScoringSettings, scorers: Sequence[Scorer]) -> list[Component]:
    return [Component(s, c.weight) for s, c in zip(scorers, components(settings), strict=True)]


def _touch_of(scorer: Scorer, moves: Moves) -> Touch:
    """Built-in scorers return what they should (their contract test says so); others are checked at each call."""
    return scorer.touch if type(scorer) in SCORERS.values() else checked_touch(scorer, moves)
