"""A machine's swap must pay: what does not is refused with its figures, for whoever asks and across a restart."""

from __future__ import annotations

from math import nan
from typing import Any

import msgspec
import pytest

from tests.portfolio.builders import HOUR, T0, manager, standings
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.settings import CoreSettings, PortfolioSettings
from zmart_stream.portfolio.economics import Leg, price_leg
from zmart_stream.portfolio.symbols import SymbolManager

HELD = {"A": 80.0, "B": 60.0}
SPREADS = {"A": 4.0, "B": 4.0, "N": 14.0, "M": 14.0}
"""bps; fee 6 and half of it a trade: A, B cost 8 bps, N, M 13: a swap needs 26.25 bps, 13.125 points."""


def priced(spreads: dict[str, float]) -> Any:
    def price(symbol: str) -> Leg:
        return price_leg(symbol, taker_fee=6e-4, spread_bps=spreads[symbol], impact_bps=0.0)

    return price


def held(spreads: dict[str, float] | None = None, **other: Any) -> SymbolManager:
    book = manager(
        price=priced(SPREADS if spreads is None else spreads), max_symbols=2, min_hold_s=0.0, confirm=2, **other
    )
    book.first_fill(T0, standings(dict(HELD)))
    return book


def changes(told: list[Message]) -> list[PortfolioChange]:
    return [message for message in told if isinstance(message, PortfolioChange)]


def closes(book: SymbolManager, score: float, count: int, start: int = 0) -> list[list[PortfolioChange]]:
    field = standings({**HELD, "N": score})
    return [changes(book.close(T0 + (start + n + 1) * HOUR, field)) for n in range(count)]


def test_a_lead_that_does_not_cover_its_cost_waits_and_says_why() -> None:
    book = held()
    assert closes(book, 73.0, 4) == [[], [], [], []]
    waiting = book.facts(T0, "N")["waiting"]
    assert [(w["candidate"], w["holding"], w["code"]) for w in waiting] == [("N", "B", "does_not_pay")]
    assert waiting == book.facts(T0, "B")["waiting"]
    assert waiting[0]["numbers"]["earns_bps"] == 26.0
    assert waiting[0]["numbers"]["needs_bps"] == 26.25
    assert "N for B does not pay: 13.00 points × 2 bps = 26.0 bps" in waiting[0]["text"]
    assert book.facts(T0, "A")["waiting"] == []


def test_the_lead_that_covers_it_swaps_with_every_number() -> None:
    book = held()
    closes(book, 73.0, 3)
    change = closes(book, 73.125, 1, 3)[0][0]
    assert (change.kind, change.symbol_in, change.symbol_out) == ("replace", "N", "B")
    assert change.numbers == {
        "score_in": 73.125,
        "score_out": 60.0,
        "gap": 13.125,
        "replace_margin": 12.0,
        "closes": 4,
        "held_h": 4.0,
        "swaps_left": 3,
        "gap_paid": 13.125,
        "bps_per_point": 2.0,
        "cost_safety": 1.25,
        "fee_bps_out": 6.0,
        "half_spread_bps_out": 2.0,
        "impact_bps_out": 0.0,
        "fee_bps_in": 6.0,
        "half_spread_bps_in": 7.0,
        "impact_bps_in": 0.0,
        "cost_bps": 21.0,
        "earns_bps": 26.25,
        "needs_bps": 26.25,
    }
    assert book.memory.waiting == {}


@pytest.mark.parametrize("unpriced", ["B", "N"])
def test_without_a_price_nothing_is_swapped(unpriced: str) -> None:
    book = held({**SPREADS, unpriced: nan})
    assert closes(book, 91.0, 3) == [[], [], []]
    assert f"{unpriced} has no spread" in book.facts(T0, "N")["waiting"][0]["text"]
    assert book.outlook(T0, standings({**HELD, "N": 70.0}), "N").rule == ("replace" if unpriced == "B" else "none")


def test_other_reasons_to_wait_are_told_as_well() -> None:
    young = held(max_swaps_per_day=0)
    closes(young, 99.0, 2)
    assert young.facts(T0, "N")["waiting"][0]["code"] == "swap_limit"
    book = manager(price=priced(SPREADS), max_symbols=2, confirm=1)
    book.first_fill(T0, standings(dict(HELD)))
    closes(book, 99.0, 1)
    waiting = book.facts(T0, "B")["waiting"][0]
    assert (waiting["code"], waiting["numbers"]) == ("min_hold", {"held_h": 1.0, "min_hold_h": 24.0})


def test_what_waits_survives_a_restart_and_ends_with_the_lead() -> None:
    book = held()
    closes(book, 73.0, 3)
    again = held()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(book.snapshot())))
    assert again.facts(T0, "N")["waiting"] == book.facts(T0, "N")["waiting"] != []
    closes(again, 71.0, 1, 3)
    assert again.facts(T0, "N")["waiting"] == []


def test_the_outlook_asks_for_the_lead_that_pays() -> None:
    book = held()
    field = standings({**HELD, "N": 70.0})
    into = book.outlook(T0, field, "N")
    assert (into.rule, into.target) == ("replace", 73.125)
    assert "1.25 × 21.0 bps" in into.text
    out = book.outlook(T0, field, "B")
    assert (out.rule, out.target) == ("replace", 56.875)
    cheap = held(dict.fromkeys(SPREADS, 0.0))
    assert cheap.outlook(T0, field, "N").target == 72.0
    free = held(bps_per_point=0.0)
    assert free.outlook(T0, field, "N").target is None
    assert free.outlook(T0, field, "B").rule == "exit_score"


def test_the_verdict_is_for_whoever_asks() -> None:
    book = held()
    field = standings({**HELD, "N": 73.0, "M": None})
    assert not book.swap_verdict("B", "N", field).pays
    assert book.swap_verdict("B", "N", field, extra_points=5.0).pays
    assert not book.swap_verdict("B", "M", field, extra_points=500.0).pays


def test_a_holding_whose_swap_does_not_pay_protects_itself_and_no_other() -> None:
    book = held({**SPREADS, "B": nan})
    told = closes(book, 99.0, 2)
    assert [(c.symbol_in, c.symbol_out) for made in told for c in made] == [("N", "A")]
    assert (book.memory.pairs, book.memory.waiting) == ({}, {})  # N no longer waits for the place of B


def test_with_the_machine_off_no_close_counts_towards_a_swap() -> None:
    book = held()
    closes(book, 73.0, 2)
    assert book.memory.pairs
    assert book.memory.waiting
    off = PortfolioSettings(automatic=False, max_symbols=2, min_hold_s=0.0, confirm=2)
    book.reconfigure(CoreSettings(portfolio=off), revision=2)
    assert closes(book, 99.0, 1, 2) == [[]]
    assert (book.memory.pairs, book.memory.waiting) == ({}, {})
