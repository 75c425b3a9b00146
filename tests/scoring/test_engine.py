"""ScoringEngine on a small market: messages and closes in, composites and ScoreChanged out."""

from __future__ import annotations

from math import isnan, nan
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.contracts.small_market import HOUR, NS, START, SmallMarket
from zmart_stream.domain.market import DAY_S, HOUR_S, Bars, Coverage, Depth, Ticker
from zmart_stream.domain.scores import ScoreChanged
from zmart_stream.domain.settings import ScorerSettings, ScoringSettings
from zmart_stream.market.contract_state import Moves
from zmart_stream.scoring.engine import ScoringEngine
from zmart_stream.scoring.registry import DEFAULTS, build_scorers


def started(market: SmallMarket, **settings: Any) -> ScoringEngine:
    """An engine at the end of its warm-up."""
    chosen = ScoringSettings(**settings)
    engine = ScoringEngine(chosen, build_scorers(chosen), market.cache)
    for state in market.cache.states:
        engine.row_loaded(state)
    engine.freeze(START)
    engine.publish(START)
    return engine


def play(engine: ScoringEngine, market: SmallMarket) -> list[ScoreChanged]:
    """The forming hour's trades, with quotes between them."""
    told = []
    for trade in market.trades():
        state = market.play(trade)
        assert state is not None
        told.append(engine.touch(state, Moves.TRADE, trade.ts))
        bid, ask = trade.price * 0.9998, trade.price * 1.0001
        quote = Ticker(
            ts=trade.ts + 1,
            ts_event=trade.ts,
            symbol=trade.symbol,
            sequence=1,
            bid=bid,
            bid_lots=1,
            ask=ask,
            ask_lots=1,
        )
        assert market.cache.ticker(quote) is state
        told.append(engine.touch(state, Moves.TICKER, trade.ts + 1))
    return [message for message in told if message is not None]


def close(engine: ScoringEngine, market: SmallMarket) -> list[ScoreChanged]:
    """The hour ends: scores at the close, cross-sections frozen, one message per contract."""
    market.close()
    engine.bars_closed(market.start)
    engine.freeze(market.start)
    return engine.publish(market.start)


def scores(engine: ScoringEngine, market: SmallMarket) -> list[Any]:
    rows = range(len(market.cache.states))
    return [(engine.composite(row), engine.confidence(row), engine.components(row)) for row in rows]


def restored(engine: ScoringEngine, market: SmallMarket, **settings: Any) -> ScoringEngine:
    """Another engine from a snapshot that went through msgpack, over the same market."""
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(engine.snapshot()))
    chosen = ScoringSettings(**settings)
    again = ScoringEngine(chosen, build_scorers(chosen), market.cache)
    again.restore(kept)
    return again


@pytest.mark.parametrize("contracts", [5, 12])  # the reference curves and percentiles
def test_what_thousands_of_touches_left_equals_recomputing_bit_for_bit(contracts: int) -> None:
    market = SmallMarket(seed=contracts, contracts=contracts)
    engine = started(market)
    for _ in range(5):
        play(engine, market)
        again = restored(engine, market)
        again._blend_all()  # maps and blends all rows at once from the raw values
        assert scores(again, market) == scores(engine, market)
        for row in range(contracts):
            assert again.explain_row(row, START) == engine.explain_row(row, START)
        close(engine, market)


def test_touches_reach_what_the_close_computes() -> None:
    market = SmallMarket(seed=3)
    engine = started(market)
    play(engine, market)
    market.cache.elapse(market.end)
    engine.touch_rows(market.end)
    engine.publish(market.end)
    before = [engine.components(row)[0] for row in range(12)]
    market.close()
    engine.bars_closed(market.start)
    engine.publish(market.start)
    for row, technical in enumerate(before):
        after = engine.components(row)[0]
        assert technical.name == after.name == "technical"
        assert technical.score == pytest.approx(after.score, abs=2e-6)


