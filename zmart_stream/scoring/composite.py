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
from numpy.typing import NDArray

from zmart_stream.market.contract_state import ContractState
from zmart_stream.scoring.base import AT_CLOSE, FloatArray, Part, Scorer, TouchParts
from zmart_stream.scoring.cells import Table, columns_of
from zmart_stream.scoring.normalise import CrossSection

IntArray = NDArray[np.intp]
NEUTRAL = 50.0
BARS = ("hours_seen", "days_seen")
"""Counts of bars: they change at a close or a load alone."""


class Component(Table):
    """One enabled scorer with the values of every row, see `cells.Table`.

    `absent`: rows whose scorer failed; `lost`: its last close failed, for all rows.
    """

    __slots__ = (
        "absent",
        "close_failures",
        "lost",
        "name",
        "named",
        "parts",
        "scorer",
        "sections",
        "seen",
        "share",
        "spans",
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
        self.named = tuple(f"{self.name}.{part.name}" for part in self.parts)
        self.weight = weight
        self.share = 0.0
        self.weighted = tuple((i, part) for i, part in enumerate(self.parts) if part.weight > 0.0)
        self.spans = tuple(i for i, part in self.weighted if part.seen and part.seen not in BARS)  # as in `counted`
        self.total = ordered_sum([part.weight for part in self.parts])
        self.seen = [attrgetter(part.seen) if part.seen else None for part in self.parts]
        self.sections = [CrossSection.freeze(part, np.empty(0)) for part in self.parts]
        self.absent: list[bool] = []
        self.lost = False
        self.touches: tuple[tuple[tuple[int, ...], TouchParts], ...] = ()  # indexes of weighted parts, their touch
        self.touch_failures = 0
        self.close_failures = 0
        super().__init__(len(self.parts), len(self.weighted), len(self.spans))

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows; new ones are absent in every part."""
        if rows > len(self.cells):
            self.absent += [self.lost] * (rows - len(self.cells))
            self.add(rows - len(self.cells))

    def carry(self, previous: Component) -> bool:
        """Take over the values of `previous`, weights aside the same component; False (and nothing) if it is not."""
        if type(previous.scorer) is not type(self.scorer) or _unweighted(previous.parts) != _unweighted(self.parts):
            return False
        self.raw[:] = previous.raw_columns()
        self.absent, self.lost = previous.absent, previous.lost
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
        self.open(contract.row).raw[index] = self.usable(index, contract, value)

    def count(self, contract: ContractState) -> bool:
        """Map and blend the raw values of one row; True if a present part's input is stale."""
        cell = self.open(contract.row)
        fresh, raw, terms = contract.fresh, cell.raw, cell.terms
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
        cell.counted = [getattr(contract, self.parts[i].seen) for i in self.spans]
        if self.absent[contract.row]:
            present, known, stale, there = 0.0, 0.0, False, 0
        cell.there, cell.present = there, present
        cell.above = total / present - NEUTRAL if present > 0.0 else 0.0
        cell.confidence = known / self.total
        cell.gain = self.share * cell.confidence
        return stale

    def shown(self, row: int) -> Iterable[tuple[str, tuple[float | None, float | None, float]]]:
        """By "component.part": (raw value, percentile, weight), None where absent."""
        for name, part, section, x in zip(self.named, self.parts, self.sections, self.open(row).raw, strict=True):
            yield name, (None, None, part.weight) if x != x else (x, section.pct(x), part.weight)

    def scores(self, start: int = 0, stop: int | None = None) -> FloatArray:
        """Scores of rows from `start` on (default: all), nan where no part is present; open cells stay open."""
        found = np.where(self.present[start:stop] > 0.0, NEUTRAL + self.above[start:stop], nan)
        for k, cell in enumerate(self.cells[start:stop]):
            if cell is not None:
                found[k] = NEUTRAL + cell.above if cell.present > 0.0 else nan
        return found

    def raw_columns(self) -> FloatArray:
        """Raw values of all rows, shape (parts, rows): a view, to be read at once."""
        self.close()
        return self.raw

    def put_columns(self, raw: FloatArray, seen: Mapping[str, FloatArray]) -> None:
        """Take over raw values of all rows, shape (parts, rows), as `put` does for one; they are to be mapped next."""
        self.cells = [None] * len(self.cells)
        self.raw[:] = self._usable(raw, seen)

    def put_closed(self, rows: IntArray, raw: FloatArray, seen: Mapping[str, FloatArray]) -> None:
        """Take over, of raw values (parts, rows), those that only `close` gives, and of parts without weight."""
        self.close(rows.tolist())
        values = self._usable(raw, seen)
        for i, part in enumerate(self.parts):
            if part.moves in AT_CLOSE or part.weight <= 0.0:
                self.raw[i, rows] = values[i]

    def _usable(self, raw: FloatArray, seen: Mapping[str, FloatArray]) -> FloatArray:
        """`usable` in place, for columns of raw values."""
        if not np.isfinite(raw).all():
            raw[~np.isfinite(raw)] = nan
        for values, part in zip(raw, self.parts, strict=True):
            if part.half and part.seen:
                values[~(mature_all(seen[part.seen], part.needed) >= 0.5)] = nan
        return raw

    def count_all(self, fresh: FloatArray | None, seen: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Map and blend all rows; `fresh` has shape (moves, rows), None if everything is fresh.

        Returns pulls and the weight of stale parts, shape (rows,).
        """
        raw, terms = self.raw_columns(), self.terms
        there = np.empty(terms.shape, dtype=np.bool_)
        for known, values, (i, part) in zip(there, terms, self.weighted, strict=True):
            np.equal(raw[i], raw[i], out=known)
            np.multiply(part.weight, self.sections[i].pct_all(raw[i]), out=values)
            if not known.all():
                values[~known] = 0.0
        there &= ~np.array(self.absent, dtype=bool)
        for place, i in enumerate(self.spans):
            self.counted[place] = seen[self.parts[i].seen]
        self.there[:] = np.einsum("pr,p->r", there, 1 << np.arange(len(there)))
        stale = self._weigh(slice(None), there, fresh, seen)
        total = np.zeros(terms.shape[1])
        for values in terms:
            total += values
        score = np.full(len(total), NEUTRAL)
        np.divide(total, self.present, out=score, where=self.present > 0.0)
        np.subtract(score, NEUTRAL, out=self.above)
        return self.gain * self.above, stale

    def age(self, rows: IntArray, fresh: FloatArray, seen: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """`count` for `rows` whose raw values are as they were mapped: freshness `fresh` (moves, rows) alone is new.

        Returns pulls and the weight of stale parts, shape (rows,).
        """
        self.close(rows.tolist())
        there = self.there[rows].astype(np.int64) >> np.arange(len(self.weighted))[:, None] & 1 == 1
        for place, i in enumerate(self.spans):
            self.counted[place, rows] = seen[self.parts[i].seen]
        stale = self._weigh(rows, there, fresh, seen)
        return self.gain[rows] * self.above[rows], stale

    def _weigh(
        self,
        rows: IntArray | slice,
        there: NDArray[np.bool_],
        fresh: FloatArray | None,
        seen: Mapping[str, FloatArray],
    ) -> FloatArray:
        """Set `present`, `confidence`, `gain` of `rows`; `there`: (weighted parts, rows). Weight of the stale parts."""
        present, known, stale = np.zeros((3, there.shape[1]))
        for mask, (_, part) in zip(there, self.weighted, strict=True):
            weight = np.where(mask, part.weight, 0.0)
            present += weight
            if fresh is not None:
                stale += np.where(fresh[part.moves] < 1.0, weight, 0.0)
                weight = weight * fresh[part.moves]
            known += weight * mature_all(seen[part.seen], part.needed) if part.seen else weight
        known /= self.total
        self.present[rows], self.confidence[rows], self.gain[rows] = present, known, self.share * known
        return stale


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
