"""From a weight problem to weights: solved, put within the limits, rounded; and when weights have left their buffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from zmart_stream.portfolio.constraints import WHOLE, Region, within_turnover
from zmart_stream.portfolio.weights.problem import Limits, Optimiser, WeightProblem

BUFFER_SHARE = 0.20
BUFFER_POINTS = 1.0


class Weights(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Percent by symbol and cash, two decimals each; together exactly 100.00."""

    weights: dict[str, float]
    cash: float


def target_weights(optimiser: Optimiser, problem: WeightProblem) -> Weights:
    """What `optimiser` wants, within all limits of `problem`, in the order of its symbols.

    Raises InfeasibleError, naming what conflicts, when no weights keep the limits.
    """
    if not problem.symbols:
        return Weights(weights={}, cash=100.0)
    ordered, places = problem.ordered()
    region = Region(ordered)
    wanted = region.scaled(optimiser.weights(ordered))
    return _in_order(problem.symbols, places, within_turnover(region, wanted, ordered))


def kept_weights(problem: WeightProblem) -> Weights:
    """The present weights scaled to the holdings, for when the limits conflict (numbers.md §5).

    A newcomer starts from an even part of what those who left held, or from the mean weight. Of the limits only cash,
    max_weight and the least weight that follows from them hold, which never conflict.
    """
    if not problem.symbols:
        return Weights(weights={}, cash=100.0)
    limits = problem.limits
    lenient = msgspec.structs.replace(
        problem, limits=Limits(cash=limits.cash, max_weight=limits.max_weight, min_weight=0.0, max_sector_weight=100.0)
    )
    ordered, places = lenient.ordered()
    region = Region(ordered)
    upper = float(region.upper[0])
    return _in_order(problem.symbols, places, region.rounded(np.array(_capped(_filled(ordered), region.total, upper))))


def beyond_buffer(current: Mapping[str, float], target: Mapping[str, float]) -> list[str]:
    """Symbols of `target` whose current weight (percent, drifted with the market) is further from it than 20 % of the
    target and than 1 point.
    """
    return [
        symbol
        for symbol, weight in target.items()
        if abs(current.get(symbol, 0.0) - weight) > max(BUFFER_SHARE * weight, BUFFER_POINTS)
    ]


def _filled(problem: WeightProblem) -> Sequence[float]:
    newcomers = sum(1 for weight in problem.present if weight <= 0.0)
    held = sum(problem.present)
    if not newcomers or held <= 0.0:
        return problem.present if held > 0.0 else [1.0] * len(problem.present)
    freed = 100.0 - problem.present_cash - held
    mean = held / (len(problem.present) - newcomers)
    share = freed / newcomers if freed > 0.005 else mean
    return [weight if weight > 0.0 else share for weight in problem.present]


def _capped(shares: Sequence[float], total: float, upper: float) -> list[float]:
    """Weights in the proportions of `shares`, all above 0, none above `upper`, that sum to `total`.

    What the capped ones leave goes to the rest, until none is above: as many rounds as there are capped at different
    times, without the search that a region with sectors needs.
    """
    weights = [upper] * len(shares)
    rest, left = list(range(len(shares))), float(total)
    while rest:
        factor = left / sum(shares[i] for i in rest)
        below = [i for i in rest if shares[i] * factor <= upper]
        if len(below) == len(rest):
            for i in rest:
                weights[i] = shares[i] * factor
            break
        left -= upper * (len(rest) - len(below))
        rest = below
    return weights


def _in_order(symbols: Sequence[str], places: Sequence[int], hundredths: Sequence[int]) -> Weights:
    found = dict(zip(places, hundredths, strict=True))
    return Weights(
        weights={symbol: found[i] / 100 for i, symbol in enumerate(symbols)}, cash=(WHOLE - sum(hundredths)) / 100
    )
