"""Swaps are made when they pay; what gaps earned is estimated with an honest interval."""

from __future__ import annotations

from math import isnan, nan

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zmart_stream.portfolio.economics import (
    Economics,
    RealisedSlope,
    judge_swap,
    price_leg,
    student_95,
)

DIALS = Economics()
OUT = price_leg("XRPUSDTM", taker_fee=6e-4, spread_bps=4.0, impact_bps=5.0)
INTO = price_leg("SOLUSDTM", taker_fee=5e-4, spread_bps=2.0, impact_bps=1.0)


def test_a_leg_is_fee_half_spread_and_what_lies_beyond_the_touch() -> None:
    assert (OUT.fee_bps, OUT.half_spread_bps, OUT.impact_bps, OUT.bps) == (6.0, 2.0, 3.0, 11.0)
    assert (INTO.impact_bps, INTO.bps) == (0.0, 6.0)  # all of it within the touch


def test_a_swap_pays_from_the_very_gap_that_covers_cost_and_safety() -> None:
    needed = 1.25 * 17.0 / 2.0
    assert judge_swap(needed, OUT, INTO, DIALS).pays
    refused = judge_swap(needed - 1e-9, OUT, INTO, DIALS)
    assert not refused.pays
    assert "does not pay: 10.62 points × 2 bps = 21.2 bps against 1.25 × 17.0 bps = 21.2 bps" in refused.reason()
    assert judge_swap(needed - 5.0, OUT, INTO, DIALS, extra_points=DIALS.signal_points).pays


def test_the_record_carries_every_number() -> None:
    numbers = judge_swap(12.0, OUT, INTO, DIALS).numbers()
    assert numbers == {
        "gap_paid": 12.0,
        "bps_per_point": 2.0,
        "cost_safety": 1.25,
        "fee_bps_out": 6.0,
        "half_spread_bps_out": 2.0,
        "impact_bps_out": 3.0,
        "fee_bps_in": 5.0,
        "half_spread_bps_in": 1.0,
        "impact_bps_in": 0.0,
        "cost_bps": 17.0,
        "earns_bps": 24.0,
        "needs_bps": 21.25,
    }


def test_what_cannot_be_priced_does_not_pay() -> None:
    unknown = price_leg("NEWUSDTM", taker_fee=6e-4, spread_bps=nan, impact_bps=2.0)
    verdict = judge_swap(100.0, OUT, unknown, DIALS)
    assert not verdict.pays
    assert isnan(verdict.needs_bps)
    assert verdict.numbers()["needs_bps"] is None
    assert verdict.reason() == "NEWUSDTM has no spread to price the swap by"


def test_without_an_order_book_the_impact_is_assumed_and_said_so() -> None:
    leg = price_leg("NEWUSDTM", taker_fee=6e-4, spread_bps=8.0, impact_bps=nan)
    assert (leg.impact_bps, leg.bps) == (4.0, 14.0)
    assert judge_swap(50.0, OUT, leg, DIALS).numbers()["impact_in"] == "assumed"


@pytest.mark.parametrize("freedom", [7, 10, 30, 499])
def test_students_t_is_scipys(freedom: int) -> None:
    assert student_95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-3)


def test_the_slope_is_least_squares_through_the_origin_with_a_robust_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gaps = rng.uniform(8, 40, 60)
    earned = 1.5 * gaps + rng.normal(size=60) * gaps * 3
    slope = RealisedSlope()
    for gap, bps in zip(gaps.tolist(), earned.tolist(), strict=True):
        slope.update(gap, bps)
    found = slope.estimate
    best = float(np.linalg.lstsq(gaps[:, None], earned, rcond=None)[0][0])
    meat = float(((gaps * (earned - best * gaps)) ** 2).sum()) * 60 / 59
    margin = float(stats.t.ppf(0.975, 59)) * meat**0.5 / float((gaps**2).sum())
    assert found.bps_per_point == pytest.approx(best, rel=1e-9)
    assert (found.low, found.high) == (pytest.approx(best - margin, rel=1e-4), pytest.approx(best + margin, rel=1e-4))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(400):
        slope = RealisedSlope()
        for gap in rng.uniform(10, 30, 25).tolist():
            slope.update(gap, 2.0 * gap + float(rng.normal()) * 80)
        estimate = slope.estimate
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= 2.0 <= estimate.high
    assert 0.91 <= hits / 400 <= 0.98


def test_too_few_swaps_say_so() -> None:
    slope = RealisedSlope()
    assert slope.estimate.reason == "no finished swap yet"
    for _ in range(7):
        slope.update(10.0, 20.0)
    assert (slope.estimate.bps_per_point, slope.estimate.low) == (2.0, None)
    assert slope.estimate.reason == "7 finished swaps, an interval needs 8"


@given(st.lists(st.tuples(st.floats(0.1, 50), st.floats(-500, 500)), max_size=30))
def test_the_estimate_survives_a_restart(swaps: list[tuple[float, float]]) -> None:
    before, after = RealisedSlope(), RealisedSlope()
    for gap, earned in swaps:
        before.update(gap, earned)
    after.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(before.snapshot())))
    before.update(12.0, 5.0)
    after.update(12.0, 5.0)
    assert after.estimate == before.estimate
