"""Spread, depth and impact in numbers a person can check."""

from __future__ import annotations

from math import exp, isnan, nan

import pytest

from zmart_stream.market import book

BIDS = ((99.0, 10), (98.0, 20), (97.0, 30), (96.0, 40), (95.0, 50), (1.0, 10**9))
ASKS = ((101.0, 5), (102.0, 5), (103.0, 5), (104.0, 5), (105.0, 5))


def test_spread_in_bps_of_mid() -> None:
    assert book.spread_bps(99.0, 101.0) == pytest.approx(200.0)
    assert book.spread_bps(100.0, 100.0) == 0.0
    for bid, ask in ((101.0, 99.0), (0.0, 101.0), (99.0, 0.0), (0.0, 0.0)):
        assert isnan(book.spread_bps(bid, ask))


def test_depth_is_the_thinner_sides_five_levels() -> None:
    asks = 101 * 5 + 102 * 5 + 103 * 5 + 104 * 5 + 105 * 5
    assert exp(book.thin_side_ln(BIDS, ASKS, 0.1)) == pytest.approx(asks * 0.1)
    assert isnan(book.thin_side_ln(BIDS, (), 0.1))


def test_impact_is_the_mean_of_both_sides_beyond_mid() -> None:
    found, more = book.impact_bps(BIDS, ASKS, 1.0, 1010.0)
    # buy: 505 at 101 and 505 at 102 of mid 100; sell: 990 at 99 and 20 at 98
    buy = (505 * 100 + 505 * 200) / 1010
    sell = (990 * 100 + 20 * 200) / 1010
    assert found == pytest.approx((buy + sell) / 2)
    assert not more


def test_beyond_five_levels_cost_grows_linearly_is_marked_and_capped() -> None:
    levels = ((100.1, 10),), ((99.9, 10),)
    full, marked_full = book.impact_bps(levels[1], levels[0], 1.0, 999.0)
    assert (full, marked_full) == (pytest.approx(10.0), False)
    twice, marked = book.impact_bps(levels[1], levels[0], 1.0, 2000.0)
    assert marked
    assert twice == pytest.approx((10.0 * 2000 / 1001 + 10.0 * 2000 / 999) / 2)
    assert book.impact_bps(levels[1], levels[0], 1.0, 1e7) == (500.0, True)


def test_one_sided_and_crossed_books_have_no_impact() -> None:
    assert isnan(book.impact_bps(BIDS, (), 1.0, 1e4)[0])
    assert isnan(book.impact_bps(ASKS, BIDS, 1.0, 1e4)[0])


def test_a_held_figure_is_averaged_over_the_time_it_held() -> None:
    assert book.held(10.0, 20.0, 60.0, 60.0) == 15.0
    assert book.held(10.0, 20.0, 120.0, 60.0) == 17.5
    in_two = book.held(book.held(10.0, 20.0, 25.0, 60.0), 20.0, 35.0, 60.0)
    assert in_two == pytest.approx(15.0, rel=1e-12)
    assert book.held(nan, 20.0, 60.0, 60.0) == 20.0
    assert isnan(book.held(10.0, nan, 60.0, 60.0))
