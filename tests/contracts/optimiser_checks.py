"""What every weight optimiser must satisfy; authors run it on their own.

check_optimiser(RiskParity, outside=Outside(objective=..., weights=...))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor
from typing import Any

import msgspec
import numpy as np

from zmart_stream.domain.errors import InfeasibleError
from zmart_stream.portfolio.shrinkage import ledoit_wolf
from zmart_stream.portfolio.targets import Weights, target_weights
from zmart_stream.portfolio.weights.problem import FloatArray, Limits, Optimiser, WeightProblem

SECTORS = ("base", "layer", "meme", None)
LIMITS = (
    Limits(),
    Limits(max_weight=100.0, min_weight=0.0, max_sector_weight=100.0),
    Limits(max_sector_weight=30.0),
    Limits(cash=12.5, max_weight=17.0, min_weight=1.0),
    Limits(max_weight=40.0, max_turnover=35.0),
)


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """Another library's answer: weights (fractions) of a problem, and what both minimise."""

    objective: Callable[[WeightProblem, FloatArray], float]
    weights: Callable[[WeightProblem], FloatArray]


def random_problem(rng: np.random.Generator, count: int, limits: Limits) -> WeightProblem:
    """Returns of contracts that share two factors, volatilities up to tenfold apart; a book of which some is held."""
    factors = rng.normal(size=(300, 2))
    loads = rng.normal(1.0, 0.5, size=(2, count))
    returns = (np.einsum("tf,fi->ti", factors, loads) + rng.normal(size=(300, count))) * rng.uniform(1, 10, count) / 1e3
    return problem_of(returns, rng, limits)


def problem_of(returns: FloatArray, rng: np.random.Generator, limits: Limits) -> WeightProblem:
    """A problem over the covariance of `returns`; every third holding is new."""
    count = returns.shape[1]
    held = np.array([0.0 if i % 3 == 2 else 1.0 for i in range(count)]) * rng.uniform(1, 3, count)
    present = np.floor(held / held.sum() * 9_000) / 100
    return WeightProblem(
        symbols=tuple(f"C{i:02d}USDTM" for i in rng.permutation(count).tolist()),
        covariance=ledoit_wolf(returns).covariance,
        scores=tuple(None if i == 1 else float(s) for i, s in enumerate(rng.uniform(35, 85, count))),
        sectors=tuple(SECTORS[i % len(SECTORS)] for i in range(count)),
        present=tuple(present.tolist()),
        present_cash=10.0,
        limits=limits,
    )


def check_optimiser(
    kind: type[Optimiser],
    *,
    options: dict[str, Any] | None = None,
    outside: Outside | None = None,
    seed: int = 1,
    returns: FloatArray | None = None,
) -> None:
    """Hold an optimiser to the contract on random problems and those of `returns` (bars, contracts).

    Shares are finite and non-negative; the weights keep every limit to the hundredth, or the conflict is named;
    the order of the holdings changes nothing; where given, no worse than `outside` by more than 1e-4.
    """
    print("seed", seed)
    rng = np.random.default_rng(seed)
    optimiser = kind(**(options or {}))
    solved = 0
    for count in (1, 3, 5, 10, 23, 50):
        for limits in LIMITS:
            some = returns[:, :count] if returns is not None else None
            problem = random_problem(rng, count, limits) if some is None else problem_of(some, rng, limits)
            solved += _check(optimiser, problem, rng, outside)
    assert solved > len(LIMITS), "nearly every problem was infeasible: nothing was checked"


def _check(optimiser: Optimiser, problem: WeightProblem, rng: np.random.Generator, outside: Outside | None) -> bool:
    found = solved_or_named(optimiser, problem)
    if found is None:
        return False
    shares = optimiser.weights(problem.ordered()[0])
    assert shares.shape == (len(problem.symbols),)
    assert np.isfinite(shares).all()
    assert (shares >= 0.0).all()
    check_limits(problem, found)
    order = rng.permutation(len(problem.symbols)).tolist()
    other = target_weights(optimiser, permuted(problem, order))
    assert other == found, "the order of the holdings changed the weights"
    if outside is not None and problem.limits.max_turnover >= 100.0:
        _check_outside(problem, found, outside)
    return True


def solved_or_named(optimiser: Optimiser, problem: WeightProblem) -> Weights | None:
    """The weights, or None where the limits conflict: the error then names one of them."""
    try:
        return target_weights(optimiser, problem)
    except InfeasibleError as error:
        refusal = str(error)
    assert any(limit in refusal for limit in ("max_weight", "max_sector_weight", "max_turnover")), refusal
    return None


def check_limits(problem: WeightProblem, found: Weights) -> None:
    """The weights keep every limit of `problem`, in whole hundredths."""
    limits, count = problem.limits, len(problem.symbols)
    weights = {symbol: round(weight * 100) for symbol, weight in found.weights.items()}
    cash = round(found.cash * 100)
    assert set(weights) == set(problem.symbols)
    assert sum(weights.values()) + cash == 10_000
    invested = min(10_000 - round(limits.cash * 100), count * floor(round(limits.max_weight * 100, 6)))
    assert sum(weights.values()) == invested
    assert max(weights.values()) <= limits.max_weight * 100 + 1e-6
    assert min(weights.values()) >= min(limits.min_weight * 100, invested / (2 * count)) - 1e-6
    for sector in {s for s in problem.sectors if s is not None}:
        assert sum(weights[s] for s, k in zip(problem.symbols, problem.sectors, strict=True) if k == sector) <= (
            limits.max_sector_weight * 100 + 1e-6
        )
    before = dict(zip(problem.symbols, problem.present, strict=True))
    rises = sum(max(0.0, weights[s] / 100 - before[s]) for s in weights)
    assert rises + max(0.0, found.cash - problem.present_cash) <= limits.max_turnover + 1e-9


def permuted(problem: WeightProblem, order: Sequence[int]) -> WeightProblem:
    """The same problem with its holdings in another order."""
    return msgspec.structs.replace(
        problem,
        symbols=tuple(problem.symbols[i] for i in order),
        covariance=problem.covariance[np.ix_(order, order)],
        scores=tuple(problem.scores[i] for i in order),
        sectors=tuple(problem.sectors[i] for i in order),
        present=tuple(problem.present[i] for i in order),
    )


def _check_outside(problem: WeightProblem, found: Weights, outside: Outside) -> None:
    ours = np.array([found.weights[symbol] for symbol in problem.symbols]) / 100.0
    theirs = outside.weights(problem)
    mine, best = outside.objective(problem, ours), outside.objective(problem, theirs)
    assert mine - best <= 1e-4 * max(abs(best), 1.0), f"objective {mine}, outside {best}"
