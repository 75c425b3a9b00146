"""Weights within the limits: rounding, named conflicts, turnover, what is kept when nothing fits, the buffer."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from tests.contracts.optimiser_checks import SECTORS, check_limits, solved_or_named
from zmart_stream.domain.errors import InfeasibleError
from zmart_stream.portfolio import OPTIMISERS
from zmart_stream.portfolio.constraints import Region, turnover
from zmart_stream.portfolio.targets import beyond_buffer, kept_weights, target_weights
from zmart_stream.portfolio.weights.problem import FloatArray, Limits, WeightProblem


class Fixed:
    """Wants what it is told."""

    def __init__(self, *shares: float) -> None:
        self._shares = np.array(shares)

    def weights(self, problem: WeightProblem) -> FloatArray:
        return self._shares


def problem(
    count: int, *, limits: Limits, present: tuple[float, ...] | None = None, sectors: str = ""
) -> WeightProblem:
    held = present or (0.0,) * count
    return WeightProblem(
        symbols=tuple(f"C{i:02d}USDTM" for i in range(count)),
        covariance=np.eye(count),
        scores=(50.0,) * count,
        sectors=tuple(None if s == "-" else s for s in sectors or "-" * count),
        present=held,
        present_cash=100.0 - sum(held),
        limits=limits,
    )


def solved(shares: tuple[float, ...], asked: WeightProblem) -> list[float]:
    return list(target_weights(Fixed(*shares), asked).weights.values())


def test_proportions_survive_where_no_limit_binds() -> None:
    assert solved((4, 3, 2, 1), problem(4, limits=Limits(max_weight=60.0))) == [40.0, 30.0, 20.0, 10.0]


def test_what_a_limit_cuts_goes_to_the_others_in_proportion() -> None:
    assert solved((6, 2, 1, 1), problem(4, limits=Limits(max_weight=40.0))) == [40.0, 30.0, 15.0, 15.0]
    asked = problem(4, limits=Limits(max_weight=60.0, max_sector_weight=35.0), sectors="aa--")
    assert solved((4, 3, 2, 1), asked) == [20.0, 15.0, 43.33, 21.67]


def test_a_small_book_keeps_what_max_weight_leaves_as_cash() -> None:
    found = target_weights(OPTIMISERS["risk_parity"](), problem(3, limits=Limits()))
    assert (list(found.weights.values()), found.cash) == ([25.0, 25.0, 25.0], 25.0)
    assert target_weights(OPTIMISERS["hrp"](), problem(0, limits=Limits())).cash == 100.0


def test_least_weight_gives_way_to_half_the_mean() -> None:
    found = solved((1.0,) + (0.0,) * 39, problem(40, limits=Limits(max_weight=80.0)))
    assert found == [51.25] + [1.25] * 39


@pytest.mark.parametrize(
    ("limits", "sectors", "named"),
    [
        (Limits(max_sector_weight=60.0), "aaaaa", "max_sector_weight 60 and max_weight 25: 5 holdings can take 60.00"),
        (Limits(max_sector_weight=6.0, min_weight=4.0), "aa---", "min_weight 4 and max_sector_weight 6: the holdings"),
        (Limits(cash=100.0), "-----", "cash 100 and max_weight 25 leave nothing to invest"),
        (Limits(max_turnover=50.0), "-----", "max_turnover 50: the other limits need 100.00"),
    ],
)
def test_a_conflict_is_named(limits: Limits, sectors: str, named: str) -> None:
    with pytest.raises(InfeasibleError, match=named):
        target_weights(OPTIMISERS["risk_parity"](), problem(5, limits=limits, sectors=sectors))


def test_turnover_stops_on_the_way_to_the_target() -> None:
    asked = problem(4, limits=Limits(max_weight=60.0, max_turnover=12.0), present=(25.0, 25.0, 25.0, 25.0))
    found = solved((55, 15, 15, 15), asked)
    assert found == [37.0, 21.0, 21.0, 21.0]
    uneven = problem(4, limits=Limits(max_weight=60.0, max_turnover=10.0), present=(40.0, 30.0, 20.0, 10.0))
    assert solved((10, 20, 30, 40), uneven) == [32.5, 27.5, 22.5, 17.5]
    free = msgspec.structs.replace(asked, limits=Limits(max_weight=60.0))
    assert solved((55, 15, 15, 15), free) == [55.0, 15.0, 15.0, 15.0]


def test_present_weights_are_kept_and_a_newcomer_takes_over_what_left() -> None:
    asked = problem(4, limits=Limits(max_weight=60.0), present=(40.0, 30.0, 0.0, 10.0))
    asked = msgspec.structs.replace(asked, present_cash=0.0)  # a holding of 20 left
    assert list(kept_weights(asked).weights.values()) == [40.0, 30.0, 20.0, 10.0]
    grown = msgspec.structs.replace(asked, present=(50.0, 30.0, 20.0, 0.0))
    assert list(kept_weights(grown).weights.values()) == [37.5, 22.5, 15.0, 25.0]
    assert kept_weights(problem(3, limits=Limits())).cash == 25.0


@given(
    present=st.lists(st.integers(1, 2_000), min_size=1, max_size=50),
    max_weight=st.integers(200, 10_000).map(lambda x: x / 100),
    cash=st.integers(0, 9_000).map(lambda x: x / 100),
)
def test_kept_weights_are_those_that_a_search_in_the_region_finds(
    present: list[int], max_weight: float, cash: float
) -> None:
    held = tuple(100.0 * weight / sum(present) for weight in present)
    limits = Limits(cash=cash, max_weight=max_weight, min_weight=0.0, max_sector_weight=100.0)
    asked = msgspec.structs.replace(problem(len(present), limits=limits, present=held), present_cash=0.0)
    found, region = kept_weights(asked), Region(asked)
    searched = region.rounded(region.scaled(np.array(held)))
    assert [round(weight * 100) for weight in found.weights.values()] == pytest.approx(searched, abs=1)
    assert sum(round(weight * 100) for weight in found.weights.values()) + round(found.cash * 100) == 10_000
    assert max(found.weights.values()) <= max_weight


def test_the_buffer_is_a_fifth_of_the_target_and_at_least_a_point() -> None:
    target = {"A": 20.0, "B": 2.0, "C": 10.0}
    assert beyond_buffer({"A": 24.0, "B": 2.9, "C": 8.0}, target) == []
    assert beyond_buffer({"A": 24.01, "B": 3.01, "C": 7.99}, target) == ["A", "B", "C"]


def test_scipy_stays_off_the_start_path() -> None:
    code = "import sys, zmart_stream.portfolio.targets; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(
    shares=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=50),
    limits=st.builds(
        Limits,
        cash=st.integers(0, 9_000).map(lambda x: x / 100),
        max_weight=st.integers(1, 10_000).map(lambda x: x / 100),
        min_weight=st.integers(0, 1_000).map(lambda x: x / 100),
        max_sector_weight=st.integers(100, 10_000).map(lambda x: x / 100),
    ),
    seed=st.integers(0, 1000),
)
def test_any_shares_come_out_within_any_limits_or_the_conflict_is_named(
    shares: list[float], limits: Limits, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    asked = problem(len(shares), limits=limits)
    asked = msgspec.structs.replace(asked, sectors=tuple(SECTORS[i] for i in rng.integers(0, 4, len(shares)).tolist()))
    found = solved_or_named(Fixed(*shares), asked)
    if found is not None:
        check_limits(asked, found)


@given(
    present=st.lists(st.integers(0, 2_000), min_size=4, max_size=8).filter(any),
    sector_cap=st.integers(3_000, 10_000),
)
def test_no_weights_within_the_limits_need_less_turnover_than_the_present_ones_scaled(
    present: list[int], sector_cap: int
) -> None:
    count = len(present)
    limits = Limits(max_weight=45.0, max_sector_weight=sector_cap / 100)
    region = Region(problem(count, limits=limits, sectors="aab-----"[:count]))
    ours = turnover(region.rounded(region.scaled(np.array(present, dtype=np.float64))), np.array(present), (0.0, 0.0))
    # least sum of u over w and u with u >= w - present, u >= 0, the box, the caps and the sum
    eye, members = np.eye(count), np.array([region.group == k for k in range(len(region.sectors))], dtype=float)
    best = linprog(
        np.r_[np.zeros(count), np.ones(count)],
        A_ub=np.block([[eye, -eye], [members, np.zeros_like(members)]]),
        b_ub=np.r_[present, region.caps[:-1]],
        A_eq=np.r_[np.ones(count), np.zeros(count)][None, :],
        b_eq=[region.total],
        bounds=[*zip(region.lower, region.upper, strict=True), *[(0.0, None)] * count],
    )
    assert ours == pytest.approx(best.fun, abs=1e-6)


def test_rounding_keeps_a_sector_that_is_full_within_its_cap() -> None:
    # the sector's three remainders are the largest, but its cap has room for two
    asked = problem(6, limits=Limits(cash=1.0, max_weight=60.0, max_sector_weight=35.0), sectors="aaa---")
    assert solved((5, 5, 5, 1, 1, 1), asked) == [11.67, 11.67, 11.66, 21.34, 21.33, 21.33]
