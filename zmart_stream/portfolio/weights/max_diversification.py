"""Most diversification under the limits (Choueifaty and Coignard 2008)."""

from __future__ import annotations

import numpy as np

from zmart_stream.portfolio.constraints import Region
from zmart_stream.portfolio.weights.interior import least_risk
from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem


class MaxDiversification:
    """argmax w's / sqrt(w'Vw), s the volatilities, over the region of the problem.

    The ratio does not depend on the size of the book: least variance at s'y = 1 is the same problem, and convex.
    """

    def weights(self, problem: WeightProblem) -> FloatArray:
        """Weights in hundredths of a percent."""
        price = np.sqrt(np.diagonal(problem.covariance))
        return least_risk(problem.covariance, Region(problem), price=price, barrier=0.0)
