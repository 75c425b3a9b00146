"""Open interest and funding over 72 h."""

from __future__ import annotations

from math import isnan, log

import pytest

from tests.market.a_market import START, AMarket, contract, row_of_poll
from zmart_stream.domain.market import FundingHistory, FundingSettled, Listing
from zmart_stream.market.bars import HOUR, NS

A = "AUSDTM"
MINUTE = 60 * NS


def test_open_interest_changes_over_72_h_and_needs_12() -> None:
    market = AMarket(A)
    state = market[A]
    for minute in range(0, 100 * 60, 5):
        market.cache.stats(row_of_poll(A, START + minute * MINUTE, open_interest=1000.0 + minute))
        hours = minute / 60
        assert state.oi_span_h == pytest.approx(min(hours, 72.0))
        if hours < 12:
            assert isnan(state.oi_change)
        else:
            then = 1000.0 + minute - min(minute, 72 * 60)
            assert state.oi_change == pytest.approx(log((1000.0 + minute) / then), abs=1e-6)


def test_a_changed_multiplier_is_no_change_of_interest() -> None:
    market = AMarket(A)
    for hour in range(25):
        lots, multiplier = (1000.0, 0.01) if hour < 20 else (10_000.0, 0.001)
        market.cache.stats(row_of_poll(A, START + hour * HOUR, open_interest=lots, multiplier=multiplier))
    assert market[A].oi_change == pytest.approx(0.0, abs=1e-6)


def test_a_gap_in_the_polls_shortens_the_span_only() -> None:
    market = AMarket(A)
    market.cache.stats(row_of_poll(A, START, open_interest=500.0))
    market.cache.stats(row_of_poll(A, START + 50 * HOUR, open_interest=800.0))
    market.cache.stats(row_of_poll(A, START + 80 * HOUR, open_interest=1000.0))
    assert market[A].oi_span_h == 30.0
    assert market[A].oi_change == pytest.approx(log(1000 / 800), abs=1e-6)
    market.cache.stats(row_of_poll(A, START + 80 * HOUR + MINUTE, open_interest=0.0))
    assert isnan(market[A].oi_change)


def test_funding_is_the_mean_of_annualised_settlements_over_72_h() -> None:
    market = AMarket(A)
    state = market[A]
    rates = [(START + k * 8 * HOUR, 1e-4 * (k + 1)) for k in range(12)]
    market.cache.funding_history(FundingHistory(ts=START + 96 * HOUR, symbol=A, settlements=tuple(rates)))
    newest = [rate * 8760 / 8 for _, rate in rates[-9:]]
    assert state.funding_mean_ann == pytest.approx(sum(newest) / 9)
    assert state.funding_span_h == 72.0
    # the announcement comes milliseconds later than the history's own time for the same settlement
    again = FundingSettled(ts=START + 96 * HOUR, ts_event=rates[-1][0] + 3_000_000, symbol=A, rate=rates[-1][1])
    market.cache.funding_settled(again)
    assert state.funding_mean_ann == pytest.approx(sum(newest) / 9)


def test_each_settlement_is_annualised_by_its_own_interval() -> None:
    market = AMarket(A)
    market.cache.listing(Listing(ts=START, contract=contract(A, funding_interval_s=14400), change="changed"))
    times = [0, 8, 16, 20, 24]  # the interval went from 8 h to 4 h
    history = tuple((START + h * HOUR, 1e-4) for h in times)
    market.cache.funding_history(FundingHistory(ts=START + 25 * HOUR, symbol=A, settlements=history))
    # the first one's interval is not known from the history: the contract's own
    expected = [1e-4 * 8760 / h for h in (4, 8, 8, 4, 4)]
    assert market[A].funding_mean_ann == pytest.approx(sum(expected) / 5)
    market.cache.funding_settled(
        FundingSettled(ts=START + 26 * HOUR, ts_event=START + 26 * HOUR, symbol=A, rate=-3e-4, interval_s=7200)
    )
    expected.append(-3e-4 * 8760 / 2)
    assert market[A].funding_mean_ann == pytest.approx(sum(expected) / 6)
