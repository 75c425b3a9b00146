"""What a weight optimiser is asked, and what it must be: one contract for all of them."""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Limits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The limits on weights (numbers.md §5), all in percent of equity."""

    cash: float = 0.0
    """Share that is never invested."""
    max_weight: float = 25.0
    min_weight: float = 2.0
    """Least weight of a holding, unless invested / (2 × holdings) is less."""
    max_sector_weight: float = 60.0
    """All holdings of one sector together; contracts without a sector are exempt."""
    max_turnover: float = 100.0
    """What one re-weighting may buy: the rises of all weights and of cash, summed."""


class WeightProblem(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The holdings to share equity among. All arrays and tuples are in the order of `symbols`."""

    symbols: tuple[str, ...]
    covariance: FloatArray
    """Covariance (n, n) of returns, positive definite; any period, no result depends on its scale."""
    scores: tuple[float | None, ...]
    """Composite, 0..100; None: no score."""
    sectors: tuple[str | None, ...]
    present: tuple[float, ...]
    """Percent each holds now; 0 for a newcomer. What is missing to 100 is `present_cash` and holdings that leave."""
    present_cash: float = 100.0
    limits: Limits = Limits()

    def ordered(self) -> tuple[WeightProblem, list[int]]:
        """The same problem with symbols ascending, and the place of each of its holdings in this one.

        Optimisers are handed problems in this order: ties and trees then cannot depend on the order of the book.
        """
        order = sorted(range(len(self.symbols)), key=self.symbols.__getitem__)
        return (
            WeightProblem(
                symbols=tuple(self.symbols[i] for i in order),
                covariance=np.ascontiguousarray(self.covariance[np.ix_(order, order)]),
                scores=tuple(self.scores[i] for i in order),
                sectors=tuple(self.sectors[i] for i in order),
                present=tuple(self.present[i] for i in order),
                present_cash=self.present_cash,
                limits=self.limits,
            ),
            order,
        )


class Optimiser(Protocol):
    """A way to share the invested part. Options are keyword-only constructor parameters.

    `weights` gets a problem whose symbols ascend and returns finite, non-negative shares (n,); only their proportions
    count. The caller scales them to what is invested and into the limits (`constraints.Region.scaled`); an optimiser
    that judges trade-offs under the limits reads them from `Region(problem)` itself. Deterministic, no state.
    """

    def weights(self, problem: WeightProblem) -> FloatArray:
        """Shares of the holdings of `problem`, in its order."""
        ...
