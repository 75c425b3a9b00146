"""Settings that are each in range and contradict each other: told together, by key, value and rule."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from zmart_stream.app.config import Sources, load
from zmart_stream.app.contradictions import contradictions
from zmart_stream.app.core_settings import core_settings
from zmart_stream.app.reload import Reload
from zmart_stream.app.settings import Settings
from zmart_stream.domain.errors import ConfigError
from zmart_stream.signals.agents.technical import TechnicalAgent

DETECTORS = "signals.detectors."
PARTS = "{rsi=0, macd=0, bollinger=0, volume=0}"


def problems(*sets: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(Sources(sets=sets, environ={}))
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["signals.quorum=7"], "signals.quorum: 7 is above the 6 agents that can speak"),
        (["signals.quorum=6", "signals.agents.risk.weight=0"], "signals.quorum: 6 is above the 5 agents"),
        (["signals.quorum=6", "scoring.technical.weight=0"], "signals.quorum: 6 is above the 5 agents"),
        (["signals.approve_at=0.98"], "signals.approve_at: 0.98 is never reached"),
        ([f"scoring.technical.parts={PARTS}"], "scoring.technical.parts: all parts weigh 0"),
        (["portfolio.min_weight=30"], "portfolio.min_weight: 30 is above max_weight 25"),
        (["portfolio.max_sector_weight=1"], "portfolio.min_weight: 2 is above max_sector_weight 1"),
        (
            ["market.window_days=40", f"{DETECTORS}rsi_divergence.options={{wing=5}}"],
            "30 needs 41 bars and market.window_d",
        ),
        ([f"{DETECTORS}breakout.options={{days=70}}"], "breakout.options.days: 70 needs 70 bars"),
        (["market.min_listed=10d"], "new_listing.options.age_days: 7 is before a contract enters the universe"),
        (["storage.scores_full=100d"], "storage.scores_full: 100 days is above scores_hourly, 90 days"),
    ],
)
def test_each_rule_names_its_key_and_what_gave_it(sets: list[str], told: str) -> None:
    (problem,) = problems(*sets)
    assert told in problem
    assert problem.startswith("--set: ") or "zmart.toml:" in problem


def test_all_of_them_come_together_with_values_out_of_range() -> None:
    found = problems("signals.quorum=50", "portfolio.min_weight=30", "portfolio.max_symbols=51")
    assert [problem.split(": ")[1] for problem in found] == [
        "portfolio.max_symbols",
        "portfolio.min_weight",
        "signals.quorum",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"signals": {"quorum": 5, "agents": {"risk": {"weight": 0.0}}}},
        {"signals": {"quorum": 7, "agents": {"custom": [{"name": "own", "path": "x:Y"}]}}},
        {"signals": {"approve_at": 0.972, "learn_weights": True}},
        {
            "scoring": {
                "technical": {"weight": 0.0, "parts": dict.fromkeys(("rsi", "macd", "bollinger", "volume"), 0.0)}
            }
        },
        {"market": {"min_listed": "10d"}, "signals": {"detectors": {"new_listing": {"on": False}}}},
        {"market": {"window_days": 41}, "signals": {"detectors": {"rsi_divergence": {"options": {"wing": 5}}}}},
    ],
)
def test_what_can_be_met_is_no_contradiction(changed: dict[str, Any]) -> None:
    assert contradictions(Settings.model_validate(changed)) == []


def test_a_reload_that_contradicts_what_waits_for_a_restart_is_refused_whole(tmp_path: Path) -> None:
    """The new window counts only after a restart, the detector that needs it would count at once."""
    file = tmp_path / "zmart.toml"
    file.write_text("[market]\nwindow_days = 40\n")
    sources = Sources(file=file, environ={})
    loaded = load(sources)
    runner: Any = None
    reload = Reload(
        loaded, sources, runner=runner, now=lambda: 1, core=lambda new: core_settings(new, 1.0), apply=lambda new: None
    )
    file.write_text("[market]\nwindow_days = 60\n[signals.detectors.rsi_divergence]\noptions = {wing = 5}\n")
    with pytest.raises(
        ConfigError, match=r"apart_most: 30 needs 41 .* \(until a restart applies market\.window_days\)"
    ):
        asyncio.run(reload.run())
    assert reload.loaded is loaded


def test_an_agent_looks_no_further_back_than_scores_are_kept() -> None:
    assert TechnicalAgent(bars=4)
    with pytest.raises(ValueError, match="from 1 to 4"):
        TechnicalAgent(bars=5)
