"""Who is fresh, stale, silent, live."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from tests.market.a_market import START, AMarket, row_of_poll
from zmart_stream.domain.market import Depth, FundingSettled, MarkIndex
from zmart_stream.market.bars import HOUR, NS
from zmart_stream.market.contract_state import Moves
from zmart_stream.market.freshness import freshness

A = "AUSDTM"


def test_one_up_to_three_gaps_then_halving_for_each_further_three() -> None:
    assert [freshness(age, 10.0) for age in (0, 30, 60, 90)] == [1.0, 1.0, 0.5, 0.25]


def test_quiet_topics_under_coverage_do_not_age() -> None:
    market = AMarket(A)
    market.ticker(A, START + NS, 99.0, 101.0)
    market.trade(A, START + NS, 100.0)
    market.cache.sweep(START + NS)
    assert market.cache.sweep(START + 100 * HOUR) == []
    assert market[A].live
    assert market[A].age_ns(Moves.TRADE, START + 2 * NS) == NS
    assert market[A].age_ns(Moves.DEPTH, START) is None


def test_lost_coverage_ages_from_the_loss_and_comes_back_at_once() -> None:
    market = AMarket(A)
    state = market[A]
    market.trade(A, START + NS, 100.0)
    lost = START + 1000 * NS
    market.cover(None, lost, ("execution",))
    assert market.cache.sweep(lost + 180 * NS) == [state]  # the loss itself is news
    assert state.live
    assert market.cache.sweep(lost + 180 * NS) == []
    swept = [market.cache.sweep(lost + s * NS) for s in (181, 360, 540)]
    assert swept == [[state]] * 3
    assert state.fresh[Moves.TRADE] == state.fresh[Moves.BAR] == state.fresh[Moves.DAY] == pytest.approx(0.25)
    assert state.fresh[Moves.TICKER] == 1.0
    assert not state.live
    market.cover(lost + 600 * NS, lost + 600 * NS, ("execution",))
    assert (state.live, state.fresh[Moves.TRADE]) == (True, 1.0)
    assert market.cache.sweep(lost + 601 * NS) == [state]
    assert market.cache.sweep(lost + 602 * NS) == []


def test_time_alone_never_makes_anything_fresher() -> None:
    market = AMarket(A)
    market.ticker(A, START + NS, 99.0, 101.0)
    market.cache.mark_index(MarkIndex(ts=START + NS, ts_event=START, symbol=A, mark=100.0, index=100.0))
    market.cache.stats(row_of_poll(A, START + NS))
    market.cache.funding_settled(FundingSettled(ts=START + NS, ts_event=START, symbol=A, rate=1e-4))
    market.cover(None, START + 2 * NS)
    seen = []
    for step in range(200):
        market.cache.sweep(START + (2 + step * 997) * NS)
        seen.append(list(market[A].fresh))
    assert all(a >= b for old, new in pairwise(seen) for a, b in zip(old, new, strict=True))
    assert max(seen[-1][m] for m in Moves if m != Moves.DEPTH) < 1.0
    assert seen[-1][Moves.DEPTH] == 1.0  # never heard: absent, not stale


def test_a_topic_that_misses_what_two_polls_show_is_silent_until_it_speaks() -> None:
    market = AMarket(A)
    state = market[A]
    market.ticker(A, START + NS, 99.0, 101.0)
    market.trade(A, START + NS, 100.0)
    found = []
    for k, price in enumerate((100.0, 100.0, 100.5, 101.0)):
        market.ticker(A, START + (10 * k + 9) * NS, 99.0, 101.0)
        market.cache.stats(row_of_poll(A, START + (10 + 10 * k) * NS, last_price=price))
        found.append([m.topic for m in market.cache.take_silent()])
    assert found == [[], [], [], ["execution"]]
    assert state.fresh[Moves.TRADE] < 1.0
    assert not state.live
    assert market.cache.sweep(START + 41 * NS) == [state]
    market.ticker(A, START + 49 * NS, 99.0, 101.0)
    market.cache.stats(row_of_poll(A, START + 50 * NS, last_price=102.0))
    assert [m.topic for m in market.cache.take_silent()] == ["execution"], "said as long as it lasts"
    market.trade(A, START + 51 * NS, 102.0)
    assert (state.fresh[Moves.TRADE], state.live) == (1.0, True)
    for k in range(2):
        market.ticker(A, START + (59 + 10 * k) * NS, 99.0, 101.0)
        market.cache.stats(row_of_poll(A, START + (60 + 10 * k) * NS, last_price=103.0 + k))
        assert market.cache.take_silent() == []


def test_old_volume_that_leaves_the_24_hours_is_no_movement() -> None:
    market = AMarket(A)
    for k in range(10):
        market.cache.stats(row_of_poll(A, START + (k + 1) * 10 * NS, volume_24h=1e4 - k))
    assert market.cache.take_silent() == []
    for k in range(3):
        market.cache.stats(row_of_poll(A, START + (k + 11) * 10 * NS, volume_24h=1e4 + k))
    assert {m.topic for m in market.cache.take_silent()} == {"ticker", "execution"}


def test_a_lost_topic_is_not_called_silent() -> None:
    market = AMarket(A)
    market.cover(None, START + NS)
    for k in range(5):
        market.cache.stats(row_of_poll(A, START + (k + 1) * 10 * NS, last_price=100.0 + k))
    assert market.cache.take_silent() == []


def test_polled_topics_age_by_their_own_cadence_with_a_floor() -> None:
    market = AMarket(A)
    state = market[A]
    at = START
    for _ in range(60):
        at += 300 * NS
        market.cache.depth(Depth(ts=at, ts_event=at, symbol=A, sequence=1, bids=(), asks=(), source="rest"))
        market.cache.stats(row_of_poll(A, at))
    assert state.depth_gap == pytest.approx(300 * NS, rel=0.01)
    assert state.poll_gap == pytest.approx(300 * NS, rel=0.01)
    market.cache.sweep(at + 890 * NS)
    assert min(state.fresh) == 1.0
    market.cache.sweep(at + 1800 * NS)
    assert state.fresh[Moves.DEPTH] == pytest.approx(0.5, rel=0.02)
    # settlements are expected once an interval
    market.cache.funding_settled(FundingSettled(ts=at, ts_event=at, symbol=A, rate=1e-4))
    market.cache.sweep(at + 48 * HOUR)
    assert state.fresh[Moves.SETTLEMENT] == pytest.approx(0.5, rel=0.01)


def test_an_outage_is_no_cadence() -> None:
    market = AMarket(A)
    for second in range(1, 60):
        market.ticker(A, START + second * NS, 99.0, 101.0)
    market.ticker(A, START + 100 * HOUR, 99.0, 101.0)
    assert market[A].ticker_gap < 30 * NS
    for at in (START, START + 100 * HOUR):
        market.cache.stats(row_of_poll(A, at))
    assert market[A].poll_gap < 30 * NS


def test_halted_and_delisted_contracts_are_not_live_and_a_delisted_one_is_left_alone() -> None:
    market = AMarket(A)
    market.ticker(A, START + NS, 99.0, 101.0)
    market.trade(A, START + NS, 100.0)
    assert market[A].live
    market.cache.stats(row_of_poll(A, START + 2 * NS, status="Paused"))
    assert (market[A].live, market[A].halted) == (False, True)
    market.cache.stats(row_of_poll(A, START + 3 * NS))
    assert market[A].live


def test_many_are_judged_as_one_by_one_bit_for_bit(seed: int) -> None:
    chance = random.Random(seed)
    market = AMarket(*(f"C{k}USDTM" for k in range(60)), covered=False)
    topics = ("trade", "ticker", "depth", "mark", "poll", "settled")
    for state in market.cache.states:
        for topic in topics:
            setattr(state, f"{topic}_ts", chance.choice((0, START + chance.randrange(4000) * NS)))
        for topic in topics[:5]:
            setattr(state, f"{topic}_gap", chance.uniform(1.0, 300.0) * NS)
        for topic in topics[:2]:
            setattr(state, f"{topic}_lost", chance.choice((-1, 0, 0, START + chance.randrange(4000) * NS)))
            setattr(state, f"{topic}_silent", chance.choice((0, START + chance.randrange(4000) * NS)))
        state.delisted, state.halted = chance.random() < 0.1, chance.random() < 0.1
    stale = set()
    for step in range(30):
        now = START + (2000 + step * 5000) * NS
        market.cache.freshness._judge_many(market.cache.states, now)
        together = [(s.fresh, s.fresh_until, s.live, s.watch) for s in market.cache.states]
        for state, found in zip(market.cache.states, together, strict=True):
            market.cache.freshness.judge(state, now)
            assert (state.fresh, state.fresh_until, state.live, state.watch) == found
            stale |= {moves for moves in Moves if state.fresh[moves] < 1.0}
    assert stale == set(Moves)


def test_a_stale_topic_is_judged_when_it_speaks_and_by_the_sweep() -> None:
    market = AMarket(A)
    state = market[A]
    market.ticker(A, START, 99.0, 101.0)
    market.trade(A, START, 100.0)
    depth = Depth(ts=START, ts_event=START, symbol=A, sequence=1, bids=(), asks=(), source="rest")
    market.cache.depth(depth)
    late = START + 2000 * NS
    market.cache.sweep(late)
    aged = state.fresh[Moves.DEPTH]
    assert aged < 1.0
    market.ticker(A, late + 900 * NS, 99.0, 101.0)
    assert state.fresh[Moves.DEPTH] == aged
    market.cache.sweep(late + 901 * NS)
    assert state.fresh[Moves.DEPTH] < aged
    spoken = Depth(ts=late + 902 * NS, ts_event=late, symbol=A, sequence=2, bids=(), asks=(), source="rest")
    market.cache.depth(spoken)
    assert state.fresh[Moves.DEPTH] == 1.0
