"""Ledoit and Wolf's covariance (J. Multivariate Analysis 88, 2004), with exponentially fading weights where wanted.

The sample covariance S is drawn towards m I, m the mean variance, by the share b / d: d = |S - m I|² and b, at most d,
the estimated error of S, sum_t w_t² |x_t x_t' - S|². With equal weights this is the published formula.
"""

from __future__ import annotations

import msgspec
import numpy as np

from zmart_stream.domain.errors import InfeasibleError
from zmart_stream.market.covariance import ew_weights
from zmart_stream.portfolio.weights.problem import FloatArray


class Shrunk(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A covariance and how it came about."""

    covariance: FloatArray
    """(n, n), squared returns per bar, positive definite."""
    shrinkage: float
    """0: the sample's; 1: equal variances, no correlation."""


def ledoit_wolf(returns: FloatArray, *, half_life: float | None = None) -> Shrunk:
    """The shrunk covariance of `returns` (bars, contracts), oldest first; weights halve every `half_life` bars.

    nan marks an unknown return. It counts as none beyond the contract's mean: variances stay those of the known bars,
    covariances fade with the overlap, and the matrix stays positive. A contract without any variance of its own is
    given the largest of the others. InfeasibleError when no contract has two different returns.
    """
    weights = np.ones(len(returns)) if half_life is None else ew_weights(len(returns), half_life)
    weights = weights / max(float(np.add.reduce(weights)), 1e-300)
    deviation = _deviations(returns, weights)
    sample = np.einsum("ti,tj->ij", weights[:, None] * deviation, deviation)
    variance = np.diagonal(sample).copy()
    largest = float(variance.max(initial=0.0))
    if not largest > 0.0:
        raise InfeasibleError("no holding has a history of returns to weigh it by")
    unknown = np.flatnonzero(variance <= 0.0)
    sample[unknown, unknown] = largest
    return _shrunk(sample, deviation, weights)


def _shrunk(sample: FloatArray, deviation: FloatArray, weights: FloatArray) -> Shrunk:
    mean = float(np.add.reduce(np.diagonal(sample))) / len(sample)
    target = np.diag(np.full(len(sample), mean))
    distance = float(np.einsum("ij,ij->", sample - target, sample - target))
    size = float(np.einsum("ij,ij->", sample, sample))
    length = np.einsum("ti,ti->t", deviation, deviation)
    along = np.einsum("ti,ti->t", np.einsum("ti,ij->tj", deviation, sample), deviation)
    error = float(np.einsum("t,t->", weights**2, length**2 - 2.0 * along + size))
    share = min(error, distance) / distance if distance > 0.0 else 1.0
    return Shrunk(covariance=(1.0 - share) * sample + share * target, shrinkage=share)


def _deviations(returns: FloatArray, weights: FloatArray) -> FloatArray:
    """From each contract's own weighted mean, 0 where unknown, scaled up so that its variance is that of its bars."""
    known = ~np.isnan(returns)
    mass = np.einsum("t,ti->i", weights, known.astype(np.float64))
    safe = np.where(mass > 0.0, mass, 1.0)
    values = np.where(known, returns, 0.0)
    mean = np.einsum("t,ti->i", weights, values) / safe
    scaled: FloatArray = np.where(known, values - mean, 0.0) / np.sqrt(safe)
    return scaled
