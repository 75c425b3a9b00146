"""ScoringEngine: what changed -> parts -> components -> composite -> ScoreChanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from zmart_stream.domain.commands import PluginDisabled
from zmart_stream.domain.message import Message
from zmart_stream.domain.scores import ScoreChanged, ScoreRow
from zmart_stream.domain.settings import ScoringSettings
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.scoring import explain, kept
from zmart_stream.scoring.base import FloatArray, Scorer
from zmart_stream.scoring.board import Board
from zmart_stream.scoring.composite import NEUTRAL
from zmart_stream.scoring.lineup import Lineup
from zmart_stream.scoring.marks import ASLEEP, WHOLE


class ScoringEngine(Board):
    """Scores of all contracts of a market cache.

    `notices` collects messages that concern no single contract (PluginDisabled): whoever calls takes them after each
    call and then asks `publish`. Scores are points 0..100, `ts` market time in ns, rows those of the cache.
    """

    def __init__(self, settings: ScoringSettings, scorers: Sequence[Scorer], market: MarketCache) -> None:
        """`scorers` as `registry.build_scorers(settings)` made them, one per component in force, same order."""
        super().__init__(market.states)
        self._loaded: dict[int, ContractState] = {}  # rows whose closed-bar parts wait for `catch_up`
        self._due = False  # raw values of all rows wait to be mapped
        self._use(settings)
        self._lineup = Lineup(settings, scorers, market, self._other_components)
        self._grow()

    @property
    def notices(self) -> list[Message]:
        """Messages to hand on; the caller clears it."""
        return self._lineup.notices

    @property
    def failures(self) -> dict[str, int]:
        """Plug-in failures so far, by component."""
        return self._lineup.failures

    @property
    def disabled(self) -> dict[str, str]:
        """Why each disabled component is left out."""
        return self._lineup.disabled

    # -- one contract ------------------------------------------------------------------------------------------------

    def touch(self, state: ContractState, moves: Moves, ts: int) -> ScoreChanged | None:  # noqa: C901, PLR0912, PLR0915 - one piece: each call would cost 50 ns a message
        """Recompute what `moves` changed: the path of every message, in one piece because each call costs 50 ns."""
        row = state.row
        try:
            mark = self._marks[row]
        except IndexError:
            self._grow()
            return self._touch_whole(state, moves, ts)
        pace, lineup = mark.pace, self._lineup
        if pace and (pace >= WHOLE or state.fresh is not mark.counted):
            return None if pace == ASLEEP else self._touch_whole(state, moves, ts)
        if lineup.spanned[moves] and lineup.grew(state, moves):
            return self._touch_whole(state, moves, ts)
        pulls, still = mark.pulls, True
        for k, component, touch, slots in lineup.plans[moves]:
            try:
                values = touch(state)
            except Exception as error:  # noqa: BLE001 - the plug-in boundary
                lineup.failed(component, state, error, ts)
                return self._recount(state, ts)
            component.touch_failures = 0
            cell = component.cells[row] or component.open(row)
            raw, terms, places = cell.raw, cell.terms, cell.places
            for place, i, j, weight, section, knots, levels in slots:
                value, before = values[place], raw[i]
                if value == before:
                    continue
                if value - value == 0.0 and before == before:
                    raw[i] = value
                    still = False
                    at = places[j]
                    low, high = knots[at - 1], knots[at]
                    if not low < value <= high:
                        places[j] = at = section.place(value)
                        low, high = knots[at - 1], knots[at]
                    if at:  # section.pct, written out
                        base = levels[at - 1]
                        terms[j] = weight * (base + (levels[at] - base) * ((value - low) / (high - low)))
                    else:
                        terms[j] = weight * section.pct(value)
                elif value - value == 0.0 or before == before:  # a part appears or vanishes
                    return self._touch_whole(state, moves, ts)
            present = cell.present
            if present > 0.0:
                total = 0.0
                for term in terms:
                    total += term
                cell.above = above = total / present - NEUTRAL
                pulls[k] = cell.gain * above
        if still:
            return None
        total = 0.0
        for pull in pulls:
            total += pull
        mark.blended = value = NEUTRAL + total
        mark.value = value = mark.lid if pace and value > mark.lid else value
        if -self._near < value - mark.told < self._near:
            return None
        return self._announce(state, mark, ts)

    def _touch_whole(self, state: ContractState, moves: Moves, ts: int) -> ScoreChanged | None:
        """The long way of `touch`: absence, youth, staleness and maturity are judged anew."""
        if state.price_is_mid and moves in (Moves.TICKER, Moves.POLL):  # they move the price until there is a trade
            self._lineup.take(state, Moves.TRADE, ts)
        self._lineup.take(state, moves, ts)
        return self._recount(state, ts)

    def _recount(self, state: ContractState, ts: int) -> ScoreChanged | None:
        self._blend(state)
        return self._announce(state, self._marks[state.row], ts)

    # -- contracts whose bars were loaded ----------------------------------------------------------------------------

    def row_loaded(self, state: ContractState) -> None:
        """History of one contract was loaded, repaired or recomputed: all its parts are new with `catch_up`."""
        self._loaded[state.row] = state

    def catch_up(self, ts: int) -> list[ScoreChanged]:
        """All parts of the contracts loaded since the last time: at once, as windows cost per call."""
        self._grow()
        states = self._take_loaded(ts)
        if 2 * len(states) > len(self._states):
            self._blend_all()
        else:
            for state in states:
                self._blend(state)
        return self._tell(states, ts)

    def _take_loaded(self, ts: int) -> list[ContractState]:
        states = list(self._loaded.values())
        self._loaded.clear()
        if states:
            for state in states:
                self._lineup.take_row(state, ts)
            self._lineup.take_closed(states, ts)
        return states

    # -- all rows ----------------------------------------------------------------------------------------------------

    def bars_closed(self, ts: int) -> None:
        """Raw values of all rows at the bar just closed; `freeze` or `publish`, which must follow, maps them."""
        self._grow()
        self._loaded.clear()
        self._lineup.take_close(ts)
        self._due = True

    def touch_rows(self, ts: int) -> None:
        """Raw values of all rows at the provisional price (a quarter hour's close); mapped as after `bars_closed`."""
        self._grow()
        self._lineup.take_rows(ts)
        self._due = True

    def freeze(self, ts: int) -> None:
        """Freeze every part's cross-section over the universe and map all rows anew."""
        self._grow()
        self._take_loaded(ts)
        self._lineup.freeze(lambda _frozen, _now: True)
        self._map_all()

    def freeze_doubled(self, ts: int) -> bool:
        """Freeze only the parts of which `counts_doubled` speaks; True if there were any."""
        self._grow()
        self._take_loaded(ts)
        frozen = self._lineup.freeze(_doubled)
        if frozen:
            self._map_all()
        return frozen

    def counts_doubled(self) -> bool:
        """True if any part's count of values in the universe has doubled since it was frozen (numbers.md §3 (c))."""
        self._grow()
        return any(_doubled(frozen, now) for frozen, now in self._lineup.counts())

    def publish(self, ts: int) -> list[ScoreChanged]:
        """One message per contract whose composite moved by the publish step, appeared or vanished."""
        self._grow()
        if self._due:
            self._map_all()
        return self._tell(self._states, ts)

    def _map_all(self) -> None:
        self._due = False
        self._blend_all()

    def _other_components(self) -> None:
        """Map all rows with other components or limits; contracts that may have a composite now are taken anew."""
        asleep = [state for state, mark in zip(self._states, self._marks, strict=False) if mark.pace == ASLEEP]
        self._map_all()
        self._loaded |= {state.row: state for state in asleep if self._marks[state.row].pace != ASLEEP}

    # -- settings ----------------------------------------------------------------------------------------------------

    def reconfigure(self, settings: ScoringSettings, scorers: Sequence[Scorer], ts: int) -> None:
        """Use other settings and scorers (see Lineup.reconfigure); `publish` then tells what moved."""
        self._grow()
        self._use(settings)
        self._lineup.reconfigure(settings, scorers, ts)
        self._other_components()

    def disable(self, name: str, reason: str, ts: int) -> PluginDisabled | None:
        """Leave a component out from now on; `publish` then tells what moved. None if there is no such component."""
        if not self._lineup.disable(name, reason):
            return None
        return PluginDisabled(ts=ts, kind="scorer", name=name, reason=reason)

    # -- reading -----------------------------------------------------------------------------------------------------

    def score_row(self, row: int, rank: int | None) -> ScoreRow:
        """What is stored at a close; `parts` by "component.part": raw value, percentile, weight."""
        return ScoreRow(
            symbol=self._states[row].symbol,
            rank=rank,
            score=self.composite(row),
            confidence=self.confidence(row),
            components=self.components(row),
            parts={name: shown for component in self._lineup.components for name, shown in component.shown(row)},
        )

    def part(self, row: int, name: str) -> tuple[float, float, Moves] | None:
        """(raw value, percentile, the input it moves with) of "component.part"; None while it is absent."""
        for component in self._lineup.components:
            if name in component.named:
                i = component.named.index(name)
                raw = component.open(row).raw[i]
                return None if raw != raw else (raw, component.sections[i].pct(raw), component.parts[i].moves)
        return None

    @property
    def component_names(self) -> tuple[str, ...]:
        """The components in force."""
        return tuple(component.name for component in self._lineup.components)

    def score_columns(self) -> FloatArray:
        """Composites, then every component's scores, of all rows, shape (1 + components, rows); nan = absent."""
        self._grow()
        columns = [[mark.value for mark in self._marks]]
        return np.array([*columns, *(component.scores() for component in self._lineup.components)])

    def ranked(self, eligible: Sequence[bool]) -> list[int]:
        """Eligible rows with a composite, best first; ties by turnover, then symbol."""
        scored = [row for row, mark in enumerate(self._marks) if mark.value == mark.value and eligible[row]]
        return sorted(scored, key=self._order)

    def best_first(self) -> Iterator[int]:
        """Rows that have a composite in the order of `ranked`, each found when it is asked for."""
        values = np.array([mark.value for mark in self._marks])
        order = np.argsort(-values, kind="stable")[: int(np.count_nonzero(values == values))]  # nan comes last
        ahead = iter(order.tolist())
        row = next(ahead, None)
        while row is not None:
            rows, score = [row], self.composite(row)
            while (row := next(ahead, None)) is not None and self.composite(row) == score:
                rows.append(row)
            yield from rows if len(rows) == 1 else sorted(rows, key=self._order)

    def _order(self, row: int) -> tuple[float, float, str]:
        state = self._states[row]
        turnover = state.turnover_24h_row
        return -self.composite(row), -turnover if turnover == turnover else 0.0, state.symbol

    def explain_row(self, row: int, now: int) -> dict[str, Any]:
        """Every number behind one composite, to be checked by hand (explain.py); `now` is market time in ns."""
        self._grow()
        return explain.explain_row(self._lineup.components, self._marks[row], self._states[row], now)

    def smallest_change(self, row: int, target: float) -> dict[str, Any] | None:
        """The smallest change of one part that brings the composite to `target` points, or None (explain.py)."""
        self._grow()
        return explain.smallest_change(self._lineup.components, self._marks[row], row, target)

    def snapshot(self) -> dict[str, Any]:
        """Everything that messages have shaped, msgpack-able; with the market's own it restores bit for bit."""
        self._grow()
        return {**kept.snapshot(self._lineup, self._marks, self._states), "loaded": list(self._loaded)}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken, the market cache being restored already. Raises SnapshotError."""
        self._grow()
        kept.restore_lineup(snapshot, self._lineup)
        self._blend_all()
        kept.restore_marks(snapshot, self._lineup, self._marks, self._states)
        self._loaded = {row: self._states[row] for row in snapshot["loaded"]}


def _doubled(frozen: int, now: int) -> bool:
    return now > 0 and now >= 2 * frozen
