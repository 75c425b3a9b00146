"""How contracts move together, hour by hour: each pair worked out once as long as the bars stand.

Nothing here is state. A pair's figures are those of its two contracts' bars, the same bits whatever was asked before,
so that what is remembered and what is worked out anew are never told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from zmart_stream.market.bars import FloatArray
from zmart_stream.market.covariance import Deviation, correlation_of, covariance_of, deviation_of
from zmart_stream.market.trail import Trace, Trail

HALF_LIFE_H = 72.0
MOST_PAIRS = 20_000
"""Pairs remembered; beyond that all are worked out anew."""


class Comovement:
    """EW covariance and correlation of hour returns by row, half-life 72 h, over the bars that both have."""

    def __init__(self, trail: Trail) -> None:
        """`trail`: of the hours."""
        self._trail = trail
        self._version = -1
        self._rows: dict[int, Deviation] = {}
        self._covariances: dict[tuple[int, int], float] = {}
        self._correlations: dict[tuple[int, int], float] = {}

    @property
    def version(self) -> int:
        """Another number as soon as a bar may be another."""
        return self._trail.version

    def returns(self, row: int) -> FloatArray:
        """Hour returns of one contract, oldest first, nan where unknown: a view."""
        found: FloatArray = self._trail.window(Trace.RETURN)[:, row]
        return found

    def correlation(self, a: int, b: int) -> float:
        """Of two rows; nan with fewer than 24 common bars or without variance."""
        self._refresh()
        key = (a, b) if a < b else (b, a)
        found = self._correlations.get(key)
        if found is None:
            found = self._correlations[key] = correlation_of(self._row(key[0]), self._row(key[1]))
        return found

    def correlation_with(self, row: int, series: Deviation) -> float:
        """Of a row with a series over the same bars."""
        self._refresh()
        return correlation_of(self._row(row), series)

    def variance(self, rows: Sequence[int], weights: Sequence[float]) -> float:
        """Of an hour's return of `weights` in `rows`, in squared units of weight; nan if a pair has no common bar."""
        self._refresh()
        total = 0.0
        for i, (row, weight) in enumerate(zip(rows, weights, strict=True)):
            total += weight * weight * self._covariance(row, row)
            for other, held in zip(rows[:i], weights[:i], strict=True):
                total += 2.0 * weight * held * self._covariance(row, other)
        return total if total == total else nan

    def _covariance(self, a: int, b: int) -> float:
        key = (a, b) if a < b else (b, a)
        found = self._covariances.get(key)
        if found is None:
            found = self._covariances[key] = covariance_of(self._row(key[0]), self._row(key[1]))
        return found

    def _row(self, row: int) -> Deviation:
        found = self._rows.get(row)
        if found is None:
            found = self._rows[row] = deviation_of(self.returns(row), HALF_LIFE_H)
        return found

    def _refresh(self) -> None:
        """Forget what was made of other bars."""
        version = self._trail.version
        if version != self._version or len(self._covariances) + len(self._correlations) > MOST_PAIRS:
            self._version = version
            self._rows.clear()
            self._covariances.clear()
            self._correlations.clear()
