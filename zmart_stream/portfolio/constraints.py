"""The limits on weights as one region, and the ways into it: scaling and rounding to hundredths of a percent.

Everything is kept in whole hundredths of a percent, so that limits and sums hold exactly after rounding too. Factors
are found by bisection over element-wise operations and ordered sums: no BLAS, the same result on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, floor, inf

import numpy as np

from zmart_stream.domain.errors import InfeasibleError
from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem

WHOLE = 10_000
"""100 % in hundredths."""

_DUST = 1e-6
_HALVINGS = 200


class Region:
    """Weights that keep the limits of a problem, without turnover: box, sector caps, sum. Hundredths of a percent.

    Raises InfeasibleError, naming what conflicts, when there are none. Formulas: numbers.md §5.
    """

    def __init__(self, problem: WeightProblem) -> None:
        limits, count = problem.limits, len(problem.symbols)
        upper = _down(limits.max_weight)
        self.total = min(WHOLE - _up(limits.cash), count * upper) if count else 0
        least = min(_up(limits.min_weight), _up(self.total / 200 / count)) if count else 0
        self.lower = np.full(count, float(min(least, upper)))
        self.upper = np.full(count, float(upper))
        self.sectors = tuple(dict.fromkeys(s for s in problem.sectors if s is not None))
        place = {sector: number for number, sector in enumerate(self.sectors)}
        self.group = np.array([len(place) if s is None else place[s] for s in problem.sectors], dtype=np.intp)
        cap = float(_down(limits.max_sector_weight))
        self.caps = np.array([cap] * len(self.sectors) + [inf])
        if count:
            self._check(problem)

    def _check(self, problem: WeightProblem) -> None:
        limits, count = problem.limits, len(problem.symbols)
        if self.total <= 0:
            raise InfeasibleError(f"cash {limits.cash:g} and max_weight {limits.max_weight:g} leave nothing to invest")
        if self._sum(self.lower) > self.total:
            raise InfeasibleError(
                f"min_weight {limits.min_weight:g}: {count} holdings need {self._sum(self.lower) / 100:.2f} of the"
                f" {self.total / 100:.2f} that max_weight {limits.max_weight:g} and cash {limits.cash:g} let invest"
            )
        least, room = self.sums(self.lower), np.minimum(self.caps, self.sums(self.upper))
        for sector, needed, cap in zip(self.sectors, least.tolist(), self.caps.tolist(), strict=False):
            if needed > cap:
                raise InfeasibleError(
                    f"min_weight {limits.min_weight:g} and max_sector_weight {limits.max_sector_weight:g}: the holdings"
                    f" of sector {sector} need {needed / 100:.2f}"
                )
        if self._sum(room) < self.total:
            raise InfeasibleError(
                f"max_sector_weight {limits.max_sector_weight:g} and max_weight {limits.max_weight:g}: {count} holdings"
                f" can take {self._sum(room) / 100:.2f} of the {self.total / 100:.2f} to invest ({self._counts()})"
            )

    def _counts(self) -> str:
        held = np.bincount(self.group, minlength=len(self.caps)).tolist()
        named = [f"{sector} {count}" for sector, count in zip(self.sectors, held, strict=False)]
        return ", ".join([*named, f"no sector {held[-1]}"] if held[-1] else named)

    @property
    def fixed(self) -> FloatArray | None:
        """The only weights of the region, where the box leaves no choice."""
        for corner in (self.lower, self.upper):
            if self._sum(corner) == self.total:
                return corner
        return None

    def sums(self, weights: FloatArray) -> FloatArray:
        """Sum of `weights` by sector, the exempt last."""
        found: FloatArray = np.bincount(self.group, weights=weights, minlength=len(self.caps)).astype(np.float64)
        return found

    def scaled(self, shares: FloatArray) -> FloatArray:
        """The weights in the proportions of `shares`, except where a limit binds; sector members share one factor.

        All move the same way from where the limits put them, so that from weights held now none need less turnover.
        A share of 0 counts as far smaller than any other. ValueError for one that is negative or not finite.
        """
        if not (np.isfinite(shares).all() and (shares >= 0.0).all()):
            raise ValueError(f"shares are not finite and non-negative: {shares.tolist()}")
        largest = float(shares.max(initial=0.0))
        safe = np.maximum(shares / largest, _DUST) if largest > 0.0 else np.ones_like(shares)

        def at(factor: float) -> FloatArray:
            return np.clip(safe * factor, self.lower, self.upper)

        def of_sector(number: int, factor: float) -> float:
            return float(self.sums(at(factor))[number])

        most = float(WHOLE) / _DUST
        factor = _bisect(lambda x: self._sum(np.minimum(self.sums(at(x)), self.caps)), self.total, most)
        weights = at(factor)
        for number in np.flatnonzero(self.sums(weights) > self.caps).tolist():
            within = self.group == number
            own = _bisect(partial(of_sector, number), float(self.caps[number]), factor)
            weights[within] = at(own)[within]
        return weights

    def rounded(self, weights: FloatArray) -> list[int]:
        """Whole hundredths that keep the limits and sum to `total`: largest remainders first, then lowest place."""
        found = np.floor(np.clip(weights, self.lower, self.upper) + _DUST)
        order = np.argsort(-np.round(weights - found, 6), kind="stable").tolist()
        missing, room = self.total - self._sum(found), self.caps - self.sums(found)
        while missing > 0:
            before = missing
            for i in order:
                if missing > 0 and found[i] < self.upper[i] and room[self.group[i]] >= 1:
                    found[i] += 1
                    room[self.group[i]] -= 1
                    missing -= 1
            if missing == before:
                raise InfeasibleError(f"{missing / 100:.2f} of {self.total / 100:.2f} find no place within the limits")
        return [int(value) for value in found.tolist()]

    @staticmethod
    def _sum(values: FloatArray) -> float:
        return float(np.add.reduce(values))


def turnover(weights: list[int], present: FloatArray, cash: tuple[float, float]) -> float:
    """What going from `present` to `weights` buys, cash (before, after) included; all in hundredths of a percent."""
    rises = [max(0.0, after - before) for after, before in zip(weights, present.tolist(), strict=True)]
    return float(sum(rises)) + max(0.0, cash[1] - cash[0])


def within_turnover(region: Region, wanted: FloatArray, problem: WeightProblem) -> list[int]:
    """`wanted` rounded or, where that buys too much, the point as near to it as max_turnover allows on the straight way
    from the least change that keeps the other limits. Raises InfeasibleError when even that is too much.
    """
    present = np.array(problem.present) * 100.0
    allowed = problem.limits.max_turnover * 100.0 + _DUST
    cash = (problem.present_cash * 100.0, float(WHOLE - region.total))

    def buys(weights: list[int]) -> float:
        return turnover(weights, present, cash)

    best = region.rounded(wanted)
    if buys(best) <= allowed:
        return best
    start = region.scaled(present)
    best = region.rounded(start)
    if buys(best) > allowed:
        raise InfeasibleError(
            f"max_turnover {problem.limits.max_turnover:g}: the other limits need {buys(best) / 100:.2f}"
        )
    low, high = 0.0, 1.0
    for _ in range(20):  # to a hundredth of a percent of 100 %, with room
        share = (low + high) / 2.0
        tried = region.rounded(start + share * (wanted - start))
        if buys(tried) <= allowed:
            low, best = share, tried
        else:
            high = share
    return best


def _bisect(curve: Callable[[float], float], wanted: float, high: float) -> float:
    """The lowest factor in [0, high] at which the rising `curve` reaches `wanted`, to its last bit."""
    low = 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if curve(middle) < wanted:
            low = middle
        else:
            high = middle
    return high


def _down(percent: float) -> int:
    return floor(round(percent * 100.0, 6))


def _up(percent: float) -> int:
    return ceil(round(percent * 100.0, 6))
