"""Every built-in weight optimiser keeps the contract; those that minimise are no worse than skfolio."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skfolio.optimization import HierarchicalRiskParity, MaximumDiversification, MeanRisk, RiskBudgeting
from skfolio.prior import BasePrior, ReturnDistribution

from tests.contracts.optimiser_checks import Outside, check_optimiser, problem_of, random_problem
from tests.contracts.recorded import recorded_hours
from zmart_stream.portfolio import OPTIMISERS
from zmart_stream.portfolio.weights.problem import FloatArray, Limits, WeightProblem


class GivenCovariance(BasePrior):
    """A prior that is told its covariance, so that both sides see the same numbers."""

    def __init__(self, covariance: FloatArray) -> None:
        self.covariance = covariance

    def fit(self, X: FloatArray, y: object = None, **options: object) -> GivenCovariance:
        self.return_distribution_ = ReturnDistribution(
            mu=np.zeros(len(self.covariance)), covariance=self.covariance, returns=np.asarray(X)
        )
        return self


def invested(problem: WeightProblem) -> float:
    """Share of equity that is invested."""
    return min(1.0 - problem.limits.cash / 100, len(problem.symbols) * problem.limits.max_weight / 100)


def skfolio(kind: type[Any], problem: WeightProblem, **options: Any) -> FloatArray:
    """skfolio's weights under the same limits (whole hundredths of a percent), as fractions of equity."""
    limits, count, total = problem.limits, len(problem.symbols), invested(problem)
    if kind is not HierarchicalRiskParity:
        sectors = [s or "none" for s in problem.sectors]
        options["groups"] = [sectors]
        options["linear_constraints"] = [
            f"{s} <= {limits.max_sector_weight / 100 / total}" for s in dict.fromkeys(sectors) if s != "none"
        ]
    scale = float(np.trace(problem.covariance)) / count
    model = kind(
        prior_estimator=GivenCovariance(problem.covariance / scale),
        min_weights=ceil(round(min(limits.min_weight * 100, 5_000 * total / count), 6)) / 10_000 / total,
        max_weights=min(1.0, limits.max_weight / 100 / total),
        **options,
    )
    weights: FloatArray = model.fit(rows_of(problem.covariance)).weights_ * total
    return weights


def rows_of(covariance: FloatArray) -> FloatArray:
    """Returns whose sample covariance is `covariance`: what skfolio takes its distances from."""
    rows = np.random.default_rng(0).normal(size=(4 * len(covariance) + 8, len(covariance)))
    rows -= rows.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(rows.T).reshape(covariance.shape)), rows.T).T
    exact: FloatArray = white @ np.linalg.cholesky(covariance).T
    return exact


def variance(problem: WeightProblem, weights: FloatArray) -> float:
    return float(weights @ problem.covariance @ weights) / (float(np.trace(problem.covariance)) / len(weights))


def log_variance(problem: WeightProblem, weights: FloatArray) -> float:
    return float(np.log(weights @ problem.covariance @ weights))


def risk_budget(problem: WeightProblem, weights: FloatArray) -> float:
    return 0.5 * float(np.log(variance(problem, weights))) - float(np.log(weights).mean())


def lack_of_diversification(problem: WeightProblem, weights: FloatArray) -> float:
    return -float(weights @ np.sqrt(np.diag(problem.covariance))) / float(
        np.sqrt(weights @ problem.covariance @ weights)
    )


OUTSIDE = {
    "min_variance": Outside(objective=log_variance, weights=lambda p: skfolio(MeanRisk, p)),
    "risk_parity": Outside(objective=risk_budget, weights=lambda p: skfolio(RiskBudgeting, p)),
    "max_diversification": Outside(
        objective=lack_of_diversification, weights=lambda p: skfolio(MaximumDiversification, p)
    ),
}


@pytest.fixture
def recorded_returns(shared_data: Path) -> FloatArray:
    """Hour returns of recorded perpetuals (bars, contracts)."""
    bars = recorded_hours(shared_data)
    length = min(len(b) for b in bars.values())
    close = np.column_stack([b[-length:, 3] for b in bars.values()])
    return close[-240:][1:] / close[-240:][:-1] - 1.0


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_the_contract_on_random_covariances(name: str, seed: int) -> None:
    check_optimiser(OPTIMISERS[name], seed=seed)


@pytest.mark.parametrize("name", list(OUTSIDE))
def test_no_worse_than_skfolio_on_random_covariances(name: str) -> None:
    check_optimiser(OPTIMISERS[name], outside=OUTSIDE[name], seed=2)


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_the_contract_on_recorded_covariances(name: str, recorded_returns: FloatArray) -> None:
    check_optimiser(OPTIMISERS[name], outside=OUTSIDE.get(name), seed=3, returns=recorded_returns)


@pytest.mark.parametrize("name", list(OUTSIDE))
def test_the_optimum_before_rounding_is_skfolios(name: str) -> None:
    rng = np.random.default_rng(5)
    for count in (2, 6, 15, 50):
        problem = random_problem(rng, count, Limits(max_weight=60.0, min_weight=0.5, max_sector_weight=55.0))
        problem, _ = problem.ordered()
        shares = OPTIMISERS[name]().weights(problem)
        objective = OUTSIDE[name].objective
        ours, theirs = shares / shares.sum(), OUTSIDE[name].weights(problem)
        assert abs(objective(problem, ours) - objective(problem, theirs)) <= 2e-5


@pytest.mark.parametrize("limits", [Limits(max_weight=100.0, min_weight=0.0), Limits(max_weight=25.0)])
def test_hrp_has_skfolios_weights_given_the_same_linkage(limits: Limits) -> None:
    rng = np.random.default_rng(6)
    for count in (2, 3, 7, 10, 31, 50):
        problem, _ = random_problem(rng, count, limits).ordered()
        total = invested(problem)
        ours = OPTIMISERS["hrp"]().weights(problem) / 10_000
        assert ours.sum() == pytest.approx(total, abs=1e-12)
        assert np.abs(ours - skfolio(HierarchicalRiskParity, problem)).max() <= 1e-6


def test_hrp_has_skfolios_weights_on_recorded_covariances(recorded_returns: FloatArray) -> None:
    problem, _ = problem_of(recorded_returns, np.random.default_rng(7), Limits()).ordered()
    ours = OPTIMISERS["hrp"]().weights(problem) / 10_000
    assert np.abs(ours - skfolio(HierarchicalRiskParity, problem)).max() <= 1e-6


def test_risk_parity_shares_the_risk_evenly_where_no_limit_binds() -> None:
    problem = random_problem(
        np.random.default_rng(8), 12, Limits(max_weight=100.0, min_weight=0.0, max_sector_weight=100.0)
    )
    weights = OPTIMISERS["risk_parity"]().weights(problem)
    contributions = weights * (problem.covariance @ weights)
    assert contributions / contributions.sum() == pytest.approx(np.full(12, 1 / 12), abs=1e-6)
