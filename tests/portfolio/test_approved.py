"""What an approved signal may do to the book, and each limit that stops it, by name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.portfolio.builders import DAY, HOUR, T0, manager, standing, standings
from zmart_stream.domain.commands import BlockSymbol, PinHolding, RemoveHolding
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.portfolio.approved import Action
from zmart_stream.portfolio.economics import Leg, price_leg
from zmart_stream.portfolio.symbols import SymbolManager

HELD = {"A": 80.0, "B": 60.0}
LATER = T0 + DAY


def wide(symbol: str) -> Leg:
    return price_leg(symbol, taker_fee=6e-4, spread_bps=0.0, impact_bps=0.0)


def held(places: int = 2, **settings: Any) -> SymbolManager:
    book = manager(price=wide, max_symbols=places, **settings)
    book.first_fill(T0, standings(dict(HELD)))
    return book


def act(
    book: SymbolManager, action: Action, symbol: str, out: str | None = None, *, ts: int = LATER, **scores: float
) -> PortfolioChange:
    field = standings({**HELD, "N": 67.0, **scores})
    (change,) = book.act(ts, action, symbol, out, signal_id="01-x", standings=field)
    assert isinstance(change, PortfolioChange)
    assert (change.reason, change.who) == ("signal", "signal:01-x")
    return change


def stopped(book: SymbolManager, *args: Any, **other: Any) -> str:
    before = book.portfolio
    with pytest.raises(CommandRefusedError) as refused:
        act(book, *args, **other)
    assert book.portfolio == before
    return refused.value.code


def test_a_buy_fills_a_free_place_at_once() -> None:
    book = held(3)
    change = act(book, "ADD", "N", ts=T0 + 1)
    assert (change.kind, change.symbol_in, change.numbers) == ("add", "N", {"score_in": 67.0, "entry_score": 50.0})
    assert [h.symbol for h in book.portfolio.holdings] == ["A", "N", "B"]
    assert stopped(book, "ADD", "N") == "already_in_book"


def test_a_buy_into_a_place_that_a_removal_left_counts_as_a_swap() -> None:
    book = held(max_swaps_per_day=1)
    act(book, "REMOVE", "B")
    assert act(book, "ADD", "N").numbers["swaps_left"] == 0
    act(book, "REMOVE", "N")
    assert stopped(book, "ADD", "M", M=90.0) == "swap_limit"
    assert act(book, "ADD", "M", ts=LATER + DAY, M=90.0).symbol_in == "M"


def test_a_buy_needs_half_the_margin_and_adds_its_points_to_what_pays() -> None:
    book = held()
    assert stopped(book, "REPLACE", "N", "B", N=65.9) == "replace_margin"
    change = act(book, "REPLACE", "N", "B", N=66.0)  # (6 + 5) points × 2 bps against 1.25 × 12 bps
    assert (change.kind, change.symbol_in, change.symbol_out) == ("replace", "N", "B")
    assert (change.numbers["gap"], change.numbers["gap_paid"]) == (6.0, 11.0)
    assert (change.numbers["earns_bps"], change.numbers["needs_bps"]) == (22.0, 15.0)
    assert (change.numbers["replace_margin"], change.numbers["swaps_left"]) == (6.0, 3)


def test_a_buy_that_does_not_pay_is_stopped_with_its_figures() -> None:
    book = held(signal_points=1.0)
    with pytest.raises(CommandRefusedError) as refused:
        act(book, "REPLACE", "N", "B", N=66.4)
    assert refused.value.code == "does_not_pay"
    numbers: Any = refused.value.facts["numbers"]
    assert (numbers["gap_paid"], numbers["needs_bps"]) == (7.4, 15.0)


@pytest.mark.parametrize(
    ("args", "other", "code"),
    [
        (("ADD", "N"), {}, "book_full"),
        (("ADD", "NONE"), {}, "unknown_symbol"),
        (("REPLACE", "NONE", "B"), {}, "unknown_symbol"),
        (("REPLACE", "A", "B"), {}, "already_in_book"),
        (("REPLACE", "N", "M"), {}, "not_in_book"),
        (("REMOVE", "N"), {}, "not_in_book"),
        (("REPLACE", "N", "B"), {"ts": LATER - 1}, "min_hold"),
        (("REPLACE", "N", "B"), {"N": 49.9, "B": 20.0}, "entry_score"),
    ],
)
def test_each_limit_has_its_name(args: Any, other: Any, code: str) -> None:
    assert stopped(held(), *args, **other) == code


def test_the_days_limit_holds_for_signals() -> None:
    assert stopped(held(max_swaps_per_day=0), "REPLACE", "N", "B") == "swap_limit"


def test_gates_caps_and_blocks_hold_for_signals() -> None:
    book = held()
    shut = {**standings(dict(HELD)), "N": standing("N", 90.0, spread_bps=16.0)}
    with pytest.raises(CommandRefusedError) as refused:
        book.act(LATER, "REPLACE", "N", "B", signal_id="s", standings=shut)
    assert refused.value.code == "not_eligible"
    twin = manager(lambda _a, _b: 1.0, price=wide, max_symbols=2)
    twin.first_fill(T0, standings({"A": 80.0}))
    with pytest.raises(CommandRefusedError) as refused:
        twin.act(LATER, "ADD", "N", signal_id="s", standings=standings({"A": 80.0, "N": 90.0}))
    assert refused.value.code == "cap_reached"
    book.command(BlockSymbol(ts=LATER, request_id="r", symbol="N"), shut)
    assert stopped(book, "REPLACE", "N", "B") == "blocked"


def test_a_sell_overrides_the_age_and_not_a_pin() -> None:
    book = held()
    book.command(PinHolding(ts=T0, request_id="r", symbol="A"), standings(dict(HELD)))
    assert stopped(book, "REMOVE", "A") == "pinned"
    assert stopped(book, "REPLACE", "N", "A", N=99.0) == "pinned"
    change = act(book, "REMOVE", "B", ts=T0 + HOUR)
    assert (change.kind, change.symbol_out, change.numbers) == ("remove", "B", {"score_out": 60.0, "held_h": 1.0})


def test_what_left_is_barred_for_its_time_and_by_an_operator_for_good() -> None:
    book = held()
    act(book, "REMOVE", "B", ts=T0 + HOUR)
    assert stopped(book, "ADD", "B", ts=T0 + 24 * HOUR) == "barred"
    assert act(book, "ADD", "B", ts=T0 + 25 * HOUR).symbol_in == "B"
    book.command(RemoveHolding(ts=LATER, request_id="r", symbol="B"), standings(dict(HELD)))
    assert stopped(book, "ADD", "B", ts=LATER + 90 * DAY) == "barred"


def test_signals_wait_while_the_book_holds_and_act_with_the_machine_off() -> None:
    book = held()
    book.hold.begin("paused")
    assert stopped(book, "REMOVE", "B") == "holding"
    off = held(automatic=False)
    assert off.portfolio.holdings  # the first fill was asked for by hand here
    assert act(off, "REMOVE", "B").symbol_out == "B"
    assert act(off, "ADD", "N").symbol_in == "N"


def test_a_replacement_without_a_holding_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="names no holding"):
        act(held(), "REPLACE", "N")
