"""Weights in proportion to the composites."""

from __future__ import annotations

import numpy as np

from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem


class Score:
    """Shares are the composites; a holding without one gets the least weight."""

    def weights(self, problem: WeightProblem) -> FloatArray:
        """Composites, 0 where there is none."""
        return np.array([score or 0.0 for score in problem.scores], dtype=np.float64)
