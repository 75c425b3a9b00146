"""One map for every part: the percentile among the universe's values, frozen at a close.

pct(x) = linear interpolation, over the distinct frozen values, of their mid-ranks 100 × (below + half of the equal)/n;
beyond the ends the end's value. With fewer than 8 values: 100 × Φ((x − location) / scale) from the reference table.
"""

from __future__ import annotations

from bisect import bisect_left
from math import erf, nan, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from zmart_stream.scoring.base import FloatArray, Part

LEAST = 8
"""Fewer values than this say too little about a percentile."""

ROOT2 = sqrt(2.0)
_NORMAL = NormalDist()


class CrossSection:
    """The frozen values of one part over the universe; `count` of them, ties counted.

    The scalar and the vectorised map do the same operations in the same order: equal bit for bit. With `few` values
    the reference curve takes the line's place.

    `knots` and `levels` are values and mid-ranks as floats that all contracts share: a message finds them in the
    processor's caches, where copies a contract would not all fit.
    """

    __slots__ = ("_mids", "_values", "count", "few", "knots", "levels", "part")

    def __init__(self, part: Part, values: FloatArray, mids: FloatArray, count: int) -> None:
        """`values` distinct and ascending with their `mids`; `freeze` makes them from raw values."""
        self.part = part
        self.count = count
        self.few = count < LEAST
        self._values = values
        self._mids = mids
        self.knots: list[float] = [nan] if self.few else values.tolist()
        self.levels: list[float] = [nan] if self.few else mids.tolist()

    @classmethod
    def freeze(cls, part: Part, raw: FloatArray) -> CrossSection:
        """Freeze the finite ones of `raw`, shape (contracts of the universe,)."""
        found = np.sort(raw[np.isfinite(raw)])
        count = len(found)
        first = np.arange(count, dtype=np.float64)
        equal = found[1:] == found[:-1]
        if not equal.any():
            return cls(part, found, 100.0 * (first + 0.5) / max(count, 1), count)
        kept = np.flatnonzero(np.concatenate(([True], ~equal)))
        first = first[kept]
        ties = np.diff(first, append=count)
        return cls(part, found[kept], 100.0 * (first + 0.5 * ties) / count, count)

    def pct(self, x: float) -> float:
        """Percentile of a finite raw value, 0..100."""
        if self.few:
            return self._reference(x)
        place, levels = self.place(x), self.levels
        if not place:
            return levels[-1] if x > self.knots[0] else levels[0]
        low, base = self.knots[place - 1], levels[place - 1]
        return base + (levels[place] - base) * ((x - low) / (self.knots[place] - low))

    def place(self, x: float) -> int:
        """The knot at which the piece of line ends that `x` lies on: above the one before, up to this one.

        0 if it lies on none: it is not above the first value, or above the last, or there are few.
        """
        index = bisect_left(self.knots, x)
        return index if index < len(self.knots) else 0

    def pct_all(self, raw: FloatArray) -> FloatArray:
        """Percentiles of many raw values, shape (n,); nan stays nan."""
        if self.few:
            return np.array([self._reference(x) for x in raw.tolist()], dtype=np.float64)
        last = len(self._values) - 1
        right = np.searchsorted(self._values, raw)
        left = np.maximum(right - 1, 0)
        np.minimum(right, last, out=right)
        low, base = self._values[left], self._mids[left]
        width = self._values[right] - low
        width[left == right] = 1.0
        result: FloatArray = base + (self._mids[right] - base) * ((raw - low) / width)
        return result

    def _reference(self, x: float) -> float:
        part = self.part
        return 50.0 + 50.0 * erf((part.to_reference(x) - part.location) / part.scale / ROOT2)

    def inverse(self, pct: float) -> float | None:
        """The raw value whose percentile is `pct`, or None where no value has it.

        On the reference curve it is found to 1e-12 of its scale, whatever the part's transform.
        """
        if self.few:
            return self._reference_inverse(pct)
        if not self._mids[0] <= pct <= self._mids[-1]:
            return None
        return float(np.interp(pct, self._mids, self._values))

    def _reference_inverse(self, pct: float) -> float | None:
        if not 0.0 < pct < 100.0:
            return None
        wanted = self.part.location + self.part.scale * _NORMAL.inv_cdf(pct / 100.0)
        return _solve(self.part, wanted)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as plain values."""
        return {"values": self._values.tobytes(), "mids": self._mids.tobytes(), "count": self.count}

    @classmethod
    def restore(cls, part: Part, kept: dict[str, Any]) -> CrossSection:
        """The section that `snapshot` described."""
        values = np.frombuffer(kept["values"], dtype=np.float64).copy()
        return cls(part, values, np.frombuffer(kept["mids"], dtype=np.float64).copy(), int(kept["count"]))


def _solve(part: Part, wanted: float) -> float | None:
    """Raw value x with to_reference(x) = wanted, by bisection (to_reference rises); None beyond its range."""
    low, high = -1.0, 1.0
    while part.to_reference(low) > wanted:
        low *= 2.0
        if low < -1e12:
            return None
    while part.to_reference(high) < wanted:
        high *= 2.0
        if high > 1e12:
            return None
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if part.to_reference(middle) < wanted:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
