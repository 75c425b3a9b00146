"""docs/custom-scorers.md does what it says: its example runs by dotted path and by entry point."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.checks import check_scorer
from tests.contracts.small_market import CLOSE, START, SmallMarket
from zmart_stream.app.compose import scorers_of
from zmart_stream.app.config import Sources, load
from zmart_stream.app.core_settings import core_settings
from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.settings import ScoringSettings
from zmart_stream.scoring.engine import ScoringEngine

DOCUMENT = Path(__file__).parents[2] / "docs" / "custom-scorers.md"


def blocks(language: str) -> list[str]:
    """The document's code blocks of one language, in order."""
    parts = DOCUMENT.read_text(encoding="utf-8").split("```")[1::2]
    return [part.removeprefix(language + "\n") for part in parts if part.startswith(language + "\n")]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python imports from, with the document's module in it."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "nearhigh.py").write_text(blocks("python")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    invalidate_caches()
    yield folder
    sys.modules.pop("nearhigh", None)


def scoring_of(toml: str, folder: Path) -> ScoringSettings:
    """What a `zmart.toml` with these lines makes of the scores."""
    file = folder / "zmart.toml"
    file.write_text(toml, encoding="utf-8")
    return core_settings(load(Sources(file=file, environ={})).settings, 1.0).scoring


def scored(settings: ScoringSettings) -> tuple[ScoringEngine, SmallMarket]:
    market = SmallMarket(seed=1)
    engine = ScoringEngine(settings, scorers_of(settings), market.cache)
    for state in market.cache.states:
        engine.row_loaded(state)
    engine.freeze(START)
    return engine, market


def test_by_dotted_path_it_joins_the_composite(example: Path) -> None:
    (by_path, _, _) = blocks("toml")
    engine, market = scored(scoring_of(by_path, example))
    assert not engine.failures
    expected = []
    for symbol in market.symbols:
        closes = market.history(symbol).hours[-48:, CLOSE]
        expected.append(closes[-1] / closes.max() - 1)
    for i, symbol in enumerate(market.symbols):
        component = engine.explain_row(market.state(symbol).row, START)["components"][-1]
        assert component["name"] == "nearhigh"
        assert component["share"] == pytest.approx(0.10 / 1.10)
        part = component["parts"][0]
        assert part["raw"] == pytest.approx(expected[i])
        assert part["value"] == pytest.approx(100 * expected[i])
        below, equal = sum(np.array(expected) < expected[i]), sum(np.array(expected) == expected[i])
        assert part["percentile"] == pytest.approx(100 * (below + equal / 2) / 12)
        assert part["words"].startswith("closer to its high than ")


def test_by_entry_point_it_joins_the_composite(example: Path) -> None:
    _, package, by_name = blocks("toml")
    (group,) = tomllib.loads(package)["project"]["entry-points"].items()
    info = example / "nearhigh-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nearhigh\nVersion: 1.0\n", encoding="utf-8")
    points = "\n".join(f"{name} = {target}" for name, target in group[1].items())
    (info / "entry_points.txt").write_text(f"[{group[0]}]\n{points}\n", encoding="utf-8")
    invalidate_caches()
    engine, _ = scored(scoring_of(by_name, example))
    assert [c.name for c in engine.components(0)][-1] == "nearhigh"
    assert engine.components(0)[-1].score is not None


def test_it_keeps_the_contract(example: Path) -> None:
    check_scorer(import_module("nearhigh").NearHigh, options={"hours": 48}, hours=12)
    assert 'check_scorer(NearHigh, options={"hours": 48})' in blocks("python")[1]


def test_a_wrong_option_is_refused_by_name(example: Path) -> None:
    (by_path, _, _) = blocks("toml")
    with pytest.raises(ConfigError, match=r'"nearhigh": no option .hour. .did you mean .hours..'):
        scorers_of(scoring_of(by_path.replace("hours = 48", "hour = 48"), example))
