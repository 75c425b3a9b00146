"""The consensus against the formula of the specification, written plainly."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmart_stream.domain.signals import Opinion, Reason
from zmart_stream.signals.consensus import prior_of, verdict, weigh


def told(agent: str, p: float, *, stance: str | None = None, veto: bool = False) -> Opinion:
    said: Any = stance or ("approve" if p >= 0.5 else "reject")
    return Opinion(agent=agent, p=p, stance=said, reasons=(Reason(code="x"),), veto=veto)


probabilities = st.floats(0.02, 0.98)
priors = st.floats(0.25, 0.75)
panels = st.lists(st.tuples(probabilities, st.floats(0.1, 5.0), st.booleans()), max_size=9)


def plain(panel: list[tuple[float, float, bool]], prior: float) -> tuple[float, float]:
    spoken = [(p, w) for p, w, silent in panel if not silent]
    mass = 1.0 + sum(w for _, w in spoken)
    product = (prior / (1 - prior)) ** (1.0 / mass)
    for p, w in spoken:
        product *= (p / (1 - p)) ** (w / mass)
    if len(spoken) < 2:
        return product / (1 + product), 0.0
    total = sum(w for _, w in spoken)
    mean = sum(p * w for p, w in spoken) / total
    return product / (1 + product), sqrt(sum(w * (p - mean) ** 2 for p, w in spoken) / total)


@given(panel=panels, prior=priors)
def test_it_is_the_weighted_geometric_mean_of_odds(panel: list[tuple[float, float, bool]], prior: float) -> None:
    opinions = [told(f"a{i}", p, stance="abstain" if quiet else None) for i, (p, _, quiet) in enumerate(panel)]
    weights = {f"a{i}": w for i, (_, w, _) in enumerate(panel)}
    found = weigh(opinions, weights, prior)
    p, spread = plain(panel, prior)
    assert found.p == pytest.approx(p, abs=1e-6)
    assert found.dissent == pytest.approx(spread, abs=1e-6)
    assert found.spoke == sum(not quiet for _, _, quiet in panel)


@given(panel=panels, prior=priors, shuffle=st.randoms())
def test_the_order_of_agents_changes_no_bit(panel: list[tuple[float, float, bool]], prior: float, shuffle: Any) -> None:
    opinions = [told(f"a{i}", p) for i, (p, _, _) in enumerate(panel)]
    weights = {f"a{i}": w for i, (_, w, _) in enumerate(panel)}
    before = weigh(opinions, weights, prior)
    shuffle.shuffle(opinions)
    after = weigh(opinions, weights, prior)
    assert (after.p, after.dissent, after.spoke) == (before.p, before.dissent, before.spoke)


@given(panel=st.lists(probabilities, min_size=1, max_size=6), prior=priors, better=st.integers(0, 5))
def test_a_likelier_opinion_never_lowers_it_and_it_stays_between_the_extremes(
    panel: list[float], prior: float, better: int
) -> None:
    opinions = [told(f"a{i}", p) for i, p in enumerate(panel)]
    found = weigh(opinions, {}, prior).p
    assert min([*panel, prior]) - 1e-6 <= found <= max([*panel, prior]) + 1e-6
    i = better % len(panel)
    raised = [*opinions[:i], told(f"a{i}", min(0.98, panel[i] + 0.1)), *opinions[i + 1 :]]
    assert weigh(raised, {}, prior).p >= found


@given(p=probabilities, prior=priors)
def test_buyers_and_sellers_of_one_mind_cancel_out(p: float, prior: float) -> None:
    assert weigh([told("a", p), told("b", 1.0 - p)], {}, 0.5).p == pytest.approx(0.5, abs=1e-6)


@given(strength=st.floats(0, 1), confidence=st.floats(0, 1))
def test_the_prior_is_what_the_source_says_and_never_certain(strength: float, confidence: float) -> None:
    prior = prior_of(strength, confidence)
    assert 0.25 <= prior <= 0.75
    assert (prior > 0.5) == (0.5 * strength * (confidence - 0.5) > 2.0**-54), "less is lost beside one half"


def test_an_example_by_hand() -> None:
    found = weigh([told("a", 0.8), told("b", 0.6), told("c", 0.3)], {"a": 2.0}, prior_of(0.8, 0.7))
    odds = (log(0.58 / 0.42) + 2 * log(4) + log(1.5) + log(3 / 7)) / 5
    assert log(found.p / (1 - found.p)) == pytest.approx(odds, abs=1e-5)
    assert found.weights == {"a": 2.0, "b": 1.0, "c": 1.0}


def test_veto_then_quorum_then_the_threshold_itself() -> None:
    yes = [told(f"a{i}", 0.9) for i in range(3)]
    assert verdict(weigh(yes, {}, 0.5), approve_at=0.55, quorum=3) == "approved"
    assert verdict(weigh(yes, {}, 0.5), approve_at=0.55, quorum=4) == "no_quorum"
    vetoed = weigh([*yes, told("z", 0.9, veto=True), told("y", 0.9, veto=True)], {}, 0.5)
    assert (vetoed.veto, verdict(vetoed, approve_at=0.55, quorum=9)) == ("y", "veto")
    exact = weigh([], {}, 0.55)
    assert verdict(exact, approve_at=0.55, quorum=0) == "approved"
    assert verdict(weigh([], {}, 0.549), approve_at=0.55, quorum=0) == "below_threshold"
    silent = weigh([told("z", 0.5, stance="abstain", veto=True)], {}, 0.6)
    assert (silent.veto, silent.spoke) == (None, 0)