def test_it_tells_each_move_of_the_publish_step_once() -> None:
    market = SmallMarket(seed=4)
    engine = started(market, publish_step=0.5)
    told = {state.symbol: engine.composite(state.row) for state in market.cache.states}
    count = 0
    for _ in range(6):
        for message in [*play(engine, market), *close(engine, market)]:
            assert message.score is not None
            assert message.previous == told[message.symbol]
            assert abs(message.score - told[message.symbol]) >= 0.5
            told[message.symbol] = message.score
            count += 1
        for state in market.cache.states:
            assert abs(engine.composite(state.row) - told[state.symbol]) < 0.5
    assert count > 50


def test_contributions_add_up_by_hand() -> None:
    market = SmallMarket(seed=5)
    engine = started(market)
    play(engine, market)
    for state in market.cache.states:
        shown = engine.explain_row(state.row, market.end)
        total = 50.0 + sum(part["contribution"] for c in shown["components"] for part in c["parts"])
        assert shown["computed"] == pytest.approx(total, abs=1e-6)
        assert shown["score"] == shown["computed"]
        weights = sum(c["weight"] for c in shown["components"])
        by_hand, sure = 50.0, 0.0
        for c in shown["components"]:
            there = [p for p in c["parts"] if p["percentile"] is not None]
            score = sum(p["weight"] * p["percentile"] for p in there) / sum(p["weight"] for p in there)
            trust = sum(p["weight"] * p["freshness"] * p["maturity"] for p in there) / sum(
                p["weight"] for p in c["parts"]
            )
            assert c["score"] == pytest.approx(score)
            assert c["confidence"] == pytest.approx(trust)
            by_hand += c["weight"] * trust * (score - 50.0) / weights
            sure += c["weight"] * trust / weights
        assert shown["score"] == pytest.approx(by_hand, abs=1e-6)
        assert shown["confidence"] == pytest.approx(sure, abs=1e-6)


def test_explain_reads_as_a_sentence_and_changes_nothing() -> None:
    market = SmallMarket(seed=5)
    engine = started(market)
    before = msgspec.msgpack.encode(engine.snapshot())
    shown = engine.explain_row(0, START + 10 * NS)
    volatility = next(p for c in shown["components"] for p in c["parts"] if p["name"] == "volatility")
    assert volatility["words"] == f"less volatile than {round(volatility['percentile'])} % of contracts"
    assert volatility["value"] == pytest.approx(-100 * volatility["raw"])
    spread = next(p for c in shown["components"] for p in c["parts"] if p["name"] == "spread")
    assert spread["age_s"] == pytest.approx(9.0)
    missing = next(c for c in shown["components"] if c["name"] == "fundamental")
    assert missing["factors"] == ["open_interest is not known (weight 30 %)"]
    assert msgspec.msgpack.encode(engine.snapshot()) == before


@pytest.mark.parametrize("contracts", [5, 12])
def test_the_smallest_change_brings_the_composite_to_the_target(contracts: int) -> None:
    market = SmallMarket(seed=6, contracts=contracts)
    engine = started(market)
    applied = 0
    for state in market.cache.states:
        for target in np.arange(20.0, 81.0, 5.0).tolist():
            change = engine.smallest_change(state.row, target)
            if change is None:
                continue
            other = restored(engine, market)
            component = next(c for c in other._lineup.components if c.name == change["component"])
            index = [part.name for part in component.parts].index(change["part"])
            component.open(state.row).raw[index] = change["raw_needed"]
            other._recount(state, START)
            assert other.composite(state.row) == pytest.approx(target, abs=2e-6)
            part = component.parts[index]
            assert part.to_unit(change["raw"]) + change["change"] == pytest.approx(part.to_unit(change["raw_needed"]))
            applied += 1
    assert applied > 10
    assert engine.smallest_change(0, 150.0) is None


