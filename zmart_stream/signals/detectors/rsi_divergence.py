"""Prices that reach further than at their last turn while the RSI does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zmart_stream.domain.market import DAY_S
from zmart_stream.market.bars import FloatArray, IntArray
from zmart_stream.market.contract_state import ContractState
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

NEUTRAL = 50.0


class RsiDivergenceDetector:
    """RSI_DIVERGENCE on UTC day bars, of the newest two turns of the close.

    A high (low) is a close above (below) the `wing` closes on both sides of it, so it is known `wing` days later, and
    that day alone tells it. SELL: it is above the high before it while its RSI(14) is `least_points` or more below that
    one's; BUY: a lower low with the RSI so much higher. The turns are `apart_least` to `apart_most` days apart, and the
    RSI of the first is `least_extreme` or more beyond 50. Strength by the RSI's gap over `least_points`, confidence by
    that distance over `least_extreme`.
    """

    name = "rsi_divergence"

    def __init__(
        self,
        *,
        wing: float = 2,
        apart_least: float = 4,
        apart_most: float = 30,
        least_points: float = 4.0,
        least_extreme: float = 10.0,
    ) -> None:
        check_positive(least_points=least_points, least_extreme=least_extreme)
        self._wing = whole_number("wing", wing, least=1, most=5)
        self._most = whole_number("apart_most", apart_most, least=2, most=30)
        self._least = whole_number("apart_least", apart_least, least=1, most=self._most)
        self._points, self._extreme = least_points, least_extreme

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        """Contracts of which the day just closed shows one."""
        if not view.closed(DAY_S):
            return ()
        bars = view.bars()
        days = self._most + 2 * self._wing + 1
        close = np.ascontiguousarray(bars.days.close[:, -days:])
        highs, lows = self._pairs(close), self._pairs(-close)  # a low is a high of the mirrored close
        rows, first = np.concatenate((highs[0], lows[0])), np.concatenate((highs[1], lows[1]))
        rsi = view.day_rsi(rows)[:, -close.shape[1] :]
        second = close.shape[1] - 1 - self._wing
        found = []
        for n, (row, at) in enumerate(zip(rows.tolist(), first.tolist(), strict=True)):
            turns = _Turns(
                sign=1.0 if n < len(highs[0]) else -1.0,
                days_apart=second - at,
                close=(float(close[row, at]), float(close[row, second])),
                rsi=(float(rsi[n, at]), float(rsi[n, second])),
            )
            finding = self._finding(bars.contracts[row], turns)
            if finding is not None:
                found.append(finding)
        return strongest_first(found)

    def _pairs(self, close: FloatArray) -> tuple[IntArray, IntArray]:
        """Rows whose day `wing` days ago is a high above the high before it, and where that one is."""
        rows = np.flatnonzero(self._is_high(close[:, -2 * self._wing - 1 :])[:, 0])
        some = close[rows]
        second = close.shape[1] - 1 - self._wing
        high = self._is_high(some)[:, : -self._least]  # the first day of `high` is day `wing` of `close`
        first = high.shape[1] - 1 - np.argmax(high[:, ::-1], axis=1) + self._wing
        at = np.arange(len(rows))
        chosen = high[at, first - self._wing] & (some[:, second] > some[at, first])
        return rows[chosen], first[chosen]

    def _is_high(self, close: FloatArray) -> npt.NDArray[np.bool_]:
        """Which days are highs, of those that have `wing` days on both sides: shape (rows, days − 2 · wing)."""
        wing = self._wing
        middle = close[:, wing:-wing]
        found = np.ones(middle.shape, dtype=np.bool_)
        for shift in (*range(wing), *range(wing + 1, 2 * wing + 1)):
            found &= middle > close[:, shift : shift + middle.shape[1]]
        return found

    def _finding(self, state: ContractState, turns: _Turns) -> Finding | None:
        gap = turns.sign * (turns.rsi[0] - turns.rsi[1])
        extreme = turns.sign * (turns.rsi[0] - NEUTRAL)
        if not state.in_universe or not (gap >= self._points and extreme >= self._extreme):
            return None
        return Finding(
            signal_type="RSI_DIVERGENCE",
            symbol=state.symbol,
            direction="SELL" if turns.sign > 0.0 else "BUY",
            strength=strength(gap, self._points),
            confidence=confidence(extreme, self._extreme),
            data=told(
                close_first=turns.close[0],
                close_second=turns.close[1],
                rsi_first=turns.rsi[0],
                rsi_second=turns.rsi[1],
                days_apart=float(turns.days_apart),
            ),
        )


class _Turns(NamedTuple):
    """Two turns of one contract."""

    sign: float  # 1 = highs, -1 = lows
    days_apart: int
    close: tuple[float, float]
    rsi: tuple[float, float]
