"""The agent that asks whether the action betters the book."""

from __future__ import annotations

from zmart_stream.domain.signals import Opinion, Reason
from zmart_stream.market.contract_state import Moves
from zmart_stream.market.views import BookView
from zmart_stream.signals.base import Case, abstain, ages_of, opinion, reason

REACH = 0.4
SHUT_OUT = 0.05
"""For what gates or caps keep out anyway."""

INPUTS = (Moves.TRADE, Moves.TICKER)
"""What moves most of a composite: with one of them stale there is no opinion on a holding."""


class FitAgent:
    """p = 0.5 + 0.4 · x with x in [-1, 1], by what the book would do.

    ADD: composite over 50, in `points`. REPLACE: (earns − needs) / needs of the rule `pays`. REMOVE: what outscores the
    holding (the best candidate, or 50) in `points`. WEIGHT_UP and WEIGHT_DOWN: the holding's composite against the mean
    of the book's. A newcomer that gates or caps keep out gets 0.05. Of a holding with stale input: no opinion.
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
        if action in ("ADD", "REPLACE"):
            return abstain(self.name, "no_composite") if score is None else self._newcomer(case, view, score)
        if any(view.freshness(case.symbol, moves) < 1.0 for moves in INPUTS):
            return abstain(self.name, "stale", **ages_of(view, case.symbol, *INPUTS))
        return self._leaver(case, view, score) if action == "REMOVE" else self._tilt(case, view, score)

    def _newcomer(self, case: Case, view: BookView, score: float) -> Opinion:
        """A stale one is kept out by its gates."""
        out = case.plan.symbol_out
        shut = list(view.failing_gates(case.symbol))
        breach = view.cap_breach(case.symbol, out)
        if shut or breach is not None:
            told = reason("kept_out", gates=", ".join(shut) or None, caps=breach, score=score)
            return opinion(self.name, SHUT_OUT, told, ages=ages_of(view, case.symbol, *INPUTS))
        if case.plan.action == "ADD" or out is None:
            return self._told(case, view, (score - 50.0) / self._points, reason("adds", score=score))
        swap = view.swap_cost(out, case.symbol)
        if not swap.needs_bps > 0.0 or swap.gap != swap.gap:
            return abstain(self.name, "no_price", symbol_out=out)
        numbers = {"gap": swap.gap, "earns_bps": round(swap.earns_bps, 6), "needs_bps": round(swap.needs_bps, 6)}
        told = reason("pays" if swap.pays else "does_not_pay", symbol_out=out, **numbers)
        return self._told(case, view, (swap.earns_bps - swap.needs_bps) / swap.needs_bps, told)

    def _leaver(self, case: Case, view: BookView, score: float | None) -> Opinion:
        if score is None:
            return self._told(case, view, 1.0, reason("no_composite", symbol=case.symbol))
        best = view.best_candidate()
        rival = view.composite(best) if best is not None else None
        least = 50.0 if rival is None else max(50.0, rival)
        told = reason("outscored", score=score, candidate=best, candidate_score=rival)
        return self._told(case, view, (least - score) / self._points, told)

    def _tilt(self, case: Case, view: BookView, score: float | None) -> Opinion:
        scores = [view.composite(held.symbol) for held in view.portfolio().holdings]
        known = [each for each in scores if each is not None]
        if score is None or not known:
            return abstain(self.name, "no_composite")
        mean = sum(known) / len(known)
        told = reason("against_book", score=score, book_mean=round(mean, 6))
        return self._told(case, view, case.sign * (score - mean) / self._points, told)

    def _told(self, case: Case, view: BookView, better: float, told: Reason) -> Opinion:
        p = 0.5 + REACH * max(-1.0, min(1.0, better))
        return opinion(self.name, p, told, ages=ages_of(view, case.symbol, *INPUTS))
