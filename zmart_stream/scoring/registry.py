"""From settings to scorers: built-in by name, custom ones by dotted path or entry point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.plugins import check_names, constructed, option_names, resolve
from zmart_stream.domain.settings import ScorerSettings, ScoringSettings
from zmart_stream.market.contract_state import Moves
from zmart_stream.scoring import SCORERS
from zmart_stream.scoring.base import AT_CLOSE, Part, Scorer, with_weights

DEFAULTS = (
    ScorerSettings(name="technical", weight=0.25),
    ScorerSettings(name="fundamental", weight=0.20),
    ScorerSettings(name="structure", weight=0.15),
    ScorerSettings(name="risk", weight=0.40),
)
"""The components when the settings name none."""


def components(settings: ScoringSettings) -> tuple[ScorerSettings, ...]:
    """The components in force: those of the settings, or the defaults; weight 0 leaves one out."""
    return tuple(c for c in settings.components or DEFAULTS if c.weight > 0)


def build_scorers(settings: ScoringSettings, extra: Mapping[str, type[Any]] | None = None) -> tuple[Scorer, ...]:
    """One scorer per component in force, in the order of the settings.

    `extra` holds the classes found under the entry point group `zmart_stream.scorers`. Raises ConfigError with every
    problem: unknown name, a path that cannot be imported, wrong option or part, a class that breaks the contract.
    """
    names = [component.name for component in components(settings)]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    problems = [f"zmart.toml [scoring]: there are two components named {name!r}" for name in twice]
    scorers: list[Scorer] = []
    for component in components(settings):
        try:
            scorers.append(_build(component, settings, extra or {}))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return tuple(scorers)


def table_of(component: ScorerSettings) -> str:
    """Where a component stands in the configuration, for messages."""
    if component.name in SCORERS and component.path is None:
        return f"zmart.toml [scoring.{component.name}]"
    return f'zmart.toml [[scoring.custom]] "{component.name}"'


def _build(component: ScorerSettings, settings: ScoringSettings, extra: Mapping[str, type[Any]]) -> Scorer:
    where = table_of(component)
    kind = resolve(component.name, component.path, what="scorer", where=where, known=(SCORERS, extra))
    shared = {"probe_usdt": settings.probe_usdt} if "probe_usdt" in option_names(kind) else {}
    scorer: Scorer = constructed(kind, component.name, {**shared, **component.options}, where)
    _check_shape(scorer, component)
    check_names(where, "part", component.parts, [part.name for part in scorer.parts])
    scorer.name = component.name
    scorer.parts = with_weights(scorer.parts, component.parts)
    if not any(part.weight > 0 for part in scorer.parts):
        raise ConfigError(f"{where}: parts: at least one part needs a weight above 0")
    return scorer


def _check_shape(scorer: Any, component: ScorerSettings) -> None:
    """The parts and methods that the engine relies on are there."""
    where = table_of(component)
    parts = getattr(scorer, "parts", None)
    if not isinstance(parts, tuple) or not parts or not all(isinstance(part, Part) for part in parts):
        raise ConfigError(f"{where}: {component.name} has no parts: a tuple of at least one Part")
    names = [part.name for part in parts]
    if len(set(names)) != len(names):
        raise ConfigError(f"{where}: {component.name} names a part twice")
    if not callable(getattr(scorer, "close", None)):
        raise ConfigError(f"{where}: {component.name} has no method close(bars)")
    within = [part for part in parts if part.moves not in AT_CLOSE]
    if within and not callable(getattr(scorer, "touch", None)):
        raise ConfigError(f"{where}: {component.name} has parts that move within a bar and no method touch")
    if not all(isinstance(part.moves, Moves) and part.scale > 0 and part.weight >= 0 for part in parts):
        raise ConfigError(f"{where}: {component.name}: a part needs moves, scale above 0, weight from 0 up")
