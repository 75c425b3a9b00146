"""Anchor + ring equals the live state, whatever was committed, replaced or carried."""

from __future__ import annotations

import numpy as np
import pytest

from tests.market.a_market import LEVELS, START, candles, contract, klines
from zmart_stream.market.bars import DAY, FIELDS, HOUR, Field, merged
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.indicators import Hour
from zmart_stream.market.series import Series


def committed(series: Series, bars: np.ndarray) -> None:
    """Commit (5, count, rows) candles one by one; a nan close is an interval without trades."""
    for k in range(bars.shape[1]):
        block = np.zeros((FIELDS, bars.shape[2]))
        block[:5] = bars[:, k]
        block[Field.LOTS] = np.nan_to_num(block[Field.LOTS])
        block[Field.WHOLE] = 1.0
        series.commit(block)


def random_rows(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.stack([candles(rng, level, count) for level in LEVELS], axis=2)
    rows[:, rng.random(rows.shape[1:]) < 0.1] = np.nan
    rows[:, 0] = np.array(LEVELS)
    return rows


@pytest.mark.parametrize("interval_s", [3600, 86400])
def test_anchor_and_ring_equal_live_over_runs_longer_than_the_ring(interval_s: int, seed: int) -> None:
    series = Series(interval_s=interval_s, slots=60)
    series.grow(len(LEVELS))
    series.ring.start_at(START)
    rows = random_rows(seed, 1000)
    for part in np.split(rows, 8, axis=1):
        committed(series, part)
        live = series.live.copy()
        assert max(series.recompute(row) for row in range(len(LEVELS))) <= 1e-9
        np.testing.assert_allclose(series.live, live, rtol=1e-9)
    assert series.anchor[series.kind.COUNT].tolist() == [940.0] * len(LEVELS)
    assert series.live[series.kind.COUNT].tolist() == [1000.0] * len(LEVELS)


def test_live_history_and_loaded_history_agree(seed: int) -> None:
    rows = random_rows(seed, 240)
    live, loaded = Series(interval_s=3600, slots=240), Series(interval_s=3600, slots=240)
    for series, end in ((live, START), (loaded, START + 240 * HOUR)):
        series.grow(len(LEVELS))
        series.ring.start_at(end)
    committed(live, rows)
    for row in range(len(LEVELS)):
        state = ContractState(row, contract("AUSDTM"))
        assert loaded.replace(state, klines("AUSDTM", rows[:, :, row], START)) == list(range(240))
        loaded.recompute(row)
    np.testing.assert_array_equal(loaded.live, live.live)
    for field in (Field.OPEN, Field.HIGH, Field.LOW, Field.CLOSE, Field.LOTS, Field.WHOLE):
        np.testing.assert_array_equal(loaded.ring.window(field), live.ring.window(field))


def test_a_repair_gives_the_state_that_never_missed_the_bar(seed: int) -> None:
    rows = random_rows(seed, 100)[:, :, 3:4]
    whole, gappy = Series(interval_s=3600, slots=60), Series(interval_s=3600, slots=60)
    missing = rows.copy()
    missing[:, 80:84] = np.nan
    for series, bars in ((whole, rows), (gappy, missing)):
        series.grow(1)
        series.ring.start_at(START)
        committed(series, bars)
    gappy.ring.column(0)[Field.WHOLE, 40:44] = 0.0
    assert gappy.live[Hour.VARIANCE, 0] != whole.live[Hour.VARIANCE, 0]
    state = ContractState(0, contract("AUSDTM"))
    changed = gappy.replace(state, klines("AUSDTM", rows[:, 80:84, 0], START + 80 * HOUR))
    assert changed[:4] == [40, 41, 42, 43]
    gappy.recompute(0)
    np.testing.assert_array_equal(gappy.live, whole.live)
    np.testing.assert_array_equal(gappy.ring.window(Field.CLOSE), whole.ring.window(Field.CLOSE))


def test_what_the_venue_confirms_keeps_its_taker_split() -> None:
    series = Series(interval_s=3600, slots=30)
    series.grow(1)
    series.ring.start_at(START)
    bar = np.array([[1.0], [2.0], [0.5], [1.5], [10.0], [0.12], [7.0], [3.0], [4.0], [1.0]])
    series.commit(bar)
    state = ContractState(0, contract("AUSDTM"))
    same = np.array([[1.0], [2.0], [0.5], [1.5], [10.0]])
    assert series.replace(state, klines("AUSDTM", same, START)) == []
    assert series.ring.column(0)[Field.BUY, -1] == 7.0
    other = np.array([[1.0], [2.5], [0.5], [1.5], [11.0]])
    assert series.replace(state, klines("AUSDTM", other, START)) == [29]
    assert np.isnan(series.ring.column(0)[Field.BUY, -1])
    assert series.ring.column(0)[Field.TURNOVER, -1] == pytest.approx(11.0 * 0.01 * (1.0 + 2.5 + 0.5 + 1.5) / 4)


def test_a_running_candle_is_not_a_closed_bar() -> None:
    series = Series(interval_s=3600, slots=30)
    series.grow(1)
    series.ring.start_at(START + 2 * HOUR)
    bars = np.array([[1.0, 2.0]] * 4 + [[5.0, 5.0]])
    m = klines("AUSDTM", bars, START, as_of=START + HOUR + HOUR // 2)
    series.replace(ContractState(0, contract("AUSDTM")), m)
    # the hour that was still running at the venue is not believed: it carries the close and waits for its repair
    assert series.ring.column(0)[:, 28:].T.tolist()[0][:5] == [1.0, 1.0, 1.0, 1.0, 5.0]
    assert series.ring.column(0)[:, 29].tolist() == [1.0] * 4 + [0.0] * 6


def test_ring_grows_in_rows_and_keeps_order_over_many_shifts() -> None:
    series = Series(interval_s=3600, slots=5)
    series.grow(1)
    series.ring.start_at(START)
    for k in range(200):
        rows = 1 if k < 100 else 130
        series.grow(rows)
        block = np.full((FIELDS, rows), float(k + 1))
        series.commit(block)
        newest = series.ring.window(Field.CLOSE)[:, 0]
        assert newest[-min(k + 1, 5) :].tolist() == [float(n + 1) for n in range(max(0, k - 4), k + 1)]
    assert series.ring.end == START + 200 * HOUR
    assert series.ring.slot(START + 199 * HOUR) == 4
    assert series.ring.slot(START + 194 * HOUR) is None
    assert series.ring.window(Field.CLOSE)[:, 129].tolist() == [196.0, 197.0, 198.0, 199.0, 200.0]


def test_a_day_is_the_sum_of_its_hours_and_ignores_carried_prices() -> None:
    hours = np.zeros((FIELDS, 3, 2))
    hours[:4, :, 0] = [[9, 5, 6], [9, 8, 7], [9, 4, 3], [9, 6, 5]]  # the first hour only carries 9
    hours[4:, :, 0] = [[0, 1, 2], [0, 10, 20], [0, 1, 0], [0, 0, 2], [0, 1, 2], [1, 1, 0]]
    hours[:4, :, 1] = 2.0  # no trade at all
    hours[Field.WHOLE, :, 1] = 1.0
    bar = merged(list(hours))
    assert bar[:, 0].tolist() == [5, 8, 3, 5, 3, 30, 1, 2, 3, 0]
    assert bar[:, 1].tolist() == [2, 2, 2, 2, 0, 0, 0, 0, 0, 1]
    assert DAY == 24 * HOUR
