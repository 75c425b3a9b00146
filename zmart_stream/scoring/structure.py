"""Structure: how cheaply a contract trades and how straight it moves (numbers.md §3)."""

from __future__ import annotations

from math import exp, log

from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.scoring.base import Part, PartScorer, percent, slot


class StructureScorer(PartScorer):
    """Spread, depth, impact of `probe_usdt`, efficiency of the path."""

    def __init__(self, *, probe_usdt: float = 10_000.0) -> None:
        """`probe_usdt`: the size in USDT that depth is compared with while few contracts have a depth."""
        self.name = "structure"
        self.parts = parts(probe_usdt)
        self.touches = {"spread": spread, "depth": depth, "impact": impact}
        self.closes = {
            "spread": slot("spread_ew_bps", sign=-1.0),
            "depth": slot("depth_ew_ln"),
            "impact": slot("impact_bps", sign=-1.0),
            "efficiency": lambda bars: bars.hour.efficiency,
        }


def spread(c: ContractState) -> float:
    """−spread in bps of the mid, time-weighted EW with half-life 60 s."""
    return -c.spread_ew_bps


def depth(c: ContractState) -> float:
    """ln of the thinner side's five-level notional in USDT, EW with half-life 60 s."""
    return c.depth_ew_ln


def impact(c: ContractState) -> float:
    """−mean of bps beyond mid to buy and to sell `probe_usdt`."""
    return -c.impact_bps


def _negated(x: float) -> float:
    return -x


def parts(probe_usdt: float) -> tuple[Part, ...]:
    """The parts, with the reference depth at `probe_usdt`."""
    return (
        Part(
            name="spread",
            weight=0.30,
            moves=Moves.TICKER,
            location=-3.4,
            scale=3.5,
            unit="bps",
            to_unit=_negated,
            text="tighter spread than {pct} % of contracts",
        ),
        Part(
            name="depth",
            weight=0.25,
            moves=Moves.DEPTH,
            location=log(probe_usdt),
            scale=1.5,
            unit="USDT",
            to_unit=exp,
            text="deeper book than {pct} % of contracts",
        ),
        Part(
            name="impact",
            weight=0.25,
            moves=Moves.DEPTH,
            location=-8.0,
            scale=8.0,
            unit="bps",
            to_unit=_negated,
            text="less market impact than {pct} % of contracts",
        ),
        Part(
            name="efficiency",
            weight=0.20,
            moves=Moves.BAR,
            location=0.07,
            scale=0.063,
            seen="hours_seen",
            needed=168.0,
            half=True,
            unit="%",
            to_unit=percent,
            text="straighter path than {pct} % of contracts",
        ),
    )