def test_missing_knowledge_pulls_to_neutral() -> None:
    market = SmallMarket(seed=7)
    engine = started(market)
    rows = sorted(range(12), key=engine.composite)
    for row in (rows[0], rows[-1]):
        state = market.cache.states[row]
        before, sure = engine.composite(row), engine.confidence(row)
        empty = Depth(
            ts=START + 9 * NS,
            ts_event=START + 9 * NS,
            symbol=state.symbol,
            sequence=2,
            bids=(),
            asks=(),
            source="stream",
        )
        market.cache.depth(empty)
        engine.touch(state, Moves.DEPTH, START + 9 * NS)
        assert engine.confidence(row) == pytest.approx(sure - 0.15 * 0.5)
        structure = next(c for c in engine.components(row) if c.name == "structure")
        assert structure.confidence == pytest.approx(0.5)
        assert abs(engine.composite(row) - 50) < abs(before - 50) + 0.15 * 50


def test_below_the_least_confidence_there_is_no_composite() -> None:
    market = SmallMarket(seed=8)
    engine = started(market, min_confidence=0.99)  # open interest is not known yet: C is .94
    assert all(isnan(engine.composite(row)) for row in range(12))
    assert engine.ranked([True] * 12) == []
    engine = started(market, min_confidence=0.94)
    assert not isnan(engine.composite(0))


def lose(market: SmallMarket, at: int) -> None:
    for topic in ("ticker", "execution"):
        lost: Any = topic
        market.cache.coverage(Coverage(ts=at, topic=lost, symbols=tuple(market.symbols), since=None, reason="test"))


@pytest.mark.parametrize("trial", range(4))
def test_with_inputs_frozen_and_time_passing_no_composite_rises(trial: int) -> None:
    market = SmallMarket(seed=100 + trial)
    engine = started(market, min_confidence=0.1 * trial)
    play(engine, market)
    now = market.start + HOUR - NS
    if trial % 2:
        lose(market, now)
    previous = [engine.composite(row) for row in range(12)]
    stale = vanished = 0
    for _ in range(300):
        now += 30 * NS
        for state in market.cache.sweep(now):
            stale += 1
            vanished += sum(message.score is None for message in engine.refresh([state], now))
        current = [engine.composite(row) for row in range(12)]
        for before, after in zip(previous, current, strict=True):
            assert isnan(after) or after <= before
        previous = current
    assert stale > 100
    assert vanished == 12 or trial != 3  # without trades and tickers C falls below .3


def test_while_stale_it_is_the_lower_of_computed_and_the_last_fresh() -> None:
    market = SmallMarket(seed=9)
    engine = started(market)
    play(engine, market)
    fresh = [engine.composite(row) for row in range(12)]
    now = market.end
    lose(market, now)
    now += 250 * NS
    for state in market.cache.sweep(now):
        engine.refresh([state], now)
    for symbol in market.symbols:
        state = market.state(symbol)
        shown = engine.explain_row(state.row, now)
        assert shown["stale"]
        assert shown["last_fresh"] == fresh[state.row]
        assert shown["score"] <= fresh[state.row]
        # a quote may still come: a better spread lifts the composite, never above its last fresh value
        state.spread_ew_bps = 0.01
        engine.touch(state, Moves.TICKER, now)
        shown = engine.explain_row(state.row, now)
        assert shown["score"] == pytest.approx(min(shown["computed"], fresh[state.row]), abs=1e-6)
        state.oi_change, state.oi_span_h = 9.0, 72.0  # more is known now, and it is good
        engine.touch(state, Moves.POLL, now)
    engine.freeze(now)
    capped = 0
    for row, last in enumerate(fresh):
        shown = engine.explain_row(row, now)
        assert shown["score"] == pytest.approx(min(shown["computed"], last), abs=1e-6)
        capped += shown["computed"] > last
    assert capped
    market.cache.coverage(Coverage(ts=now, topic="execution", symbols=tuple(market.symbols), since=now))
    market.cache.coverage(Coverage(ts=now, topic="ticker", symbols=tuple(market.symbols), since=now))
    market.quote(now + NS)
    for state in market.cache.sweep(now + NS):
        engine.refresh([state], now + NS)
    for state in market.cache.states:
        shown = engine.explain_row(state.row, now)
        assert not shown["stale"]
        assert shown["score"] == shown["computed"]


