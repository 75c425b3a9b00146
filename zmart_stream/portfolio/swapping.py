"""What a replacement must satisfy beside its streak: margin, the holding's age, the day's limit, and that it pays."""

from __future__ import annotations

from zmart_stream.domain.portfolio import Holding
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.caps import Numbers, Obstacle
from zmart_stream.portfolio.field import Field
from zmart_stream.portfolio.hand import NS, Hand


class Swapping:
    """Judges one holding against one candidate. Changes nothing."""

    def __init__(self, hand: Hand, settings: PortfolioSettings) -> None:
        self._hand = hand
        self._settings = settings

    def margin(self, field: Field, holding: Holding, standing: Standing, margin: float) -> Obstacle | None:
        """The lead in points that is missing, None when it is there. A holding without a score is led by nobody."""
        gap = field.gap(holding.symbol, standing.symbol)
        if gap >= margin:
            return None
        lead = "no lead" if gap != gap else f"a lead of {gap:.2f} points"
        text = f"{standing.symbol} has {lead} on {holding.symbol}, replace_margin asks for {margin:g}"
        numbers: Numbers = {"gap": gap if gap == gap else None, "replace_margin": margin}
        return Obstacle(code="replace_margin", text=text, numbers=numbers)

    def obstacle(
        self, field: Field, holding: Holding, standing: Standing, *, extra_points: float = 0.0
    ) -> Obstacle | None:
        """What keeps the swap from being made now: min_hold, swap_limit, does_not_pay; None if nothing does."""
        held_h, least_h = self.held_h(field.ts, holding), self._settings.min_hold_s / 3600.0
        if field.ts - holding.since < int(self._settings.min_hold_s * NS):
            text = f"{holding.symbol} is held for {held_h:.1f} h, min_hold is {least_h:g} h"
            return Obstacle(code="min_hold", text=text, numbers={"held_h": held_h, "min_hold_h": least_h})
        if self._hand.swaps_left(field.ts) <= 0:
            return self.limit(field.ts)
        verdict = field.verdict(holding.symbol, standing.symbol, extra_points)
        if verdict.pays:
            return None
        text = f"{standing.symbol} for {holding.symbol} {verdict.reason()}"
        return Obstacle(code="does_not_pay", text=text, numbers=verdict.numbers())

    def limit(self, ts: int) -> Obstacle:
        """The day's limit on swaps, as what stops one."""
        most = self._settings.max_swaps_per_day
        text = f"{most} swaps in 24 hours are the limit"
        numbers: Numbers = {"max_swaps_per_day": most, "swaps_24h": most - self._hand.swaps_left(ts)}
        return Obstacle(code="swap_limit", text=text, numbers=numbers)

    def numbers(self, field: Field, holding: Holding, standing: Standing, *, extra_points: float = 0.0) -> Numbers:
        """The figures for the record of a swap: scores, gap, age, and all of its price."""
        verdict = field.verdict(holding.symbol, standing.symbol, extra_points)
        return {
            "score_in": standing.score,
            "score_out": field.score(holding.symbol),
            "gap": round(verdict.gap - extra_points, 6),
            "held_h": self.held_h(field.ts, holding),
            **verdict.numbers(),
        }

    @staticmethod
    def held_h(ts: int, holding: Holding) -> float:
        """Hours since the contract came into the book."""
        return round((ts - holding.since) / (3600 * NS), 3)
