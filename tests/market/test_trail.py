"""What is kept beside the bars is what the bars give, whatever happened to them."""

from __future__ import annotations

import numpy as np

from tests.market.a_market import START, AMarket, candles, contract, klines
from zmart_stream.domain.market import Listing
from zmart_stream.market import windows
from zmart_stream.market.bars import HOUR, Field
from zmart_stream.market.figures import WEEK
from zmart_stream.market.trail import Trace, traced


def assert_follows(market: AMarket) -> None:
    ring, trail = market.cache.hours.ring, market.cache.hours.trail
    plain = traced(ring.window(Field.CLOSE), ring.window(Field.TURNOVER)[1:])
    for trace in Trace:
        np.testing.assert_array_equal(trail.window(trace), plain[trace])
    high, low, close = (ring.window(field, WEEK - 1) for field in (Field.HIGH, Field.LOW, Field.CLOSE))
    for found, expected in zip(market.cache._recently().drawdown, windows.drawdown(high, low, close), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_closes_repairs_and_new_rows_are_followed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = AMarket(*(f"C{k}USDTM" for k in range(5)))
    for k, symbol in enumerate(market.symbols[:4]):
        market.cache.load(klines(symbol, candles(rng, 10.0 ** (3 * k - 6), 240), START - 240 * HOUR))
    added = 5
    for step in range(80):
        kind = int(rng.integers(0, 4))
        if kind == 0:
            symbol = market.symbols[int(rng.integers(0, 5))]
            start = market.cache.hour_start - int(rng.integers(1, 200)) * HOUR
            bars = candles(rng, 5.0, int(rng.integers(1, 60)))
            market.cache.load(klines(symbol, bars, start, as_of=market.cache.hour_start))
        elif kind == 1 and added < 90:
            for _ in range(12):
                added += 1
                at = market.cache.hour_start
                market.cache.listing(Listing(ts=at, contract=contract(f"C{added}USDTM"), change="listed"))
        market.walk(rng, int(rng.integers(1, 12)), dict.fromkeys(market.symbols, 1.0 + step))
        if kind != 2:  # closes that nobody looked at between are caught up with
            assert_follows(market)
    assert market.cache.hours.ring.end > START + 300 * HOUR


def test_bars_put_back_from_storage_are_followed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = AMarket("AUSDTM", "BUSDTM")
    for symbol in market.symbols:
        market.cache.load(klines(symbol, candles(rng, 10.0, 240), START - 240 * HOUR))
    assert_follows(market)
    other = AMarket("AUSDTM", "BUSDTM")
    other.cache.view()
    for block in market.cache.bars_stored(START):
        other.cache.load_block(block)
    assert_follows(other)
    np.testing.assert_array_equal(
        other.cache.hours.trail.window(Trace.RETURN), market.cache.hours.trail.window(Trace.RETURN)
    )
