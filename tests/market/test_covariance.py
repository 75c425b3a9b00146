"""EW covariance and correlations against plain weighted formulas."""

from __future__ import annotations

import numpy as np
import pytest

from zmart_stream.market.covariance import (
    correlation_of,
    correlation_with,
    covariance_of,
    deviation_of,
    mean_return,
)


def returns(seed: int, bars: int = 239, rows: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.01, (bars, 1)) + rng.normal(0, 0.02, (bars, rows))


def weighted(x: np.ndarray, y: np.ndarray, half_life: float) -> tuple[float, float]:
    w = 0.5 ** (np.arange(len(x))[::-1] / half_life)
    dx, dy = x - np.average(x, weights=w), y - np.average(y, weights=w)
    covariance = np.average(dx * dy, weights=w)
    return covariance, covariance / np.sqrt(np.average(dx * dx, weights=w) * np.average(dy * dy, weights=w))


def pair(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    a, b = deviation_of(x, 72.0), deviation_of(y, 72.0)
    return covariance_of(a, b), correlation_of(a, b)


def test_pairs_equal_the_weighted_formula(seed: int) -> None:
    ret = returns(seed)
    for i in range(6):
        for j in range(6):
            plain = weighted(ret[:, i], ret[:, j], 72.0)
            assert pair(ret[:, i], ret[:, j]) == pytest.approx(plain, rel=1e-9)


def test_pairs_with_gaps_are_summed_over_the_bars_that_both_have(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ret = returns(seed, rows=2)
    ret[rng.random(ret.shape) < 0.2] = np.nan
    known = ~np.isnan(ret)
    w = 0.5 ** (np.arange(239)[::-1] / 72.0)
    centre = [np.average(ret[known[:, k], k], weights=w[known[:, k]]) for k in range(2)]
    both = known.all(axis=1)
    dx, dy = (ret[both, k] - centre[k] for k in range(2))
    covariance = np.average(dx * dy, weights=w[both])
    spread = np.average(dx * dx, weights=w[both]) * np.average(dy * dy, weights=w[both])
    assert pair(ret[:, 0], ret[:, 1]) == pytest.approx((covariance, covariance / np.sqrt(spread)), rel=1e-9)


def test_correlation_with_the_members_mean(seed: int) -> None:
    ret = returns(seed)
    ret[:100, 2] = np.nan
    member = np.array([True, True, True, True, False, False])
    mean = np.nanmean(ret[:, :4], axis=1)
    found = correlation_with(mean_return(ret, member), ret, 72.0)
    for row in range(6):
        known = ~np.isnan(ret[:, row])
        w = 0.5 ** (np.arange(239)[::-1] / 72.0)[known]
        dx, dy = (v - np.average(v, weights=w) for v in (ret[known, row], mean[known]))
        plain = np.average(dx * dy, weights=w) / np.sqrt(np.average(dx**2, weights=w) * np.average(dy**2, weights=w))
        assert found[row] == pytest.approx(plain, rel=1e-10)


def test_too_little_in_common_and_no_variance_are_nan(seed: int) -> None:
    ret = returns(seed, bars=60, rows=3)
    ret[:40, 0] = np.nan
    ret[:, 2] = 0.0
    rows = [deviation_of(column, 72.0) for column in ret.T]
    assert np.isnan(correlation_of(rows[0], rows[1]))
    assert np.isnan(correlation_of(rows[1], rows[2]))
    assert correlation_of(rows[1], rows[1]) == pytest.approx(1.0)
    nothing = deviation_of(np.full(60, np.nan), 72.0)
    assert np.isnan(covariance_of(rows[1], nothing))
    assert np.isnan(correlation_of(nothing, nothing))
    assert np.isnan(correlation_with(mean_return(ret, np.zeros(3, dtype=np.bool_)), ret, 72.0)).all()
