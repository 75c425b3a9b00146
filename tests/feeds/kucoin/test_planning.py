"""Pure parts: budgets, plan, tiers, kline spans, REST rows, the contract list."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmart_stream.domain.errors import MalformedMessageError
from zmart_stream.domain.market import DAY_S, HOUR_S, ContractStats, Listing
from zmart_stream.domain.message import Message
from zmart_stream.feeds.kucoin import plan, rows
from zmart_stream.feeds.kucoin.budget import Gate, Priority, SlidingWindow, WeightPool
from zmart_stream.feeds.kucoin.klines import SECOND, Page, Span, gaps, newest, wanted_history, without
from zmart_stream.feeds.kucoin.listings import Listings
from zmart_stream.feeds.kucoin.subscriptions import Key
from zmart_stream.feeds.kucoin.tiers import Tiers

HOUR = HOUR_S * SECOND
DAY = DAY_S * SECOND
NOW = 1_793_937_600 * SECOND


# --- budgets


@given(st.lists(st.floats(0, 3), max_size=200), st.integers(1, 8))
def test_a_sliding_window_never_admits_more_than_it_may(steps: list[float], most: int) -> None:
    window = SlidingWindow(most, 10.0)
    at, taken = 0.0, list[float]()
    for step in steps:
        at += step
        wait = window.wait(at)
        if wait == 0:
            window.take(at)
            taken.append(at)
        else:
            assert copy.deepcopy(window).wait(at + wait + 1e-6) == 0
        assert sum(t > at - 10.0 for t in taken) <= most


def pool() -> WeightPool:
    return WeightPool(limit=2000, window_s=30.0, share=0.8, reserve=0.05)


def spend(weights: WeightPool, at: float, weight: float, priority: Priority) -> float:
    """Spend until refused; returns what was spent."""
    spent = 0.0
    while weights.ready_in(at, weight, priority) == 0:
        weights.take(at, weight)
        weights.settle(weight)
        spent += weight
    return spent


def test_a_window_is_spent_to_its_share_and_polls_have_a_reserve() -> None:
    weights = pool()
    assert spend(weights, 0.0, 3, Priority.WARM_UP) == 1500
    assert spend(weights, 1.0, 3, Priority.POLL) == 99
    assert weights.ready_in(1.0, 3, Priority.POLL) == pytest.approx(29.0)
    assert spend(weights, 30.1, 3, Priority.WARM_UP) == 1500


def test_the_headers_correct_our_count_and_tell_the_end_of_the_window() -> None:
    weights = pool()
    weights.take(0.0, 3)
    weights.heard(0.1, limit=2000, remaining=300, reset_s=4.0)
    weights.settle(3)
    assert weights.ready_in(0.2, 3, Priority.WARM_UP) == pytest.approx(3.9)
    assert weights.ready_in(4.2, 3, Priority.WARM_UP) == 0
    weights.heard(5.0, limit=20_000, remaining=19_000, reset_s=20.0)
    assert weights.limit == 20_000
    weights.heard(5.0, limit=-1, remaining=7, reset_s=1.0)
    assert weights.limit == 20_000


def test_late_replies_do_not_give_weight_back() -> None:
    weights = pool()
    for _ in range(10):
        weights.take(0.0, 100)
    weights.heard(0.1, limit=2000, remaining=1800, reset_s=29.0)
    assert weights.remaining == 1000


def test_a_window_that_turned_at_the_venue_before_it_did_here_is_a_new_one() -> None:
    """Replies take time, so our end of the window lies after the venue's; polls fall between the two every time."""
    weights = pool()
    weights.take(0.0, 1497.0)
    weights.settle(1497.0)
    weights.heard(3.0, limit=2000, remaining=503, reset_s=29.9)  # a slow first reply: we believe in an end at 32.9
    for turn in range(1, 5):
        at = 30.0 * turn + 0.1
        weights.take(at, 3.0)
        weights.heard(at + 0.1, limit=2000, remaining=1997, reset_s=30.0)
        weights.settle(3.0)
        assert weights.remaining == 1997
        assert weights.ready_in(at + 0.2, 3.0, Priority.WARM_UP) == 0


