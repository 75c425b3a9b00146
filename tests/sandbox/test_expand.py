import numpy as np
import pytest

from zmart_stream.sandbox.expand import TickBars, least_lots, split_bars, split_trades, value_bounds, with_value
from zmart_stream.sandbox.keyed import normals, smooth, smooth_at, uniform_at, uniforms

ROWS = 400


def random_bars(seed: int, reach: int, most_lots: int, least: int = 0) -> TickBars:
    rng = np.random.default_rng(seed)
    opens = rng.integers(5000, 6000, ROWS)
    closes = opens + rng.integers(-reach, reach + 1, ROWS)
    high = np.maximum(opens, closes) + rng.integers(0, reach + 1, ROWS) * rng.integers(0, 2, ROWS)
    low = np.minimum(opens, closes) - rng.integers(0, reach + 1, ROWS) * rng.integers(0, 2, ROWS)
    lots = rng.integers(least, most_lots, ROWS)
    bars = TickBars(opens, high, low, closes, lots, lots)
    lots = np.where(lots < least_lots(bars), 0, lots)
    return with_value(bars._replace(lots=lots), (opens + high + low + closes) / 4)


def assert_rows_join_to(parts: TickBars, bars: TickBars) -> None:
    """The parts (rows, n) with lots aggregate to the bars in all six figures."""
    traded = parts.lots > 0
    rows = np.flatnonzero(bars.lots > 0)
    first, last = traded.argmax(1), traded.shape[1] - 1 - traded[:, ::-1].argmax(1)
    assert np.array_equal(parts.lots.sum(1), bars.lots)
    assert np.array_equal(parts.value.sum(1)[rows], bars.value[rows])
    assert np.array_equal(parts.open[rows, first[rows]], bars.open[rows])
    assert np.array_equal(parts.close[rows, last[rows]], bars.close[rows])
    assert np.array_equal(np.where(traded, parts.high, -1).max(1)[rows], bars.high[rows])
    assert np.array_equal(np.where(traded, parts.low, 10**9).min(1)[rows], bars.low[rows])


@pytest.mark.parametrize("parts", [5, 60])
@pytest.mark.parametrize("activity", [1.0, 0.3])
@pytest.mark.parametrize(("reach", "most_lots"), [(200, 50_000), (3, 500), (0, 300), (2000, 120), (40, 12)])
def test_parts_join_to_the_bar_exactly(reach: int, most_lots: int, activity: float, parts: int, seed: int) -> None:
    bars = random_bars(seed, reach, most_lots)
    split = split_bars(bars, index=np.arange(ROWS), parts=parts, key=seed, activity=activity)
    assert_rows_join_to(split, bars)
    busy = split.lots > 0
    assert np.all((split.low <= np.minimum(split.open, split.close)) | ~busy)
    assert np.all((split.high >= np.maximum(split.open, split.close)) | ~busy)


@pytest.mark.parametrize(("reach", "most_lots"), [(200, 50_000), (3, 300), (0, 9), (50, 12)])
def test_trades_rebuild_the_bar_exactly(reach: int, most_lots: int, seed: int) -> None:
    bars = random_bars(seed, reach, most_lots)
    tape = split_trades(bars, index=np.arange(ROWS), key=seed)
    counts = np.diff(tape.offset)
    assert np.array_equal(counts > 0, bars.lots > 0)
    assert counts.max() <= 8
    enough = bars.lots >= 60
    assert np.all(counts[enough] >= 3)
    for row in np.flatnonzero(counts):
        part = slice(tape.offset[row], tape.offset[row + 1])
        ticks, lots, ms = tape.ticks[part], tape.lots[part], tape.ms[part]
        assert (ticks[0], ticks.max(), ticks.min(), ticks[-1]) == tuple(column[row] for column in bars[:4])
        assert lots.min() > 0
        assert lots.sum() == bars.lots[row]
        assert (lots * ticks).sum() == bars.value[row]
        assert np.all(np.diff(ms) > 0)
        assert 0 <= ms[0] <= ms[-1] < 60_000
        rises = np.diff(ticks)
        assert np.all(tape.buy[part][1:][rises > 0])
        assert not np.any(tape.buy[part][1:][rises < 0])


