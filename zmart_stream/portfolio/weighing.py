"""The weight problem as the market poses it now, and its solution: risk from hour returns, tilts, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Protocol

import msgspec
import numpy as np

from zmart_stream.domain.errors import InfeasibleError
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio import OPTIMISERS
from zmart_stream.portfolio.constraints import Region
from zmart_stream.portfolio.economics import Leg
from zmart_stream.portfolio.shrinkage import ledoit_wolf
from zmart_stream.portfolio.targets import Weights, target_weights
from zmart_stream.portfolio.weights.hrp import leaf_order
from zmart_stream.portfolio.weights.problem import FloatArray, Limits, Optimiser, WeightProblem

LEAST_BARS = 48
"""Hour returns that a contract's risk is measured by; one with fewer is taken to be as volatile as the most volatile
holding, and to move alone."""

HOURS_A_YEAR = 8760.0


class Market(Protocol):
    """What weights and ledger ask of the market, as of the last message."""

    def marks(self) -> dict[str, float]:
        """Mark price of every contract that has one; of a contract without, its last price."""
        ...

    def mark(self, symbol: str) -> float | None:
        """That of one contract."""
        ...

    def universe(self) -> list[str]:
        """Contracts of the universe, in row order."""
        ...

    def sectors(self) -> dict[str, str | None]:
        """Sector of every contract."""
        ...

    def leg(self, symbol: str) -> Leg:
        """What a trade in `symbol` costs now."""
        ...

    def is_gone(self, symbol: str) -> bool:
        """Whether `symbol` was delisted or settled."""
        ...

    def returns(self, symbols: Sequence[str]) -> FloatArray:
        """Hour returns (bars, contracts), oldest first; nan where one is not known."""
        ...

    def price_at(self, symbol: str, end: int) -> float | None:
        """Close of the hour that ended at `end` (ns), None if it is not known."""
        ...


class Risk(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Covariance of the holdings."""

    covariance: FloatArray
    """(n, n), squared returns an hour, positive definite."""
    shrinkage: float
    assumed: tuple[str, ...]
    """Contracts with fewer than `LEAST_BARS` returns."""

    def volatility(self, weights: Sequence[float]) -> float:
        """Of holdings at `weights` (percent of equity), a year, as a fraction."""
        held = np.array(weights) / 100.0
        return sqrt(max(0.0, float(np.einsum("i,ij,j->", held, self.covariance, held))) * HOURS_A_YEAR)


def risk_of(symbols: Sequence[str], returns: FloatArray, half_life_h: float) -> Risk:
    """Ledoit and Wolf's covariance of `returns` (bars, contracts), fading with `half_life_h`.

    See `LEAST_BARS` for a contract with few of them; when all are such, all are equally volatile and unrelated.
    """
    thin = np.add.reduce(~np.isnan(returns), axis=0, dtype=np.int64) < LEAST_BARS
    assumed = tuple(symbol for symbol, few in zip(symbols, thin.tolist(), strict=True) if few)
    try:
        shrunk = ledoit_wolf(np.where(thin, np.nan, returns), half_life=half_life_h)
    except InfeasibleError:
        return Risk(covariance=np.eye(len(symbols)) * 1e-4, shrinkage=1.0, assumed=tuple(symbols))
    return Risk(covariance=shrunk.covariance, shrinkage=shrunk.shrinkage, assumed=assumed)


class Tilted:
    """An optimiser whose result is multiplied, contract by contract, before it is put within the limits again."""

    def __init__(self, inner: Optimiser, factors: Mapping[str, float]) -> None:
        self._inner = inner
        self._factors = factors

    def weights(self, problem: WeightProblem) -> FloatArray:
        """The inner one's weights within the limits, times the factors."""
        factors = [self._factors.get(symbol, 1.0) for symbol in problem.symbols]
        tilted: FloatArray = Region(problem).scaled(self._inner.weights(problem)) * np.array(factors)
        return tilted


class Weigher:
    """Puts the problem together and solves it. What SciPy's trees cost to import is paid here, not at a close."""

    def __init__(self, settings: PortfolioSettings, market: Market) -> None:
        self._settings = settings
        self._market = market
        if settings.optimiser == "hrp":
            leaf_order(np.eye(3))

    @property
    def optimiser(self) -> str:
        """Name of the optimiser in force."""
        return self._settings.optimiser

    def risk(self, symbols: Sequence[str]) -> Risk:
        """Risk of `symbols`, of which there is at least one."""
        return risk_of(symbols, self._market.returns(symbols), self._settings.correlation_half_life_h)

    def problem(
        self, symbols: Sequence[str], standings: Mapping[str, Standing], present: Mapping[str, float]
    ) -> WeightProblem:
        """How to weigh `symbols` now. `present`: percent of equity of all that the ledger holds.

        The first purchase is no re-weighting: `max_turnover` does not limit it.
        """
        settings = self._settings
        known = [standings.get(symbol) for symbol in symbols]
        return WeightProblem(
            symbols=tuple(symbols),
            covariance=self.risk(symbols).covariance if symbols else np.zeros((0, 0)),
            scores=tuple(None if standing is None else standing.score for standing in known),
            sectors=tuple(None if standing is None else standing.sector for standing in known),
            present=tuple(max(0.0, present.get(symbol, 0.0)) for symbol in symbols),
            present_cash=max(0.0, 100.0 - sum(present.values())),
            limits=Limits(
                cash=settings.cash,
                max_weight=settings.max_weight,
                min_weight=settings.min_weight,
                max_sector_weight=settings.max_sector_weight,
                max_turnover=settings.max_turnover if present else 100.0,
            ),
        )

    def solve(self, problem: WeightProblem, tilts: Mapping[str, float], name: str | None = None) -> Weights:
        """The weights that optimiser `name` (default: the one in force) wants. Raises InfeasibleError."""
        chosen: Optimiser = OPTIMISERS[name or self.optimiser]()
        return target_weights(Tilted(chosen, tilts) if tilts else chosen, problem)