def test_a_block_holds_everyone() -> None:
    weights = pool()
    weights.block(10.0, 30.0)
    assert weights.ready_in(20.0, 1, Priority.POLL) == pytest.approx(20.0)


def test_the_gate_serves_the_most_important_first_and_forgets_who_gave_up() -> None:
    async def scenario() -> list[str]:
        gate = Gate(WeightPool(limit=10, window_s=0.2, share=1.0, reserve=0.0), parallel=4)
        served: list[str] = []

        async def ask(name: str, priority: Priority) -> None:
            await gate.enter(10, priority)
            served.append(name)
            gate.leave(10, priority)

        async with asyncio.TaskGroup() as group:
            group.create_task(ask("first", Priority.DEPTH))
            await asyncio.sleep(0)
            for name, priority in (("depth", Priority.DEPTH), ("warm", Priority.WARM_UP), ("poll", Priority.POLL)):
                group.create_task(ask(name, priority))
            lost = asyncio.create_task(ask("lost", Priority.REPAIR))
            await asyncio.sleep(0)
            lost.cancel()
        assert gate.queued == 0
        return served

    assert asyncio.run(scenario()) == ["first", "poll", "warm", "depth"]


# --- plan and tiers


@given(
    st.lists(st.lists(st.integers(0, 60), unique=True, max_size=60), min_size=1, max_size=6),
    st.integers(1, 30),
    st.dictionaries(st.integers(0, 3), st.integers(0, 10), max_size=2),
)
def test_every_subscription_has_one_place_keeps_it_and_no_connection_overflows(
    steps: list[list[int]], capacity: int, full: dict[int, int]
) -> None:
    current: dict[Key, int] = {}
    for numbers in steps:
        wanted = plan.wanted_keys([f"S{n}" for n in numbers], [f"S{n}" for n in numbers[:5]])
        new = plan.assign(current, wanted, capacity=capacity, full=full)
        assert sorted(new) == sorted(wanted)
        assert all(new[key] == current[key] for key in new if key in current)
        load = [list(new.values()).count(index) for index in range(max(new.values(), default=0) + 1)]
        assert all(n <= min(capacity, full.get(i, capacity)) for i, n in enumerate(load))
        current = new


def test_seven_hundred_contracts_fit_fifteen_connections_of_a_hundred() -> None:
    market = [f"S{n}" for n in range(700)]
    new = plan.assign({}, plan.wanted_keys(market, market[:40]), capacity=100, full={})
    assert len(new) == 1 + 1400 + 80
    assert max(new.values()) == 14


def test_a_contract_leaves_the_depth_tier_only_after_five_minutes_beyond_the_outer_rank() -> None:
    tiers = Tiers(in_rank=40, out_rank=60, out_after_s=300.0)
    market = [f"S{n}" for n in range(100)]

    def ranking(position: int) -> list[str]:
        others = [s for s in market if s != "S0"]
        return [*others[: position - 1], "S0", *others[position - 1 :]]

    assert "S0" not in tiers.update(ranking(41), [], market, 0.0)
    assert "S0" in tiers.update(ranking(40), [], market, 1.0)
    assert "S0" in tiers.update(ranking(60), [], market, 400.0)
    assert "S0" in tiers.update(ranking(61), [], market, 500.0)
    assert "S0" in tiers.update(ranking(61), [], market, 799.0)
    assert "S0" in tiers.update(ranking(60), [], market, 800.0)
    assert "S0" in tiers.update(ranking(61), [], market, 900.0)
    assert "S0" in tiers.update(ranking(99), ["S0"], market, 1300.0)
    assert "S0" in tiers.update(ranking(99), [], market, 1400.0)
    assert "S0" not in tiers.update(ranking(99), [], market, 1700.0)
    assert "S5" not in tiers.update(ranking(1), ["S5"], market[:3], 1701.0)


