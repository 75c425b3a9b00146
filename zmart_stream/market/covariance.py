"""EW correlation and covariance of hour returns, from the ring: for the correlation part, caps and weights.

Weights are 2^(-age / half-life), normalised over the bars that both rows have. Products are summed by einsum in a fixed
order, never by BLAS.
"""

from __future__ import annotations

from math import nan

import numpy as np
import numpy.typing as npt

from zmart_stream.market.bars import FloatArray


def ew_weights(bars: int, half_life: float) -> FloatArray:
    """Weights of `bars` bars, oldest first, the newest 1; `half_life` in bars."""
    return np.exp2(-np.arange(bars - 1, -1, -1) / half_life)


def ew_covariance(ret: FloatArray, half_life: float) -> FloatArray:
    """Covariance (per bar, squared returns) of `ret` (bars, rows): shape (rows, rows), nan without a common bar."""
    known, weighted, deviation = _deviations(ret, half_life)
    common = np.einsum("ti,tj->ij", known * ew_weights(len(ret), half_life)[:, None], known)
    product = np.einsum("ti,tj->ij", weighted, deviation)
    return np.where(common > 0.0, product / np.where(common > 0.0, common, 1.0), nan)


def ew_correlation(ret: FloatArray, half_life: float, least: int = 24) -> FloatArray:
    """Correlation of `ret` (bars, rows): shape (rows, rows), nan with fewer than `least` common bars or no variance."""
    known, weighted, deviation = _deviations(ret, half_life)
    product = np.einsum("ti,tj->ij", weighted, deviation)
    squares = np.einsum("ti,tj->ij", weighted * deviation, known)
    scale = np.sqrt(squares * squares.T)
    enough = np.einsum("ti,tj->ij", known, known) >= least
    valid = enough & (scale > 0.0)
    return np.where(valid, np.clip(product / np.where(valid, scale, 1.0), -1.0, 1.0), nan)


def mean_return(ret: FloatArray, member: npt.NDArray[np.bool_]) -> FloatArray:
    """Mean return of the `member` rows of `ret` (bars, rows), one value a bar; nan where no member has the bar."""
    vote = member.astype(np.float64)
    total = np.einsum("tr,r->t", ret, vote)
    voters = np.full(len(ret), vote.sum())
    if np.isnan(total).any():
        known = ~np.isnan(ret)
        total = np.einsum("tr,r->t", np.where(known, ret, 0.0), vote)
        voters = np.einsum("tr,r->t", known, vote)
    return np.where(voters > 0.0, total / np.maximum(voters, 1.0), nan)


def correlation_with(common: FloatArray, ret: FloatArray, half_life: float) -> FloatArray:
    """EW correlation of each row of `ret` (bars, rows) with `common` (bars,), over the bars that both have.

    nan where either has no variance.
    """
    some = ~np.isnan(common)
    weight = np.where(some, ew_weights(len(ret), half_life), 0.0)
    market = np.where(some, common, 0.0)
    found = _correlation_of_whole(market, ret, weight)
    gaps = np.isnan(np.add.reduce(ret, axis=0))
    if gaps.any():
        found[gaps] = _correlation_of_known(market, np.ascontiguousarray(ret[:, gaps]), weight)
    return found


def _correlation_of_whole(market: FloatArray, ret: FloatArray, weight: FloatArray) -> FloatArray:
    """Rows that have every bar share weights and the market's deviation."""
    mass = np.add.reduce(weight)
    mass = mass if mass > 0.0 else 1.0
    y = market - np.add.reduce(weight * market) / mass
    centre = np.einsum("t,tr->r", weight, ret) / mass
    x = ret - centre
    xy = np.einsum("t,tr->r", weight * y, x)
    np.multiply(x, x, out=x)
    return _scaled(xy, np.einsum("t,tr->r", weight, x) * np.add.reduce(weight * y * y))


def _correlation_of_known(market: FloatArray, ret: FloatArray, weight: FloatArray) -> FloatArray:
    """Rows that lack bars: weights and both deviations over the bars each has."""
    known = ~np.isnan(ret)
    own = np.where(known, ret, 0.0)
    each = np.where(known, weight[:, None], 0.0)
    mass = np.add.reduce(each, axis=0)
    safe = np.where(mass > 0.0, mass, 1.0)
    x = own - np.einsum("tr,tr->r", each, own) / safe
    y = market[:, None] - np.einsum("tr,t->r", each, market) / safe
    weighted = each * x
    xy, xx = np.einsum("tr,tr->r", weighted, y), np.einsum("tr,tr->r", weighted, x)
    return _scaled(xy, xx * np.einsum("tr,tr->r", each * y, y))


def _scaled(xy: FloatArray, squares: FloatArray) -> FloatArray:
    scale = np.sqrt(squares)
    valid = scale > 0.0
    return np.where(valid, np.clip(xy / np.where(valid, scale, 1.0), -1.0, 1.0), nan)


def _deviations(ret: FloatArray, half_life: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(1 where known, weighted deviation, deviation) from each row's own EW mean, 0 where unknown."""
    known = ~np.isnan(ret)
    weight = ew_weights(len(ret), half_life)[:, None] * known
    values = np.where(known, ret, 0.0)
    mass = np.add.reduce(weight, axis=0)
    centre = np.add.reduce(weight * values, axis=0) / np.where(mass > 0.0, mass, 1.0)
    deviation = np.where(known, values - centre, 0.0)
    return known.astype(np.float64), weight * deviation, deviation
