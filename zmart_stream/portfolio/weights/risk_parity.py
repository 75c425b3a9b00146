"""Every holding brings the same risk (Maillard, Roncalli and Teiletche 2010), as nearly as the limits let it."""

from __future__ import annotations

from zmart_stream.portfolio.constraints import Region
from zmart_stream.portfolio.weights.interior import least_risk
from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem


class RiskParity:
    """argmin ln sqrt(w'Vw) - mean(ln w) over the region of the problem.

    Where no limit binds, all wᵢ(Vw)ᵢ are equal. y'Vy / 2 - mean(ln y) over books of any size is the same problem, and
    convex (Spinu 2013).
    """

    def weights(self, problem: WeightProblem) -> FloatArray:
        """Weights in hundredths of a percent."""
        barrier = 1.0 / len(problem.symbols)
        return least_risk(problem.covariance, Region(problem), price=None, barrier=barrier)
