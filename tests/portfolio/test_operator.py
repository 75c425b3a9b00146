"""Pins, blocks, and what operators may do, to whom, and when."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.portfolio.builders import HOUR, T0, manager, standing, standings
from zmart_stream.domain.commands import (
    AddHolding,
    BlockSymbol,
    PinHolding,
    RemoveHolding,
    ReplaceHolding,
    UnblockSymbol,
    UnpinHolding,
)
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.settings import CoreSettings, PortfolioSettings
from zmart_stream.portfolio.symbols import SymbolManager

HELD = {"A": 80.0, "B": 70.0, "C": 60.0}
WELL = standings({**HELD, "N": 55.0})


def held(**settings: Any) -> SymbolManager:
    book = manager(max_symbols=3, min_hold_s=0.0, confirm=1, **settings)
    book.first_fill(T0, standings(dict(HELD)))
    return book


def changes(told: list[Message]) -> list[PortfolioChange]:
    return [message for message in told if isinstance(message, PortfolioChange)]


def asked(book: SymbolManager, kind: Any, field: Any = None, **named: str) -> list[PortfolioChange]:
    base: dict[str, Any] = {"ts": T0 + 1, "request_id": "r", "who": "anna", "note": "why not"}
    return changes(book.command(kind(**base, **named), WELL if field is None else field))


def refusal(book: SymbolManager, kind: Any, field: Any = None, **named: str) -> CommandRefusedError:
    before = book.portfolio
    with pytest.raises(CommandRefusedError) as refused:
        asked(book, kind, field, **named)
    assert book.portfolio == before
    return refused.value


def test_a_pin_is_a_change_with_a_name_and_comes_once() -> None:
    book = held()
    (change,) = asked(book, PinHolding, symbol="C")
    assert (change.kind, change.reason, change.who, change.note) == ("pin", "operator", "anna", "why not")
    assert (change.symbol_in, change.symbol_out, change.numbers) == (None, None, {"symbol": "C", "score": 60.0})
    assert [(h.symbol, h.pinned) for h in change.before.holdings] == [("A", False), ("B", False), ("C", False)]
    assert [(h.symbol, h.pinned) for h in change.after.holdings] == [("A", False), ("B", False), ("C", True)]
    assert asked(book, PinHolding, symbol="C") == []
    assert [c.kind for c in asked(book, UnpinHolding, symbol="C")] == ["unpin"]
    assert asked(book, UnpinHolding, symbol="C") == []
    assert refusal(book, PinHolding, symbol="N").code == "not_in_book"


def test_the_machine_neither_replaces_nor_removes_what_is_pinned() -> None:
    book = held()
    asked(book, PinHolding, symbol="C")
    ill = {**standings({"A": 80.0, "B": 70.0, "N": 99.0}), "C": standing("C", 5.0, spread_bps=99.0)}
    told = [changes(book.close(T0 + n * HOUR, ill)) for n in range(1, 6)]
    assert [(c.symbol_in, c.symbol_out) for made in told for c in made] == [("N", "B")]
    pinned = book.holding("C")
    assert pinned is not None
    assert (pinned.replacement_candidate, pinned.flags) == (False, ("below_exit", "not_eligible"))
    assert book.outlook(T0, ill, "C").target is None
    asked(book, UnpinHolding, ill, symbol="C")
    assert [c.reason for c in changes(book.close(T0 + 7 * HOUR, ill))] == ["not_eligible"]


def test_a_pin_ends_with_the_contract() -> None:
    book = held()
    asked(book, PinHolding, symbol="C")
    gone = {**WELL, "C": standing("C", 60.0, status="Settled")}
    assert [c.reason for c in changes(book.gone(T0 + 2, "C", gone))] == ["delisted"]
    book = held()
    asked(book, PinHolding, symbol="C")
    assert [c.reason for c in changes(book.close(T0 + HOUR, gone))] == ["delisted"]


def test_an_operator_removes_and_replaces_what_is_pinned() -> None:
    book = held()
    asked(book, PinHolding, symbol="B")
    asked(book, PinHolding, symbol="C")
    assert [(c.symbol_out, c.numbers["pinned"]) for c in asked(book, RemoveHolding, symbol="C")] == [("C", "yes")]
    assert [c.symbol_in for c in asked(book, ReplaceHolding, symbol_out="B", symbol_in="N")] == ["N"]


def test_shrinking_takes_the_weakest_and_the_pinned_last() -> None:
    book = held()
    asked(book, PinHolding, symbol="C")
    book.reconfigure(CoreSettings(portfolio=PortfolioSettings(max_symbols=1)), revision=4)
    told = changes(book.close(T0 + HOUR, WELL))
    assert [(c.kind, c.symbol_out, c.revision) for c in told] == [("resize", "B", 4), ("resize", "A", 4)]
    assert told[0].numbers == {"max_symbols": 1, "holdings": 3, "score_out": 70.0}
    assert [h.symbol for h in book.portfolio.holdings] == ["C"]


def test_a_smaller_book_shrinks_though_the_machine_is_off_and_a_larger_one_fills_by_the_rule() -> None:
    book = held()
    book.reconfigure(CoreSettings(portfolio=PortfolioSettings(max_symbols=2, automatic=False)), revision=2)
    assert [c.symbol_out for c in changes(book.close(T0 + HOUR, WELL))] == ["C"]
    book.reconfigure(CoreSettings(portfolio=PortfolioSettings(max_symbols=4, max_swaps_per_day=0)), revision=3)
    field = standings({**HELD, "N": 55.0, "M": 54.0})
    told = [changes(book.close(T0 + n * HOUR, field)) for n in range(2, 5)]
    assert [[(c.reason, c.symbol_in) for c in made] for made in told] == [[], [("fill", "N"), ("fill", "M")], []]


def test_places_that_shrinking_took_are_not_refilled_as_swaps_after_a_restart() -> None:
    book = held()
    small, large = (CoreSettings(portfolio=PortfolioSettings(max_symbols=places)) for places in (1, 5))
    book.reconfigure(small, revision=2)
    told = changes(book.close(T0 + HOUR, WELL))
    again = held()
    again.reconfigure(large, revision=3)
    again.adopt(book.portfolio, told)
    assert again.memory.vacated == 0


def test_a_block_shuts_a_gate_and_a_holding_leaves_after_its_grace() -> None:
    book = held()
    (change,) = asked(book, BlockSymbol, symbol="C")
    assert (change.kind, change.reason, change.who) == ("block", "operator", "anna")
    assert (change.before.blocked, change.after.blocked) == ((), ("C",))
    assert change.numbers == {"symbol": "C", "score": 60.0}
    assert asked(book, BlockSymbol, symbol="C") == []
    gate = next(gate for gate in book.gates(WELL["C"]) if gate.name == "blocked")
    assert (gate.ok, gate.value, gate.limit) == (False, True, False)
    assert not book.is_eligible(WELL["C"])
    assert book.eligible(WELL) == [True, True, False, True]
    told = [changes(book.close(T0 + n * HOUR, WELL)) for n in range(1, 6)]
    assert [[(c.reason, c.symbol_out) for c in made] for made in told[:2]] == [[], [("not_eligible", "C")]]
    assert told[1][0].numbers["blocked"] == "yes"
    assert msgspec.json.decode(msgspec.json.encode(told[1][0]), type=PortfolioChange) == told[1][0]
    assert [h.symbol for h in book.portfolio.holdings] == ["A", "B", "N"]


def test_a_blocked_contract_stays_out_until_it_is_unblocked() -> None:
    book = manager(max_symbols=3, fill_confirm=1)
    book.first_fill(T0, standings({"A": 80.0}))
    asked(book, BlockSymbol, symbol="B")
    field = standings({"A": 80.0, "B": 70.0})
    assert all(changes(book.close(T0 + n * HOUR, field)) == [] for n in range(1, 5))
    book.reconfigure(CoreSettings(portfolio=PortfolioSettings(max_symbols=3, fill_confirm=1)), revision=2)
    refused = refusal(book, AddHolding, field, symbol="B")
    assert refused.code == "blocked"
    assert refused.facts["gates"] == [{"name": "blocked", "ok": False, "value": True, "limit": False}]
    assert book.outlook(T0, field, "B").target is None
    (change,) = asked(book, UnblockSymbol, field, symbol="B")
    assert (change.kind, change.before.blocked, change.after.blocked) == ("unblock", ("B",), ())
    assert asked(book, UnblockSymbol, field, symbol="B") == []
    assert [c.symbol_in for c in changes(book.close(T0 + 9 * HOUR, field))] == ["B"]


def test_unblocking_lets_the_machine_take_again_what_an_operator_removed() -> None:
    book = held(fill_confirm=1)
    asked(book, RemoveHolding, symbol="C")
    field = standings(dict(HELD))
    assert changes(book.close(T0 + HOUR, field)) == []
    (change,) = asked(book, UnblockSymbol, field, symbol="C")
    assert (change.kind, change.numbers["barred"]) == ("unblock", "yes")
    assert [c.symbol_in for c in changes(book.close(T0 + 2 * HOUR, field))] == ["C"]


def test_a_pin_and_a_block_exclude_each_other() -> None:
    book = held()
    asked(book, PinHolding, symbol="C")
    assert refusal(book, BlockSymbol, symbol="C").code == "pinned"
    asked(book, BlockSymbol, symbol="B")
    assert refusal(book, PinHolding, symbol="B").code == "blocked"
    assert refusal(book, BlockSymbol, symbol="NONE").code == "unknown_symbol"
    assert refusal(book, UnblockSymbol, symbol="NONE").code == "unknown_symbol"
    asked(book, BlockSymbol, symbol="N")
    assert asked(book, UnblockSymbol, standings(dict(HELD)), symbol="N")  # it left the list meanwhile


def test_refusals_carry_their_figures() -> None:
    book = held()
    bad = {**WELL, "N": standing("N", 55.0, live=False, spread_bps=16.0)}
    refused = refusal(book, ReplaceHolding, bad, symbol_out="C", symbol_in="N")
    assert refused.facts == {
        "gates": [
            {"name": "spread_bps", "ok": False, "value": 16.0, "limit": 15.0},
            {"name": "feed_live", "ok": False, "value": False, "limit": True},
        ]
    }
    assert refusal(book, AddHolding, symbol="N").facts == {"max_symbols": 3}


def test_caps_judge_a_replacement_by_the_book_as_it_would_be() -> None:
    field = standings({**HELD, "N": 55.0}, sector="L1")
    book = manager(max_symbols=4, max_per_sector=3)
    book.first_fill(T0, standings(dict(HELD), sector="L1"))
    refused = refusal(book, AddHolding, field, symbol="N")
    assert (refused.code, refused.facts["cap"]) == ("cap_reached", "sector")
    assert refused.facts["numbers"] == {"sector": "L1", "held": 3, "max_per_sector": 3}
    assert [c.symbol_in for c in asked(book, ReplaceHolding, field, symbol_out="C", symbol_in="N")] == ["N"]


def test_a_replacement_by_an_operator_says_what_it_costs() -> None:
    (change,) = asked(held(), ReplaceHolding, symbol_out="A", symbol_in="N")
    assert change.numbers["gap"] == -25.0
    assert change.numbers["needs_bps"] == 0.0


STILL = {"symbol": "A"}
TRADES = [
    (AddHolding, {"symbol": "N"}),
    (RemoveHolding, STILL),
    (ReplaceHolding, {"symbol_out": "A", "symbol_in": "N"}),
]
NOTES = [(PinHolding, STILL), (BlockSymbol, STILL)]


@pytest.mark.parametrize(("command", "named"), TRADES + NOTES)
@pytest.mark.parametrize("cause", ["paused", "storage", "venue_status", "universe_live", "gap"])
def test_a_hold_stops_operators_only_where_its_cause_bears_on_them(command: Any, named: Any, cause: Any) -> None:
    book = manager(max_symbols=4)
    book.first_fill(T0, standings(dict(HELD)))
    book.hold.begin(cause, "so it is")
    if cause == "storage" or (cause == "venue_status" and (command, named) in TRADES):
        refused = refusal(book, command, **named)
        assert (refused.code, str(refused)) == ("holding", f"the book holds ({cause}: so it is)")
    else:
        assert len(asked(book, command, **named)) == 1


@pytest.mark.parametrize(("command", "named"), TRADES)
@pytest.mark.parametrize("cause", ["universe_live", "gap"])
def test_in_an_outage_nothing_leaves_at_a_price_that_nobody_sees(command: Any, named: Any, cause: Any) -> None:
    book = manager(max_symbols=4)
    book.first_fill(T0, standings(dict(HELD)))
    dark = {**WELL, **standings({"A": 80.0, "N": 55.0}, live=False)}
    book.hold.begin(cause)
    codes = {"AddHolding": "not_eligible"}
    assert refusal(book, command, dark, **named).code == codes.get(command.__name__, "holding")
    book.hold.end(cause)
    if command is RemoveHolding:
        assert len(asked(book, command, dark, **named)) == 1


def test_pins_and_blocks_survive_snapshot_and_history() -> None:
    book = held()
    early = book.snapshot()
    told = [
        *asked(book, PinHolding, symbol="A"),
        *asked(book, BlockSymbol, symbol="N"),
        *asked(book, RemoveHolding, symbol="C"),
    ]
    told += asked(book, UnblockSymbol, symbol="C")
    late = held()
    late.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(book.snapshot())))
    behind, bare = held(), manager(max_symbols=3)
    behind.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(early)))
    stored = msgspec.json.decode(msgspec.json.encode(told), type=list[PortfolioChange])
    behind.adopt(told[-1].after, stored)
    bare.adopt(told[-1].after, stored)
    for again in (late, behind, bare):
        assert again.portfolio == book.portfolio
        assert not again.is_eligible(WELL["N"])
        assert refusal(again, BlockSymbol, symbol="A").code == "pinned"
        assert not again.memory.is_barred("C", T0 + 2)
        assert again.memory.vacated == 1
        again.check()


def test_a_reserve_of_cash_is_kept_and_told() -> None:
    book = manager(max_symbols=3, cash=10.0, max_weight=40.0)
    book.first_fill(T0, standings(dict(HELD)))
    assert [h.weight for h in book.portfolio.holdings] == [30.0, 30.0, 30.0]
    assert [(reason.code, reason.numbers) for reason in book.cash_reasons] == [("reserve", {"kept": 10.0})]
