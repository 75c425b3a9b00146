"""One map for every part: the percentile among the universe's values, frozen at a close.

pct(x) = linear interpolation, over the distinct frozen values, of their mid-ranks 100 × (below + half of the equal)/n;
beyond the ends the end's value. With fewer than 8 values: 100 × Φ((x − location) / scale) from the reference table.
"""

from __future__ import annotations

from bisect import bisect_left
from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from zmart_stream.scoring.base import FloatArray, Part

LEAST = 8
"""Fewer values than this say too little about a percentile."""

ROOT2 = sqrt(2.0)


class CrossSection:
    """The frozen values of one part over the universe.

    `values` are distinct and ascending, `mids` their mid-ranks in percent, `count` how many values there were,
    ties counted. The scalar and the vectorised map do the same operations in the same order: equal bit for bit.
    """

    __slots__ = ("_mids", "_values", "count", "mids", "part", "values")

    def __init__(self, part: Part, values: FloatArray, mids: FloatArray, count: int) -> None:
        """Use `freeze` for raw values; this takes what is ready (a snapshot)."""
        self.part = part
        self.count = count
        self._values = values
        self._mids = mids
        self.values: list[float] = values.tolist()
        self.mids: list[float] = mids.tolist()

    @classmethod
    def freeze(cls, part: Part, raw: FloatArray) -> CrossSection:
        """Freeze the finite ones of `raw`, shape (contracts of the universe,)."""
        found = raw[np.isfinite(raw)]
        values, equal = np.unique(found, return_counts=True)
        below = np.cumsum(equal) - equal
        mids = 100.0 * (below + 0.5 * equal) / max(len(found), 1)
        return cls(part, values, mids, len(found))

    def pct(self, x: float) -> float:
        """Percentile of a finite raw value, 0..100."""
        if self.count < LEAST:
            return self._reference(x)
        values = self.values
        i = bisect_left(values, x)
        mids = self.mids
        if i == 0:
            return mids[0]
        if i == len(values):
            return mids[-1]
        low = values[i - 1]
        base = mids[i - 1]
        return base + (mids[i] - base) * ((x - low) / (values[i] - low))

    def pct_all(self, raw: FloatArray) -> FloatArray:
        """Percentiles of many raw values of any shape; nan stays nan."""
        if self.count < LEAST:
            known: FloatArray = np.array([self._reference(x) for x in raw.ravel().tolist()], dtype=np.float64)
            return known.reshape(raw.shape)
        values, mids = self._values, self._mids
        if len(values) == 1:
            return np.where(np.isnan(raw), np.nan, mids[0])
        last = len(values) - 1
        found: NDArray[np.intp] = np.searchsorted(values, raw)
        i = np.clip(found, 1, last)
        low, base = values[i - 1], mids[i - 1]
        held = np.clip(raw, values[0], values[-1])  # far outside the quotient would overflow
        inside = base + (mids[i] - base) * ((held - low) / (values[i] - low))
        ended = np.where(found == 0, mids[0], np.where(found > last, mids[last], inside))
        return np.where(np.isnan(raw), np.nan, ended)

    def _reference(self, x: float) -> float:
        part = self.part
        return 50.0 + 50.0 * erf((part.to_reference(x) - part.location) / part.scale / ROOT2)

    def inverse(self, pct: float) -> float | None:
        """The raw value whose percentile is `pct`, or None where no value has it.

        On the reference curve it is found to 1e-12 of its scale, whatever the part's transform.
        """
        if self.count < LEAST:
            return self._reference_inverse(pct)
        mids = self.mids
        if not mids[0] <= pct <= mids[-1]:
            return None
        i = bisect_left(mids, pct)
        if mids[i] == pct:
            return self.values[i]
        share = (pct - mids[i - 1]) / (mids[i] - mids[i - 1])
        return self.values[i - 1] + (self.values[i] - self.values[i - 1]) * share

    def _reference_inverse(self, pct: float) -> float | None:
        if not 0.0 < pct < 100.0:
            return None
        wanted = self.part.location + self.part.scale * float(ndtri(pct / 100.0))
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
