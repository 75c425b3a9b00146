"""From raw values to components to the composite: one contract, or all rows at once, equal bit for bit.

component s  = Σ weight × pct / Σ weight over the present parts
confidence c = Σ weight × freshness × maturity / Σ weight over all parts, 0 for a part that is nan
composite    = 50 + Σ w·c·(s − 50) / Σ w,   C = Σ w·c / Σ w   over the enabled components (numbers.md §3)

Both paths add in the order of the parts and of the components, so that a restored engine goes on where another
computed contract by contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, nan
from operator import attrgetter

import msgspec
import numpy as np

from zmart_stream.market.contract_state import ContractState
from zmart_stream.scoring.base import FloatArray, Part, Scorer
from zmart_stream.scoring.normalise import CrossSection

NEUTRAL = 50.0
HALF_DIGIT = 5e-7
"""Published figures have six digits: what would round up to a threshold reaches it."""


class Component:
    """One enabled scorer with the values of every row; lists are indexed [row] and [row][part].

    `raw` holds finite values or nan; `terms` weight × pct, 0 where absent; `present` the weight of the parts that are
    there; `confidence` c; `absent` rows whose scorer failed; `lost` that its last close failed, for all rows.
    """

    __slots__ = (
        "absent",
        "close_failures",
        "columns",
        "confidence",
        "lost",
        "name",
        "parts",
        "present",
        "raw",
        "scorer",
        "sections",
        "seen",
        "share",
        "terms",
        "total",
        "touch_failures",
        "weight",
        "weights",
    )

    def __init__(self, scorer: Scorer, weight: float) -> None:
        """`weight` is the component's in the composite; `share` (weight / Σ weights) is set by the engine."""
        self.scorer = scorer
        self.name = scorer.name
        self.parts = scorer.parts
        self.weight = weight
        self.share = 0.0
        self.weights = [part.weight for part in self.parts]
        self.total = ordered_sum(self.weights)
        self.seen = [attrgetter(part.seen) if part.seen else None for part in self.parts]
        self.sections = [CrossSection.freeze(part, np.empty(0)) for part in self.parts]
        self.raw: list[list[float]] = []
        self.columns: FloatArray | None = None  # `raw_columns` while a freezing goes on
        self.terms: list[list[float]] = []
        self.present: list[float] = []
        self.confidence: list[float] = []
        self.absent: list[bool] = []
        self.lost = False
        self.touch_failures = 0
        self.close_failures = 0

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows; new ones are absent in every part."""
        for _ in range(len(self.raw), rows):
            self.raw.append([nan] * len(self.parts))
            self.terms.append([0.0] * len(self.parts))
            self.present.append(0.0)
            self.confidence.append(0.0)
            self.absent.append(self.lost)

    def carry(self, previous: Component) -> bool:
        """Take over the values of `previous`, weights aside the same component; False (and nothing) if it is not."""
        if type(previous.scorer) is not type(self.scorer) or _unweighted(previous.parts) != _unweighted(self.parts):
            return False
        self.raw, self.absent, self.lost = previous.raw, previous.absent, previous.lost
        self.touch_failures = previous.touch_failures
        self.close_failures = previous.close_failures
        columns = zip(self.parts, previous.sections, strict=True)
        self.sections = [CrossSection.restore(part, section.snapshot()) for part, section in columns]
        return True

    def maturity(self, index: int, contract: ContractState) -> float:
        """min(1, seen / needed) of one part."""
        count = self.seen[index]
        return 1.0 if count is None else mature(float(count(contract)), self.parts[index].needed)

    def young(self, index: int, contract: ContractState) -> bool:
        """True while a windowed part has seen less than half of its window: it is nan then."""
        return self.parts[index].half and self.maturity(index, contract) < 0.5

    def usable(self, index: int, contract: ContractState, value: float) -> float:
        """A raw value as it may be used: nan while the part is young or the value not finite."""
        return value if isfinite(value) and not self.young(index, contract) else nan

    def put(self, index: int, contract: ContractState, value: float) -> None:
        """Take over a raw value."""
        self.raw[contract.row][index] = self.usable(index, contract, value)

    def count(self, contract: ContractState) -> bool:
        """Map and blend the raw values of one row; True if a present part's input is stale."""
        row = contract.row
        fresh = contract.fresh
        terms = self.terms[row]
        present = known = 0.0
        stale = False
        for i, x in enumerate(self.raw[row]):
            weight = self.weights[i]
            if x != x or weight <= 0.0:
                terms[i] = 0.0
                continue
            terms[i] = weight * self.sections[i].pct(x)
            present += weight
            freshness = fresh[self.parts[i].moves]
            known += weight * freshness * self.maturity(i, contract)
            stale = stale or freshness < 1.0
        absent = self.absent[row]
        self.present[row] = 0.0 if absent else present
        self.confidence[row] = 0.0 if absent else known / self.total
        return stale and not absent

    def score(self, row: int) -> float:
        """s of one row, 0..100; nan if none of its weighted parts is present."""
        present = self.present[row]
        return ordered_sum(self.terms[row]) / present if present > 0.0 else nan

    def pull(self, row: int) -> float:
        """What the component adds to 50 in the composite: w·c·(s − 50) / Σ w, 0 if absent."""
        present = self.present[row]
        if present <= 0.0:
            return 0.0
        return self.share * self.confidence[row] * (ordered_sum(self.terms[row]) / present - NEUTRAL)

    def gain(self, row: int) -> float:
        """Points of the composite per point of s: w·c / Σ w."""
        return self.share * self.confidence[row]

    def raw_columns(self) -> FloatArray:
        """Raw values, shape (parts, rows)."""
        return np.ascontiguousarray(np.array(self.raw, dtype=np.float64).reshape(-1, len(self.parts)).T)

    def put_columns(self, raw: FloatArray, seen: Mapping[str, FloatArray]) -> None:
        """Take over raw values of all rows, shape (parts, rows), as `put` does for one."""
        raw[~np.isfinite(raw)] = np.nan
        for values, part in zip(raw, self.parts, strict=True):
            if part.half and part.seen:
                values[~(mature_all(seen[part.seen], part.needed) >= 0.5)] = np.nan
        self.raw = raw.T.tolist()

    def count_all(self, fresh: FloatArray | None, seen: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Map and blend all rows; `fresh` has shape (moves, rows), None if everything is fresh.

        Returns pulls and the weight of stale parts, shape (rows,).
        """
        raw = self.raw_columns() if self.columns is None else self.columns
        self.columns = None
        rows = raw.shape[1]
        terms = np.zeros_like(raw)
        total, present, known, stale = np.zeros((4, rows))
        for i, part in enumerate(self.parts):
            if part.weight <= 0.0:
                continue
            there = raw[i] == raw[i]
            terms[i] = np.where(there, part.weight * self.sections[i].pct_all(raw[i]), 0.0)
            total += terms[i]
            weight = np.where(there, part.weight, 0.0)
            present += weight
            if fresh is not None:
                stale += np.where(fresh[part.moves] < 1.0, weight, 0.0)
                weight = weight * fresh[part.moves]
            known += weight * mature_all(seen[part.seen], part.needed) if part.seen else weight
        gone = np.array(self.absent, dtype=bool)
        present[gone] = known[gone] = stale[gone] = 0.0
        confidence = known / self.total
        score = np.divide(total, present, out=np.full(rows, NEUTRAL), where=present > 0.0)
        self.terms, self.present, self.confidence = terms.T.tolist(), present.tolist(), confidence.tolist()
        return self.share * confidence * (score - NEUTRAL), stale


def _unweighted(parts: tuple[Part, ...]) -> list[Part]:
    return [msgspec.structs.replace(part, weight=0.0) for part in parts]


def ordered_sum(values: Sequence[float]) -> float:
    """Left to right without compensation, on every Python version: what adding columns one by one gives."""
    total = 0.0
    for value in values:
        total += value
    return total


def mature(seen: float, needed: float) -> float:
    """min(1, seen / needed); 0 while nothing is known of what was seen."""
    if seen >= needed:
        return 1.0
    return seen / needed if seen > 0.0 else 0.0


def mature_all(seen: FloatArray, needed: float) -> FloatArray:
    """`mature` for all rows."""
    share = seen / needed if needed > 0.0 else seen
    return np.where(seen >= needed, 1.0, np.where(seen > 0.0, share, 0.0))


def seen_columns(components: Iterable[Component], states: Sequence[ContractState]) -> dict[str, FloatArray]:
    """What the parts have seen by the name of the count, shape (rows,); the two counts of bars are always there."""
    names = ["hours_seen", "days_seen", *(part.seen for component in components for part in component.parts)]
    counts = {name: attrgetter(name) for name in dict.fromkeys(names) if name}
    return {name: np.array([count(s) for s in states], dtype=np.float64) for name, count in counts.items()}


class Mark:
    """One contract's composite and what the world was told of it.

    `pulls` per component; `value` the composite as computed and limited by the stale rule (nan = none), `blended` the
    same before the stale rule and the least confidence; `confidence` C; `lid` the last fresh
    composite while `stale`; `told` the last published score rounded to 1e-6 (nan = none).
    `pace`: 0 all is fresh and present, 1 something is stale, 2 look at everything at each message.
    """

    __slots__ = ("blended", "confidence", "counted", "lid", "pace", "pulls", "stale", "told", "value")

    def __init__(self, components: int) -> None:
        self.pulls: list[float] = [0.0] * components
        self.value = nan
        self.blended = nan
        self.confidence = 0.0
        self.lid = nan
        self.stale = False
        self.counted: list[float] = []
        self.told = nan
        self.pace = 2


def settle(mark: Mark, contract: ContractState, confidence: float, stale: bool, least: float) -> None:
    """Turn pulls into the composite under the stale rule and the least confidence.

    While any input is stale the composite is the lower of what is computed and the last fresh one; if there was no
    fresh one, the first computed takes its place.
    """
    mark.confidence = confidence
    mark.blended = NEUTRAL + ordered_sum(mark.pulls)
    known = confidence > 0.0 and confidence >= least - HALF_DIGIT
    if stale and not mark.stale:
        mark.lid = mark.value
    mark.stale = stale
    mark.counted = contract.fresh.copy() if stale else []
    if not known:
        mark.value, mark.pace = nan, 2
        return
    if not stale:
        mark.value, mark.lid = mark.blended, nan
        return
    if mark.lid != mark.lid:
        mark.lid = mark.blended
    mark.value = min(mark.blended, mark.lid)


def changed(mark: Mark, step: float) -> bool:
    """True if the composite appeared, vanished, or moved by `step` or more from what was published."""
    value, told = mark.value, mark.told
    if value != value or told != told:
        return (value == value) != (told == told)
    return abs(round(round(value, 6) - told, 6)) >= step
