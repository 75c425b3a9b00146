"""Prices that leave the range of the last weeks, with volume behind them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zmart_stream.domain.market import DAY_S, HOUR_S
from zmart_stream.market.bars import FloatArray
from zmart_stream.market.columns import BarView
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

LEAST_DAYS = 15
"""As many as ATR(14) needs for its first value."""
HOURS_A_DAY = 24.0


class BreakoutDetector:
    """BREAKOUT: an hour closes beyond the highest high (BUY) or lowest low (SELL) of the `days` closed UTC days before.

    Beyond is by `least_atr` of the day bars' ATR(14), and the close before was not; the hour's turnover is at least
    `least_volume` times the mean hour's of these days. Strength by the distance in ATRs over `least_atr`, confidence by
    the volume over `least_volume`. A contract without that many days, or with an hour not seen whole, has no breakout.
    """

    name = "breakout"

    def __init__(self, *, days: float = 20, least_atr: float = 0.1, least_volume: float = 2.0) -> None:
        check_positive(least_atr=least_atr, least_volume=least_volume)
        self._days = whole_number("days", days, least=LEAST_DAYS, most=39)
        self._least_atr, self._least_volume = least_atr, least_volume

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        """Contracts that broke out in the bar just closed."""
        hours = view.closed(HOUR_S)
        if not hours:
            return ()
        bars = view.bars()
        top, bottom, usual = self._ranges(bars, view.closed(DAY_S))
        close = bars.hours.close
        beyond = (close[:, -1] > top) | (close[:, -1] < bottom)
        volume = mean(bars.hours.turnover[:, -hours:].T) / np.where(usual > 0.0, usual, np.nan)
        whole = (bars.hours.whole[:, -hours:] == 1.0).all(axis=1)
        found = []
        for row in np.flatnonzero(beyond & whole & (volume >= self._least_volume)).tolist():
            closes = (float(close[row, -1 - hours]), float(close[row, -1]))
            finding = self._finding(bars, row, closes, (float(bottom[row]), float(top[row])), float(volume[row]))
            if finding is not None:
                found.append(finding)
        return strongest_first(found)

    def _ranges(self, bars: BarView, ended: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Highest high, lowest low, mean turnover of an hour; of the days before the one that the bar belongs to."""
        newest = bars.days.close.shape[1] - ended
        window = slice(newest - self._days, newest)
        high, low = bars.days.high[:, window], bars.days.low[:, window]
        turnover = bars.days.turnover[:, window].T
        return np.max(high, axis=1), np.min(low, axis=1), mean(turnover, self._days) / HOURS_A_DAY

    def _finding(
        self, bars: BarView, row: int, closes: tuple[float, float], edges: tuple[float, float], volume: float
    ) -> Finding | None:
        """Of one contract; `closes` before and now."""
        state, (before, now), (bottom, top) = bars.contracts[row], closes, edges
        if not state.in_universe or not state.atr > 0.0:
            return None
        sign, edge = (1.0, top) if now > top else (-1.0, bottom)
        distance, distance_before = sign * (now - edge) / state.atr, sign * (before - edge) / state.atr
        if not distance >= self._least_atr > distance_before:
            return None
        return Finding(
            signal_type="BREAKOUT",
            symbol=state.symbol,
            direction="BUY" if sign > 0.0 else "SELL",
            strength=strength(distance, self._least_atr),
            confidence=confidence(volume, self._least_volume),
            data=told(close=now, edge=edge, days=float(self._days), beyond_atr=distance, volume_ratio=volume),
        )