def test_a_message_that_makes_its_topic_fresh_is_felt_at_once() -> None:
    market = SmallMarket(seed=9)
    engine = started(market)
    lose(market, market.start + 60 * NS)
    now = market.start + 400 * NS
    for state in market.cache.sweep(now):
        engine.refresh([state], now)
    state = market.cache.states[0]
    sure = engine.confidence(0)
    market.cache.coverage(Coverage(ts=now, topic="execution", symbols=(state.symbol,), since=now))
    assert market.play(market.trade(state.symbol, state.price, 1, now)) is state
    engine.touch(state, Moves.TRADE, now)
    assert engine.confidence(0) > sure + 0.1
    assert scores(restored(engine, market), market) == scores(engine, market)


def test_a_snapshot_goes_on_with_the_same_messages() -> None:
    market = SmallMarket(seed=10)
    engine = started(market)
    play(engine, market)
    close(engine, market)
    lose(market, market.start)
    for state in market.cache.sweep(market.start + 250 * NS):
        engine.refresh([state], market.start + 250 * NS)
    again = restored(engine, market)
    assert scores(again, market) == scores(engine, market)
    count = 0
    for hour in range(3):
        for trade in market.trades():
            state = market.play(trade)
            assert state is not None
            message = engine.touch(state, Moves.TRADE, trade.ts)
            assert again.touch(state, Moves.TRADE, trade.ts) == message
            count += message is not None
        for state in market.cache.sweep(market.end):
            assert again.refresh([state], market.end) == engine.refresh([state], market.end)
        market.close()
        for one in (engine, again):
            one.bars_closed(market.start)
            one.freeze(market.start)
        assert again.publish(market.start) == engine.publish(market.start), hour
    assert count


def test_rank_is_by_composite_then_turnover_then_symbol() -> None:
    market = SmallMarket(seed=11)
    engine = started(market)
    order = engine.ranked([True] * 12)
    values = [engine.composite(row) for row in order]
    assert values == sorted(values, reverse=True)
    assert engine.ranked([row == 3 for row in range(12)]) == [3]
    for mark in engine._marks:
        mark.value = 60.0
    market.cache.states[4].turnover_24h_row = 2e9
    market.cache.states[7].turnover_24h_row = nan
    order = engine.ranked([True] * 12)
    assert order[0] == 4
    assert order[-1] == 7
    rest = [market.cache.states[row].symbol for row in order[1:-1]]
    assert rest == sorted(rest)


def test_a_doubled_count_freezes_that_part_alone() -> None:
    market = SmallMarket(seed=12)
    engine = started(market)
    assert not engine.counts_doubled()
    frozen = engine.snapshot()
    for state in market.cache.states:
        state.oi_change, state.oi_span_h = 0.01 * state.row, 24.0
        engine.touch(state, Moves.POLL, START + 60 * NS)
    assert engine.counts_doubled()
    assert engine.freeze_doubled(START + 61 * NS)
    assert not engine.counts_doubled()
    assert not engine.freeze_doubled(START + 62 * NS)
    after = engine.snapshot()
    changed = [
        (c["name"], c["parts"][i])
        for b, c in zip(frozen["components"], after["components"], strict=True)
        for i, (x, y) in enumerate(zip(b["sections"], c["sections"], strict=True))
        if x != y
    ]
    assert changed == [("fundamental", "open_interest")]
    fundamental = engine.components(0)[1]
    assert fundamental.confidence == pytest.approx(0.35 + 0.30 * 24 / 72 + 0.25 + 0.10)