def test_of_a_ranking_no_more_is_read_than_the_tier_needs() -> None:
    tiers = Tiers(in_rank=2, out_rank=3, out_after_s=300.0)
    ranking = iter(["S0", "elsewhere", "S1", "S2", "S3"])
    assert tiers.update(ranking, [], [f"S{n}" for n in range(9)], 0.0) == ["S0", "S1"]
    assert next(ranking) == "S3"


# --- kline spans


def bars(span: Span, interval_s: int) -> list[Any]:
    return [(start, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0) for start in range(span.since, span.until, interval_s * SECOND)]


@given(st.integers(1, 900), st.sampled_from([100, 200, 500]), st.booleans())
def test_paging_ends_and_covers_the_span_whichever_end_the_venue_cuts(wanted: int, cap: int, newest_kept: bool) -> None:
    span = Span(NOW, NOW + wanted * HOUR)
    open_spans, got, calls = [span], set[int](), 0
    while open_spans:
        part = open_spans.pop()
        found = bars(part, HOUR_S)
        page = found[-cap:] if newest_kept else found[:cap]
        left = gaps(Page(tuple(page), len(page)), part, HOUR_S)
        known = without(part, left)
        assert {bar[0] for bar in page} == {bar[0] for bar in bars(known, HOUR_S)}
        got.update(bar[0] for bar in page)
        open_spans += left
        calls += 1
    assert got == {bar[0] for bar in bars(span, HOUR_S)}
    assert calls <= -(-wanted // cap)


def test_a_short_reply_is_whole_and_missing_bars_are_empty_intervals() -> None:
    span = Span(NOW, NOW + 240 * HOUR)
    some = tuple(bars(Span(NOW + 5 * HOUR, NOW + 90 * HOUR), HOUR_S))
    assert gaps(Page(some, len(some)), span, HOUR_S) == []
    assert gaps(Page((), 0), span, HOUR_S) == []


def test_a_known_cap_asks_the_newest_first() -> None:
    span = Span(NOW, NOW + 241 * HOUR)
    assert newest(span, HOUR_S, None) == (span, None)
    asked, older = newest(span, HOUR_S, 200)
    assert asked == Span(NOW + 41 * HOUR, span.until)
    assert older == Span(NOW, NOW + 41 * HOUR)


def test_a_first_start_asks_for_both_windows_and_a_restart_for_the_gap() -> None:
    noon = NOW - NOW % DAY + 12 * HOUR
    now = noon + HOUR // 2
    first = wanted_history(now, window_hours=240, window_days=60, listed_at=None, known=None)
    assert first.hours == Span(noon - 240 * HOUR, noon + HOUR)
    assert first.days == Span(noon - 12 * HOUR - 60 * DAY, noon + 12 * HOUR)
    again = wanted_history(now, window_hours=240, window_days=60, listed_at=None, known=noon - 3 * HOUR)
    assert again.hours == Span(noon - 26 * HOUR, noon + HOUR), "the gap, and a day before it that may be in doubt"
    assert again.days is None
    yesterday = wanted_history(now, window_hours=240, window_days=60, listed_at=None, known=noon - 30 * HOUR)
    assert yesterday.days == Span(noon - 36 * HOUR, noon + 12 * HOUR)
    young = wanted_history(now, window_hours=240, window_days=60, listed_at=now - 5 * HOUR, known=None)
    assert young.hours is not None
    assert young.hours.bars(HOUR_S) == 6


# --- REST rows


def kline(*values: Any) -> list[Any]:
    return [NOW // rows.MS, *values]


def test_klines_of_six_and_seven_columns_become_bars_in_order() -> None:
    later = [(NOW + HOUR) // rows.MS, 2.0, 3.0, 1.0, 2.5, 4.0, 12.0]
    assert rows.bar_rows([later, kline(1.0, 2.0, 0.5, 1.5, 10.0)], 0.1, HOUR) == (
        (NOW, 1.0, 2.0, 0.5, 1.5, 10.0, 10.0 * 0.1 * 5.0 / 4),
        (NOW + HOUR, 2.0, 3.0, 1.0, 2.5, 4.0, 12.0),
    )


@pytest.mark.parametrize(
    "row",
    [
        kline(1.0, 2.0, 0.5, 1.5),
        kline(1.0, 0.9, 0.5, 0.7, 1.0),
        kline(1.0, 2.0, 0.0, 1.5, 1.0),
        kline(1.0, 2.0, 0.5, 2.5, 1.0),
        kline(1.0, float("inf"), 0.5, 1.5, 1.0),
        kline(None, 2.0, 0.5, 1.5, 1.0),
        kline(1.0, 2.0, 0.5, 1.5, -1.0),
        kline(1.0, 2.0, 0.5, 1.5, 1.0, -2.0),
        [NOW // rows.MS + 1, 1.0, 2.0, 0.5, 1.5, 1.0],
        [-5, 1.0, 2.0, 0.5, 1.5, 1.0],
        [float("nan"), 1.0, 2.0, 0.5, 1.5, 1.0],
    ],
)
def test_a_kline_that_cannot_be_is_refused(row: list[Any]) -> None:
    with pytest.raises(MalformedMessageError):
        rows.bar_rows([row], 1.0, HOUR)


def contract(symbol: str = "AUSDTM", **changes: Any) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "type": "FFWCSX",
        "multiplier": 0.001,
        "tickSize": 0.1,
        "status": "Open",
        "isInverse": False,
        "rootSymbol": "USDT",
        "baseCurrency": "A",
        "quoteCurrency": "USDT",
        "settleCurrency": "USDT",
        "openInterest": "9412345",
        "turnoverOf24h": 6.9e8,
        "markPrice": 85123.45,
        "expireDate": None,
        "marketStage": "NORMAL",
        "fundingRateGranularity": 28800000,
        "currentFundingRateGranularity": None,
        "predictedFundingFeeRate": None,
        "fundingFeeRate": 7.3e-5,
        **changes,
    }


def polled(*found: dict[str, Any]) -> tuple[list[rows.ContractRow], list[MalformedMessageError]]:
    decoder = rows.ContractRows()
    return decoder.read(decoder.split(msgspec.Raw(json.dumps(found).encode())))


def updated(listings: Listings, found: list[rows.ContractRow]) -> tuple[list[Message], list[MalformedMessageError]]:
    """What all steps of a poll come to."""
    steps = list(listings.update(found, lambda: NOW))
    return [message for messages, _ in steps for message in messages], [error for _, wrong in steps for error in wrong]


def test_null_funding_and_old_fields_are_understood() -> None:
    found, errors = polled(contract(), contract("BUSDTM", fundingFeeRate=None, fundingRateGranularity=None))
    assert not errors
    first, second = (rows.stats_of(row, NOW) for row in found)
    assert (first.open_interest, first.funding_rate, first.funding_interval_s) == (9412345.0, 7.3e-5, 28800)
    assert (second.funding_rate, second.funding_interval_s, second.last_price) == (None, None, None)


def test_one_bad_row_costs_one_contract() -> None:
    found, errors = polled(contract(), {"symbol": "X"}, contract("BUSDTM", multiplier="many"), contract("CUSDTM"))
    assert [row.symbol for row in found] == ["AUSDTM", "CUSDTM"]
    assert [error.reason for error in errors] == ["missing_field", "bad_type"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"symbol": "<script>"}, "bad_symbol"),
        ({"symbol": "x' OR 1=1--"}, "bad_symbol"),
        ({"symbol": "A" * 25}, "bad_symbol"),
        ({"symbol": "AUSDTM\n"}, "bad_symbol"),
        ({"baseCurrency": "\x1b[2J"}, "out_of_range"),
        ({"quoteCurrency": "a\x00b"}, "out_of_range"),
        ({"status": "x" * 33}, "out_of_range"),
    ],
)
def test_names_that_are_none_never_come_in(changes: dict[str, Any], reason: str) -> None:
    listings = Listings()
    found, _ = polled(contract() | changes, contract("BUSDTM"))
    messages, errors = updated(listings, found)
    assert [error.reason for error in errors] == [reason]
    assert errors[0].detail.isascii()
    assert errors[0].detail.isprintable()
    assert list(listings.contracts) == ["BUSDTM"]
    assert {getattr(m, "symbol", "BUSDTM") for m in messages} == {"BUSDTM"}


