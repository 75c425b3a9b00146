"""Contracts that suddenly cannot be traded at the cost they could a few closes ago."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zmart_stream.market.views import MarketView
from zmart_stream.signals.base import Finding
from zmart_stream.signals.detectors.grading import (
    check_positive,
    confidence,
    strength,
    strongest_first,
    told,
    whole_number,
)

PARTS = ("spread", "depth")


class SpreadCollapseDetector:
    """SPREAD_COLLAPSE (SELL): the structure score fell by `least_fall` points or more over `bars` closes.

    And now the contract is among the worst `worst_pct` % of the universe by spread or by depth, on fresh quotes.
    Strength by the fall over `least_fall`; confidence by how near the worse of the two is to the very worst.
    Percentiles: what widens everybody's spread at once is no finding about one.
    """

    name = "spread_collapse"

    def __init__(self, *, least_fall: float = 25.0, bars: float = 4, worst_pct: float = 20.0) -> None:
        check_positive(least_fall=least_fall, worst_pct=worst_pct)
        self._bars = whole_number("bars", bars, least=1, most=4)
        self._least_fall, self._worst = least_fall, worst_pct

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        """Contracts that the close just now shows so."""
        fall = view.scores_before("structure", self._bars) - view.scores_before("structure", 0)
        rows = np.flatnonzero(fall >= self._least_fall).tolist()
        contracts = view.bars().contracts if rows else []
        found = []
        for row in rows:
            if contracts[row].in_universe:
                finding = self._finding(view, contracts[row].symbol, float(fall[row]))
                if finding is not None:
                    found.append(finding)
        return strongest_first(found)

    def _finding(self, view: MarketView, symbol: str, fall: float) -> Finding | None:
        parts = {name: view.part(symbol, f"structure.{name}") for name in PARTS}
        fresh = {name: part.pct for name, part in parts.items() if part is not None and part.freshness == 1.0}
        worst = min(fresh.values(), default=100.0)
        if worst > self._worst:
            return None
        return Finding(
            signal_type="SPREAD_COLLAPSE",
            symbol=symbol,
            direction="SELL",
            strength=strength(fall, self._least_fall),
            confidence=confidence(self._worst, worst),
            data=told(fall=fall, bars=float(self._bars), **{f"{name}_pct": pct for name, pct in fresh.items()}),
        )