def test_a_window_half_seen_has_no_value_and_maturity_grows_with_it() -> None:
    market = SmallMarket(seed=13)
    state = market.cache.states[2]
    state.hours_seen = 83.0
    engine = started(market)
    shown = {p["name"]: p for c in engine.explain_row(2, START)["components"] for p in c["parts"]}
    assert shown["max"]["raw"] is None
    assert shown["efficiency"]["raw"] is None
    assert shown["volatility"]["maturity"] == pytest.approx(83 / 144)
    state.hours_seen = 84.0
    engine.row_loaded(state)
    engine.catch_up(START)
    shown = {p["name"]: p for c in engine.explain_row(2, START)["components"] for p in c["parts"]}
    assert shown["max"]["maturity"] == 0.5
    assert shown["max"]["raw"] is not None
    assert shown["efficiency"]["raw"] is not None


def test_reconfigure_weighs_anew_and_keeps_what_stays() -> None:
    market = SmallMarket(seed=14)
    engine = started(market)
    play(engine, market)
    sections = [c["sections"] for c in engine.snapshot()["components"]]
    parts = {"rsi": 1.0, "macd": 0.0, "bollinger": 0.0, "volume": 0.0, "flow": 0.0, "stretch": 0.0}
    settings = ScoringSettings(
        components=(ScorerSettings(name="technical", weight=1.0, parts=parts), *DEFAULTS[1:3]), min_confidence=0.2
    )
    engine.reconfigure(settings, build_scorers(settings), market.end)
    assert [c["sections"] for c in engine.snapshot()["components"]] == sections[:3]
    for row in range(12):
        shown = engine.explain_row(row, market.end)
        rsi = shown["components"][0]["parts"][0]
        assert shown["components"][0]["score"] == pytest.approx(rsi["percentile"])
        assert [c["name"] for c in shown["components"]] == ["technical", "fundamental", "structure"]
        assert shown["components"][0]["share"] == pytest.approx(1.0 / 1.35)
    assert all(message.previous is not None for message in engine.publish(market.end))
    play(engine, market)
    close(engine, market)
    assert not engine.failures


def test_score_rows_carry_every_part() -> None:
    market = SmallMarket(seed=15)
    engine = started(market)
    row = engine.score_row(0, 3)
    assert row.rank == 3
    assert row.score == engine.composite(0)
    raw, pct, weight = row.parts["risk.volatility"]
    assert raw is not None
    assert raw < 0 < (pct or 0)
    assert weight == 0.4
    assert row.parts["fundamental.open_interest"] == (None, None, 0.3)
    assert len(row.parts) == 19


def test_a_contract_listed_later_is_scored_after_its_history() -> None:
    market = SmallMarket(seed=16, contracts=9)
    engine = started(market)
    contract = msgspec.structs.replace(market.cache.states[0].contract, symbol="NEWUSDTM")
    from_listing = market.cache.add(contract)
    quote = Ticker(ts=START, ts_event=START, symbol="NEWUSDTM", sequence=1, bid=1.0, bid_lots=1, ask=1.1, ask_lots=1)
    assert market.cache.ticker(quote) is from_listing
    assert engine.touch(from_listing, Moves.TICKER, START) is None
    assert isnan(engine.composite(9))
    assert engine.confidence(9) == 0.0  # nothing is taken while no composite can come of it, but it is shown
    shown = {p["name"]: p for c in engine.explain_row(9, START)["components"] for p in c["parts"]}
    assert shown["spread"]["value"] == pytest.approx(952.38, abs=0.01)
    assert shown["spread"]["contribution"] == 0.0
    for interval_s, count in ((HOUR_S, 200), (DAY_S, 40)):
        step = interval_s * NS
        until = START // step * step
        bars = tuple((until - (count - k) * step, 1.0, 1.2, 0.9, 1.0 + k % 3 / 50, 10.0, 10.0) for k in range(count))
        since = until - count * step
        load = Bars(
            ts=START, symbol="NEWUSDTM", interval_s=interval_s, since=since, until=until, as_of=START, rows=bars
        )
        assert market.cache.load(load) is from_listing
    engine.row_loaded(from_listing)
    (message,) = engine.catch_up(START)
    assert (message.symbol, message.previous, message.score) == ("NEWUSDTM", None, engine.composite(9))
    assert engine.components(9)[2].confidence == pytest.approx(0.30 + 0.20)  # spread and efficiency