@pytest.mark.parametrize(
    ("prices", "lots"),
    [((5, 5, 5, 5), 1), ((5, 7, 5, 7), 2), ((5, 7, 5, 5), 3), ((5, 7, 3, 5), 4), ((5, 7, 3, 6), 4), ((5, 7, 3, 7), 3)],
)
def test_the_fewest_lots_that_can_trade_through_a_bar(prices: tuple[int, int, int, int], lots: int) -> None:
    columns = [np.array([value], dtype=np.int64) for value in (*prices, lots, 0)]
    bar = TickBars(*columns)
    assert least_lots(bar).tolist() == [lots]
    tape = split_trades(with_value(bar, np.array([5.0])), index=np.array([9]), key=1)
    assert tape.lots.tolist() == [1] * lots
    assert (tape.ticks[0], tape.ticks.max(), tape.ticks.min(), tape.ticks[-1]) == prices


def test_a_row_does_not_depend_on_the_batch_around_it(seed: int) -> None:
    bars = random_bars(seed, 150, 20_000)
    whole = split_bars(bars, index=np.arange(ROWS), parts=60, key=seed, activity=0.8)
    for row in range(0, ROWS, 57):
        alone = split_bars(bars.take(slice(row, row + 1)), index=np.array([row]), parts=60, key=seed, activity=0.8)
        for one, many in zip(alone, whole, strict=True):
            assert np.array_equal(one[0], many[row])


def test_bars_of_several_contracts_are_split_as_each_alone(seed: int) -> None:
    bars, index = random_bars(seed, 150, 20_000), np.arange(ROWS)
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, ROWS, dtype=np.uint64)
    activity = rng.uniform(0.2, 1.0, ROWS)
    whole = split_bars(bars, index=index, parts=60, key=keys, activity=activity)
    trades = split_trades(bars, index=index, key=keys)
    for row in range(0, ROWS, 37):
        cut, key = slice(row, row + 1), int(keys[row])
        alone = split_bars(bars.take(cut), index=index[cut], parts=60, key=key, activity=float(activity[row]))
        assert all(np.array_equal(one[0], many[row]) for one, many in zip(alone, whole, strict=True))
        tape, part = split_trades(bars.take(cut), index=index[cut], key=key), slice(*trades.offset[row : row + 2])
        assert all(np.array_equal(one, many[part]) for one, many in zip(tape[1:], trades[1:], strict=True))


def test_most_hours_of_a_liquid_contract_keep_their_minutes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk = rng.normal(0, 30, (ROWS, 240)).cumsum(axis=1).round().astype(np.int64) + 100_000
    bars = TickBars(walk[:, 0], walk.max(1), walk.min(1), walk[:, -1], *[np.full(ROWS, 50_000)] * 2)
    bars = with_value(bars, (bars.open + bars.high + bars.low + bars.close) / 4)
    split = split_bars(bars, index=np.arange(ROWS), parts=60, key=seed, activity=1.0)
    assert np.mean((split.lots > 0).sum(1) == 60) > 0.97


def test_value_is_held_inside_what_trades_can_do(seed: int) -> None:
    bars = random_bars(seed, 100, 1000)
    least, greatest = value_bounds(bars)
    for mean in (bars.low - 50.0, bars.high + 50.0):
        value = with_value(bars, mean).value
        busy = bars.lots > 0
        assert np.all((value >= least)[busy] & (value <= greatest)[busy])


def test_noise_at_one_index_equals_noise_of_an_array(seed: int) -> None:
    times = np.random.default_rng(seed).integers(0, 2**48, 50)
    assert [uniform_at(seed, int(t)) for t in times] == uniforms(seed, times).tolist()
    assert [smooth_at(seed, int(t), 3_600_000) for t in times] == smooth(seed, times, 3_600_000).tolist()


def test_noise_has_the_moments_it_claims(seed: int) -> None:
    index = np.arange(200_000, dtype=np.int64)
    flat, bell = uniforms(seed, index), normals(seed, index)
    assert abs(flat.mean() - 0.5) < 0.005
    assert abs(bell.mean()) < 0.02
    assert abs(bell.std() - 1.0) < 0.02
    assert abs(np.corrcoef(bell[:-1], bell[1:])[0, 1]) < 0.02
