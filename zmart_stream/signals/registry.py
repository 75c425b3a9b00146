"""From settings to agents and detectors: built-in by name, custom ones by dotted path or entry point.

Entry point groups: `zmart_stream.agents`, `zmart_stream.detectors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.plugins import constructed, resolve
from zmart_stream.domain.settings import AgentSettings, DetectorSettings, SignalSettings
from zmart_stream.signals import AGENTS, DETECTORS
from zmart_stream.signals.base import Agent, Detector

AGENT_GROUP = "zmart_stream.agents"
DETECTOR_GROUP = "zmart_stream.detectors"
Extra = Mapping[str, type[Any]]


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """An agent in force and its settings."""

    agent: Agent
    settings: AgentSettings


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A detector in force and its settings."""

    detector: Detector
    settings: DetectorSettings


def agents_in_force(settings: SignalSettings) -> tuple[AgentSettings, ...]:
    """Those of the settings, or all built-in ones; weight 0 leaves one out."""
    chosen = settings.agents
    named = tuple(AgentSettings(name=name) for name in AGENTS) if chosen is None else chosen
    return tuple(agent for agent in named if agent.weight > 0)


def build_agents(settings: SignalSettings, extra: Extra | None = None) -> tuple[Seat, ...]:
    """The agents in force, in the order of the settings.

    `extra` holds the classes found under the entry points. Raises ConfigError with every problem: unknown name, a path
    that cannot be imported, a wrong option, a class without `judge`.
    """
    wanted = agents_in_force(settings)
    problems = _twice("agents", [agent.name for agent in wanted])
    seats = []
    for agent in wanted:
        try:
            where = where_of("agents", agent.name, is_built_in=agent.name in AGENTS and agent.path is None)
            kind = resolve(agent.name, agent.path, what="agent", where=where, known=(AGENTS, extra or {}))
            seats.append(Seat(agent=_made(kind, agent, where, "judge"), settings=agent))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return tuple(seats)


def build_detectors(settings: SignalSettings, extra: Extra | None = None) -> tuple[Post, ...]:
    """The detectors of the settings, in their order. Raises ConfigError as `build_agents` does."""
    problems = _twice("detectors", [detector.name for detector in settings.detectors])
    posts = []
    for detector in settings.detectors:
        try:
            where = where_of("detectors", detector.name, is_built_in=detector.name in DETECTORS and not detector.path)
            known = (DETECTORS, extra or {})
            kind = resolve(detector.name, detector.path, what="detector", where=where, known=known)
            posts.append(Post(detector=_made(kind, detector, where, "at_close"), settings=detector))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return tuple(posts)


def where_of(table: str, name: str, *, is_built_in: bool) -> str:
    """Where a plug-in stands in the configuration, for messages."""
    return f"zmart.toml [signals.{table}.{name}]" if is_built_in else f'zmart.toml [[signals.{table}.custom]] "{name}"'


def _made(kind: type[Any], settings: AgentSettings | DetectorSettings, where: str, method: str) -> Any:
    made = constructed(kind, settings.name, settings.options, where)
    if not callable(getattr(made, method, None)):
        raise ConfigError(f"{where}: {settings.name} has no method {method}")
    made.name = settings.name
    return made


def _twice(table: str, names: Iterable[str]) -> list[str]:
    given = list(names)
    return [
        f"zmart.toml [signals.{table}]: there are two named {name!r}"
        for name in dict.fromkeys(given)
        if given.count(name) > 1
    ]
