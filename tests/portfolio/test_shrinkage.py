"""The shrunk covariance is scikit-learn's, and stays usable where history is short or missing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf as published

from zmart_stream.domain.errors import InfeasibleError
from zmart_stream.market.covariance import ew_weights
from zmart_stream.portfolio.shrinkage import ledoit_wolf


@pytest.mark.parametrize(("bars", "count"), [(240, 10), (30, 50), (2, 3)])
def test_equal_weights_give_the_published_estimate(bars: int, count: int, seed: int) -> None:
    returns = np.random.default_rng(seed).normal(size=(bars, count)) * np.linspace(1e-3, 5e-2, count)
    covariance, share = published(returns)
    ours = ledoit_wolf(returns)
    assert ours.shrinkage == pytest.approx(share, rel=1e-9)
    assert ours.covariance == pytest.approx(covariance, rel=1e-9, abs=1e-18)


def test_fading_weights_are_those_of_the_caps(seed: int) -> None:
    returns = np.random.default_rng(seed).normal(size=(240, 6)) * 0.01
    ours = ledoit_wolf(returns, half_life=72.0)
    plain = np.cov(returns.T, aweights=ew_weights(240, 72.0), ddof=0)
    off = ~np.eye(6, dtype=bool)
    assert ours.covariance[off] == pytest.approx((1.0 - ours.shrinkage) * plain[off], rel=1e-9)
    assert np.trace(ours.covariance) == pytest.approx(np.trace(plain), rel=1e-9)


def test_missing_history_leaves_a_positive_matrix(seed: int) -> None:
    returns = np.random.default_rng(seed).normal(size=(240, 5)) * np.array([1.0, 2.0, 3.0, 4.0, 5.0]) * 0.01
    returns[:120, 1] = np.nan
    returns[120:, 2] = np.nan
    returns[:, 3] = np.nan
    found = ledoit_wolf(returns).covariance
    assert np.linalg.eigvalsh(found)[0] > 0.0
    assert found[3, 3] == found.diagonal().max()  # what is not known counts as the most volatile
    assert found[1, 2] == pytest.approx(0.0, abs=1e-18)  # never seen together


def test_no_history_is_refused() -> None:
    with pytest.raises(InfeasibleError, match="history"):
        ledoit_wolf(np.full((10, 3), np.nan))
    with pytest.raises(InfeasibleError, match="history"):
        ledoit_wolf(np.zeros((0, 3)))
