"""From settings to agents and detectors, and every way to get it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.signals.judges import agent, detector
from zmart_stream.app.compose import past
from zmart_stream.app.config import Sources, load
from zmart_stream.app.core_settings import core_settings
from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.settings import AgentSettings, DetectorSettings, SignalSettings
from zmart_stream.signals import AGENTS, DETECTORS
from zmart_stream.signals.registry import build_agents, build_detectors


def test_without_settings_every_built_in_agent_judges_with_weight_one() -> None:
    seats = build_agents(SignalSettings())
    assert [seat.agent.name for seat in seats] == list(AGENTS)
    assert {seat.settings.weight for seat in seats} == {1.0}


def test_the_shipped_settings_name_every_built_in_one(tmp_path: Path) -> None:
    settings = core_settings(load(Sources(file=None, environ={})).settings, 1.0).signals
    assert settings == SignalSettings(agents=settings.agents, detectors=settings.detectors)
    assert [a.name for a in settings.agents or ()] == list(AGENTS)
    assert [d.name for d in settings.detectors] == list(DETECTORS)
    built = past.judges_of(settings)
    assert (len(built.seats), len(built.posts)) == (len(AGENTS), len(DETECTORS))


def test_a_custom_agent_from_the_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "zmart.toml"
    file.write_text(
        "[signals]\nquorum = 1\n[signals.agents.record]\nweight = 0.0\n"
        '[[signals.agents.custom]]\nname = "mine"\npath = "tests.signals.judges:Fixed"\nweight = 2.0\n'
        "options = { p = 0.6 }\n"
        '[[signals.detectors.custom]]\nname = "seen"\npath = "tests.signals.judges:EveryClose"\ncooldown = "2h"\n'
    )
    settings = core_settings(load(Sources(file=file, environ={})).settings, 1.0).signals
    seat = build_agents(settings)[-1]
    assert (seat.agent.name, seat.settings.weight, seat.settings.options) == ("mine", 2.0, {"p": 0.6})
    assert "record" not in [each.agent.name for each in build_agents(settings)]
    post = build_detectors(settings)[-1]
    assert (post.detector.name, post.settings.cooldown_s) == ("seen", 7200.0)


def test_entry_points_are_looked_at_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def __init__(self, name: str) -> None:
            self.name = name

        def load(self) -> type:
            assert self.name == "mine", "an entry point that nobody asked for was imported"
            from tests.signals.judges import Fixed  # noqa: PLC0415 - as an entry point does

            return Fixed

    groups: list[str] = []

    def points(group: str) -> list[Point]:
        groups.append(group)
        return [Point("other"), Point("mine")]

    monkeypatch.setattr(past, "entry_points", points)
    seats, posts = past.judges_of(SignalSettings(agents=(AgentSettings(name="mine", options={"p": 0.7}),)))
    assert groups == ["zmart_stream.agents", "zmart_stream.detectors"]
    assert (seats[0].agent.name, list(posts)) == ("mine", [])


def test_every_problem_is_named_with_its_place() -> None:
    wrong = SignalSettings(
        agents=(
            AgentSettings(name="recrd"),
            agent("NoSuch"),
            agent("Fixed", q=1),
            agent("EveryClose", "blind"),
            agent("Fixed"),
            AgentSettings(name="record", options={"min_outcomes": -1.0}),
        )
    )
    with pytest.raises(ConfigError) as caught:
        build_agents(wrong)
    report = caught.value.problems
    assert report[0] == "zmart.toml [signals.agents]: there are two named 'fixed'"
    assert "\"recrd\": name: no agent 'recrd' (did you mean 'record'?); there are" in report[1]
    assert "cannot import 'tests.signals.judges:NoSuch'" in report[2]
    assert "no option 'q'" in report[3]
    assert "there are p" in report[3]
    assert "blind has no method judge" in report[4]
    assert report[5] == "zmart.toml [signals.agents.record]: record refuses its options: min_outcomes is below 0"
    with pytest.raises(ConfigError, match=r'\[\[signals.detectors.custom\]\] "x": name: no detector'):
        build_detectors(SignalSettings(detectors=(DetectorSettings(name="x"), detector("EveryClose"))))
