"""Equal weights in whole hundredths of a percent, so that with the cash they sum to exactly 100.00."""

from __future__ import annotations

import numpy as np

from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem

_WHOLE = 10_000


def equal_weights(count: int, max_weight: float) -> tuple[list[float], float]:
    """`count` weights in percent, first ranks first, and the cash (numbers.md §5: I = min(100, n × max_weight)).

    The hundredths that do not divide evenly go to the first ranks, one each; none exceeds `max_weight`.
    """
    if count == 0:
        return [], 100.0
    share = min(_WHOLE // count, int(round(max_weight * 100, 6)))
    spare = min(_WHOLE, int(round(count * max_weight * 100, 6))) - share * count
    if (share + 1) / 100 > max_weight:
        spare = 0
    weights = [(share + (1 if place < spare else 0)) / 100 for place in range(count)]
    return weights, (_WHOLE - share * count - spare) / 100


class Equal:
    """The same weight for every holding."""

    def weights(self, problem: WeightProblem) -> FloatArray:
        """Ones."""
        return np.ones(len(problem.symbols))
