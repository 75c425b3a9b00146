"""docs/custom-agents.md does what it says: its examples run by dotted path and by entry point."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.contracts.judge_checks import check_agent, check_detector
from tests.engine.stream import NS, Session
from tests.engine.test_engine import AFTER, CLOSE, feed, of, settings
from tests.engine.test_signals import one, outside, signal
from zmart_stream.app.compose import past
from zmart_stream.app.config import Sources, load
from zmart_stream.app.core_settings import core_settings
from zmart_stream.domain.market import Tick
from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import SignalEvaluated, SignalReceived
from zmart_stream.engine.engine import Engine
from zmart_stream.market import views
from zmart_stream.scoring.registry import build_scorers

DOCUMENT = Path(__file__).parents[2] / "docs" / "custom-agents.md"


def blocks(language: str) -> list[str]:
    """The document's code blocks of one language, in order."""
    parts = DOCUMENT.read_text(encoding="utf-8").split("```")[1::2]
    return [part.removeprefix(language + "\n") for part in parts if part.startswith(language + "\n")]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python imports from, with the document's modules in it."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, text in zip(("sides", "surge"), blocks("python"), strict=False):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    invalidate_caches()
    yield folder
    for name in ("sides", "surge"):
        sys.modules.pop(name, None)


def signals_of(toml: str, folder: Path) -> SignalSettings:
    """What a `zmart.toml` with these lines makes of the signals."""
    file = folder / "zmart.toml"
    file.write_text(toml, encoding="utf-8")
    return core_settings(load(Sources(file=file, environ={})).settings, 1.0).signals


def test_by_dotted_path_they_judge_and_find(example: Path) -> None:
    chosen = signals_of(blocks("toml")[0] + "options = { times = 1.5 }\n", example)
    whole = msgspec.structs.replace(settings(), signals=chosen)
    engine = Engine(whole, build_scorers(whole.scoring), build_judges=past.judges_of)
    session = Session(3)
    feed(engine, session.start())
    symbol = outside(engine)
    told = engine.process(signal(engine.now, symbol=symbol))
    mine = next(each for each in one(SignalEvaluated, told).opinions if each.agent == "sides")
    closes = engine.judging.view.hour_bars(symbol, 24).close
    distance = engine.market.by_symbol[symbol].price / closes.mean() - 1.0
    distance /= engine.judging.view.volatility(symbol)
    assert mine.reasons[0].numbers["value"] == pytest.approx(distance)
    assert mine.p == pytest.approx(0.5 + 0.2 * max(-1.0, min(1.0, distance)))
    assert engine.judging.processor.panel.weights["sides"] == 1.5
    told = feed(engine, [*session.run(engine.now, CLOSE, NS), Tick(ts=CLOSE + AFTER)])
    raised = [m.signal for m in of(SignalReceived, told) if m.signal.source == "detector.surge"]
    assert raised
    for each in raised:
        turnover = engine.judging.view.hour_bars(each.symbol or "", 25).turnover
        assert each.data["ratio"] == pytest.approx(turnover[-1] / turnover[:-1].mean(), abs=1e-6)
    assert engine.status()["plugins"]["agents"]["failures"] == {}
    assert engine.status()["plugins"]["detectors"]["failures"] == {}


def test_by_entry_point_they_are_found_by_name(example: Path) -> None:
    entry_points = tomllib.loads(blocks("toml")[1])["project"]["entry-points"]
    package = example / "sides-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: sides\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{n} = {p}\n" for n, p in points.items()) for group, points in entry_points.items()
    ]
    (package / "entry_points.txt").write_text("\n".join(lines))
    invalidate_caches()
    toml = '[[signals.agents.custom]]\nname = "sides"\n[[signals.detectors.custom]]\nname = "surge"\n'
    seats, posts = past.judges_of(signals_of(toml, example))
    assert type(seats[-1].agent).__name__ == "SidesAgent"
    assert type(posts[-1].detector).__name__ == "SurgeDetector"


def test_they_keep_the_contract_as_the_document_checks_it(example: Path) -> None:
    check = blocks("python")[2]
    names: dict[str, Any] = {
        "SidesAgent": import_module("sides").SidesAgent,
        "SurgeDetector": import_module("surge").SurgeDetector,
    }
    exec(check, names)  # noqa: S102 - the document's own lines
    assert (names["check_agent"], names["check_detector"]) == (check_agent, check_detector)
    names["test_sides_and_surge"]()


def test_every_method_of_the_view_is_in_its_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text[text.index("| `view.` |") : text.index("All of it with units")]
    methods = [name for kind in (views.MarketView, views.BookView) for name in vars(kind) if not name.startswith("_")]
    assert len(methods) > 20
    missing = [name for name in methods if f"`{name}" not in table]
    assert missing == []
