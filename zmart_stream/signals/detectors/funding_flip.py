"""Funding that changes who pays whom."""

from __future__ import annotations

from collections.abc import Iterable

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

HOURS = 8.0
"""Rates are compared over this span, whatever the contract's interval."""

BPS = 1e4


class FundingFlipDetector:
    """FUNDING_FLIP: a settled rate of the other sign than each of the `before` settlements before it.

    Rates in bps over 8 hours: the new one and the mean of those before are `least_bps` or more from 0. From paid by
    longs to paid by shorts is a BUY: holding now earns; the other way round a SELL. Strength by the new rate over
    `least_bps`, confidence by the mean before over it. Looked at are settlements from the close before to this one, the
    one at this very instant at the next close: it may not have been told yet.
    """

    name = "funding_flip"

    def __init__(self, *, before: float = 3, least_bps: float = 1.0) -> None:
        check_positive(least_bps=least_bps)
        self._before = whole_number("before", before, least=1, most=8)
        self._least = least_bps

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        """Contracts whose funding flipped since the close before."""
        since, until = view.closed_since, view.closed_at
        found = []
        for state in view.bars().contracts:
            if not (state.in_universe and state.settled_ts >= since):
                continue
            settled = state.settlements
            last = len(settled) - 1
            if last >= 0 and settled[last][0] >= until:
                last -= 1
            if last >= self._before and settled[last][0] >= since and settled[last][1] * settled[last - 1][1] < 0.0:
                finding = self._finding(state, last)
                if finding is not None:
                    found.append(finding)
        return strongest_first(found)

    def _finding(self, state: ContractState, last: int) -> Finding | None:
        own = (state.contract.funding_interval_s or HOURS * 3600.0) / 3600.0
        rates = [
            BPS * rate * HOURS / (hours or own) for _, rate, hours in state.settlements[last - self._before : last + 1]
        ]
        *before, now = rates
        sign = 1.0 if now > 0.0 else -1.0
        mean = sum(before) / len(before)
        if any(rate * sign >= 0.0 for rate in before) or min(abs(now), abs(mean)) < self._least:
            return None
        return Finding(
            signal_type="FUNDING_FLIP",
            symbol=state.symbol,
            direction="BUY" if now < 0.0 else "SELL",
            strength=strength(abs(now), self._least),
            confidence=confidence(abs(mean), self._least),
            data=told(rate_bps_8h=now, before_bps_8h=mean, settlements_before=float(self._before)),
        )
