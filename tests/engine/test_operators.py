"""Operators' words about contracts, through the core: answered, in the way of the rules, and not lost by a kill."""

from __future__ import annotations

from tests.engine.stream import HOUR
from tests.engine.test_engine import CLOSE, GRACE, make, of, packed, started
from zmart_stream.domain.commands import (
    AddHolding,
    BlockSymbol,
    CommandDone,
    Pause,
    PinHolding,
    RemoveHolding,
    UnblockSymbol,
)
from zmart_stream.domain.market import Tick
from zmart_stream.domain.portfolio import BookTraded, PortfolioChange


def test_blocks_and_pins_are_answered_and_a_kill_forgets_none() -> None:
    engine, _, _ = started()
    snapshot = packed(engine.snapshot(full=True))
    held = [holding.symbol for holding in engine.symbols.portfolio.holdings]
    told = engine.process(PinHolding(ts=engine.now, request_id="1", who="anna", symbol=held[0]))
    told += engine.process(BlockSymbol(ts=engine.now, request_id="2", who="anna", symbol=held[1], note="lawsuit"))
    assert [type(message) for message in told] == [PortfolioChange, CommandDone] * 2  # nothing is traded
    told += engine.process(PinHolding(ts=engine.now, request_id="3", symbol=held[0]))
    assert of(CommandDone, told)[-1].detail == "nothing to change"
    again = make(session=2)
    again.restore(snapshot)
    again.restore_book(engine.symbols.portfolio, of(PortfolioChange, told))
    for core in (engine, again):
        pinned, blocked = core.explain(held[0]), core.explain(held[1])
        assert (pinned["rules"]["pinned"], pinned["holding"]["pinned"]) == (True, True)
        assert (blocked["rules"]["blocked"], blocked["eligible"]) == (True, False)
        assert [gate["name"] for gate in blocked["gates"] if not gate["ok"]] == ["blocked"]
        assert blocked["rank"] is None
        assert list(core.portfolio()["blocked"]) == [held[1]]


def test_a_refusal_tells_the_gates_that_are_shut() -> None:
    engine, _, _ = started()
    symbol = engine.symbols.portfolio.holdings[0].symbol
    engine.process(RemoveHolding(ts=engine.now, request_id="1", symbol=symbol))
    engine.process(BlockSymbol(ts=engine.now, request_id="2", symbol=symbol))
    (done,) = of(CommandDone, engine.process(AddHolding(ts=engine.now, request_id="3", symbol=symbol)))
    assert (done.accepted, done.code) == (False, "blocked")
    assert done.facts["gates"] == [{"name": "blocked", "ok": False, "value": True, "limit": False}]
    told = engine.process(UnblockSymbol(ts=engine.now, request_id="4", symbol=symbol))
    assert [change.numbers["barred"] for change in of(PortfolioChange, told)] == ["yes"]
    assert of(CommandDone, engine.process(AddHolding(ts=engine.now, request_id="5", symbol=symbol)))[0].accepted


def test_an_operator_works_on_a_paused_book_and_the_machine_weighs_it_later() -> None:
    engine, _, _ = started()
    engine.process(Pause(ts=engine.now, request_id="1"))
    symbol = engine.symbols.portfolio.holdings[-1].symbol
    told = engine.process(RemoveHolding(ts=engine.now, request_id="2", symbol=symbol))
    assert [change.kind for change in of(PortfolioChange, told)] == ["remove"]
    assert len(of(BookTraded, told)) == 1
    assert round(sum(holding.weight for holding in engine.symbols.portfolio.holdings), 2) == 100.0
    engine.symbols.check()
    told = engine.process(Tick(ts=CLOSE + GRACE + HOUR))
    assert of(PortfolioChange, told) == []
