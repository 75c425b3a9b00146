"""What agents see of market and book, against plain formulas over the same rings."""

from __future__ import annotations

from math import isnan, sqrt

import msgspec
import numpy as np
import pytest

from tests.engine.stream import DAY, HOUR, NS, T0, Session
from tests.engine.test_engine import AFTER, CLOSE, feed
from tests.engine.test_signals import core, outside, started, symbols_held
from zmart_stream.domain.commands import PinHolding
from zmart_stream.domain.market import Tick
from zmart_stream.domain.signals import Plan
from zmart_stream.engine.engine import Engine
from zmart_stream.engine.ids import symbol_id
from zmart_stream.market.bars import Field
from zmart_stream.market.contract_state import Moves
from zmart_stream.scoring.registry import build_scorers


def hour_returns(engine: Engine, symbol: str) -> np.ndarray:
    close = engine.market.hours.ring.column(engine.market.by_symbol[symbol].row)[Field.CLOSE]
    return close[1:] / close[:-1] - 1.0


def ew_moments(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(covariance, correlation), weights halving every 72 hours, by NumPy's own."""
    weights = 2.0 ** (-np.arange(len(x) - 1, -1, -1) / 72.0)
    covariance = np.cov(np.stack([x, y]), aweights=weights, ddof=0)
    return float(covariance[0, 1]), float(covariance[0, 1] / sqrt(covariance[0, 0] * covariance[1, 1]))


def test_correlation_is_with_the_rest_of_the_book_by_weight() -> None:
    engine, _ = started(core())
    view = engine.judging.view
    new, held = outside(engine), symbols_held(engine)[0]
    for symbol, without in ((new, None), (held, None), (new, held)):
        rest = [h for h in engine.symbols.portfolio.holdings if h.symbol not in (symbol, without)]
        total = sum(h.weight for h in rest)
        book = sum(hour_returns(engine, h.symbol) * h.weight / total for h in rest)
        assert isinstance(book, np.ndarray)
        found = view.correlation(symbol, without)
        assert found == pytest.approx(ew_moments(hour_returns(engine, symbol), book)[1], rel=1e-9)
    assert isnan(view.correlation("NOSUCH"))


def test_value_at_risk_before_and_after_a_replacement_and_a_removal() -> None:
    engine, _ = started(core())
    view, new = engine.judging.view, outside(engine)
    weights = {h.symbol: h.weight for h in engine.symbols.portfolio.holdings}

    def var(book: dict[str, float]) -> float:
        series = sum(hour_returns(engine, symbol) * weight for symbol, weight in book.items())
        assert isinstance(series, np.ndarray)
        return 1.6448536 * sqrt(24.0 * ew_moments(series, series)[0])

    out = symbols_held(engine)[1]
    told = view.var_after(Plan(action="REPLACE", symbol=new, symbol_out=out))
    assert told is not None
    assert told.before == pytest.approx(var(weights), rel=1e-7)
    after = {**{s: w for s, w in weights.items() if s != out}, new: weights[out]}
    assert told.after == pytest.approx(var(after), rel=1e-7)
    told = view.var_after(Plan(action="REMOVE", symbol=out))
    assert told is not None
    rest = {s: w for s, w in weights.items() if s != out}
    assert told.after == pytest.approx(var({s: w * 100.0 / sum(rest.values()) for s, w in rest.items()}), rel=1e-7)


def test_the_contracts_order_is_that_of_the_ranking_also_among_equals() -> None:
    engine, _ = started(core())
    scoring = engine.scoring
    for mark in scoring._marks[3:9]:
        mark.value = 61.25
    assert list(scoring.best_first()) == scoring.ranked([True] * len(engine.market.states))


def test_best_candidate_and_weakest_are_the_books_own() -> None:
    engine, _ = started(core())
    view, symbols = engine.judging.view, engine.symbols
    standings = engine.standings()
    weakest = min(symbols.portfolio.holdings, key=lambda h: standings[h.symbol].score or 0.0)
    found = view.weakest()
    assert found is not None
    assert found.symbol == weakest.symbol
    field = symbols.field(engine.now, standings)
    best = field.best(symbols_held(engine), symbols.memory, instead_of=weakest.symbol)
    assert best is not None
    assert view.best_candidate() == best.symbol
    assert view.replaceable_by(best.symbol) == weakest
    engine.process(PinHolding(ts=engine.now, request_id="p", symbol=weakest.symbol))
    other = view.weakest()
    assert other is not None
    assert other.symbol != weakest.symbol
    assert view.replaceable_by(best.symbol) == other


def test_a_holding_too_young_is_nobodys_place_and_the_sector_cap_picks_another() -> None:
    engine, _ = started(core(book={"min_hold_s": 3600.0}))
    view, new = engine.judging.view, outside(engine)
    assert view.replaceable_by(new) is None
    assert view.best_candidate() == new, "the book will say what stops it"
    engine, _ = started(core(book={"max_per_sector": 2, "max_symbols": 8}))
    view = engine.judging.view
    sectors = {state.symbol: state.contract.sector for state in engine.market.states}
    held = symbols_held(engine)
    full = next(s for s in held if sectors[s] and sum(sectors[x] == sectors[s] for x in held) == 2)
    same = next(s for s in engine.ranked_symbols() if s not in held and sectors[s] == sectors[full])
    out = view.replaceable_by(same)
    assert out is not None
    assert sectors[out.symbol] == sectors[full]
    assert "sector" in (view.cap_breach(same) or "")
    assert view.cap_breach(same, instead_of=full) is None


def test_the_price_of_a_swap_is_the_books_own_with_the_bonus() -> None:
    engine, _ = started(core(book={"bps_per_point": 2.0, "cost_safety": 1.25}))
    view, new, out = engine.judging.view, outside(engine), symbols_held(engine)[-1]
    told = view.swap_cost(out, new)
    verdict = engine.symbols.swap_verdict(out, new, engine.standings(), extra_points=5.0)
    assert (told.pays, told.cost_bps, told.needs_bps) == (verdict.pays, verdict.cost_bps, verdict.needs_bps)
    assert told.gap == pytest.approx(verdict.gap, abs=1e-6)
    leg = engine._stages.paper.leg(new)
    assert view.cost_bps(new) == pytest.approx(leg.fee_bps + leg.half_spread_bps + leg.impact_bps)


def test_scores_of_earlier_closes_and_parts_of_now() -> None:
    engine, session = started(core())
    view, symbol = engine.judging.view, session.contracts[4].symbol
    assert view.before(symbol, "composite", 0) is None
    seen = []
    for hour in range(6):
        end = CLOSE + hour * HOUR
        feed(engine, [*session.run(engine.now, end, 60 * NS), Tick(ts=end + AFTER)])
        component = view.component(symbol, "risk")
        assert component is not None
        seen.append((view.composite(symbol), component.score))
    for bars in range(5):
        composite, risk = seen[-1 - bars]
        # the tick that closed came a little after the close: nothing moved between them
        assert view.before(symbol, "composite", bars) == pytest.approx(composite, abs=1e-4)
        assert view.before(symbol, "risk", bars) == pytest.approx(risk, abs=1e-4)
    assert view.before(symbol, "composite", 5) is None
    assert view.before(symbol, "nosuch") is None
    part = view.part(symbol, "risk.volatility")
    state = engine.market.by_symbol[symbol]
    assert part is not None
    assert part.raw == pytest.approx(-view.volatility(symbol) / sqrt(24.0) * sqrt(8760.0), rel=0.05)
    assert 0.0 <= part.pct <= 100.0
    assert (part.freshness, part.age_s) == (1.0, view.age_s(symbol, Moves.TRADE))
    assert view.age_s(symbol, Moves.TICKER) == (engine.now - state.ticker_ts) / NS
    assert view.part(symbol, "risk.nosuch") is None


def test_bars_are_those_of_the_ring_and_end_with_the_newest() -> None:
    engine, session = started(core())
    view, symbol = engine.judging.view, session.contracts[2].symbol
    ring = engine.market.hours.ring.column(engine.market.by_symbol[symbol].row)
    bars = view.hour_bars(symbol, 24)
    assert bars.end == T0 // HOUR * HOUR
    assert bars.close.tolist() == ring[Field.CLOSE, -24:].tolist()
    assert bars.turnover.tolist() == ring[Field.TURNOVER, -24:].tolist()
    days = view.day_bars(symbol, 500)
    assert (days.end, len(days.high)) == (T0 // DAY * DAY, 60)
    with pytest.raises(KeyError):
        view.day_bars("NOSUCH", 1)


def test_contracts_are_found_by_symbol_and_uuid_also_ones_listed_later() -> None:
    with_settings = core()
    engine, session = Engine(with_settings, build_scorers(with_settings.scoring)), Session(3)
    messages = list(session.start())
    engine.process(messages[0])
    view = engine.judging.view
    first, last = session.contracts[0].symbol, session.contracts[-1].symbol
    assert (view.find(first), view.find(symbol_id(first)), view.find(symbol_id(last))) == (first, first, None)
    feed(engine, messages[1:])
    assert view.find(symbol_id(last)) == last
    assert view.find("nosuch") is None


def test_a_price_an_hour_ago_is_the_mark_and_an_older_one_that_hours_close() -> None:
    engine, session = started(core())
    view, symbol = engine.judging.view, session.contracts[2].symbol
    assert view.price_at(symbol, engine.now - 1800 * NS) == view.mark(symbol)
    close = view.hour_bars(symbol, 5).close
    at = T0 // HOUR * HOUR - 3 * HOUR + 600 * NS
    assert view.price_at(symbol, at) == close[-3]
    assert isnan(view.price_at(symbol, T0 - 400 * DAY)), "an outcome is not measured by what came long after"
    not_closed = engine.now - HOUR - NS
    assert view.price_at(symbol, not_closed) in (view.mark(symbol), close[-1])
    assert isnan(view.price_at("NOSUCH", at))


def test_the_view_reads_and_never_writes() -> None:
    engine, _ = started(core())
    before = msgspec.msgpack.encode(engine.snapshot(full=True))
    view = engine.judging.view
    for symbol in view.symbols():
        view.correlation(symbol)
        view.replaceable_by(symbol)
        view.part(symbol, "structure.spread")
        view.var_after(Plan(action="ADD", symbol=symbol))
        view.swap_cost(symbols_held(engine)[0], symbol)
    view.best_candidate()
    assert msgspec.msgpack.encode(engine.snapshot(full=True)) == before
