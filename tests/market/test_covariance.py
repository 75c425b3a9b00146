"""EW covariance and correlations against plain weighted formulas."""

from __future__ import annotations

import numpy as np
import pytest

from zmart_stream.market.covariance import correlation_with, ew_correlation, ew_covariance, mean_return


def returns(seed: int, bars: int = 239, rows: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.01, (bars, 1)) + rng.normal(0, 0.02, (bars, rows))


def weighted(x: np.ndarray, y: np.ndarray, half_life: float) -> tuple[float, float]:
    w = 0.5 ** (np.arange(len(x))[::-1] / half_life)
    dx, dy = x - np.average(x, weights=w), y - np.average(y, weights=w)
    covariance = np.average(dx * dy, weights=w)
    return covariance, covariance / np.sqrt(np.average(dx * dx, weights=w) * np.average(dy * dy, weights=w))


def test_pairs_equal_the_weighted_formula(seed: int) -> None:
    ret = returns(seed)
    covariance, correlation = ew_covariance(ret, 72.0), ew_correlation(ret, 72.0)
    for i in range(6):
        for j in range(6):
            plain = weighted(ret[:, i], ret[:, j], 72.0)
            assert covariance[i, j] == pytest.approx(plain[0], rel=1e-10)
            assert correlation[i, j] == pytest.approx(plain[1], rel=1e-10)
    assert np.linalg.eigvalsh(covariance).min() > 0


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
    found = ew_correlation(ret, 72.0)
    assert np.isnan(found[0, 1])
    assert np.isnan(found[1, 2])
    assert found[1, 1] == pytest.approx(1.0)
    assert np.isnan(correlation_with(mean_return(ret, np.zeros(3, dtype=np.bool_)), ret, 72.0)).all()


def test_order_of_rows_changes_nothing(seed: int) -> None:
    ret = returns(seed)
    order = np.array([3, 1, 5, 0, 2, 4])
    again = ew_correlation(ret[:, order], 72.0)
    np.testing.assert_allclose(again, ew_correlation(ret, 72.0)[order][:, order], rtol=0, atol=1e-14)
