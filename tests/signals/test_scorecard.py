"""Scorecards against sums over all outcomes, each faded by its own age."""

from __future__ import annotations

from math import exp
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import AgentOutcome, SignalSettled
from zmart_stream.signals.scorecard import Scorecards

DAY = 86_400 * 1_000_000_000
Outcome = tuple[int, float, bool]


def outcome(ts: int, p: float, hit: bool, *, agents: dict[str, float] | None = None, **other: Any) -> SignalSettled:
    told = {"a": p} if agents is None else agents
    settled = SignalSettled(
        ts=ts,
        signal_id=f"s{ts}",
        source="bot",
        owner="t",
        signal_type="X",
        symbol="C",
        direction="BUY",
        approved=True,
        since=ts - DAY,
        until=ts,
        price_then=1.0,
        price_now=1.0,
        gross=0.0,
        cost=0.0,
        net=0.01 if hit else -0.02,
        hit=hit,
        confidence=p,
        p=p,
        brier=(p - hit) ** 2,
        agents=tuple(AgentOutcome(agent=name, p=q, brier=(q - hit) ** 2) for name, q in told.items()),
    )
    return msgspec.structs.replace(settled, **other)


outcomes = st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@given(steps=outcomes, later=st.integers(0, 90))
def test_hits_misses_brier_and_deciles_fade_with_the_half_life(steps: list[Outcome], later: int) -> None:
    cards = Scorecards(SignalSettings())
    at, past = 0, []
    for days, p, hit in steps:
        at += days * DAY
        past.append((at, p, hit))
        cards.settle(outcome(at, p, hit))
    now = at + later * DAY
    faded = [(2.0 ** -((now - ts) / (30 * DAY)), p, hit) for ts, p, hit in past]
    hits, misses = sum(w for w, _, hit in faded if hit), sum(w for w, _, hit in faded if not hit)
    record = cards.source("t", "bot", now)
    assert record.outcomes == len(steps)
    assert (record.hits, record.misses) == pytest.approx((hits, misses))
    assert record.hit_rate == pytest.approx((1 + hits) / (2 + hits + misses))
    assert record.mean_net == pytest.approx((0.01 * hits - 0.02 * misses) / (hits + misses))
    (card,) = cards.shown(now)["sources"]
    brier = sum(w * (p - hit) ** 2 for w, p, hit in faded) / (hits + misses)
    assert card["brier"] == pytest.approx(brier, abs=2e-6)
    for i, cell in enumerate(card["calibration"]):
        mine = [(w, p, hit) for w, p, hit in faded if min(9, int(p * 10)) == i]
        assert cell["count"] == pytest.approx(sum(w for w, _, _ in mine), abs=2e-6)
        if cell["count"] > 1e-3:
            assert cell["forecast"] == pytest.approx(
                sum(w * p for w, p, _ in mine) / sum(w for w, _, _ in mine), abs=2e-6
            )


def test_sources_of_one_name_and_two_owners_are_two() -> None:
    cards = Scorecards(SignalSettings())
    cards.settle(outcome(DAY, 0.6, hit=True))
    cards.settle(outcome(DAY, 0.6, hit=False, owner="u"))
    assert (cards.source("t", "bot", DAY).hits, cards.source("u", "bot", DAY).hits) == (1.0, 0.0)
    assert cards.source("v", "bot", DAY).outcomes == 0
    assert cards.source("v", "bot", DAY).hit_rate == 0.5


def test_a_restored_card_goes_on_the_same() -> None:
    cards, again = Scorecards(SignalSettings(learn_weights=True)), Scorecards(SignalSettings(learn_weights=True))
    for n in range(1, 20):
        cards.settle(outcome(n * DAY, 0.1 * (n % 10), hit=n % 3 == 0, agents={"a": 0.7, "b": 0.05 * n}))
        again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(cards.snapshot())))
        assert again.snapshot() == cards.snapshot()
        assert again.shown(n * DAY + 5) == cards.shown(n * DAY + 5)


def test_learned_weights_follow_the_truth_and_stay_within_half_and_double() -> None:
    cards = Scorecards(SignalSettings(learn_weights=True))
    cards.settle(outcome(DAY, 0.5, hit=True, agents={"good": 0.9, "bad": 0.1}))
    mean = (0.01 + 0.81) / 2
    assert cards.weight("good") == pytest.approx(exp(-0.2 * (0.01 - mean)))
    assert cards.weight("bad") == pytest.approx(exp(-0.2 * (0.81 - mean)))
    for n in range(2, 60):
        cards.settle(outcome(n * DAY, 0.5, hit=True, agents={"good": 0.9, "bad": 0.1}))
    assert (cards.weight("good"), cards.weight("bad"), cards.weight("new")) == (2.0, 0.5, 1.0)
    cards.settle(outcome(99 * DAY, 0.5, hit=True, agents={"alone": 0.1}))
    assert cards.weight("alone") == 1.0
    cards.reconfigure(SignalSettings(learn_weights=False))
    assert cards.weight("good") == 1.0


def test_by_default_nothing_is_learned() -> None:
    cards = Scorecards(SignalSettings())
    for n in range(1, 30):
        cards.settle(outcome(n * DAY, 0.5, hit=True, agents={"good": 0.9, "bad": 0.1}))
    assert (cards.weight("good"), cards.weight("bad")) == (1.0, 1.0)
