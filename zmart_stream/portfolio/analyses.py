"""Metrics, attribution, and what each optimiser would make of the book now, for whoever asks.

Built-in values only. Times are ns, money is USDT with two decimals, weights are percent of equity, returns, volatility,
costs and effects are fractions. A figure that cannot be given is `{"value": None, "reason": why}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec
import numpy as np

from zmart_stream.domain.errors import InfeasibleError
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio import OPTIMISERS
from zmart_stream.portfolio.account import UNIT
from zmart_stream.portfolio.attribution import Period, fold
from zmart_stream.portfolio.benchmark import DAY_NS
from zmart_stream.portfolio.manager import PortfolioManager
from zmart_stream.portfolio.metrics import Figure, diversification_ratio, effective_holdings, portfolio_metrics
from zmart_stream.portfolio.targets import Weights
from zmart_stream.portfolio.weighing import Market, Risk
from zmart_stream.portfolio.weights.problem import WeightProblem

WINDOWS: dict[str, int | None] = {"1d": DAY_NS, "7d": 7 * DAY_NS, "30d": 30 * DAY_NS, "all": None}


class Analyses:
    """Answers about one manager's book and ledger."""

    def __init__(self, manager: PortfolioManager, market: Market) -> None:
        self._manager = manager
        self._market = market

    def metrics(self, window: str, now: int) -> dict[str, Any]:
        """Risk and performance over `window` (1d, 7d, 30d, all). Raises KeyError for another.

        Keys: as_of, window, since, until (ns, None without history), step_s, observations, and `figures`: name →
        {value, reason}: return, volatility, sharpe, sortino, calmar, max_drawdown, max_drawdown_h, var_95, cvar_95,
        var_99, cvar_99, beta_reference, correlation_reference (XBTUSDTM), beta_benchmark, correlation_benchmark,
        turnover, costs, funding, effective_holdings, diversification_ratio, hit_rate, average_hold_h.
        """
        ledger = self._manager.ledger
        periods, step_s = ledger.periods(WINDOWS[window], now)
        weights = ledger.weights()
        figures = portfolio_metrics(
            periods,
            step_s,
            stays=ledger.stays,
            weights=weights,
            covariance=self._manager.weigher.risk(list(weights)).covariance if weights else None,
        )
        return {
            **_span(window, now, periods),
            "step_s": step_s,
            "observations": len(periods),
            "figures": {name: _shown(figure) for name, figure in figures.items()},
        }

    def attribution(self, window: str, now: int) -> dict[str, Any]:
        """Where the return over `window` (1d, 7d, 30d, all) came from. Raises KeyError for another window.

        Keys: as_of, window, since, until, reason ("" or why there is nothing), return, benchmark, active, funding,
        costs, active_funding, active_costs; contributions [{symbol, sector, contribution}], largest first;
        effects [{sector, allocation, selection, interaction, total}]. Sums are exact:
        return = Σ contribution + funding + costs; active = Σ total + active_funding + active_costs.
        """
        periods, _ = self._manager.ledger.periods(WINDOWS[window], now)
        whole = fold(periods)
        span = _span(window, now, periods)
        if whole is None:
            reason = "no bar has ended since the ledger opened"
            figures = dict.fromkeys(("return", "benchmark", "active", "funding", "costs", "active_funding"))
            return {**span, "reason": reason, **figures, "active_costs": None, "contributions": [], "effects": []}
        sectors = self._market.sectors()
        earned = sorted(whole.contributions.items(), key=lambda item: (-item[1], item[0]))
        return {
            **span,
            "reason": "",
            "return": whole.gain,
            "benchmark": whole.benchmark,
            "active": whole.active,
            "funding": whole.funding,
            "costs": whole.costs,
            "active_funding": whole.active_funding,
            "active_costs": whole.active_costs,
            "contributions": [
                {"symbol": symbol, "sector": sectors.get(symbol), "contribution": value} for symbol, value in earned
            ],
            "effects": [
                {"sector": sector, **msgspec.to_builtins(effects), "total": effects.total}
                for sector, effects in whole.effects.items()
            ],
        }

    def optimise(self, name: str | None, now: int, standings: Mapping[str, Standing]) -> dict[str, Any]:
        """What the optimiser `name` (None: each of them) would do now. Raises KeyError for an unknown name.

        Keys: as_of, in_force, present {weights, cash, volatility, diversification_ratio, effective_holdings}, and
        `optimisers`: [{name, reason ("" or why the limits leave no weights), weights {symbol: percent}, cash,
        trades [{symbol, before, after, change (percent of equity), usdt, cost_bps, cost_usdt}], turnover (percent
        bought), cost_usdt, and the three figures as under `present`}]. Without holdings the list is empty.
        """
        names = list(OPTIMISERS) if name is None else [name]
        unknown = [wanted for wanted in names if wanted not in OPTIMISERS]
        if unknown:
            raise KeyError(unknown[0])
        manager = self._manager
        symbols = [holding.symbol for holding in manager.symbols.portfolio.holdings]
        present = manager.ledger.weights()
        found: list[dict[str, Any]] = []
        held: dict[str, Any] = {}
        if symbols:
            problem = manager.problem(standings)
            held = _risks(problem, [present.get(symbol, 0.0) for symbol in symbols])
            found = [self._proposal(each, problem, present) for each in names]
        return {
            "as_of": now,
            "in_force": manager.weigher.optimiser,
            "present": {"weights": present, "cash": max(0.0, 100.0 - sum(present.values())), **held},
            "optimisers": found,
        }

    def _proposal(self, name: str, problem: WeightProblem, present: Mapping[str, float]) -> dict[str, Any]:
        try:
            weights = self._manager.solve(problem, name)
        except InfeasibleError as conflict:
            empty: dict[str, Any] = {"weights": {}, "cash": None, "trades": [], "turnover": None, "cost_usdt": None}
            return {"name": name, "reason": str(conflict), **empty, **_risks(problem, None)}
        trades = self._trades(weights, present)
        return {
            "name": name,
            "reason": "",
            "weights": weights.weights,
            "cash": weights.cash,
            "trades": trades,
            "turnover": sum(max(0.0, trade["change"]) for trade in trades),
            "cost_usdt": round(sum(trade["cost_usdt"] for trade in trades), 2),
            **_risks(problem, [weights.weights[symbol] for symbol in problem.symbols]),
        }

    def _trades(self, weights: Weights, present: Mapping[str, float]) -> list[dict[str, Any]]:
        equity = self._manager.ledger.equity / UNIT
        trades = []
        for symbol in dict.fromkeys((*present, *weights.weights)):
            before, after = present.get(symbol, 0.0), weights.weights.get(symbol, 0.0)
            amount, cost_bps = equity * (after - before) / 100.0, self._market.leg(symbol).paid_bps
            trades.append(
                {
                    "symbol": symbol,
                    "before": before,
                    "after": after,
                    "change": after - before,
                    "usdt": round(amount, 2),
                    "cost_bps": cost_bps,
                    "cost_usdt": round(abs(amount) * cost_bps / 1e4, 2),
                }
            )
        return trades


def risk_figures(risk: Risk, weights: list[float]) -> dict[str, Any]:
    """Volatility (a year), effective holdings and diversification ratio of `weights` (percent of equity)."""
    return {
        "volatility": {"value": risk.volatility(weights), "reason": None},
        "effective_holdings": _shown(effective_holdings(weights)),
        "diversification_ratio": _shown(diversification_ratio(np.array(weights), risk.covariance)),
    }


def _span(window: str, now: int, periods: Sequence[Period]) -> dict[str, Any]:
    since, until = (periods[0].start, periods[-1].end) if periods else (None, None)
    return {"as_of": now, "window": window, "since": since, "until": until}


def _risks(problem: WeightProblem, weights: list[float] | None) -> dict[str, Any]:
    if weights is None:
        missing = {"value": None, "reason": "the limits conflict"}
        return dict.fromkeys(("volatility", "effective_holdings", "diversification_ratio"), missing)
    return risk_figures(Risk(covariance=problem.covariance, shrinkage=0.0, assumed=()), weights)


def _shown(figure: Figure) -> dict[str, Any]:
    if figure.value is not None and not isfinite(figure.value):
        return {"value": None, "reason": "not finite"}
    return {"value": figure.value, "reason": figure.reason}
