"""The scores' part of a snapshot: raw values, cross-sections, composites as held, what was published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zmart_stream.domain.errors import SnapshotError
from zmart_stream.market.contract_state import ContractState
from zmart_stream.scoring.cells import columns_of
from zmart_stream.scoring.composite import NEUTRAL, Component, ordered_sum
from zmart_stream.scoring.lineup import Lineup
from zmart_stream.scoring.marks import Mark
from zmart_stream.scoring.normalise import CrossSection

FORMAT = 2


def snapshot(lineup: Lineup, marks: Sequence[Mark], states: Sequence[ContractState]) -> dict[str, Any]:
    """Everything that cannot be derived from the market cache and the settings, msgpack-able."""
    held = [
        (m.value, m.lid, m.told, m.stale, m.pace, m.counted is state.fresh)
        for m, state in zip(marks, states, strict=True)
    ]
    return {
        "format": FORMAT,
        "rows": len(marks),
        "components": [_component(component) for component in lineup.components],
        "marks": columns_of(held, 6).tobytes(),
        "failures": dict(lineup.failures),
        "disabled": dict(lineup.disabled),
    }


def _component(component: Component) -> dict[str, Any]:
    return {
        "name": component.name,
        "parts": [part.name for part in component.parts],
        "raw": component.raw_columns().tobytes(),
        "confidence": component.confidence.tobytes(),
        "counted": component.counted.tobytes(),
        "sections": [section.snapshot() for section in component.sections],
        "absent": bytes(component.absent),
        "lost": component.lost,
        "touch_failures": component.touch_failures,
        "close_failures": component.close_failures,
    }


def restore_lineup(kept: dict[str, Any], lineup: Lineup) -> None:
    """Put raw values, cross-sections and failures back.

    Raises SnapshotError, and changes nothing, if it does not fit.
    """
    there = {component.name: component for component in lineup.components if component.name not in kept["disabled"]}
    _check(kept, there)
    for name, reason in kept["disabled"].items():
        lineup.disable(name, reason)
    for component in kept["components"]:
        _restore_component(component, there[component["name"]], kept["rows"])
    lineup.failures.clear()
    lineup.failures.update(kept["failures"])
    lineup.plan()


def _check(kept: dict[str, Any], there: dict[str, Component]) -> None:
    """The snapshot describes these components, part by part, for as many rows as there are."""
    if kept.get("format") != FORMAT:
        raise SnapshotError(f"scores: snapshot format {kept.get('format')}, this release reads {FORMAT}")
    described = {component["name"]: component["parts"] for component in kept["components"]}
    expected = {name: [part.name for part in component.parts] for name, component in there.items()}
    if described != expected:
        raise SnapshotError(f"scores: the snapshot has components {described}, the settings {expected}")
    if any(kept["rows"] != len(component.cells) for component in there.values()):
        raise SnapshotError("scores: the snapshot has other rows than the market cache")


def _restore_component(kept: dict[str, Any], component: Component, rows: int) -> None:
    raw = np.frombuffer(kept["raw"], dtype=np.float64).reshape(len(component.parts), rows)
    component.close()
    component.raw[:] = raw
    component.absent[:rows] = [bool(x) for x in kept["absent"]]
    component.lost = kept["lost"]
    component.touch_failures = kept["touch_failures"]
    component.close_failures = kept["close_failures"]
    sections = zip(component.parts, kept["sections"], strict=True)
    component.sections = [CrossSection.restore(part, section) for part, section in sections]


def restore_marks(kept: dict[str, Any], lineup: Lineup, marks: Sequence[Mark], states: Sequence[ContractState]) -> None:
    """Put back what history alone knows, once all rows are mapped: what they were weighed with, held and told.

    Bars may have been loaded, and freshness judged, since a row was weighed.
    """
    by_name = {component["name"]: component for component in kept["components"]}
    for component in lineup.components:
        known = by_name[component.name]
        component.close()
        component.confidence[:] = np.frombuffer(known["confidence"], dtype=np.float64)
        component.gain[:] = component.share * component.confidence
        component.counted[:] = np.frombuffer(known["counted"], dtype=np.float64).reshape(component.counted.shape)
    pulls = np.stack([component.gain * component.above for component in lineup.components]).T.tolist()
    gains = np.stack([component.gain for component in lineup.components]).T.tolist()
    held = np.frombuffer(kept["marks"], dtype=np.float64).reshape(6, -1).T.tolist()
    for state, mark, values, pull, gain in zip(states, marks, held, pulls, gains, strict=True):
        mark.value, mark.lid, mark.told, stale, pace, counted = values
        mark.stale, mark.pace = stale > 0.0, int(pace)
        mark.counted = state.fresh if counted else []
        mark.pulls, mark.blended, mark.confidence = pull, NEUTRAL + ordered_sum(pull), ordered_sum(gain)
