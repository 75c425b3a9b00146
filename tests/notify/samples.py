"""Messages to tell of."""

from __future__ import annotations

from typing import Any

from zmart_stream.domain.portfolio import HoldChanged, Holding, Portfolio, PortfolioChange
from zmart_stream.domain.signals import Decision, Plan, Signal, SignalDecided

T0 = 1_780_000_000_000_000_000


def change(number: int, **facts: Any) -> PortfolioChange:
    """A contract comes into the book."""
    held = Holding(id=f"h{number}", symbol=f"A{number}USDTM", rank=1, weight=12.5, since=T0, score=70.0)
    given = {"kind": "fill", "reason": "fill", "symbol_in": held.symbol, **facts}
    after = Portfolio(holdings=(held,), cash=87.5)
    return PortfolioChange(ts=T0 + number, id=f"c{number}", before=Portfolio(), after=after, revision=1, **given)


def hold(on: bool, reason: str, ts: int = T0) -> HoldChanged:
    return HoldChanged(ts=ts, on=on, reason=reason)


def decided(*, approved: bool) -> SignalDecided:
    signal = Signal(
        id="s1", source="scanner", owner="t", who="t", signal_type="BREAKOUT", strength=0.8, confidence=0.7,
        direction="BUY", symbol="XBTUSDTM", received=T0, expires=T0,
    )  # fmt: skip
    decision = Decision(
        approved=approved, reason="approved" if approved else "below_threshold", p=0.61, approve_at=0.55, prior=0.5,
        confidence=0.7, is_calibrated=False, spoke=5, quorum=3, veto=None, dissent=0.1, weights={},
        plan=Plan(action="REPLACE", symbol="XBTUSDTM", symbol_out="ETHUSDTM"),
    )  # fmt: skip
    return SignalDecided(ts=T0, signal=signal, decision=decision, price=None, cost=0.0, due=T0)
