"""Who is too slow three times in a row is told of once; no answer changes."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.engine.stream import HOUR, NS, T0, Session
from tests.engine.test_engine import feed, of
from tests.engine.test_signals import core, one, signal
from tests.signals.judges import agent, sure
from zmart_stream.app.metering import Meter
from zmart_stream.domain.commands import DisablePlugin, PluginDisabled
from zmart_stream.domain.settings import AgentSettings, CoreSettings, DetectorSettings, ScorerSettings, SignalSettings
from zmart_stream.domain.signals import Opinion, SignalEvaluated
from zmart_stream.engine.engine import Engine
from zmart_stream.engine.judging import built_in_judges
from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import Moves
from zmart_stream.market.views import BookView, MarketView
from zmart_stream.scoring.base import FloatArray, Part, PartScorer
from zmart_stream.scoring.registry import build_scorers, components
from zmart_stream.signals import AGENTS, DETECTORS
from zmart_stream.signals.base import Case, Finding, opinion, reason

SLOW_S = 0.03
PASSED_S = [0.0]
"""Time as the meter sees it: it passes only where a plug-in under test says so, however busy the machine is."""


def pass_time(seconds: float) -> None:
    PASSED_S[0] += seconds


@pytest.fixture(autouse=True)
def _told_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmart_stream.app.metering.time", SimpleNamespace(perf_counter=lambda: PASSED_S[0]))


class Dawdler:
    """Takes its time, and then fails if asked to."""

    name = "dawdler"
    may_veto = True

    def __init__(self, *, pause_s: float = SLOW_S) -> None:
        self.pause_s = pause_s

    def judge(self, case: Case, view: BookView) -> Opinion:
        pass_time(self.pause_s)
        return opinion(self.name, 0.3, reason("slow"), veto=True)


class SlowFinder:
    """Yields after a while."""

    name = "slow_finder"

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        pass_time(SLOW_S)
        yield Finding(signal_type="SLOW", symbol="C00USDTM", direction="BUY", strength=0.5, confidence=0.5)

    def at_score(self, symbol: str, view: MarketView) -> Iterable[Finding]:
        pass_time(SLOW_S)
        return ()


def test_a_slow_agent_is_left_out_by_a_command_and_its_opinions_stand() -> None:
    slow = AgentSettings(name="dawdler", path=f"{__name__}:Dawdler")
    with_settings = core((*sure(0.9), slow, agent("Broken")))
    told_of: list[tuple[str, str, str]] = []
    meter = Meter(built_in_judges, 0.01, lambda *overrun: told_of.append(overrun))
    engine = Engine(with_settings, build_scorers(with_settings.scoring), build_judges=meter.judges)
    plain = Engine(with_settings, build_scorers(with_settings.scoring))
    messages = [*Session(3).start()]
    feed(engine, messages)
    feed(plain, messages)
    for n in range(4):
        asked = signal(engine.now + NS, source_name=f"s{n}")
        told = engine.process(asked)
        assert told == plain.process(asked), "measuring changes no answer"
        assert one(SignalEvaluated, told).opinions[3].veto
        assert len(told_of) == (n >= 2)
    ((kind, name, why),) = told_of
    assert (kind, name) == ("agent", "dawdler")
    assert "3 times in a row over 10 ms" in why
    told = engine.process(DisablePlugin(ts=engine.now, request_id="m", kind="agent", name=name, reason=why))
    assert [m.name for m in of(PluginDisabled, told)] == ["dawdler"]
    told = engine.process(signal(engine.now + NS, source_name="later"))
    assert "dawdler" not in [each.agent for each in one(SignalEvaluated, told).opinions]


def test_one_quick_answer_begins_the_count_anew() -> None:
    told_of: list[Any] = []
    meter = Meter(built_in_judges, 0.01, lambda *overrun: told_of.append(overrun))
    settings = SignalSettings(
        agents=(AgentSettings(name="dawdler", path=f"{__name__}:Dawdler", options={"pause_s": 0.0}),),
        detectors=(DetectorSettings(name="slow_finder", path=f"{__name__}:SlowFinder"),),
    )
    detector = meter.judges(settings).posts[0].detector
    view: Any = None
    found = [list(detector.at_close(view)) for _ in range(2)]
    assert [each[0].signal_type for each in found] == ["SLOW", "SLOW"], "what it yields is drawn under the watch"
    meter.budget_s = 10.0
    assert list(detector.at_close(view))
    meter.budget_s = 0.01
    assert list(detector.at_close(view))
    assert list(detector.at_close(view))
    assert told_of == []
    at_score: Any = detector
    assert at_score.at_score("C00USDTM", view) == []
    assert [each[:2] for each in told_of] == [("detector", "slow_finder")]


class Ponderer(PartScorer):
    """Slow at a close, quick within a bar."""

    name = "ponderer"

    def __init__(self, *, pause_s: float = SLOW_S) -> None:
        self.pause_s = pause_s
        self.parts = (
            Part(name="spread", weight=1.0, moves=Moves.TICKER, location=0.0, scale=1.0, text="{pct}"),
            Part(name="idle", weight=0.0, moves=Moves.TICKER, location=0.0, scale=1.0, text="{pct}"),
        )
        self.touches = {"spread": lambda contract: -contract.ask, "idle": lambda contract: contract.bid}
        self.closes = {}

    def close(self, bars: BarView) -> FloatArray:
        pass_time(self.pause_s)
        return super().close(bars)


def test_a_slow_scorer_is_left_out_by_a_command_and_its_values_stand() -> None:
    """Touches that are quick do not excuse closes that are slow."""
    custom = ScorerSettings(name="ponderer", path=f"{__name__}:Ponderer", weight=0.5)
    settings = CoreSettings()
    with_it = msgspec.structs.replace(
        settings, scoring=msgspec.structs.replace(settings.scoring, components=(*components(settings.scoring), custom))
    )
    told_of: list[tuple[str, str, str]] = []
    meter = Meter(built_in_judges, 0.01, lambda *overrun: told_of.append(overrun))
    engine = Engine(with_it, meter.scorers(with_it.scoring), build_scorers=meter.scorers)
    plain = Engine(with_it, build_scorers(with_it.scoring))
    session = Session(3)
    for message in [*session.start(), *session.run(T0 + 5 * NS, T0 + 3 * HOUR, 600 * NS)]:
        assert engine.process(message) == plain.process(message), "measuring changes no score"
    symbol = session.contracts[0].symbol
    assert engine.explain(symbol) == plain.explain(symbol), "parts without weight are told, too"
    ((kind, name, why),) = told_of
    assert (kind, name) == ("scorer", "ponderer")
    assert "3 times in a row over 10 ms" in why
    told = engine.process(DisablePlugin(ts=engine.now, request_id="m", kind="scorer", name=name, reason=why))
    assert [m.name for m in of(PluginDisabled, told)] == ["ponderer"]
    assert engine.status()["plugins"]["disabled"] == {"ponderer": why}
    assert [component["name"] for component in engine.explain(symbol)["components"]] == [
        component.name for component in components(settings.scoring)
    ]


def test_those_of_the_house_are_not_wrapped() -> None:
    settings = CoreSettings().scoring
    meter = Meter(built_in_judges, 0.01, lambda *overrun: None)
    assert [type(scorer) for scorer in meter.scorers(settings)] == [type(scorer) for scorer in build_scorers(settings)]
    judges = meter.judges(SignalSettings())
    assert [type(seat.agent) for seat in judges.seats] == list(AGENTS.values())
    assert {type(post.detector) for post in judges.posts} <= set(DETECTORS.values())
