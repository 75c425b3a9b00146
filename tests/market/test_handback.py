"""One contract alone is handed back what all of them together are, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.market.a_market import LEVELS, START, AMarket, candles, klines
from zmart_stream.market.bars import DAY, HOUR, Field
from zmart_stream.market.handback import hand_back_row_days, hand_back_row_hours

SYMBOLS = tuple(f"{name}USDTM" for name in "ABCDEFG")
BARS = (0, 1, 5, 23, 168, 169, 240)  # of history, by contract


def lived(seed: int, hours: int) -> AMarket:
    """Contracts of every age and price level, some with intervals without trades, `hours` after midnight."""
    rng = np.random.default_rng(seed)
    market = AMarket(*SYMBOLS)
    for symbol, level, count in zip(SYMBOLS, LEVELS, BARS, strict=True):
        if count:
            bars = candles(rng, level, count)
            bars[:, rng.random(count) < 0.1] = np.nan
            market.cache.load(klines(symbol, bars, START - count * HOUR))
            days = candles(rng, level, max(1, count // 4))
            market.cache.load(klines(symbol, days, START - days.shape[1] * DAY, interval_s=86400))
    market.walk(rng, hours, dict(zip(SYMBOLS, LEVELS, strict=True)))
    return market


@pytest.mark.parametrize("hours", [0, 1, 7, 30])
def test_a_row_alone_equals_the_columns_bit_for_bit(hours: int, seed: int) -> None:
    market = lived(seed, hours)
    market.cache.recompute()
    together = [repr(state.dump()) for state in market.cache.states]
    market.cache.recompute(range(len(SYMBOLS)))
    assert [repr(state.dump()) for state in market.cache.states] == together


def test_what_a_close_hands_back_is_what_the_row_has(seed: int) -> None:
    market = lived(seed, 31)
    after_close = [repr(state.dump()) for state in market.cache.states]
    for state in market.cache.states:
        hand_back_row_hours(state, market.cache.hours, market.cache.day_start)
        hand_back_row_days(state, market.cache.days)
    assert [repr(state.dump()) for state in market.cache.states] == after_close


def test_a_bar_that_changes_renews_what_was_computed_of_all(seed: int) -> None:
    market = lived(seed, 3)
    before = market.cache.view().hour
    peak = float(market.cache.hours.ring.column(6)[Field.HIGH].max()) * 2.0
    market.cache.load(klines(SYMBOLS[6], np.full((5, 1), peak), START - 40 * HOUR, as_of=START + 3 * HOUR))
    after = market.cache.view().hour
    assert after.drawdown[6] > before.drawdown[6]
    assert after.max_return[6] > before.max_return[6]
    np.testing.assert_array_equal(after.drawdown[:6], before.drawdown[:6])
