"""Where the return came from: contribution of each holding, and Brinson and Fachler's effects by sector.

Within a bar a holding contributes w r, its P&L over the equity at the start; funding and costs are lines of their own,
so that the lines sum to the return. Over several bars contributions are carried at the equity they were earned on, and
effects as Frongello (J. Performance Measurement 6, 2002) links them: each sum is exact, whatever the span.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from zmart_stream.portfolio.account import BarFlows
from zmart_stream.portfolio.benchmark import SectorShare

CASH = "cash"
NO_SECTOR = "none"


class Effects(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Brinson and Fachler's three effects of a sector, fractions of equity."""

    allocation: float = 0.0
    """(wp − wb)(rb_sector − rb): having more of what did better."""
    selection: float = 0.0
    """wb (rp_sector − rb_sector): better contracts within it."""
    interaction: float = 0.0
    """(wp − wb)(rp_sector − rb_sector)."""

    @property
    def total(self) -> float:
        """All three."""
        return self.allocation + self.selection + self.interaction


class Period(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One bar, or several linked. Fractions of the equity at the period's start.

    gain = Σ contributions + funding + costs; gain − benchmark = Σ effects + active_funding + active_costs.
    """

    start: int
    end: int
    """ns."""
    gain: float
    benchmark: float
    contributions: dict[str, float]
    """Price P&L by contract."""
    funding: float
    """Above 0: received."""
    costs: float
    """At most 0."""
    effects: dict[str, Effects]
    """By sector; `cash` and `none` among them."""
    active_funding: float
    active_costs: float
    traded: float = 0.0
    """Bought and sold."""
    reference: float | None = None
    """Return of the reference contract, XBTUSDTM."""

    @property
    def active(self) -> float:
        """Return beyond the benchmark's."""
        return self.gain - self.benchmark


def bar_period(
    span: tuple[int, int],
    bar: BarFlows,
    benchmark: Mapping[str | None, SectorShare],
    sectors: Mapping[str, str | None],
    *,
    reference: float | None = None,
) -> Period:
    """One bar's attribution. `span` is its start and end (ns), `benchmark` what its sectors did. Without equity: 0."""
    equity = float(bar.before) if bar.before > 0 else 1.0
    shares = {sector or NO_SECTOR: share for sector, share in benchmark.items()}
    return Period(
        start=span[0],
        end=span[1],
        gain=(bar.after - bar.before) / equity,
        benchmark=_whole(shares),
        contributions={symbol: flow.price_pnl / equity for symbol, flow in bar.flows.items()},
        funding=bar.funding / equity,
        costs=-bar.costs / equity,
        effects=_effects(_held(bar, sectors, equity), shares),
        active_funding=bar.funding / equity,
        active_costs=-bar.costs / equity,
        traded=bar.traded / equity,
        reference=reference,
    )


def fold(periods: Iterable[Period]) -> Period | None:
    """Consecutive periods as one; None of none.

    With P and B the growth of book and benchmark before a period: contributions C += P c, effects A = A (1 + b) + P e.
    """
    whole: Period | None = None
    for period in periods:
        whole = period if whole is None else _linked(whole, period)
    return whole


def _linked(first: Period, then: Period) -> Period:
    grown, market = 1.0 + first.gain, 1.0 + then.benchmark
    contributions = dict(first.contributions)
    for symbol, value in then.contributions.items():
        contributions[symbol] = contributions.get(symbol, 0.0) + grown * value
    sectors = dict.fromkeys((*first.effects, *then.effects))
    none = Effects()
    return Period(
        start=first.start,
        end=then.end,
        gain=grown * (1.0 + then.gain) - 1.0,
        benchmark=(1.0 + first.benchmark) * market - 1.0,
        contributions=contributions,
        funding=first.funding + grown * then.funding,
        costs=first.costs + grown * then.costs,
        effects={s: _carried(first.effects.get(s, none), then.effects.get(s, none), market, grown) for s in sectors},
        active_funding=first.active_funding * market + grown * then.active_funding,
        active_costs=first.active_costs * market + grown * then.active_costs,
        traded=first.traded + grown * then.traded,
        reference=_grown(first.reference, then.reference),
    )


def _grown(first: float | None, then: float | None) -> float | None:
    return None if first is None or then is None else (1.0 + first) * (1.0 + then) - 1.0


def _carried(first: Effects, then: Effects, market: float, grown: float) -> Effects:
    return Effects(
        allocation=first.allocation * market + grown * then.allocation,
        selection=first.selection * market + grown * then.selection,
        interaction=first.interaction * market + grown * then.interaction,
    )


def _held(bar: BarFlows, sectors: Mapping[str, str | None], equity: float) -> dict[str, tuple[float, float]]:
    """(weight at the start, contribution) of each sector of the book; cash is a sector that earns nothing."""
    held: dict[str, tuple[float, float]] = {}
    for symbol, flow in bar.flows.items():
        sector = sectors.get(symbol) or NO_SECTOR
        weight, earned = held.get(sector, (0.0, 0.0))
        held[sector] = (weight + flow.base / equity, earned + flow.price_pnl / equity)
    held[CASH] = (1.0 - sum(weight for weight, _ in held.values()), 0.0)
    return held


def _effects(held: Mapping[str, tuple[float, float]], benchmark: Mapping[str, SectorShare]) -> dict[str, Effects]:
    """Brinson, Hood and Beebower's effects in Fachler's form. A sector that the benchmark lacks earns what it earns."""
    whole = _whole(benchmark)
    effects = {}
    for sector in dict.fromkeys((*held, *benchmark)):
        weight, earned = held.get(sector, (0.0, 0.0))
        share = benchmark.get(sector, SectorShare(weight=0.0, gain=0.0 if sector == CASH else whole))
        selection = share.weight * (earned / weight - share.gain) if weight > 0.0 else 0.0
        effects[sector] = Effects(
            allocation=(weight - share.weight) * (share.gain - whole),
            selection=selection,
            interaction=earned - weight * share.gain - selection,
        )
    return effects


def _whole(benchmark: Mapping[str, SectorShare]) -> float:
    return sum(share.weight * share.gain for share in benchmark.values())
