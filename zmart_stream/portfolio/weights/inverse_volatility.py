"""Weights in proportion to 1 / volatility."""

from __future__ import annotations

import numpy as np

from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem


class InverseVolatility:
    """Calm contracts get more; correlation plays no part."""

    def weights(self, problem: WeightProblem) -> FloatArray:
        """1 / volatility."""
        inverse: FloatArray = 1.0 / np.sqrt(np.diagonal(problem.covariance))
        return inverse
