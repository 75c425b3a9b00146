"""Why a composite is what it is, and the smallest change that would make it another.

contribution of a part = w·c / Σ w × (part weight / Σ weight of the present parts) × (percentile − 50), in points;
50 + Σ contributions = composite before the stale rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zmart_stream.market.contract_state import ContractState
from zmart_stream.scoring.base import AT_CLOSE
from zmart_stream.scoring.composite import NEUTRAL, Component
from zmart_stream.scoring.marks import ASLEEP, Mark

NS = 1e9


def explain_row(components: Sequence[Component], mark: Mark, contract: ContractState, now: int) -> dict[str, Any]:
    """Composite, components and parts of one contract as JSON-ready values; absent figures are None.

    Ages are seconds at `now` (ns), contributions points of the composite. `components[].factors` names what keeps the
    confidence below 1. A part without weight is shown with its value and contributes 0.
    """
    asleep = mark.pace == ASLEEP
    return {
        "symbol": contract.symbol,
        "score": _known(round(mark.value, 6)),
        "computed": round(mark.blended, 6) if mark.confidence > 0.0 else None,
        "confidence": round(mark.confidence, 6),
        "stale": mark.stale,
        "last_fresh": _known(round(mark.lid, 6)) if mark.stale else None,
        "neutral": NEUTRAL,
        "components": [_component(component, contract, now, asleep=asleep) for component in components],
    }


def _component(component: Component, contract: ContractState, now: int, *, asleep: bool) -> dict[str, Any]:
    row = contract.row
    parts = [_part(component, i, contract, now, asleep=asleep) for i in range(len(component.parts))]
    cell = component.open(row)
    return {
        "name": component.name,
        "weight": component.weight,
        "share": component.share,
        "score": NEUTRAL + cell.above if cell.present > 0.0 else None,
        "confidence": cell.confidence,
        "contribution": cell.gain * cell.above,
        "failed": component.absent[row],
        "factors": _factors(component, parts),
        "parts": parts,
    }


def _part(component: Component, index: int, contract: ContractState, now: int, *, asleep: bool) -> dict[str, Any]:
    part = component.parts[index]
    raw = _raw(component, index, contract, asleep=asleep)
    age = contract.age_ns(part.moves, now)
    known = raw == raw
    pct = component.sections[index].pct(raw) if known else None
    slope = _slope(component, index, contract.row)
    return {
        "name": part.name,
        "raw": _known(raw),
        "value": part.to_unit(raw) if known else None,
        "unit": part.unit,
        "percentile": pct,
        "weight": part.weight,
        "contribution": 0.0 if pct is None else slope * (pct - NEUTRAL),
        "age_s": None if age is None else age / NS,
        "freshness": contract.fresh[part.moves],
        "maturity": component.maturity(index, contract),
        "words": "not known" if pct is None else part.text.format(pct=round(pct)),
    }


def _raw(component: Component, index: int, contract: ContractState, *, asleep: bool) -> float:
    """The raw value in force; that of now, where the scorer can tell, of a part without weight and before any bars.

    Changes nothing.
    """
    part = component.parts[index]
    kept = component.open(contract.row).raw[index]
    ask = getattr(component.scorer, "touch_all", None)
    taken = part.weight > 0.0 and not asleep
    if taken or part.moves in AT_CLOSE or ask is None or component.absent[contract.row]:
        return kept
    return component.usable(index, contract, float(ask(contract).get(part.name, kept)))


def _factors(component: Component, parts: Sequence[dict[str, Any]]) -> list[str]:
    """What keeps a component's confidence below 1, in words."""
    found = []
    for part, shown in zip(component.parts, parts, strict=True):
        if part.weight <= 0.0:
            continue
        share = round(100.0 * part.weight / component.total)
        if shown["raw"] is None:
            found.append(f"{part.name} is not known (weight {share} %)")
            continue
        if shown["maturity"] < 1.0:
            found.append(f"{part.name} has seen {100 * shown['maturity']:.0f} % of its window (weight {share} %)")
        if shown["freshness"] < 1.0:
            found.append(f"{part.name} is stale: freshness {shown['freshness']:.2f} (weight {share} %)")
    return found


def _slope(component: Component, index: int, row: int) -> float:
    """Points of the composite per point of a part's percentile."""
    cell = component.open(row)
    return cell.gain * component.parts[index].weight / cell.present if cell.present > 0.0 else 0.0


def smallest_change(components: Sequence[Component], mark: Mark, row: int, target: float) -> dict[str, Any] | None:
    """The part that has to move least, in points of its percentile, for the composite to be `target`; None if none can.

    Everything else stays: other parts, cross-sections, confidence. While the composite is held down by the stale rule
    nothing lifts it above its last fresh value.
    """
    if mark.value != mark.value or (mark.stale and target > mark.lid):
        return None
    options = [
        change
        for component in components
        for index in range(len(component.parts))
        if (change := _change(component, index, row, target - mark.blended)) is not None
    ]
    return min(options, key=lambda change: abs(change["points"]), default=None)


def _change(component: Component, index: int, row: int, needed: float) -> dict[str, Any] | None:
    """What one part would have to become for the composite to move by `needed` points; None if it cannot."""
    raw = component.open(row).raw[index]
    slope = _slope(component, index, row)
    if raw != raw or slope <= 0.0:
        return None
    section = component.sections[index]
    pct = section.pct(raw)
    wanted = section.inverse(pct + needed / slope)
    if wanted is None:
        return None
    part = component.parts[index]
    return {
        "component": component.name,
        "part": part.name,
        "points": needed / slope,
        "percentile": pct,
        "percentile_needed": pct + needed / slope,
        "raw": raw,
        "raw_needed": wanted,
        "value": part.to_unit(raw),
        "value_needed": part.to_unit(wanted),
        "change": part.to_unit(wanted) - part.to_unit(raw),
        "unit": part.unit,
    }


def _known(x: float) -> float | None:
    return x if x == x else None
