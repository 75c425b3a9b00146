"""The agent that asks whether the action betters the book."""

from __future__ import annotations

from zmart_stream.domain.signals import Opinion
from zmart_stream.market.views import BookView
from zmart_stream.signals.base import Case, abstain, opinion, reason

REACH = 0.4
SHUT_OUT = 0.05
"""For what gates or caps keep out anyway."""


class FitAgent:
    """p = 0.5 + 0.4 · x with x in [-1, 1], by what the book would do.

    ADD: composite over 50, in `points`. REPLACE: (earns − needs) / needs of the rule `pays`. REMOVE: what outscores the
    holding (the best candidate, or 50) in `points`. WEIGHT_UP and WEIGHT_DOWN: the holding's composite against the mean
    of the book's. A newcomer that gates or caps keep out gets 0.05.
    """

    name = "fit"

    def __init__(self, *, points: float = 25.0) -> None:
        if not points > 0.0:
            raise ValueError("points is not above 0")
        self._points = points

    def judge(self, case: Case, view: BookView) -> Opinion:
        """Would the action better the book?"""
        score = view.composite(case.symbol)
        action = case.plan.action
        if action == "NONE":
            return abstain(self.name, case.plan.reason or "no_action")
        if score is None and action in ("ADD", "REPLACE"):
            return abstain(self.name, "no_composite")
        if action in ("ADD", "REPLACE"):
            return self._newcomer(case, view, score or 0.0)
        return self._leaver(case, view, score) if action == "REMOVE" else self._tilt(case, view, score)

    def _newcomer(self, case: Case, view: BookView, score: float) -> Opinion:
        out = case.plan.symbol_out
        shut = list(view.failing_gates(case.symbol))
        breach = view.cap_breach(case.symbol, out)
        if shut or breach is not None:
            told = reason("kept_out", gates=", ".join(shut) or None, caps=breach, score=score)
            return opinion(self.name, SHUT_OUT, told)
        if case.plan.action == "ADD" or out is None:
            return self._told("adds", (score - 50.0) / self._points, score=score)
        swap = view.swap_cost(out, case.symbol)
        if not swap.needs_bps > 0.0 or swap.gap != swap.gap:
            return abstain(self.name, "no_price", symbol_out=out)
        better = (swap.earns_bps - swap.needs_bps) / swap.needs_bps
        numbers = {"gap": swap.gap, "earns_bps": round(swap.earns_bps, 6), "needs_bps": round(swap.needs_bps, 6)}
        return self._told("pays" if swap.pays else "does_not_pay", better, symbol_out=out, **numbers)

    def _leaver(self, case: Case, view: BookView, score: float | None) -> Opinion:
        if score is None:
            return self._told("no_composite", 1.0, symbol=case.symbol)
        best = view.best_candidate()
        rival = view.composite(best) if best is not None else None
        least = 50.0 if rival is None else max(50.0, rival)
        return self._told(
            "outscored", (least - score) / self._points, score=score, candidate=best, candidate_score=rival
        )

    def _tilt(self, case: Case, view: BookView, score: float | None) -> Opinion:
        known = [
            each for each in (view.composite(held.symbol) for held in view.portfolio().holdings) if each is not None
        ]
        if score is None or not known:
            return abstain(self.name, "no_composite")
        mean = sum(known) / len(known)
        return self._told(
            "against_book", case.sign * (score - mean) / self._points, score=score, book_mean=round(mean, 6)
        )

    def _told(self, code: str, better: float, **numbers: float | str | None) -> Opinion:
        return opinion(self.name, 0.5 + REACH * max(-1.0, min(1.0, better)), reason(code, **numbers))
