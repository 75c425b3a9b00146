"""Settings that are each in range and together can never do what they say."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, fsum
from typing import NamedTuple

from zmart_stream.app.settings import Settings
from zmart_stream.app.settings_signals import AgentTable, DetectorsTable, DetectorTable
from zmart_stream.signals.consensus import PRIOR_WEIGHT, logit, prior_of

Key = tuple[str, ...]

MOST_P = 0.98
"""What an agent's probability stays below (numbers.md §4)."""
MOST_LEARNED = 2.0
"""Factor on an agent's weight that `signals.learn_weights` stays within."""

_BAR_HOURS = {"15m": 1, "1h": 1, "4h": 4}
_OF_A_COMPONENT = ("technical", "fundamental")
"""Agents that judge a component of the same name."""


class Contradiction(NamedTuple):
    """One rule that is broken: the key to change first, its value and the rule in words, the other keys of it."""

    key: Key
    text: str
    others: tuple[Key, ...]


def contradictions(settings: Settings) -> list[Contradiction]:
    """Every one of them, in the order of the sections."""
    found = [*_scoring(settings), *_portfolio(settings), *_approval(settings), *_windows(settings)]
    return [*found, *_storage(settings)]


def _scoring(settings: Settings) -> Iterator[Contradiction]:
    for name in ("technical", "fundamental", "structure", "risk"):
        table = getattr(settings.scoring, name)
        if table.weight > 0.0 and not any(weight > 0.0 for weight in table.parts.values()):
            text = f"all parts weigh 0, but the component weighs {table.weight:g}: one part needs a weight above 0"
            yield Contradiction(("scoring", name, "parts"), text, (("scoring", name, "weight"),))


def _portfolio(settings: Settings) -> Iterator[Contradiction]:
    book = settings.portfolio
    for name, what in (("max_weight", "no holding"), ("max_sector_weight", "no holding with a sector")):
        limit: float = getattr(book, name)
        if book.min_weight > limit:
            text = f"{book.min_weight:g} is above {name} {limit:g}: {what} could have both"
            yield Contradiction(("portfolio", "min_weight"), text, (("portfolio", name),))


def _approval(settings: Settings) -> Iterator[Contradiction]:
    """Whether enough agents can speak, and whether all of them together can reach the threshold."""
    signals, weights = settings.signals, _speakers(settings)
    agents = ("signals", "agents")
    if signals.quorum > len(weights):
        names = ", ".join(weights) or "none"
        text = f"{signals.quorum} is above the {len(weights)} agents that can speak ({names}): no signal would pass"
        yield Contradiction(("signals", "quorum"), text, (agents, ("scoring",)))
    factor = MOST_LEARNED if signals.learn_weights else 1.0
    mass = factor * fsum(weights.values())
    odds = (PRIOR_WEIGHT * logit(prior_of(1.0, 1.0)) + mass * logit(MOST_P)) / (PRIOR_WEIGHT + mass)
    most = 1.0 / (1.0 + exp(-odds))
    if signals.approve_at >= most:
        text = (
            f"{signals.approve_at:g} is never reached: the surest signal and all agents together stay below {most:.3f}"
        )
        yield Contradiction(("signals", "approve_at"), text, (agents, ("signals", "learn_weights")))


def _speakers(settings: Settings) -> dict[str, float]:
    """Weights of the agents in force; one whose component is left out never speaks."""
    table = settings.signals.agents
    found = {}
    for name in type(table).model_fields:
        agent = getattr(table, name)
        mute = name in _OF_A_COMPONENT and getattr(settings.scoring, name).weight <= 0.0
        if isinstance(agent, AgentTable) and agent.weight > 0.0 and not mute:
            found[name] = agent.weight
    return found | {own.name: own.weight for own in table.custom if own.weight > 0.0}


def _windows(settings: Settings) -> Iterator[Contradiction]:
    """What detectors look back at, against what is kept; and the age that listings are told at."""
    market, detectors = settings.market, settings.signals.detectors
    breakout, divergence = _options(detectors, "breakout"), _options(detectors, "rsi_divergence")
    spike = _options(detectors, "volume_spike")
    needs = (
        ("breakout", "days", breakout["days"], breakout["days"], "window_days"),
        (
            "rsi_divergence",
            "apart_most",
            divergence["apart_most"],
            divergence["apart_most"] + 2 * divergence["wing"] + 1,
            "window_days",
        ),
        ("volume_spike", "hours", spike["hours"], spike["hours"] + _BAR_HOURS[market.bar], "window_hours"),
    )
    for name, option, value, bars, window in needs:
        kept: int = getattr(market, window)
        if getattr(detectors, name).on and bars > kept:
            text = f"{value:g} needs {bars:g} bars and market.{window} keeps {kept}: it would miss what it looks for"
            key = ("signals", "detectors", name, "options", option)
            yield Contradiction(key, text, (("market", window),))
    listing = detectors.new_listing
    age = _options(detectors, "new_listing")["age_days"]
    if listing.on and age * 86400.0 < market.min_listed:
        text = (
            f"{age:g} is before a contract enters the universe (market.min_listed is {market.min_listed / 86400:g} "
            "days): it would find nothing"
        )
        key = ("signals", "detectors", "new_listing", "options", "age_days")
        yield Contradiction(key, text, (("market", "min_listed"),))


def _options(detectors: DetectorsTable, name: str) -> dict[str, float]:
    """A detector's thresholds, its own defaults where the table names none."""
    usual: DetectorTable = type(detectors).model_fields[name].default
    table: DetectorTable = getattr(detectors, name)
    return {**usual.options, **table.options}


def _storage(settings: Settings) -> Iterator[Contradiction]:
    full, hourly = settings.storage.scores_full, settings.storage.scores_hourly
    if full > hourly:
        text = f"{full / 86400:g} days is above scores_hourly, {hourly / 86400:g} days: hourly scores would thin first"
        yield Contradiction(("storage", "scores_full"), text, (("storage", "scores_hourly"),))
