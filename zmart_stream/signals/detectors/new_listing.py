"""Young contracts that have become old enough to be judged."""

from __future__ import annotations

from collections.abc import Iterable

from zmart_stream.market.bars import DAY
from zmart_stream.market.views import MarketView
from zmart_stream.signals.base import Finding
from zmart_stream.signals.detectors.grading import check_positive, confidence, strength, strongest_first, told


class NewListingDetector:
    """LISTING (BUY): a contract of the universe became `age_days` old since the close before, and is already traded.

    Its turnover of 24 h is at least `least_turnover_usdt`, its composite at least `least_score`. Strength by the one
    over its threshold, confidence by the other. An age below `market.min_listed` is never met in the universe.
    """

    name = "new_listing"

    def __init__(self, *, age_days: float = 7.0, least_turnover_usdt: float = 10e6, least_score: float = 50.0) -> None:
        check_positive(age_days=age_days, least_turnover_usdt=least_turnover_usdt, least_score=least_score)
        self._age = int(age_days * DAY)
        self._turnover, self._score = least_turnover_usdt, least_score

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        """Contracts that came of age in the interval just closed."""
        since, until = view.closed_since - self._age, view.closed_at - self._age
        found = []
        for state in view.bars().contracts:
            if not (since < state.listed_at <= until and state.in_universe):
                continue
            score, turnover = view.composite(state.symbol), state.turnover_24h_row
            if score is None or score < self._score or not turnover >= self._turnover:
                continue
            found.append(
                Finding(
                    signal_type="LISTING",
                    symbol=state.symbol,
                    direction="BUY",
                    strength=strength(turnover, self._turnover),
                    confidence=confidence(score, self._score),
                    data=told(turnover_24h=turnover, score=score),
                )
            )
        return strongest_first(found)