def test_listings_pauses_and_delistings_become_messages() -> None:
    listings = Listings()

    def poll(*found: dict[str, Any]) -> list[tuple[str, str, str]]:
        messages, _ = updated(listings, polled(*found)[0])
        return [(m.contract.symbol, m.change, m.contract.status) for m in messages if isinstance(m, Listing)]

    a, b, c = contract("AUSDTM"), contract("BUSDTM"), contract("CUSDTM")
    assert [change[:2] for change in poll(a, b)] == [("AUSDTM", "listed"), ("BUSDTM", "listed")]
    assert poll(a, b) == []
    assert poll(a, b, c) == [("CUSDTM", "listed", "Open")]
    assert poll(a, b, {**c, "status": "Paused"}) == [("CUSDTM", "changed", "Paused")]
    assert listings.market() == ["AUSDTM", "BUSDTM"]
    assert poll(a, b, c) == [("CUSDTM", "changed", "Open")]
    assert poll(a, b) == []
    assert poll(a, b) == [("CUSDTM", "delisted", "Open")]
    assert poll({**a, "expireDate": 1793952000000}, b) == [("AUSDTM", "changed", "Open")]
    assert listings.market() == ["BUSDTM"]


def test_a_long_list_is_learned_in_steps_each_at_its_own_time() -> None:
    listings, times = Listings(), iter(range(1, 100))
    found, _ = polled(*(contract(f"S{n}USDTM") for n in range(2 * rows.ROWS_AT_ONCE + 1)))
    steps = [messages for messages, _ in listings.update(found, lambda: next(times))]
    assert [len(messages) for messages in steps] == [2 * rows.ROWS_AT_ONCE, 2 * rows.ROWS_AT_ONCE, 2, 0]
    told = [message for messages in steps for message in messages]
    assert {message.symbol: message.ts for message in told if isinstance(message, ContractStats)} == {
        row.symbol: 1 + n // rows.ROWS_AT_ONCE for n, row in enumerate(found)
    }


