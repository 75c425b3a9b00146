"""From raw values to components to the composite: one contract, or all rows at once, equal bit for bit.

component s  = Σ weight × pct / Σ weight over the present parts
confidence c = Σ weight × freshness × maturity / Σ weight over all parts, 0 for a part that is nan
composite    = 50 + Σ w·c·(s − 50) / Σ w,   C = Σ w·c / Σ w   over the enabled components (numbers.md §3)

Both paths add in the order of the parts and of the components, so that a restored engine goes on where another
computed contract by contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import isfinite, nan
from operator import attrgetter

import msgspec
import numpy as np
from numpy.typing import NDArray

from zmart_stream.market.contract_state import ContractState
from zmart_stream.scoring.base import FloatArray, Part, Scorer, TouchParts
from zmart_stream.scoring.normalise import CrossSection

NEUTRAL = 50.0
BARS = ("hours_seen", "days_seen")
"""Counts of bars: they change at a close or a load alone."""


class Component:
    """One enabled scorer with the values of every row; lists are indexed [row], and [row][part] where there are parts.

    `raw` holds finite values or nan; `terms` weight × pct of the `weighted` parts, 0 where absent; `there` which of
    them are present, a bit each, `present` their weight; `above` s − 50, 0 if none is; `confidence` c and `gains`
    w·c / Σ w; `absent` rows whose scorer failed; `lost` that its last close failed, for all rows. `spans` holds, of
    parts whose count of what they have seen moves between closes, that count as it was weighed last.
    """

    __slots__ = (
        "above",
        "absent",
        "close_failures",
        "columns",
        "confidence",
        "gains",
        "lost",
        "name",
        "parts",
        "present",
        "raw",
        "scorer",
        "sections",
        "seen",
        "share",
        "spans",
        "terms",
        "there",
        "total",
        "touch_failures",
        "touches",
        "weight",
        "weighted",
    )

    def __init__(self, scorer: Scorer, weight: float) -> None:
        """`weight` is the component's in the composite; `share` (weight / Σ weights) is set by the engine."""
        self.scorer = scorer
        self.name = scorer.name
        self.parts = scorer.parts
        self.weight = weight
        self.share = 0.0
        self.weighted = tuple((i, part) for i, part in enumerate(self.parts) if part.weight > 0.0)
        self.total = ordered_sum([part.weight for part in self.parts])
        self.seen = [attrgetter(part.seen) if part.seen else None for part in self.parts]
        self.sections = [CrossSection.freeze(part, np.empty(0)) for part in self.parts]
        self.raw: list[list[float]] = []
        self.columns: FloatArray | None = None  # `raw_columns`, from a close or a freezing to the map that follows
        self.terms: list[list[float]] = []
        self.there: list[int] = []
        self.present: list[float] = []
        self.above: list[float] = []
        self.confidence: list[float] = []
        self.gains: list[float] = []
        self.spans: dict[int, list[float]] = {i: [] for i, part in self.weighted if part.seen and part.seen not in BARS}
        self.absent: list[bool] = []
        self.lost = False
        self.touches: tuple[tuple[tuple[int, ...], TouchParts], ...] = ()  # indexes of weighted parts, their touch
        self.touch_failures = 0
        self.close_failures = 0

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows; new ones are absent in every part."""
        for _ in range(len(self.raw), rows):
            self.raw.append([nan] * len(self.parts))
            self.terms.append([0.0] * len(self.weighted))
            self.there.append(0)
            self.present.append(0.0)
            self.above.append(0.0)
            self.confidence.append(0.0)
            self.gains.append(0.0)
            for counted in self.spans.values():
                counted.append(nan)
            self.absent.append(self.lost)

    def forget(self, row: int) -> None:
        """Every part of one row is absent."""
        self.raw[row] = [nan] * len(self.parts)
        self.terms[row] = [0.0] * len(self.weighted)
        self.there[row] = 0
        self.present[row] = self.above[row] = self.confidence[row] = self.gains[row] = 0.0

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
        fresh, raw, terms = contract.fresh, self.raw[row], self.terms[row]
        present = known = total = 0.0
        stale, there = False, 0
        for place, (i, part) in enumerate(self.weighted):
            x = raw[i]
            if x != x:
                terms[place] = 0.0
                continue
            weight, freshness = part.weight, fresh[part.moves]
            terms[place] = term = weight * self.sections[i].pct(x)
            total += term
            there |= 1 << place
            present += weight
            known += weight * freshness * self.maturity(i, contract)
            stale = stale or freshness < 1.0
        for i, counted in self.spans.items():
            counted[row] = getattr(contract, self.parts[i].seen)
        if self.absent[row]:
            present, known, stale, there = 0.0, 0.0, False, 0
        self.there[row], self.present[row] = there, present
        self.above[row] = total / present - NEUTRAL if present > 0.0 else 0.0
        self.confidence[row] = confidence = known / self.total
        self.gains[row] = self.share * confidence
        return stale

    def score(self, row: int) -> float:
        """s of one row, 0..100; nan if none of its weighted parts is present."""
        present = self.present[row]
        return ordered_sum(self.terms[row]) / present if present > 0.0 else nan

    def pull(self, row: int) -> float:
        """What the component adds to 50 in the composite: w·c·(s − 50) / Σ w, 0 if absent."""
        return self.gains[row] * self.above[row]

    def raw_columns(self) -> FloatArray:
        """Raw values, shape (parts, rows)."""
        return columns_of(self.raw, len(self.parts))

    def put_columns(self, raw: FloatArray, seen: Mapping[str, FloatArray]) -> None:
        """Take over raw values of all rows, shape (parts, rows), as `put` does for one; they are to be mapped next."""
        raw[~np.isfinite(raw)] = np.nan
        for values, part in zip(raw, self.parts, strict=True):
            if part.half and part.seen:
                values[~(mature_all(seen[part.seen], part.needed) >= 0.5)] = np.nan
        self.raw = raw.T.tolist()
        self.columns = raw

    def count_all(self, fresh: FloatArray | None, seen: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Map and blend all rows; `fresh` has shape (moves, rows), None if everything is fresh.

        Returns pulls and the weight of stale parts, shape (rows,).
        """
        raw = self.raw_columns() if self.columns is None else self.columns
        self.columns = None
        terms = np.zeros((len(self.weighted), raw.shape[1]))
        for values, (i, part) in zip(terms, self.weighted, strict=True):
            np.multiply(part.weight, self.sections[i].pct_all(raw[i]), out=values, where=raw[i] == raw[i])
        self.terms = terms.T.tolist()
        there = raw[[i for i, _ in self.weighted]]
        there = (there == there) & ~np.array(self.absent, dtype=bool)
        confidence, stale, present = self._weigh(there, fresh, seen)
        above = _above(terms, present)
        gains = self.share * confidence
        self.there = np.einsum("pr,p->r", there, 1 << np.arange(len(there))).tolist()
        self.present, self.above = present.tolist(), above.tolist()
        self.confidence, self.gains = confidence.tolist(), gains.tolist()
        for i in self.spans:
            self.spans[i] = seen[self.parts[i].seen].tolist()
        return gains * above, stale

    def age(
        self, rows: Sequence[int], fresh: FloatArray, seen: Mapping[str, FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        """`count` for `rows` whose raw values are as they were mapped: freshness `fresh` (moves, rows) alone is new.

        Returns pulls and the weight of stale parts, shape (rows,).
        """
        bits = np.array([self.there[row] for row in rows])
        there = bits >> np.arange(len(self.weighted))[:, None] & 1 == 1
        confidence, stale, _ = self._weigh(there, fresh, seen)
        gains = self.share * confidence
        for row, known, gain in zip(rows, confidence.tolist(), gains.tolist(), strict=True):
            self.confidence[row], self.gains[row] = known, gain
        for i, counted in self.spans.items():
            for row, count in zip(rows, seen[self.parts[i].seen].tolist(), strict=True):
                counted[row] = count
        return gains * np.array([self.above[row] for row in rows]), stale

    def _weigh(
        self, there: NDArray[np.bool_], fresh: FloatArray | None, seen: Mapping[str, FloatArray]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(c, weight of the stale parts, of the present parts) of rows where `there` (weighted parts, rows)."""
        present, known, stale = np.zeros((3, there.shape[1]))
        for mask, (_, part) in zip(there, self.weighted, strict=True):
            weight = np.where(mask, part.weight, 0.0)
            present += weight
            if fresh is not None:
                stale += np.where(fresh[part.moves] < 1.0, weight, 0.0)
                weight = weight * fresh[part.moves]
            known += weight * mature_all(seen[part.seen], part.needed) if part.seen else weight
        return known / self.total, stale, present


def _above(terms: FloatArray, present: FloatArray) -> FloatArray:
    """s − 50 of many rows; `terms` has shape (weighted parts, rows)."""
    total = np.zeros(terms.shape[1])
    for values in terms:
        total += values
    score: FloatArray = np.divide(total, present, out=np.full(len(total), NEUTRAL), where=present > 0.0)
    return score - NEUTRAL


def columns_of(rows: Sequence[Sequence[float]], width: int) -> FloatArray:
    """Lists of `width` floats, one a row, as columns: shape (width, rows), contiguous."""
    flat = np.fromiter(chain.from_iterable(rows), np.float64, width * len(rows))
    columns: FloatArray = np.ascontiguousarray(flat.reshape(-1, width).T)
    return columns


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
    names = [*BARS, *(part.seen for component in components for part in component.parts)]
    wanted = [name for name in dict.fromkeys(names) if name]
    columns = columns_of(list(map(attrgetter(*wanted), states)), len(wanted))
    return dict(zip(wanted, columns, strict=True))
