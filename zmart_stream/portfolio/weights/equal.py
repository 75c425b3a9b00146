"""Equal weights: as robust as anything where nothing is known of risk (DeMiguel, Garlappi, Uppal, 2009)."""

from __future__ import annotations

import numpy as np

from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem


class Equal:
    """The same weight for every holding."""

    def weights(self, problem: WeightProblem) -> FloatArray:
        """Ones."""
        return np.ones(len(problem.symbols))
