"""Hours that trade many times what a week's mean hour does, and move the price with it."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import numpy as np

from zmart_stream.domain.market import HOUR_S
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.views import MarketView
from zmart_stream.market.windows import mean
from zmart_stream.signals.base import Finding
from zmart_stream.signals.detectors.grading import (
    check_positive,
    confidence,
    strength,
    strongest_first,
    told,
    whole_number,
)


class VolumeSpikeDetector:
    """VOLUME_SPIKE: an hour's turnover is at least `times` the mean of the `hours` before it, half of them known.

    Its return is at least `least_moves` times the EW volatility of an hour (half-life 72 h, that hour included); its
    sign is the direction. Strength by the turnover over `times`, confidence by the return over `least_moves`. An hour
    not seen whole is no spike. Where decisions fall every four hours, the four are taken together.
    """

    name = "volume_spike"

    def __init__(self, *, times: float = 5.0, least_moves: float = 2.0, hours: float = 168) -> None:
        check_positive(times=times, least_moves=least_moves)
        self._times, self._least_moves = times, least_moves
        self._window = whole_number("hours", hours, least=24, most=168)

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        """Contracts whose bar just closed was one."""
        hours = view.closed(HOUR_S)
        if not hours:
            return ()
        bars = view.bars()
        turnover, close = bars.hours.turnover.T, bars.hours.close
        usual = mean(turnover[-hours - self._window : -hours], self._window // 2)
        ratio = mean(turnover[-hours:]) / np.where(usual > 0.0, usual, np.nan)
        whole = (bars.hours.whole[:, -hours:] == 1.0).all(axis=1)
        found = []
        for row in np.flatnonzero(whole & (ratio >= self._times)).tolist():
            change = float(close[row, -1] / close[row, -1 - hours] - 1.0)
            finding = self._finding(bars.contracts[row], float(ratio[row]), change, hours)
            if finding is not None:
                found.append(finding)
        return strongest_first(found)

    def _finding(self, state: ContractState, ratio: float, change: float, hours: int) -> Finding | None:
        if not state.in_universe or not state.ew_var > 0.0:
            return None
        moves = abs(change) / sqrt(hours * state.ew_var)
        if not moves >= self._least_moves:
            return None
        return Finding(
            signal_type="VOLUME_SPIKE",
            symbol=state.symbol,
            direction="BUY" if change > 0.0 else "SELL",
            strength=strength(ratio, self._times),
            confidence=confidence(moves, self._least_moves),
            data=told(volume_ratio=ratio, change=change, moves=moves),
        )