def test_a_list_that_lost_most_contracts_is_not_believed() -> None:
    listings = Listings()
    updated(listings, polled(*(contract(f"S{n}USDTM") for n in range(10)))[0])
    with pytest.raises(MalformedMessageError, match="short_list"):
        listings.update(polled(contract("S1USDTM"))[0], lambda: NOW)
    assert len(listings.contracts) == 10


def test_only_the_market_is_followed() -> None:
    listings = Listings()
    updated(
        listings,
        polled(
            contract("OKUSDTM"),
            contract("PREUSDTM", marketStage="PRE_MARKET"),
            contract("TSLAUSDTM", marketType="NASDAQ"),
            contract("XBTUSDCM", quoteCurrency="USDC", settleCurrency="USDC"),
            contract("XBTUSDM", isInverse=True, multiplier=-1.0, quoteCurrency="USD", settleCurrency="XBT"),
            contract("GOINGUSDTM", expireDate=1793952000000),
        )[0],
    )
    assert listings.market() == ["OKUSDTM"]
    assert len(listings.contracts) == 6


def test_recorded_contract_lists_decode(shared_data: Path, seed: int) -> None:
    dumps = sorted((shared_data / "kucoin_contracts").glob("*.json.gz"))
    for path in random.Random(seed).sample(dumps, 3):
        raw = json.loads(gzip.decompress(path.read_bytes()))
        listed = raw["data"] if isinstance(raw, dict) else raw
        found, errors = polled(*listed)
        messages, doubtful = updated(Listings(), found)
        assert not errors
        assert not doubtful
        assert sum(isinstance(m, ContractStats) for m in messages) == len(listed) > 90
