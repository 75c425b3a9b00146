"""Least variance of the book under the limits (Markowitz 1952, without expected returns)."""

from __future__ import annotations

import numpy as np

from zmart_stream.portfolio.constraints import Region
from zmart_stream.portfolio.weights.interior import least_risk
from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem


class MinVariance:
    """argmin w'Vw over the region of the problem."""

    def weights(self, problem: WeightProblem) -> FloatArray:
        """Weights in hundredths of a percent."""
        price = np.ones(len(problem.symbols))
        return least_risk(problem.covariance, Region(problem), price=price, barrier=0.0)
