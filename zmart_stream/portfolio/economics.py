"""What a swap costs, what it must earn to be made (numbers.md §5, `pays`), and what past gaps did earn."""

from __future__ import annotations

from math import nan, sqrt
from typing import Any

import msgspec

Numbers = dict[str, float | str | None]

LEAST_SWAPS = 8
"""Fewer finished swaps give no interval."""

UNKNOWN_BPS = 15.0
"""Spread and impact of a trade that has to be made without a known spread: half of a wide one, and as much beyond."""

_KEPT = 500
_Z = 1.959963984540054


class Economics(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The dials of the rule."""

    bps_per_point: float = 2.0
    """What a point of score is taken to earn: a brake, not an estimate."""
    cost_safety: float = 1.25
    signal_points: float = 5.0
    """Added to the gap of a swap that an approved signal asks for."""


class Leg(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one trade in a contract costs, in bps of the amount traded."""

    symbol: str
    fee_bps: float
    half_spread_bps: float
    impact_bps: float
    """Beyond the touch: what the amount pays beyond the best price."""
    is_impact_assumed: bool = False
    """No order book was seen: the impact is taken to be another half spread."""

    @property
    def bps(self) -> float:
        """All of it."""
        return self.fee_bps + self.half_spread_bps + self.impact_bps

    @property
    def paid_bps(self) -> float:
        """What a paper trade is charged: all of it, with `UNKNOWN_BPS` beside the fee when the spread is not known."""
        return self.bps if self.bps == self.bps else self.fee_bps + UNKNOWN_BPS


def price_leg(symbol: str, *, taker_fee: float, spread_bps: float, impact_bps: float) -> Leg:
    """The costs of a trade: `taker_fee` a fraction, `spread_bps` of the mid, `impact_bps` beyond it at the probed size.

    An unknown spread (nan) leaves the leg without a price (nan); an unknown impact costs another half spread.
    """
    half = spread_bps / 2.0
    assumed = impact_bps != impact_bps
    beyond = half if assumed else max(0.0, impact_bps - half)
    if half != half:
        beyond = nan
    fee = round(taker_fee * 1e4, 9)
    return Leg(symbol=symbol, fee_bps=fee, half_spread_bps=half, impact_bps=beyond, is_impact_assumed=assumed)


class SwapVerdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whether a swap pays, with everything that was weighed."""

    pays: bool
    gap: float
    """Points, those of a signal included."""
    earns_bps: float
    """gap × bps_per_point."""
    needs_bps: float
    """cost_safety × the cost of both legs; nan when one has no price."""
    out: Leg
    into: Leg
    bps_per_point: float
    cost_safety: float

    @property
    def cost_bps(self) -> float:
        """What leaving one and entering the other costs."""
        return self.out.bps + self.into.bps

    def numbers(self) -> Numbers:
        """The figures for the record of a change; None where one is not known."""
        figures: Numbers = {"gap_paid": self.gap, "bps_per_point": self.bps_per_point, "cost_safety": self.cost_safety}
        for side, leg in (("out", self.out), ("in", self.into)):
            figures[f"fee_bps_{side}"] = _known(leg.fee_bps)
            figures[f"half_spread_bps_{side}"] = _known(leg.half_spread_bps)
            figures[f"impact_bps_{side}"] = _known(leg.impact_bps)
            if leg.is_impact_assumed:
                figures[f"impact_{side}"] = "assumed"
        figures["cost_bps"] = _known(self.cost_bps)
        figures["earns_bps"] = _known(self.earns_bps)
        figures["needs_bps"] = _known(self.needs_bps)
        return figures

    def reason(self) -> str:
        """In words, for whoever asks why a swap was refused or made."""
        if self.needs_bps != self.needs_bps:
            unpriced = self.out if self.out.bps != self.out.bps else self.into
            return f"{unpriced.symbol} has no spread to price the swap by"
        verb = "pays" if self.pays else "does not pay"
        return (
            f"{verb}: {self.gap:.2f} points × {self.bps_per_point:g} bps = {self.earns_bps:.1f} bps"
            f" against {self.cost_safety:g} × {self.cost_bps:.1f} bps = {self.needs_bps:.1f} bps"
        )


def judge_swap(gap: float, out: Leg, into: Leg, settings: Economics, *, extra_points: float = 0.0) -> SwapVerdict:
    """Whether replacing `out` by `into` pays: (gap + extra) × bps_per_point ≥ cost_safety × cost of both legs.

    `gap` is composite in − composite out; `extra_points` is `signal_points` for an approved signal. A swap without a
    price does not pay.
    """
    points = gap + extra_points
    earns, needs = points * settings.bps_per_point, settings.cost_safety * (out.bps + into.bps)
    return SwapVerdict(
        pays=earns >= needs,
        gap=points,
        earns_bps=earns,
        needs_bps=needs,
        out=out,
        into=into,
        bps_per_point=settings.bps_per_point,
        cost_safety=settings.cost_safety,
    )


class SlopeEstimate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a point of score earned, as far as finished swaps tell."""

    swaps: int
    bps_per_point: float | None
    low: float | None = None
    high: float | None = None
    """Ends of the 95 % interval."""
    reason: str | None = None
    """Why a figure is absent."""


class RealisedSlope:
    """Running estimate of bps per point from finished swaps: regression of what they earned before costs on their gap.

    Through the origin, slope b = Σ g r / Σ g². Its variance is Σ g² (r − b g)² / (Σ g²)² × n / (n − 1),
    White's (1980, HC1), the interval Student's with n − 1 degrees of freedom. The newest 500 swaps count.
    """

    def __init__(self) -> None:
        self._swaps: list[tuple[float, float]] = []

    def update(self, gap: float, earned_bps: float) -> None:
        """A swap is final: its gap in points, and what it earned against not swapping before costs, in bps."""
        self._swaps = [*self._swaps, (gap, earned_bps)][-_KEPT:]

    @property
    def estimate(self) -> SlopeEstimate:
        """As of now; no slope before the first swap, no interval before `LEAST_SWAPS`."""
        count = len(self._swaps)
        squares = sum(gap * gap for gap, _ in self._swaps)
        if squares <= 0.0:
            return SlopeEstimate(swaps=count, bps_per_point=None, reason="no finished swap yet")
        slope = sum(gap * earned for gap, earned in self._swaps) / squares
        if count < LEAST_SWAPS:
            reason = f"{count} finished swaps, an interval needs {LEAST_SWAPS}"
            return SlopeEstimate(swaps=count, bps_per_point=slope, reason=reason)
        errors = sum((gap * (earned - slope * gap)) ** 2 for gap, earned in self._swaps)
        margin = student_95(count - 1) * sqrt(errors * count / (count - 1)) / squares
        return SlopeEstimate(swaps=count, bps_per_point=slope, low=slope - margin, high=slope + margin)

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {"swaps": [[gap, earned] for gap, earned in self._swaps]}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self._swaps = [(gap, earned) for gap, earned in state["swaps"]]


def student_95(freedom: int) -> float:
    """Student's t that 2.5 % exceed, within 1e-3 from 7 degrees of freedom on (Cornish and Fisher's expansion)."""
    z, n = _Z, float(freedom)
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    return z + first / n + second / n**2 + third / n**3


def _known(value: float) -> float | None:
    return round(value, 6) if value == value else None
