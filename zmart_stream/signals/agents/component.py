"""What the technical and the fundamental agent share: a component, and its way over the last bars."""

from __future__ import annotations

from zmart_stream.domain.signals import Opinion
from zmart_stream.market.contract_state import Moves
from zmart_stream.market.views import BookView
from zmart_stream.signals.base import Case, abstain, ages_of, opinion, reason

LONGEST = 4
"""Closes before the newest whose scores are kept."""
REACH = 0.4
"""How far from one half a full opinion goes."""


class ComponentAgent:
    """p = 0.5 + 0.4 · c · (level · u + (1 − level) · d), for and against the signal's direction.

    c is the component's confidence; u = ±(s − 50) / 50 its score; d = ±(s − s₄) / `change_points`, within [-1, 1], its
    change over 4 bars; without a past the score speaks alone. Abstains below `min_confidence` and on stale input.
    """

    component: str
    feeds_on: tuple[Moves, ...]
    """Its inputs; it abstains when the first is stale, the others lower its confidence."""

    def __init__(
        self, *, level: float = 0.6, change_points: float = 20.0, bars: int = 4, min_confidence: float = 0.3
    ) -> None:
        if not 0.0 <= level <= 1.0:
            raise ValueError("level is not within 0 and 1")
        if not change_points > 0.0:
            raise ValueError("change_points is not above 0")
        if not 1 <= bars <= LONGEST:
            raise ValueError(f"bars is not a whole number from 1 to {LONGEST}")
        self.name = self.component
        self._level, self._points, self._bars, self._least = level, change_points, bars, min_confidence

    def judge(self, case: Case, view: BookView) -> Opinion:
        """Does the component support the direction?"""
        now = view.component(case.symbol, self.component)
        if now is None or now.score is None or now.confidence < self._least:
            confidence = None if now is None else now.confidence
            return abstain(self.name, "not_known", confidence=confidence, least=self._least)
        if view.freshness(case.symbol, self.feeds_on[0]) < 1.0:
            return abstain(self.name, "stale", age_s=view.age_s(case.symbol, self.feeds_on[0]))
        past = view.before(case.symbol, self.component, self._bars)
        support = case.sign * (now.score - 50.0) / 50.0
        if past is not None:
            change = max(-1.0, min(1.0, case.sign * (now.score - past) / self._points))
            support = self._level * support + (1.0 - self._level) * change
        told = reason(
            "supports" if support >= 0.0 else "contradicts",
            score=now.score,
            before=past,
            bars=self._bars,
            confidence=now.confidence,
        )
        ages = ages_of(view, case.symbol, *self.feeds_on)
        return opinion(self.name, 0.5 + REACH * now.confidence * support, told, ages=ages)
