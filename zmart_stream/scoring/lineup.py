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
from zmart_stream.scoring.base import AT_CLOSE, FloatArray, Part, PartScorer, Scorer, TouchParts, moving
from zmart_stream.scoring.composite import BARS, Component, ordered_sum, seen_columns
from zmart_stream.scoring.isolation import checked_close, checked_touch
from zmart_stream.scoring.normalise import CrossSection
from zmart_stream.scoring.registry import components

Slot = tuple[int, int, int, float, CrossSection, list[float], list[float]]
"""Place among the values of a touch, part index, place among the terms, weight, cross-section, its knots and levels."""
Plan = tuple[tuple[int, Component, TouchParts, tuple[Slot, ...]], ...]

WITHIN = tuple(moves for moves in Moves if moves not in AT_CLOSE)


class Lineup:
    """Raw values of all enabled components, taken from their scorers behind the plug-in boundary.

    `plans[moves]`: (component index, component, its touch for `moves`, slots) of every component that moves with
    `moves`; `spanned[moves]`: (component, place in `counted`, part) where maturity moves too. `failures` counts by
    component name. `barless` is the largest C of a contract without any bars.
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
        self.spanned: list[tuple[tuple[Component, int, Part], ...]] = []
        self.grown_up: tuple[float, float] = (0.0, 0.0)
        self.barless = 1.0
        self._seen: dict[str, FloatArray] = {}
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
                values = touch(state)
            except Exception as error:  # noqa: BLE001 - the plug-in boundary
                self.failed(component, state, error, ts)
                continue
            component.touch_failures = 0
            for place, i, *_ in slots:
                component.put(i, state, values[place])

    def take_component(self, component: Component, state: ContractState, ts: int) -> None:
        """Touch all parts of one component; it is absent for the contract if that fails."""
        for indexes, touch in component.touches:
            try:
                values = touch(state)
            except Exception as error:  # noqa: BLE001 - the plug-in boundary
                self.failed(component, state, error, ts)
                return
            for i, value in zip(indexes, values, strict=True):
                component.put(i, state, value)
        component.touch_failures = 0
        component.absent[state.row] = component.lost

    def grew(self, state: ContractState, moves: Moves) -> bool:
        """Whether a part that moves with `moves` has seen more, or less, of its window than when it was weighed."""
        for component, place, part in self.spanned[moves]:
            before = component.open(state.row).counted[place]
            seen = getattr(state, part.seen)
            if seen != before and not (seen >= part.needed and before >= part.needed):
                return True
        return False

    def take_row(self, state: ContractState, ts: int) -> None:
        """The parts of one contract that move within a bar, at the provisional price."""
        for component in tuple(self.components):
            self.take_component(component, state, ts)

    def take_closed(self, states: Sequence[ContractState], ts: int) -> None:
        """The parts of some contracts that only closed bars move."""
        rows = np.array([state.row for state in states], dtype=np.intp)
        bars = self._market.view(None if len(rows) == len(self._states) else np.sort(rows))
        seen = seen_columns(self.components, bars.contracts)
        for component in tuple(self.components):
            raw = self._closed(component, bars, ts)
            if raw is None:
                for state in states:
                    component.absent[state.row] = True
                continue
            component.put_closed(bars.rows, raw, seen)
            for state in states:
                if component.absent[state.row]:
                    self.take_component(component, state, ts)

    def take_close(self, ts: int) -> None:
        """All parts of all rows at the bar just closed."""
        bars, self._seen = self._market.view(), seen_columns(self.components, self._states)
        for component in tuple(self.components):
            self._take_columns(component, bars, self._seen, ts)

    def seen(self) -> dict[str, FloatArray]:
        """What the parts have seen, of all rows; that of a close just taken is kept for the map that follows."""
        known, self._seen = self._seen, {}
        return known or seen_columns(self.components, self._states)

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
            for i, raw in enumerate(component.raw_columns()):
                values = raw[universe]
                if wanted(component.sections[i].count, int(np.isfinite(values).sum())):
                    component.sections[i] = CrossSection.freeze(component.parts[i], values)
                    frozen = True
        if frozen:
            self.plan()
        return frozen

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
        free = [[part.weight for _, part in c.weighted if part.seen not in BARS] for c in enabled]
        self.barless = ordered_sum([c.share * ordered_sum(w) / c.total for c, w in zip(enabled, free, strict=True)])
        self.grow()
        self.plan()

    def grow(self) -> None:
        """Make room for the rows there are: they appear with their listing and stay."""
        for component in self.components:
            component.grow(len(self._states))

    def plan(self) -> None:
        """Precompile the plans; anew whenever cross-sections or components changed."""
        self.plans = [tuple(self._planned(moves)) for moves in Moves]
        for component in self.components:
            component.touches = tuple(_touches(component))
        self.spanned = [
            tuple(
                (component, place, component.parts[i])
                for component in self.components
                for place, i in enumerate(component.spans)
                if component.parts[i].moves == moves
            )
            for moves in Moves
        ]

    def _planned(self, moves: Moves) -> Iterable[tuple[int, Component, TouchParts, tuple[Slot, ...]]]:
        for k, component in enumerate(self.components):
            terms = [i for i, _ in component.weighted]
            for indexes, touch in _touches(component, moves):
                sections = [component.sections[i] for i in indexes]
                slots = [
                    (n, i, terms.index(i), component.parts[i].weight, section, section.knots, section.levels)
                    for n, (i, section) in enumerate(zip(indexes, sections, strict=True))
                ]
                yield k, component, touch, tuple(slots)


def _touches(component: Component, *chosen: Moves) -> Iterable[tuple[tuple[int, ...], TouchParts]]:
    """(weighted parts, touch) for each of the `chosen` inputs (none: all) that moves any within a bar.

    Built-in scorers return what they should (their contract test says so); others are checked at each call.
    """
    scorer = component.scorer
    for moves in chosen or WITHIN:
        indexes = () if moves in AT_CLOSE else moving(component.parts, moves)
        if indexes and isinstance(scorer, PartScorer) and type(scorer) in SCORERS.values():
            yield indexes, scorer.reader(moves)
        elif indexes:
            yield indexes, checked_touch(scorer, moves)


def _made(settings: ScoringSettings, scorers: Sequence[Scorer]) -> list[Component]:
    return [Component(s, c.weight) for s, c in zip(scorers, components(settings), strict=True)]
