"""Settings recorded over the file: what may be, what may not, and what is made of records that no longer fit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from zmart_stream.app.config import Sources, load
from zmart_stream.app.configuration import RunningSettings, loads_code, with_recorded
from zmart_stream.app.core_settings import core_settings
from zmart_stream.app.reload import Reload
from zmart_stream.domain.commands import Command, Reconfigure
from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.message import Message


class Core:
    """Takes every command."""

    def __init__(self) -> None:
        self.taken: list[Reconfigure] = []

    async def submit(self, command: Command) -> Sequence[Message]:
        assert isinstance(command, Reconfigure)
        self.taken.append(command)
        return []


class Desk:
    """Running settings over a file, and what was recorded."""

    def __init__(self, folder: Path, text: str = "", *sets: str) -> None:
        file = folder / "zmart.toml"
        file.write_text(text or "[portfolio]\nmax_symbols = 7\n")
        self.core, self.recorded = Core(), list[tuple[str, dict[str, Any]]]()
        sources = Sources(file=file, environ={}, sets=sets)
        self.reload = Reload(
            load(sources),
            sources,
            runner=self.core,  # type: ignore[arg-type]  # it has the one method that is called
            now=lambda: 1,
            core=lambda settings: core_settings(settings, 1.0),
            apply=lambda _: None,
        )
        self.settings = RunningSettings(self.reload, self._record)

    def change(self, **values: Any) -> dict[str, Any]:
        named = {key.replace("__", "."): value for key, value in values.items()}
        return asyncio.run(self.settings.change(named, who="anna"))

    def row(self, key: str) -> dict[str, Any]:
        return next(row for row in self.settings.settings()["settings"] if row["key"] == key)

    async def _record(self, who: str, values: Mapping[str, Any]) -> None:
        self.recorded.append((who, dict(values)))


def test_a_change_applies_is_recorded_and_can_be_forgotten(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    told = desk.change(max_portfolio_symbols="15", portfolio__cash=5)
    assert told == {
        "recorded": ["portfolio.cash", "portfolio.max_symbols"],
        "applied": ["portfolio.max_symbols", "portfolio.cash"],
        "revision": 1,
    }
    assert desk.recorded == [("anna", {"portfolio.max_symbols": 15, "portfolio.cash": 5})]
    assert (desk.core.taken[0].settings.portfolio.max_symbols, desk.core.taken[0].who) == (15, "anna")
    assert desk.row("portfolio.max_symbols") == {
        "key": "portfolio.max_symbols",
        "value": 15,
        "origin": "recorded override",
        "recorded": True,
        "needs_restart": False,
    }
    assert desk.change(portfolio__max_symbols=None)["applied"] == ["portfolio.max_symbols"]
    assert desk.row("portfolio.max_symbols")["value"] == 7
    assert asyncio.run(desk.reload.run())["applied"] == [], "a reload keeps what is recorded"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"portfolio__max_symbols": 51}, "portfolio.max_symbols"),
        ({"portfolio__max_symbol": 5}, "did you mean portfolio.max_symbols"),
        ({"api__port": 1}, "only a restart"),
        ({"storage__url": "sqlite:///elsewhere"}, "only a restart"),
        ({"scoring__custom": []}, "load code"),
        ({"portfolio__exit_score": 60, "portfolio__cash": 1}, "above entry_score"),
    ],
)
def test_what_is_wrong_changes_nothing(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(ConfigError, match=said):
        desk.change(**values)
    assert desk.recorded == []
    assert desk.core.taken == []
    assert not any(row["recorded"] for row in desk.settings.settings()["settings"])
    assert desk.change(portfolio__cash=2)["applied"] == ["portfolio.cash"]


def test_every_table_of_plugins_is_the_files_alone() -> None:
    assert loads_code("scoring.custom")
    assert loads_code("scoring.custom.0.path")
    assert not loads_code("scoring.customs")
    assert not loads_code("portfolio.max_symbols")


def test_an_algorithm_is_weighed_by_its_name_or_the_guides(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    def weigh(name: str, weight: float | None, **parts: float) -> dict[str, Any]:
        return asyncio.run(desk.settings.weigh(name, weight, parts, who="anna"))

    told = weigh("MARKET_STRUCTURE", 0.3, spread=0.4)
    assert told["recorded"] == ["scoring.structure.parts.spread", "scoring.structure.weight"]
    row = next(row for row in desk.settings.algorithms() if row["algorithm_name"] == "structure")
    assert row["weight"] == 0.3
    assert row["parameters"]["weights"] == {"spread": 0.4, "depth": 0.25, "impact": 0.25, "efficiency": 0.2}
    with pytest.raises(ConfigError, match="no part nothing"):
        weigh("risk", None, nothing=1.0)
    with pytest.raises(KeyError):
        weigh("nothing", 1.0)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    desk = Desk(tmp_path, '[storage]\nurl = "postgresql+asyncpg://me:hush@db/z"\n')
    assert desk.row("storage.url")["value"] == "postgresql+asyncpg://me:***@db/z"


def test_records_that_no_longer_fit_are_left_out_and_named(tmp_path: Path) -> None:
    file = tmp_path / "zmart.toml"
    file.write_text("[portfolio]\nentry_score = 50\n")
    recorded = {"portfolio.exit_score": 60, "portfolio.cash": 5, "portfolio.gone": 1}
    loaded, sources, problems = with_recorded(Sources(file=file, environ={}), recorded)
    assert loaded.settings.portfolio.cash == 5
    assert loaded.settings.portfolio.exit_score == 35
    assert dict(sources.overrides) == {"portfolio.cash": 5}
    assert len(problems) == 2
    assert "recorded override" in problems[0]
    file.write_text("[portfolio\n")
    with pytest.raises(ConfigError, match="not TOML"):
        with_recorded(Sources(file=file, environ={}), recorded)
