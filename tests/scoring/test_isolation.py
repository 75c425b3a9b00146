"""A scorer that misbehaves makes its component absent, is counted, and is left out after failures in a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.contracts.small_market import START, SmallMarket
from zmart_stream.domain.commands import PluginDisabled
from zmart_stream.domain.settings import ScorerSettings, ScoringSettings
from zmart_stream.market.contract_state import Moves
from zmart_stream.scoring.base import Part
from zmart_stream.scoring.engine import ScoringEngine
from zmart_stream.scoring.registry import DEFAULTS, build_scorers

BEHAVE: Any = object()


class Moody:
    """Behaves until told otherwise."""

    def __init__(self) -> None:
        self.name = "moody"
        self.parts = (
            Part(name="price", weight=0.5, moves=Moves.TRADE, location=0.0, scale=1.0, text="{pct}"),
            Part(name="silent", weight=0.0, moves=Moves.TRADE, location=0.0, scale=1.0, text="{pct}"),
            Part(name="spread", weight=0.5, moves=Moves.TICKER, location=0.0, scale=1.0, text="{pct}"),
        )
        self.touched = BEHAVE
        self.closed = BEHAVE

    def close(self, bars: Any) -> Any:
        if self.closed is not BEHAVE:
            return self.closed() if callable(self.closed) else self.closed
        rows = [(c.price, 0.0, -c.spread_ew_bps) for c in bars.contracts]
        return np.array(rows).T

    def touch(self, contract: Any, moves: Moves) -> Any:
        if self.touched is not BEHAVE:
            return self.touched() if callable(self.touched) else self.touched
        return (contract.price, 0.0) if moves == Moves.TRADE else (-contract.spread_ew_bps,)


def broken() -> Any:
    raise ZeroDivisionError("no")


def started(failures_to_disable: int = 3) -> tuple[SmallMarket, ScoringEngine, Moody]:
    market = SmallMarket(seed=1)
    custom = ScorerSettings(name="moody", weight=0.5)
    settings = ScoringSettings(components=(*DEFAULTS, custom), failures_to_disable=failures_to_disable)
    scorers = build_scorers(settings, {"moody": Moody})
    engine = ScoringEngine(settings, scorers, market.cache)
    for state in market.cache.states:
        engine.row_loaded(state)
    engine.freeze(START)
    engine.publish(START)
    moody: Any = scorers[-1]
    return market, engine, moody


def moody_of(engine: ScoringEngine, row: int) -> tuple[float | None, float]:
    component = engine.components(row)[-1]
    return component.score, component.confidence


def named(value: Any) -> str:
    """A test's name for a value: the same in every process, which an address is not."""
    return value.__name__ if callable(value) else repr(value)


WRONG = [broken, (1.0, 2.0, 3.0), 1.0, None, "12", ("a", "b"), (None, 1.0), np.zeros((2, 2)), {1.0: 2, 2.0: 3}]


@pytest.mark.parametrize("wrong", WRONG, ids=named)
def test_a_failed_touch_makes_the_component_absent_for_that_contract_until_one_succeeds(wrong: Any) -> None:
    market, engine, moody = started()
    state = market.cache.states[0]
    good = moody_of(engine, 0)
    assert good[1] == 1.0
    moody.touched = wrong
    engine.touch(state, Moves.TRADE, START)
    assert moody_of(engine, 0) == (None, 0.0)
    assert moody_of(engine, 1)[1] == 1.0
    assert engine.failures == {"moody": 1}
    assert not engine.explain_row(0, START)["stale"]
    assert engine.confidence(0) == pytest.approx((1.0 * 0.94) / 1.5, abs=1e-6)
    moody.touched = BEHAVE
    engine.touch(state, Moves.TICKER, START)
    assert moody_of(engine, 0) == good
    assert not engine.notices


@pytest.mark.parametrize("wrong", [broken, np.zeros(3), np.zeros((2, 12)), [["a"] * 12] * 3, None], ids=named)
def test_a_failed_close_makes_it_absent_for_all_until_the_next_good_one(wrong: Any) -> None:
    market, engine, moody = started()
    moody.closed = wrong
    market.close()
    engine.bars_closed(market.start)
    engine.publish(market.start)
    assert {moody_of(engine, row) for row in range(12)} == {(None, 0.0)}
    engine.touch(market.cache.states[0], Moves.TICKER, market.start)
    assert moody_of(engine, 0) == (None, 0.0)
    moody.closed = BEHAVE
    market.close()
    engine.bars_closed(market.start)
    engine.freeze(market.start)
    assert {moody_of(engine, row)[1] for row in range(12)} == {1.0}


def test_failures_in_a_row_disable_it_loudly_and_successes_between_them_do_not() -> None:
    market, engine, moody = started(failures_to_disable=3)
    state = market.cache.states[0]
    for _ in range(5):
        moody.touched = broken
        engine.touch(state, Moves.TRADE, START)
        engine.touch(state, Moves.TICKER, START)
        moody.touched = BEHAVE
        engine.touch(market.cache.states[1], Moves.TICKER, START)
    assert not engine.notices
    moody.touched = broken
    for _ in range(3):
        engine.touch(state, Moves.TRADE, START + 5)
    notice = PluginDisabled(
        ts=START + 5, kind="scorer", name="moody", reason="3 failures in a row: ZeroDivisionError: no"
    )
    assert engine.notices == [notice]
    assert [c.name for c in engine.components(0)] == ["technical", "fundamental", "structure", "risk"]
    assert engine.confidence(0) == pytest.approx(0.94)
    assert engine.disabled == {"moody": notice.reason}
    engine.publish(START + 6)
    engine.touch(state, Moves.TRADE, START + 7)
    assert engine.failures["moody"] == 13
    settings = ScoringSettings(components=(*DEFAULTS, ScorerSettings(name="moody", weight=0.9)))
    engine.reconfigure(settings, build_scorers(settings, {"moody": Moody}), START + 8)
    assert len(engine.components(0)) == 4, "another weight does not bring it back"
    settings = ScoringSettings(components=DEFAULTS)
    engine.reconfigure(settings, build_scorers(settings), START + 9)
    assert engine.disabled == {}


def test_a_value_that_is_not_finite_is_not_known() -> None:
    market, engine, moody = started()
    state = market.cache.states[0]
    for value in (float("inf"), float("-inf"), float("nan")):
        moody.touched = (value,)
        engine.touch(state, Moves.TICKER, START)
        assert moody_of(engine, 0)[1] == 0.5
    moody.touched = BEHAVE
    engine.touch(state, Moves.TICKER, START)
    assert moody_of(engine, 0)[1] == 1.0
    assert not engine.failures


def test_numbers_of_any_kind_are_numbers() -> None:
    market, engine, moody = started()
    moody.touched = [np.float32(2.0)]
    engine.touch(market.cache.states[0], Moves.TICKER, START)
    moody.touched = (7,)
    engine.touch(market.cache.states[1], Moves.TICKER, START)
    assert not engine.failures


def test_a_built_in_one_is_behind_the_same_boundary() -> None:
    market, engine, _ = started()
    market.cache.states[0].prev_close = 0.0
    engine.touch(market.cache.states[0], Moves.TRADE, START)
    assert engine.failures == {"technical": 1}
    assert engine.components(0)[0].confidence == 0.0
