"""Every built-in agent and detector keeps the contract, and those of the tests that should do."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.contracts.judge_checks import check_agent, check_detector
from tests.signals.judges import Broken, BrokenDetector, EveryClose, EveryMove, Score
from zmart_stream.domain.errors import PluginFaultError
from zmart_stream.domain.signals import Opinion
from zmart_stream.market.views import BookView, MarketView
from zmart_stream.signals import AGENTS, DETECTORS
from zmart_stream.signals.base import Case, Finding, opinion, reason


@pytest.mark.parametrize("name", list(AGENTS))
def test_agents(name: str) -> None:
    check_agent(AGENTS[name])


@pytest.mark.parametrize("name", list(DETECTORS))
def test_detectors(name: str) -> None:
    check_detector(DETECTORS[name])


@pytest.mark.parametrize(
    ("name", "options", "more"),
    [
        ("breakout", {"days": 15, "least_atr": 0.001, "least_volume": 0.001}, {}),
        (
            "rsi_divergence",
            {"wing": 1, "apart_least": 2, "least_points": 0.01, "least_extreme": 0.01},
            {"hours": 15, "seed": 14},
        ),
        ("volume_spike", {"times": 0.001, "least_moves": 0.001}, {}),
        ("spread_collapse", {"least_fall": 0.1, "worst_pct": 100.0}, {}),
        ("new_listing", {"age_days": 400.0, "least_turnover_usdt": 1.0, "least_score": 0.01}, {"hours": 2}),
    ],
)
def test_detectors_with_thresholds_at_which_they_find_something(
    name: str, options: dict[str, float], more: dict[str, int]
) -> None:
    assert check_detector(DETECTORS[name], options=options, **more) > 0


@pytest.mark.parametrize("kind", [EveryClose, EveryMove])
def test_detectors_of_the_tests(kind: type) -> None:
    check_detector(kind)


def test_an_agent_of_the_tests() -> None:
    check_agent(Score)


class Counting:
    """Answers otherwise each time."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def judge(self, case: Case, view: BookView) -> Opinion:
        self.calls += 1
        return opinion(self.name, 0.3 + 0.001 * (self.calls % 100), reason("calls"))


class Meddling:
    """Writes to what it may only read."""

    name = "meddling"

    def judge(self, case: Case, view: BookView) -> Opinion:
        state = view.state(case.symbol)
        if state is not None:
            state.basis += 1.0
        return opinion(self.name, 0.6, reason("x"))


class Guessing:
    """Has an opinion on what nobody knows."""

    name = "guessing"

    def judge(self, case: Case, view: BookView) -> Opinion:
        return opinion(self.name, 0.6, reason("x"))


class Remembering:
    """Finds something only the first time."""

    name = "remembering"

    def __init__(self) -> None:
        self.seen = False

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        if not view.symbols() or self.seen:
            return ()
        self.seen = True
        found = Finding(signal_type="X", symbol=view.symbols()[0], direction="BUY", strength=0.5, confidence=0.5)
        return [found]


@pytest.mark.parametrize(
    ("kind", "what"),
    [(Counting, "asked again"), (Meddling, "changes what it looks at"), (Guessing, "of which nothing is known")],
)
def test_the_checks_find_agents_that_break_it(kind: type, what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        check_agent(kind)


def test_the_checks_find_what_the_core_would_refuse() -> None:
    with pytest.raises(PluginFaultError, match=r"p is 1\.0"):
        check_agent(Broken, options={"how": "range"})
    with pytest.raises(PluginFaultError, match="no contract 'NOSUCH'"):
        check_detector(BrokenDetector)
    with pytest.raises(AssertionError, match="other findings when asked again"):
        check_detector(Remembering)
