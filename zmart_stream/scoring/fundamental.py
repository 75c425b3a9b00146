"""Fundamental: growth of volume and open interest, funding and basis (numbers.md §3)."""

from __future__ import annotations

from math import expm1

import numpy as np

from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.scoring.base import FloatArray, Part, PartScorer, slot

EPSILON_USDT = 1.0


class FundamentalScorer(PartScorer):
    """What flows into a contract and what holding it costs."""

    def __init__(self) -> None:
        self.name = "fundamental"
        self.parts = PARTS
        self.touches = {"open_interest": open_interest, "funding": funding, "basis": basis}
        self.closes = {
            "volume_growth": close_volume_growth,
            "open_interest": slot("oi_change"),
            "funding": slot("funding_mean_ann", sign=-1.0),
            "basis": slot("basis_ew", sign=-1.0),
        }


def close_volume_growth(bars: BarView) -> FloatArray:
    """ln(mean daily turnover of 7 d / of 30 d), closed days; the cache gives nan below 7 days."""
    return np.log((bars.day.turnover_7 + EPSILON_USDT) / (bars.day.turnover_30 + EPSILON_USDT))


def open_interest(c: ContractState) -> float:
    """ln(open interest / 72 h ago), in lots at today's multiplier."""
    return c.oi_change


def funding(c: ContractState) -> float:
    """−mean annualised settled funding over 72 h: what a long pays, negated."""
    return -c.funding_mean_ann


def basis(c: ContractState) -> float:
    """−(mark / index − 1), EW with half-life 8 h."""
    return -c.basis_ew


def _growth_percent(x: float) -> float:
    return 100.0 * expm1(x)


def _paid_percent(x: float) -> float:
    return -100.0 * x


def _basis_bps(x: float) -> float:
    return -1e4 * x


PARTS = (
    Part(
        name="volume_growth",
        weight=0.35,
        moves=Moves.DAY,
        location=-0.08,
        scale=0.33,
        seen="days_seen",
        needed=30.0,
        unit="% above the 30-day mean",
        to_unit=_growth_percent,
        text="more growth of volume than {pct} % of contracts",
    ),
    Part(
        name="open_interest",
        weight=0.30,
        moves=Moves.POLL,
        location=0.0,
        scale=0.10,
        seen="oi_span_h",
        needed=72.0,
        unit="% in 72 h",
        to_unit=_growth_percent,
        text="more growth of open interest than {pct} % of contracts",
    ),
    Part(
        name="funding",
        weight=0.25,
        moves=Moves.SETTLEMENT,
        location=-0.02,
        scale=0.07,
        seen="funding_span_h",
        needed=72.0,
        half=True,
        unit="% a year paid by longs",
        to_unit=_paid_percent,
        text="cheaper funding for longs than {pct} % of contracts",
    ),
    Part(
        name="basis",
        weight=0.10,
        moves=Moves.MARK,
        location=0.0,
        scale=0.001,
        unit="bps of mark above index",
        to_unit=_basis_bps,
        text="lower basis than {pct} % of contracts",
    ),
)
