"""The percentile map against SciPy, its ends, ties, few values, and its inverse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from zmart_stream.market.contract_state import Moves
from zmart_stream.scoring.base import Part
from zmart_stream.scoring.normalise import CrossSection
from zmart_stream.scoring.technical import PARTS

PART = Part(name="x", weight=1.0, moves=Moves.TRADE, location=-0.5, scale=2.0, text="more than {pct} %")


def frozen(values: list[float]) -> CrossSection:
    return CrossSection.freeze(PART, np.array(values, dtype=np.float64))


@pytest.mark.parametrize("seed", range(5))
def test_at_frozen_values_it_is_the_mean_percentile_rank(seed: int) -> None:
    print("seed", seed)
    rng = np.random.default_rng(seed)
    values = np.round(rng.standard_normal(60) * 10.0 ** rng.integers(-8, 5), 12 - seed)
    values[10:20] = values[0]
    section = CrossSection.freeze(PART, values)
    for x in values.tolist():
        assert section.pct(x) == pytest.approx(stats.percentileofscore(values, x, kind="mean"), abs=1e-9)


def test_between_values_it_is_linear_and_beyond_the_ends_it_stays() -> None:
    section = frozen([1, 2, 2, 3, 4, 5, 6, 10])
    assert section.pct(1) == 100 * 0.5 / 8
    assert section.pct(2) == 100 * (1 + 1) / 8
    assert section.pct(8) == pytest.approx((section.pct(6) + section.pct(10)) / 2)
    assert section.pct(-1e9) == section.pct(1)
    assert section.pct(1e9) == section.pct(10) == 100 * 7.5 / 8


def test_values_all_alike_are_all_in_the_middle() -> None:
    section = frozen([3.0] * 9)
    assert [section.pct(x) for x in (2.0, 3.0, 4.0)] == [50.0] * 3
    assert section.pct_all(np.array([2.0, 3.0, np.nan])).tolist()[:2] == [50.0, 50.0]


def test_absent_and_infinite_values_are_no_values() -> None:
    section = frozen([1, 2, 3, 4, 5, 6, 7, 8, np.nan, np.inf, -np.inf])
    assert section.count == 8
    assert section.pct(8) == 100 * 7.5 / 8


def test_with_seven_values_the_reference_curve_decides() -> None:
    section = frozen([1, 2, 3, 4, 5, 6, 7])
    for x in (-8.0, -0.5, 0.0, 3.0):
        assert section.pct(x) == pytest.approx(100 * stats.norm.cdf((x + 0.5) / 2.0), abs=1e-9)
    rsi = CrossSection.freeze(PARTS[0], np.array([50.0]))
    assert rsi.pct(62.5) == pytest.approx(100 * stats.norm.cdf(1.0), abs=1e-9)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 300])
def test_many_at_once_equal_one_by_one_bit_for_bit(count: int) -> None:
    rng = np.random.default_rng(count)
    values = rng.standard_normal(count) * 1e-3
    section = CrossSection.freeze(PART, values)
    asked = np.concatenate([values, rng.standard_normal(200) * 1e-3, [-1e300, 1e300, 0.0]])
    assert section.pct_all(asked).tolist() == [section.pct(x) for x in asked.tolist()]
    assert np.isnan(section.pct_all(np.array([np.nan]))).all()


@pytest.mark.parametrize("values", [[5.0, 5.0, 1.0, 2.0, 3.0, 4.0, 8.0, 9.0, 13.0], [1.0, 2.0]])
def test_inverse_finds_the_value_of_a_percentile_or_says_none(values: list[float]) -> None:
    section = frozen(values)
    low, high = section.pct(-1e9), section.pct(1e9)
    for pct in np.linspace(max(low, 0.01), min(high, 99.99), 37).tolist():
        x = section.inverse(pct)
        assert x is not None
        assert section.pct(x) == pytest.approx(pct, abs=1e-9)
    assert section.inverse(high + 0.01) is None
    assert section.inverse(low - 0.01) is None


def test_inverse_through_a_bounded_transform() -> None:
    macd = CrossSection.freeze(PARTS[1], np.empty(0))
    x = macd.inverse(70.0)
    assert x is not None
    assert macd.pct(x) == pytest.approx(70.0, abs=1e-9)
    assert macd.inverse(99.99) is None  # tanh stays below 1


def test_a_snapshot_gives_the_same_map() -> None:
    section = frozen([1, 2, 3, 4, 5, 6, 7, 8.5])
    again = CrossSection.restore(PART, section.snapshot())
    assert again.pct(8.1) == section.pct(8.1)
    assert again.count == section.count
