"""ScoringEngine: what changed -> parts -> components -> composite -> ScoreChanged."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zmart_stream.domain.commands import PluginDisabled
from zmart_stream.domain.message import Message
from zmart_stream.domain.scores import ComponentScore, ScoreChanged, ScoreRow
from zmart_stream.domain.settings import ScoringSettings
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.scoring import explain, kept
from zmart_stream.scoring.base import FloatArray, Scorer
from zmart_stream.scoring.composite import NEUTRAL, Mark, changed, seen_columns, settle
from zmart_stream.scoring.lineup import Lineup

Flags = NDArray[np.bool_]


class ScoringEngine:
    """Scores of all contracts of a market cache.

    `notices` collects messages that concern no single contract (PluginDisabled): whoever calls takes them after each
    call and then asks `publish`. Scores are points 0..100, `ts` market time in ns, rows those of the cache.
    """

    def __init__(self, settings: ScoringSettings, scorers: Sequence[Scorer], market: MarketCache) -> None:
        """`scorers` as `registry.build_scorers(settings)` made them, one per component in force, same order."""
        self._states: list[ContractState] = market.states
        self._marks: list[Mark] = []
        self._loaded: dict[int, ContractState] = {}  # rows whose closed-bar parts wait for `catch_up`
        self._due = False  # raw values of all rows wait to be mapped
        self._lineup = Lineup(settings, scorers, market, self._blend_all)
        self._use(settings)
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

    def touch(self, state: ContractState, moves: Moves, ts: int) -> ScoreChanged | None:  # noqa: C901, PLR0912 - one piece: each call would cost 50 ns a message
        """Recompute what `moves` changed: the path of every message, in one piece because each call costs 50 ns."""
        row = state.row
        try:
            mark = self._marks[row]
        except IndexError:
            return self.row_loaded(state, ts)
        pace = mark.pace
        lineup = self._lineup
        if (pace and (pace == 2 or state.fresh != mark.counted)) or lineup.whole[moves]:
            return self._touch_whole(state, moves, ts)
        pulls, still = mark.pulls, True
        for k, component, touch, slots in lineup.plans[moves]:
            try:
                values = touch(state, moves)
            except Exception as error:  # noqa: BLE001 - the plug-in boundary
                lineup.failed(component, state, error, ts)
                return self._recount(state, ts)
            component.touch_failures = 0
            raw = component.raw[row]
            terms = component.terms[row]
            for value, (i, weight, section) in zip(values, slots, strict=False):
                before = raw[i]
                if value == before:
                    continue
                if value - value == 0.0 and before == before:
                    raw[i] = value
                    still = False
                    low, width, base, rise = section.pieces[bisect_left(section.ascending, value)]  # section.pct
                    terms[i] = weight * (base + rise * ((value - low) / width))
                elif value - value == 0.0 or before == before:  # a part appears or vanishes
                    return self._touch_whole(state, moves, ts)
            present = component.present[row]
            if present > 0.0:
                total = 0.0
                for term in terms:
                    total += term
                pulls[k] = component.share * component.confidence[row] * (total / present - NEUTRAL)
        if still:
            return None
        total = 0.0
        for pull in pulls:
            total += pull
        mark.blended = value = NEUTRAL + total
        if pace and value > mark.lid:
            value = mark.lid
        mark.value = value
        if -self._near < value - mark.told < self._near:
            return None
        return self._announce(state, mark, ts)

    def _touch_whole(self, state: ContractState, moves: Moves, ts: int) -> ScoreChanged | None:
        """The long way of `touch`: absence, youth, staleness and maturity are judged anew."""
        if state.price_is_mid and moves in (Moves.TICKER, Moves.POLL):  # they move the price until there is a trade
            self._lineup.take(state, Moves.TRADE, ts)
        self._lineup.take(state, moves, ts)
        return self._recount(state, ts)

    def refresh(self, state: ContractState, ts: int) -> ScoreChanged | None:
        """Freshness changed and nothing else: a composite falls or vanishes, and rises only when all is fresh again."""
        self._grow()
        mark = self._marks[state.row]
        before = mark.value
        self._blend(state)
        if mark.stale and mark.value > before:
            mark.value = before
        return self._announce(state, mark, ts)

    def row_loaded(self, state: ContractState, ts: int) -> ScoreChanged | None:
        """History of one contract was loaded or repaired: its parts are new, those of closed bars with `catch_up`."""
        self._grow()
        self._loaded[state.row] = state
        self._lineup.take_row(state, ts)
        return self._recount(state, ts)

    def catch_up(self, ts: int) -> list[ScoreChanged]:
        """The closed-bar parts of all contracts loaded since the last time: at once, as windows cost per call."""
        states = list(self._loaded.values())
        self._catch_up(ts)
        told = [self._recount(state, ts) for state in states]
        return [message for message in told if message is not None]

    def _catch_up(self, ts: int) -> None:
        if self._loaded:
            self._lineup.take_closed(list(self._loaded.values()), ts)
            self._loaded.clear()

    def _recount(self, state: ContractState, ts: int) -> ScoreChanged | None:
        self._blend(state)
        return self._announce(state, self._marks[state.row], ts)

    def _blend(self, state: ContractState) -> None:
        """Map and blend one contract from its raw values."""
        row = state.row
        mark = self._marks[row]
        stale = False
        confidence = 0.0
        for k, component in enumerate(self._lineup.components):
            stale = component.count(state) or stale
            mark.pulls[k] = component.pull(row)
            confidence += component.gain(row)
        settle(mark, state, confidence, stale, self._least)
        self._set_pace(mark, state)

    def _set_pace(self, mark: Mark, state: ContractState) -> None:
        hours, days = self._lineup.grown_up
        young = state.price_is_mid or state.hours_seen < hours or state.days_seen < days
        if young or mark.value != mark.value or any(c.absent[state.row] for c in self._lineup.components):
            mark.pace = 2
        else:
            mark.pace = 1 if mark.stale else 0

    def _announce(self, state: ContractState, mark: Mark, ts: int) -> ScoreChanged | None:
        """ScoreChanged if the composite moved by the publish step, appeared or vanished."""
        if not changed(mark, self._step):
            return None
        previous, mark.told = mark.told, round(mark.value, 6)
        return ScoreChanged(
            ts=ts,
            symbol=state.symbol,
            score=_known(mark.told),
            previous=_known(previous),
            confidence=round(mark.confidence, 6),
            components=self.components(state.row),
        )

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
        self._catch_up(ts)
        self._lineup.freeze(lambda _frozen, _now: True)
        self._blend_all()

    def freeze_doubled(self, ts: int) -> bool:
        """Freeze only the parts of which `counts_doubled` speaks; True if there were any."""
        self._grow()
        self._catch_up(ts)
        frozen = self._lineup.freeze(_doubled)
        if frozen:
            self._blend_all()
        return frozen

    def counts_doubled(self) -> bool:
        """True if any part's count of values in the universe has doubled since it was frozen (numbers.md §3 (c))."""
        self._grow()
        return any(_doubled(frozen, now) for frozen, now in self._lineup.counts())

    def publish(self, ts: int) -> list[ScoreChanged]:
        """One message per contract whose composite moved by the publish step, appeared or vanished."""
        self._grow()
        if self._due:
            self._blend_all()
        told = [self._announce(state, mark, ts) for state, mark in zip(self._states, self._marks, strict=True)]
        return [message for message in told if message is not None]

    def _blend_all(self) -> None:
        """`_blend` for every row at once."""
        self._grow()
        self._due = False
        states, parts = self._states, self._lineup.components
        fresh = np.array([s.fresh for s in states], dtype=np.float64).reshape(-1, len(Moves)).T
        aged = None if bool((fresh >= 1.0).all()) else np.ascontiguousarray(fresh)
        seen = seen_columns(parts, states)
        confidence, stale, total = np.zeros((3, len(states)))
        pulls = np.zeros((len(states), len(parts)))
        for k, component in enumerate(parts):
            pulls[:, k], weight = component.count_all(aged, seen)
            stale += weight
            total += pulls[:, k]
            confidence += component.share * np.array(component.confidence)
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
        for state, mark, pull, value, known, aged, whole in zip(self._states, self._marks, *columns, strict=True):
            mark.pulls = pull
            if whole or mark.stale or state.price_is_mid:
                settle(mark, state, known, aged, self._least)
                self._set_pace(mark, state)
            else:
                mark.blended = mark.value = value
                mark.confidence = known
                mark.pace = 0

    def _grow(self) -> None:
        """Rows appear with their listing and stay."""
        if len(self._marks) < len(self._states):
            self._lineup.grow()
            parts = len(self._lineup.components)
            self._marks += [Mark(parts) for _ in range(len(self._states) - len(self._marks))]

    # -- settings ----------------------------------------------------------------------------------------------------

    def _use(self, settings: ScoringSettings) -> None:
        self._step = settings.publish_step
        self._near = settings.publish_step - 2e-6  # rounding to 1e-6 cannot carry a smaller move over the step
        self._least = settings.min_confidence

    def reconfigure(self, settings: ScoringSettings, scorers: Sequence[Scorer], ts: int) -> None:
        """Use other settings and scorers (see Lineup.reconfigure); `publish` then tells what moved."""
        self._grow()
        self._use(settings)
        self._lineup.reconfigure(settings, scorers, ts)
        self._blend_all()

    def disable(self, name: str, reason: str, ts: int) -> PluginDisabled | None:
        """Leave a component out from now on; `publish` then tells what moved. None if there is no such component."""
        if not self._lineup.disable(name, reason):
            return None
        return PluginDisabled(ts=ts, kind="scorer", name=name, reason=reason)

    # -- reading -----------------------------------------------------------------------------------------------------

    def composite(self, row: int) -> float:
        """The composite, 0..100, rounded to 1e-6; nan = none."""
        return round(self._marks[row].value, 6) if row < len(self._marks) else nan

    def confidence(self, row: int) -> float:
        """C, 0..1, rounded to 1e-6."""
        return round(self._marks[row].confidence, 6) if row < len(self._marks) else 0.0

    def components(self, row: int) -> tuple[ComponentScore, ...]:
        """Score and confidence of every enabled component, rounded to 1e-6."""
        return tuple(
            ComponentScore(name=c.name, score=_known(round(c.score(row), 6)), confidence=round(c.confidence[row], 6))
            for c in self._lineup.components
        )

    def score_row(self, row: int, rank: int | None) -> ScoreRow:
        """What is stored at a close; `parts` by "component.part": raw value, percentile, weight."""
        return ScoreRow(
            symbol=self._states[row].symbol,
            rank=rank,
            score=self.composite(row),
            confidence=self.confidence(row),
            components=self.components(row),
            parts={
                f"{c.name}.{part.name}": (_known(x), None if x != x else section.pct(x), part.weight)
                for c in self._lineup.components
                for part, section, x in zip(c.parts, c.sections, c.raw[row], strict=True)
            },
        )

    def ranked(self, eligible: Sequence[bool]) -> list[int]:
        """Eligible rows with a composite, best first; ties by turnover, then symbol."""
        scored = [row for row, mark in enumerate(self._marks) if mark.value == mark.value and eligible[row]]
        return sorted(scored, key=self._order)

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
        return {**kept.snapshot(self._lineup, self._marks), "loaded": list(self._loaded)}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken, the market cache being restored already. Raises SnapshotError."""
        self._grow()
        kept.restore_lineup(snapshot, self._lineup)
        self._blend_all()
        kept.restore_marks(snapshot, self._marks)
        self._loaded = {row: self._states[row] for row in snapshot["loaded"]}
        for state, mark in zip(self._states, self._marks, strict=True):
            mark.counted = state.fresh.copy() if mark.stale else []
            self._set_pace(mark, state)


def _doubled(frozen: int, now: int) -> bool:
    return now > 0 and now >= 2 * frozen


def _known(x: float) -> float | None:
    return x if x == x else None
