"""The book's risk as signals move it: worked out once as long as bars and weights stand, for every signal the same.

Nothing here is state: a figure follows from the rings and the book, whatever was asked before.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan, sqrt

import numpy as np

from zmart_stream.domain.portfolio import Portfolio
from zmart_stream.market.bars import FloatArray
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.comovement import HALF_LIFE_H
from zmart_stream.market.covariance import Deviation, deviation_of

Z_95 = 1.6448536269514722
MOST_BOOKS = 4096
"""Books whose VaR is remembered, those that signals would make included."""

Weighted = tuple[tuple[str, float], ...]


class BookRisk:
    """VaR of the book as it is or would be, and how a contract moves with it."""

    def __init__(self, market: MarketCache) -> None:
        self._market = market
        self._version = -1
        self._portfolio: Portfolio | None = None
        self._held: Weighted = ()
        self._series: dict[str, Deviation | None] = {}  # the book's hour returns without a contract
        self._correlations: dict[tuple[str, str], float] = {}
        self._vars: dict[Weighted, float] = {}

    def correlation(self, portfolio: Portfolio, symbol: str, without: str) -> float:
        """EW correlation of hour returns with those of the book without one contract; nan while unknown."""
        state = self._market.by_symbol.get(symbol)
        if state is None:
            return nan
        self._refresh(portfolio)
        found = self._correlations.get((symbol, without))
        if found is None:
            series = self._without(without)
            found = nan if series is None else self._market.comovement.correlation_with(state.row, series)
            self._correlations[symbol, without] = found
        return found

    def daily_var(self, weights: Mapping[str, float]) -> float:
        """VaR of a day at 95 % (percent), normal, of `weights` (percent) by symbol; nan while a pair is unknown."""
        states = [self._market.by_symbol.get(symbol) for symbol in weights]
        rows = [state.row for state in states if state is not None]
        if len(rows) < len(states):
            return nan
        self._renew()
        key = tuple(weights.items())
        found = self._vars.get(key)
        if found is None:
            if len(self._vars) >= MOST_BOOKS:
                self._vars.clear()
            variance = self._market.comovement.variance(rows, list(weights.values()))
            found = self._vars[key] = Z_95 * sqrt(24.0 * max(0.0, variance)) if variance == variance else nan
        return found

    def _without(self, symbol: str) -> Deviation | None:
        """The book without `symbol`, None if nothing is left."""
        left = symbol if any(symbol == held for held, _ in self._held) else ""
        if left not in self._series:
            rest = [(held, weight) for held, weight in self._held if held != left]
            self._series[left] = deviation_of(self._mean(rest), HALF_LIFE_H) if rest else None
        return self._series[left]

    def _mean(self, rest: list[tuple[str, float]]) -> FloatArray:
        """Mean return by weight over the contracts that have the bar, nan where none has."""
        known = [(self._market.by_symbol.get(symbol), weight) for symbol, weight in rest]
        pairs = [(self._market.comovement.returns(state.row), weight) for state, weight in known if state is not None]
        if not pairs:
            return np.full(self._market.hours.ring.slots - 1, nan)
        returns, weights = np.stack([column for column, _ in pairs]), np.array([weight for _, weight in pairs])
        there = ~np.isnan(returns)
        mass = np.einsum("nt,n->t", there.astype(np.float64), weights)
        total = np.einsum("nt,n->t", np.where(there, returns, 0.0), weights)
        return np.where(mass > 0.0, total / np.where(mass > 0.0, mass, 1.0), nan)

    def _refresh(self, portfolio: Portfolio) -> None:
        """Forget what was made of another book or of other bars."""
        self._renew()
        if portfolio is self._portfolio:
            return
        self._portfolio = portfolio
        held = tuple((holding.symbol, holding.weight) for holding in portfolio.holdings)
        if held != self._held:
            self._held = held
            self._series.clear()
            self._correlations.clear()

    def _renew(self) -> None:
        version = self._market.comovement.version
        if version != self._version:
            self._version = version
            self._series.clear()
            self._correlations.clear()
            self._vars.clear()
