"""The book's rules, one by one, against numbers.md §5."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.portfolio.builders import DAY, HOUR, T0, manager, standing, standings
from zmart_stream.domain.commands import AddHolding, BlockSymbol, RemoveHolding, ReplaceHolding
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, FlagsChanged, PortfolioChange
from zmart_stream.domain.settings import CoreSettings, PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.eligibility import failing
from zmart_stream.portfolio.symbols import SymbolManager

TEN = {f"C{i:02d}": 90.0 - i for i in range(10)}


def changes(told: list[Message]) -> list[PortfolioChange]:
    return [message for message in told if isinstance(message, PortfolioChange)]


def filled(scores: dict[str, float | None] | None = None, **settings: Any) -> SymbolManager:
    book = manager(**settings)
    book.first_fill(T0, standings(scores or dict(TEN)))
    return book


def closes(book: SymbolManager, scores: list[dict[str, Standing]], start: int = T0) -> list[list[PortfolioChange]]:
    return [changes(book.close(start + (n + 1) * HOUR, at)) for n, at in enumerate(scores)]


def test_first_fill_takes_the_best_in_order_with_equal_weights() -> None:
    book = manager()
    told = book.first_fill(T0, standings({**TEN, "Z1": 40.0, "Z2": 30.0, "A0": None}))
    assert [h.symbol for h in book.portfolio.holdings] == list(TEN)
    assert [h.rank for h in book.portfolio.holdings] == list(range(1, 11))
    assert {h.weight for h in book.portfolio.holdings} == {10.0}
    assert book.portfolio.cash == 0.0
    assert [c.reason for c in changes(told)] == ["first_fill"] * 10
    assert [m.size for m in told if isinstance(m, BookReady)] == [10]
    for before, after in zip(changes(told), changes(told)[1:], strict=False):
        assert after.before == before.after


def test_fewer_holdings_than_places_leave_cash_and_say_why() -> None:
    book = manager()
    book.first_fill(T0, standings({"A": 80.0, "B": 60.0, "C": 47.3}))
    assert [h.weight for h in book.portfolio.holdings] == [25.0, 25.0]
    assert book.portfolio.cash == 50.0
    reasons = {reason.code: reason for reason in book.cash_reasons}
    assert set(reasons) == {"max_weight", "entry_score"}
    assert "47.30" in reasons["entry_score"].text
    assert reasons["max_weight"].text == "2 holdings of at most 25 % each leave 50.00 % in cash"
    assert reasons["entry_score"].numbers["candidate"] == "C"


def test_seven_weights_sum_to_the_hundredth() -> None:
    book = manager(max_symbols=7)
    book.first_fill(T0, standings(dict(TEN)))
    weights = [h.weight for h in book.portfolio.holdings]
    assert weights == [14.29, 14.29, 14.29, 14.29, 14.28, 14.28, 14.28]


def test_fill_waits_for_two_closes() -> None:
    book = filled({"A": 80.0})
    both = standings({"A": 80.0, "B": 55.0})
    first, second = closes(book, [both, both])
    assert first == []
    assert [(c.kind, c.symbol_in) for c in second] == [("fill", "B")]


def test_fill_starts_again_when_the_best_candidate_falls_below_entry() -> None:
    book = filled({"A": 80.0})
    up, down = standings({"A": 80.0, "B": 55.0}), standings({"A": 80.0, "B": 49.0})
    assert [len(c) for c in closes(book, [up, down, up, up])] == [0, 0, 0, 1]


def test_replace_needs_margin_three_closes_and_a_day() -> None:
    book = filled()
    rival = standings({**TEN, "NEW": 81.0 + 12.0})
    told = closes(book, [rival] * 24)
    assert [len(c) for c in told] == [0] * 23 + [1]
    change = told[-1][0]
    assert (change.kind, change.symbol_in, change.symbol_out) == ("replace", "NEW", "C09")
    assert change.numbers["gap"] == 12.0
    assert change.numbers["closes"] == 24
    assert change.after.holdings[0].symbol == "NEW"


def test_replace_streak_belongs_to_one_pair() -> None:
    book = filled(min_hold_s=0.0)
    a, b = standings({**TEN, "NEWA": 95.0}), standings({**TEN, "NEWB": 95.0})
    assert [len(c) for c in closes(book, [a, a, b, b, a, a, a])] == [0, 0, 0, 0, 0, 0, 1]


def test_a_margin_not_reached_resets_the_streak() -> None:
    book = filled(min_hold_s=0.0)
    wide, narrow = standings({**TEN, "NEW": 93.0}), standings({**TEN, "NEW": 92.9})
    assert [len(c) for c in closes(book, [wide, wide, narrow, wide, wide, wide])] == [0, 0, 0, 0, 0, 1]


def test_a_young_holding_protects_itself_but_not_an_older_one() -> None:
    book = filled({"OLD": 60.0, "MID": 70.0}, max_symbols=3)
    both = standings({"OLD": 60.0, "MID": 70.0, "YOUNG": 55.0})
    closes(book, [both, both], T0 + 22 * HOUR)  # YOUNG enters at T0 + 24 h
    rival = standings({"OLD": 60.0, "MID": 70.0, "YOUNG": 55.0, "NEW": 99.0})
    told = closes(book, [rival] * 3, T0 + 24 * HOUR)
    assert [(c.symbol_in, c.symbol_out) for c in told[-1]] == [("NEW", "OLD")]


def test_swap_limit_counts_replacements_and_fills_after_removals() -> None:
    book = filled(min_hold_s=0.0, confirm=1, fill_confirm=1, max_swaps_per_day=2)
    rivals = standings({**TEN, "N1": 99.0, "N2": 98.9, "N3": 98.8, "N4": 98.7})
    told = closes(book, [rivals] * 30)
    at = [n for n, made in enumerate(told) for c in made if c.kind == "replace"]
    assert at == [0, 0, 24, 24]


def test_fill_after_removal_is_limited_but_a_place_never_filled_is_not() -> None:
    book = filled(max_swaps_per_day=0, fill_confirm=1, max_symbols=11)
    gone = {**standings(dict(TEN)), "C00": standing("C00", 90.0, status="Settled")}
    told = closes(book, [{**gone, "N1": standing("N1", 70.0), "N2": standing("N2", 69.0)}] * 2)
    assert [(c.kind, c.symbol_in, c.symbol_out) for made in told for c in made] == [
        ("remove", None, "C00"),
        ("fill", "N1", None),
    ]
    assert [reason.code for reason in book.cash_reasons] == ["swap_limit"]


def test_sector_cap_keeps_the_fifth_out_and_exempts_the_unknown() -> None:
    field = standings({f"L{i}": 90.0 - i for i in range(6)}, sector="L1") | standings({"X1": 60.0, "X2": 59.0})
    book = manager()
    book.first_fill(T0, field)
    assert [h.symbol for h in book.portfolio.holdings] == ["L0", "L1", "L2", "L3", "X1", "X2"]
    assert {"sector"} <= {reason.code for reason in book.cash_reasons}


def test_correlation_cap_keeps_the_twin_out() -> None:
    def twins(a: str, b: str) -> float:
        return 0.95 if {a, b} == {"A", "B"} else float(a == b)

    book = manager(twins)
    book.first_fill(T0, standings({"A": 90.0, "B": 89.0, "C": 70.0}))
    assert [h.symbol for h in book.portfolio.holdings] == ["A", "C"]
    reason = next(reason for reason in book.cash_reasons if reason.code == "correlation")
    assert reason.numbers["correlation"] == 0.95


def test_unknown_correlation_is_no_reason_against_a_contract() -> None:
    book = manager(lambda _a, _b: float("nan"))
    book.first_fill(T0, standings({"A": 90.0, "B": 89.0}))
    assert len(book.portfolio.holdings) == 2


def test_holding_gets_wider_limits_then_two_closes_of_grace() -> None:
    book = filled({"A": 80.0, "B": 70.0})
    within = standings({"A": 80.0}) | standings({"B": 70.0}, turnover=1.5e6, spread_bps=20.0)
    beyond = standings({"A": 80.0}) | standings({"B": 70.0}, turnover=1.3e6, spread_bps=20.0)
    told = closes(book, [within, beyond, within, beyond, beyond])
    assert [[c.reason for c in made] for made in told] == [[], [], [], [], ["not_eligible"]]
    assert told[-1][0].numbers["turnover_usdt"] == 1.3e6
    assert told[-1][0].numbers["turnover_usdt_limit"] == 1.4e6


def test_exit_score_at_three_closes_and_no_way_back_for_a_day() -> None:
    book = filled({"A": 80.0, "B": 70.0})
    low, high = standings({"A": 80.0, "B": 34.9}), standings({"A": 80.0, "B": 75.0})
    told = closes(book, [low, low, low] + [high] * 26)
    assert [c.reason for c in told[2]] == ["exit_score"]
    back = next(n for n, made in enumerate(told) if any(c.symbol_in == "B" for c in made))
    assert back == 2 + 24 + 1  # re-entry ends 24 h after leaving, then two closes count: the first is that hour's


def test_delisted_leaves_at_once() -> None:
    book = filled({"A": 80.0, "B": 70.0})
    told = changes(book.gone(T0 + 5, "A", {"A": standing("A", 80.0, status="Delisted"), "B": standing("B", 70.0)}))
    assert [(c.reason, c.symbol_out) for c in told] == [("delisted", "A")]
    assert book.gone(T0 + 6, "A", {}) == []


def test_hold_stops_rules_and_counting() -> None:
    book = filled({"A": 80.0, "B": 70.0})
    low = standings({"A": 80.0, "B": 10.0})
    closes(book, [low, low])
    book.hold.begin("universe_live", "3 of 100 live")
    assert all(made == [] for made in closes(book, [low] * 5, T0 + 2 * HOUR))
    assert book.gone(T0, "B", {"B": standing("B", 10.0, status="Settled")}) == []
    book.hold.end("universe_live")
    assert [c.reason for c in closes(book, [low], T0 + 8 * HOUR)[0]] == ["exit_score"]


def test_ranks_move_only_where_scores_differ_by_the_step() -> None:
    book = filled({"A": 80.0, "B": 70.0, "C": 60.0})
    told = closes(book, [standings({"A": 70.0, "B": 70.4, "C": 60.0}), standings({"A": 70.0, "B": 70.5, "C": 60.0})])
    assert told[0] == []
    assert [(c.kind, [h.symbol for h in c.after.holdings]) for c in told[1]] == [("rerank", ["B", "A", "C"])]
    assert told[1][0].before.cash == told[1][0].after.cash


def test_replacement_candidates_are_flagged_and_told_once() -> None:
    book = filled({"A": 80.0, "B": 70.0}, max_symbols=2)
    told = book.close(T0 + HOUR, standings({"A": 80.0, "B": 70.0, "N": 75.0}))
    assert [type(m) for m in told] == [FlagsChanged]
    assert [h.replacement_candidate for h in book.portfolio.holdings] == [False, True]
    assert book.close(T0 + 2 * HOUR, standings({"A": 80.0, "B": 70.0, "N": 75.0})) == []
    book.close(T0 + 3 * HOUR, standings({"A": 80.0, "B": 39.9}))
    assert [h.replacement_candidate for h in book.portfolio.holdings] == [False, True]


def test_automatic_off_leaves_the_book_to_the_operator() -> None:
    book = manager(automatic=False)
    assert not book.wants_first_fill
    assert closes(book, [standings(dict(TEN))] * 3) == [[], [], []]
    book.command(AddHolding(ts=T0, request_id="1", symbol="C03"), standings(dict(TEN)))
    assert [h.symbol for h in book.portfolio.holdings] == ["C03"]
    assert [reason.code for reason in book.cash_reasons] == ["max_weight", "automatic_off"]
    assert book.cash_reasons[0].text == "1 holding of at most 25 % leaves 75.00 % in cash"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (AddHolding(ts=T0, request_id="1", symbol="NONE"), "unknown_symbol"),
        (AddHolding(ts=T0, request_id="1", symbol="C01"), "already_in_book"),
        (AddHolding(ts=T0, request_id="1", symbol="N"), "book_full"),
        (RemoveHolding(ts=T0, request_id="1", symbol="N"), "not_in_book"),
        (ReplaceHolding(ts=T0, request_id="1", symbol_out="N", symbol_in="C01"), "not_in_book"),
        (ReplaceHolding(ts=T0, request_id="1", symbol_out="C01", symbol_in="BAD"), "not_eligible"),
        (ReplaceHolding(ts=T0, request_id="1", symbol_out="C01", symbol_in="NONE"), "unknown_symbol"),
    ],
)
def test_refusals_have_stable_codes(command: Any, code: str) -> None:
    book = filled()
    before = book.portfolio
    field = standings({**TEN, "N": 99.0}) | standings({"BAD": 60.0}, spread_bps=16.0, live=False)
    with pytest.raises(CommandRefusedError) as refused:
        book.command(command, field)
    assert refused.value.code == code
    assert book.portfolio == before
    if code == "not_eligible":
        assert "spread_bps is 16, at most 15" in str(refused.value)
        assert "its feed is stale" in str(refused.value)


def test_a_shut_gate_speaks_as_people_do() -> None:
    """No truth values, no more digits than it takes."""
    book = filled()
    book.command(BlockSymbol(ts=T0, request_id="1", symbol="N"), standings({**TEN, "N": 99.0}))
    shut = standings({"N": None}, spread_bps=None, turnover=1234567.0, status="Paused", is_linear_usdt_crypto=False)
    told = [str(gate) for gate in failing(book.eligibility.candidate_gates(shut["N"]))]
    assert told == [
        "it is no USDT-linear crypto contract",
        "status is Paused, wanted is Open",
        "turnover_usdt is 1 234 567, at least 2 000 000",
        "spread_bps is not known, at most 15",
        "it has no composite",
        "an operator blocked it",
    ]


def test_operator_is_refused_while_storage_fails() -> None:
    book = filled()
    book.hold.begin("storage", "disk full")
    with pytest.raises(CommandRefusedError) as refused:
        book.command(RemoveHolding(ts=T0, request_id="1", symbol="C01"), standings(dict(TEN)))
    assert refused.value.code == "holding"


def test_what_an_operator_removes_only_an_operator_brings_back() -> None:
    book = filled({"A": 80.0, "B": 70.0})
    field = standings({"A": 80.0, "B": 70.0})
    told = changes(book.command(RemoveHolding(ts=T0, request_id="1", symbol="A", who="anna", note="no"), field))
    assert [(c.reason, c.who, c.note, c.symbol_out) for c in told] == [("operator", "anna", "no", "A")]
    assert all(made == [] for made in closes(book, [field] * 60))
    book.command(AddHolding(ts=T0 + 70 * HOUR, request_id="2", symbol="A"), field)
    assert [h.symbol for h in book.portfolio.holdings] == ["A", "B"]


def test_a_smaller_book_lets_the_weakest_go() -> None:
    book = filled()
    book.reconfigure(CoreSettings(portfolio=PortfolioSettings(max_symbols=8)), revision=3)
    told = closes(book, [standings(dict(TEN))])[0]
    assert [(c.kind, c.symbol_out, c.revision) for c in told] == [("resize", "C09", 3), ("resize", "C08", 3)]


def test_snapshot_goes_on_with_every_streak() -> None:
    field = standings({"A": 80.0, "B": 60.0, "C": 10.0, "N": 95.0}) | {"D": standing("D", 70.0, live=False)}
    told = []
    for packs in (False, True):
        book = filled({"A": 80.0, "B": 60.0, "C": 70.0, "D": 70.0}, max_symbols=4, min_hold_s=0.0, grace=3)
        closes(book, [field, field])
        if packs:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(book.snapshot()))
            book = manager(max_symbols=4, min_hold_s=0.0, grace=3)
            book.restore(state)
        told.append(closes(book, [field], T0 + 2 * HOUR)[0])
    assert [(c.reason, c.symbol_in, c.symbol_out) for c in told[0]] == [
        ("not_eligible", None, "D"),
        ("exit_score", None, "C"),
        ("replace", "N", "B"),
    ]
    assert [(c.reason, c.symbol_in, c.symbol_out, c.numbers) for c in told[1]] == [
        (c.reason, c.symbol_in, c.symbol_out, c.numbers) for c in told[0]
    ]


def test_adopting_the_stored_book_remembers_what_the_snapshot_missed() -> None:
    live = filled({"A": 80.0, "B": 70.0})
    field = standings({"A": 80.0, "B": 70.0})
    missed = changes(live.command(RemoveHolding(ts=T0 + 1, request_id="1", symbol="A"), field))
    fresh = manager()
    fresh.adopt(live.portfolio, missed)
    assert fresh.memory.filled
    assert fresh.memory.is_barred("A", T0 + 100 * DAY)
    assert fresh.memory.vacated == 1


def test_outlook_names_the_score_that_would_do_it() -> None:
    book = filled()
    field = standings({**TEN, "N": 60.0, "M": 94.0}) | standings({"BAD": 60.0}, live=False)
    into = book.outlook(T0, field, "N")
    assert (into.moves, into.rule, into.target) == ("in", "replace", 94.000001)
    out = book.outlook(T0, field, "C09")
    assert (out.moves, out.rule, out.target) == ("out", "replace", 82.0)
    never = book.outlook(T0, field, "BAD")
    assert never.target is None
    assert "its feed is stale" in never.text
    some = filled({"A": 80.0})
    assert some.outlook(T0, standings({"A": 80.0, "N": 30.0}), "N").target == 50.0
    assert some.outlook(T0, standings({"A": 80.0}), "A").target == pytest.approx(35.0, abs=1e-5)
