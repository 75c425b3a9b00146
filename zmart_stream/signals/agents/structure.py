"""The agent that asks what trading costs, and whether the signal can bear it."""

from __future__ import annotations

from math import sqrt

from zmart_stream.domain.signals import Opinion
from zmart_stream.market.contract_state import Moves
from zmart_stream.market.views import BookView
from zmart_stream.signals.base import Case, abstain, ages_of, opinion, reason

DAY_S = 86_400.0
ONE_WAY = ("REMOVE", "WEIGHT_DOWN")


class StructureAgent:
    """p = 1 / (1 + (cost / bearable)²): one half where the cost is all that the signal can bear.

    Cost: of trading `probe_usdt` in and out again, both legs of a swap; one way for what only leaves. Bearable: `share`
    of the move that a signal of this strength speaks of, strength × the volatility over the horizon.
    """

    name = "structure"

    def __init__(self, *, share: float = 0.25) -> None:
        if not share > 0.0:
            raise ValueError("share is not above 0")
        self._share = share

    def judge(self, case: Case, view: BookView) -> Opinion:
        """Can it be traded at a cost that the signal can bear?"""
        if view.freshness(case.symbol, Moves.TICKER) < 1.0:
            return abstain(self.name, "stale", age_s=view.age_s(case.symbol, Moves.TICKER))
        cost = self._cost_bps(case, view)
        volatility = view.volatility(case.symbol)
        if not cost >= 0.0 or not volatility >= 0.0:
            return abstain(self.name, "not_known", cost_bps=_or_none(cost), volatility=_or_none(volatility))
        move = 1e4 * volatility * sqrt(view.horizon_s / DAY_S) * case.signal.strength
        bearable = self._share * move
        numbers = {"cost_bps": round(cost, 6), "bearable_bps": round(bearable, 6), "volatility": round(volatility, 9)}
        p = 1.0 / (1.0 + (cost / bearable) ** 2) if bearable > 0.0 else 0.0
        told = reason("affordable" if p >= 0.5 else "too_dear", **numbers)
        return opinion(self.name, p, told, ages=ages_of(view, case.symbol, Moves.TICKER, Moves.DEPTH, Moves.TRADE))

    @staticmethod
    def _cost_bps(case: Case, view: BookView) -> float:
        if case.plan.action == "REPLACE" and case.plan.symbol_out is not None:
            return view.cost_bps(case.plan.symbol_out) + view.cost_bps(case.symbol)
        return view.cost_bps(case.symbol) * (1.0 if case.plan.action in ONE_WAY else 2.0)


def _or_none(value: float) -> float | None:
    return value if value == value else None
