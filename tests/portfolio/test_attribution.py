"""Contributions sum to the return, effects to the active return, over one bar and over any number of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.portfolio.test_ledger import PRICES, SECTORS, SYMBOLS, T0, World, free, marked
from zmart_stream.portfolio.attribution import CASH, NO_SECTOR, fold
from zmart_stream.portfolio.benchmark import DAY_NS
from zmart_stream.portfolio.ledger import Ledger

HOUR = DAY_NS // 24


def test_one_bar_by_hand() -> None:
    ledger = Ledger()
    marked(ledger, T0, PRICES)
    ledger.trade(T0, {"SOLUSDTM": 50.0, "PEPEUSDTM": 30.0}, free(PRICES))
    moved = {**PRICES, "SOLUSDTM": 160.0 * 1.1, "ADAUSDTM": 0.7 * 0.9, "XBTUSDTM": 60_000 * 1.05, "PEPEUSDTM": 1.1e-5}
    period = marked(ledger, T0 + HOUR, moved).period
    assert period is not None
    assert period.contributions == {"SOLUSDTM": pytest.approx(0.05), "PEPEUSDTM": pytest.approx(0.0)}
    # benchmark, 20 % each: layer (SOL +10 %, ADA -10 %) 0, base +5 %, meme 0, none (XRP) 0
    assert period.benchmark == pytest.approx(0.01)
    layer = period.effects["layer"]
    assert layer.allocation == pytest.approx((0.5 - 0.4) * (0.0 - 0.01))
    assert layer.selection == pytest.approx(0.4 * (0.1 - 0.0))
    assert layer.interaction == pytest.approx((0.5 - 0.4) * (0.1 - 0.0))
    assert period.effects["base"].allocation == pytest.approx((0.0 - 0.2) * (0.05 - 0.01))
    assert period.effects[CASH].allocation == pytest.approx((0.2 - 0.0) * (0.0 - 0.01))
    assert period.effects[NO_SECTOR].total == pytest.approx((0.0 - 0.2) * (0.0 - 0.01))
    assert sum(effects.total for effects in period.effects.values()) == pytest.approx(period.active)


def test_effects_are_plain_numpys_when_nothing_is_traded_within_the_bar(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ledger = Ledger()
    marked(ledger, T0, PRICES)
    shares = np.floor(rng.dirichlet(np.full(5, 20.0)) * 9_000) / 100
    ledger.trade(T0, dict(zip(SYMBOLS, shares.tolist(), strict=True)), free(PRICES))
    gains = rng.normal(size=5) * 0.05
    period = marked(
        ledger, T0 + HOUR, {s: PRICES[s] * (1 + g) for s, g in zip(SYMBOLS, gains.tolist(), strict=True)}
    ).period
    assert period is not None
    names = np.array([SECTORS.get(symbol) or NO_SECTOR for symbol in SYMBOLS])
    whole = gains.mean()
    for sector in set(names.tolist()):
        of = names == sector
        wp, wb = shares[of].sum() / 100, of.sum() / 5
        rp, rb = (shares[of] * gains[of]).sum() / shares[of].sum(), gains[of].mean()
        found = period.effects[sector]
        assert found.allocation == pytest.approx((wp - wb) * (rb - whole), abs=1e-11)
        assert found.selection == pytest.approx(wb * (rp - rb), abs=1e-11)
        assert found.interaction == pytest.approx((wp - wb) * (rp - rb), abs=1e-11)


@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 40))
def test_everything_sums_over_any_history(seed: int, bars: int) -> None:
    world, ledger = World(seed), Ledger()
    start = marked(ledger, world.ts, world.prices).point
    periods = []
    point = start
    for _ in range(bars):
        closed = world.step(ledger)
        assert closed.period is not None
        periods.append(closed.period)
        point = closed.point
    whole = fold(periods)
    assert whole is not None
    assert whole.gain == pytest.approx(point.equity / start.equity - 1, abs=1e-9)
    assert whole.benchmark == pytest.approx(point.benchmark / start.benchmark - 1, abs=1e-9)
    assert sum(whole.contributions.values()) + whole.funding + whole.costs == pytest.approx(whole.gain, abs=1e-9)
    effects = sum(effects.total for effects in whole.effects.values())
    assert effects + whole.active_funding + whole.active_costs == pytest.approx(whole.active, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 19))
def test_folding_in_parts_is_folding_at_once(seed: int, cut: int) -> None:
    world, ledger = World(seed), Ledger()
    marked(ledger, world.ts, world.prices)
    periods = [closed.period for closed in (world.step(ledger) for _ in range(20)) if closed.period is not None]
    parts = [part for part in (fold(periods[:cut]), fold(periods[cut:])) if part is not None]
    one, two = fold(periods), fold(parts)
    assert one is not None
    assert two is not None
    assert (two.start, two.end) == (one.start, one.end)
    assert two.gain == pytest.approx(one.gain, abs=1e-12)
    assert two.contributions == pytest.approx(one.contributions, abs=1e-12)
    for sector, effects in one.effects.items():
        assert two.effects[sector].total == pytest.approx(effects.total, abs=1e-12)


def test_nothing_folds_to_nothing() -> None:
    assert fold([]) is None
