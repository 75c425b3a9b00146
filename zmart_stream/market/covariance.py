"""EW correlation and covariance of hour returns, from the ring: for the correlation part, caps and weights.

Weights are 2^(-age / half-life), normalised over the bars that both rows have. Products are summed by einsum in a fixed
order, never by BLAS; a pair's sums are made of its two contracts alone, whatever else is asked.
"""

from __future__ import annotations

from math import nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zmart_stream.market.bars import FloatArray


def ew_weights(bars: int, half_life: float) -> FloatArray:
    """Weights of `bars` bars, oldest first, the newest 1; `half_life` in bars."""
    return np.exp2(-np.arange(bars - 1, -1, -1) / half_life)


class Deviation(NamedTuple):
    """Returns of one contract as they enter sums with another's, shape (bars,) each, oldest first."""

    known: FloatArray  # 1 where there is a return
    weight: FloatArray  # its weight there, else 0
    plain: FloatArray  # distance from the contract's own EW mean, 0 where unknown
    weighted: FloatArray  # the same times the weight
    square: float  # sum of weighted · plain
    is_whole: bool  # every return is known


def deviation_of(ret: FloatArray, half_life: float) -> Deviation:
    """`ret` (bars,) made ready for `covariance_of` and `correlation_of`."""
    ret = np.ascontiguousarray(ret)
    known = ~np.isnan(ret)
    weight = ew_weights(len(ret), half_life) * known
    values = np.where(known, ret, 0.0)
    mass = float(np.add.reduce(weight))
    centre = float(np.add.reduce(weight * values)) / (mass if mass > 0.0 else 1.0)
    plain = np.where(known, values - centre, 0.0)
    weighted = weight * plain
    return Deviation(known.astype(np.float64), weight, plain, weighted, _sum(weighted, plain), bool(known.all()))


def covariance_of(a: Deviation, b: Deviation) -> float:
    """EW covariance per bar, in squared returns; nan without a common bar."""
    common = _sum(a.weight, b.known)
    return _sum(a.weighted, b.plain) / common if common > 0.0 else nan


def correlation_of(a: Deviation, b: Deviation, least: int = 24) -> float:
    """EW correlation; nan with fewer than `least` common bars or where one does not vary over them."""
    if a.is_whole and b.is_whole:
        enough, squares = len(a.plain) >= least, a.square * b.square
    else:
        enough = _sum(a.known, b.known) >= least
        squares = _sum(a.weighted * a.plain, b.known) * _sum(b.weighted * b.plain, a.known)
    if not enough or not squares > 0.0:
        return nan
    return max(-1.0, min(1.0, _sum(a.weighted, b.plain) / sqrt(squares)))


def _sum(x: FloatArray, y: FloatArray) -> float:
    return float(np.einsum("t,t->", x, y))


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
