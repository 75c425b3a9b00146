"""The agent that minds the book's risk, and may veto."""

from __future__ import annotations

from zmart_stream.domain.signals import Figure, Opinion
from zmart_stream.market.contract_state import Moves
from zmart_stream.market.views import BookView
from zmart_stream.signals.base import Case, abstain, opinion, reason

REACH = 0.4


class RiskAgent:
    """p = 0.5 ± 0.4 · (1 − 2 · load), minus for a SELL, which lightens the book.

    The load is the mean of four, each a figure over its limit within [0, 1]: volatility of a day, largest drawdown of a
    week, correlation with the rest of the book, without whom it replaces (negative: 0), the book's VaR of a day at 95 %
    after the change. Those not known are left out, but for the volatility: without it, or with stale trades, there is
    no opinion. A BUY that leads beyond a limit is vetoed; by the VaR only if it rises.
    """

    name = "risk"
    may_veto = True

    def __init__(
        self,
        *,
        max_volatility: float = 0.15,
        max_drawdown: float = 0.5,
        max_correlation: float = 0.95,
        max_var_pct: float = 12.0,
    ) -> None:
        self._limits = {
            "volatility": max_volatility,
            "drawdown": max_drawdown,
            "correlation": max_correlation,
            "var": max_var_pct,
        }
        wrong = [name for name, limit in self._limits.items() if not limit > 0.0]
        if wrong:
            raise ValueError(f"the limit of {wrong[0]} is not above 0")

    def judge(self, case: Case, view: BookView) -> Opinion:
        """What the action does to the book's risk."""
        age = view.age_s(case.symbol, Moves.TRADE)
        if view.freshness(case.symbol, Moves.TRADE) < 1.0:
            return abstain(self.name, "stale", age_s=age)
        figures, rises = self._figures(case, view)
        if "volatility" not in figures:
            return abstain(self.name, "not_known", volatility=None)
        loads = {name: max(0.0, value / self._limits[name]) for name, value in figures.items()}
        load = sum(min(1.0, each) for each in loads.values()) / len(loads)
        over = [name for name, each in loads.items() if each > 1.0 and (name != "var" or rises)]
        veto = case.sign > 0.0 and bool(over)
        numbers: dict[str, Figure] = {name: round(value, 9) for name, value in figures.items()}
        numbers |= {f"{name}_limit": self._limits[name] for name in over}
        code = "beyond_limit" if veto else "load"
        told = reason(code, load=round(load, 9), **numbers)
        return opinion(self.name, 0.5 + case.sign * REACH * (1.0 - 2.0 * load), told, ages={"trade": age}, veto=veto)

    @staticmethod
    def _figures(case: Case, view: BookView) -> tuple[dict[str, float], bool]:
        """What is known, and whether the book's VaR rises."""
        change = view.var_after(case.plan)
        figures = {
            "volatility": view.volatility(case.symbol),
            "drawdown": view.drawdown(case.symbol),
            "correlation": view.correlation(case.symbol, case.plan.symbol_out),
        }
        if change is not None:
            figures["var"] = change.after
        rises = change is not None and change.after > change.before
        return {name: value for name, value in figures.items() if value == value}, rises
