"""Hierarchical risk parity (López de Prado 2016): a tree of correlations decides who shares risk with whom."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from zmart_stream.portfolio.constraints import Region
from zmart_stream.portfolio.weights.problem import FloatArray, WeightProblem


class HierarchicalRiskParity:
    """Ward linkage of the distances sqrt((1 - correlation) / 2), leaves in optimal order, then halves share by risk.

    A half's risk is the variance of its inverse-variance weights; each split is moved into what the box of the two
    halves allows. Sector caps are met afterwards, by scaling.
    """

    def weights(self, problem: WeightProblem) -> FloatArray:
        """Weights in hundredths of a percent, within the box."""
        region = Region(problem)
        weights = np.full(len(problem.symbols), float(region.total))
        halves = [leaf_order(problem.covariance)]
        while halves:
            whole = halves.pop()
            if len(whole) > 1:
                left, right = whole[: len(whole) // 2], whole[len(whole) // 2 :]
                share = _split(problem.covariance, region, (left, right), float(weights[whole[0]]))
                weights[left] *= share
                weights[right] *= 1.0 - share
                halves += [left, right]
        return weights


def leaf_order(covariance: FloatArray) -> list[int]:
    """Places of the holdings along the tree: neighbours move alike."""
    if len(covariance) < 3:
        return list(range(len(covariance)))
    hierarchy, distances = trees()
    volatility = np.sqrt(np.diagonal(covariance))
    correlation = np.clip(covariance / np.multiply.outer(volatility, volatility), -1.0, 1.0)
    distance = np.sqrt(0.5 * (1.0 - correlation))
    np.fill_diagonal(distance, 0.0)
    condensed = distances.squareform(distance, checks=False)
    tree = hierarchy.optimal_leaf_ordering(hierarchy.linkage(condensed, method="ward"), condensed)
    order: list[int] = hierarchy.leaves_list(tree).tolist()
    return order


def trees() -> tuple[ModuleType, ModuleType]:
    """SciPy's trees and distances. The first call imports them, half a second: only who asks for this optimiser pays.

    Who has an event loop to keep turning calls it on a thread before.
    """
    from scipy.cluster import hierarchy  # noqa: PLC0415 - SciPy stays off the start path
    from scipy.spatial import distance  # noqa: PLC0415 - SciPy stays off the start path

    return hierarchy, distance


def _split(covariance: FloatArray, region: Region, halves: tuple[list[int], list[int]], weight: float) -> float:
    """The left half's share of `weight`: the right's part of the risk, within the boxes of both."""
    left, right = halves
    risks = _risk(covariance, left), _risk(covariance, right)
    share = 1.0 - risks[0] / (risks[0] + risks[1])
    share = max(share, float(region.lower[left].sum()) / weight, 1.0 - float(region.upper[right].sum()) / weight)
    return min(share, float(region.upper[left].sum()) / weight, 1.0 - float(region.lower[right].sum()) / weight)


def _risk(covariance: FloatArray, places: list[int]) -> float:
    """Variance of the inverse-variance weights of `places`."""
    part = covariance[np.ix_(places, places)]
    inverse = 1.0 / np.diagonal(part)
    return float(np.einsum("i,ij,j->", inverse, part, inverse)) / float(np.add.reduce(inverse)) ** 2
