"""What is remembered of pairs is what the bars give, bit for bit, whatever happened to them and was asked before."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest

from tests.market.a_market import START, AMarket, candles, contract, klines
from zmart_stream.domain.market import Listing
from zmart_stream.market.bars import HOUR
from zmart_stream.market.comovement import Comovement
from zmart_stream.market.covariance import deviation_of
from zmart_stream.market.trail import Trail

WEIGHTS = (40.0, 25.0, 20.0, 15.0)


def figures(found: Comovement, rows: list[int]) -> list[float]:
    pairs = [found.correlation(a, b) for a, b in combinations_with_replacement(rows, 2)]
    series = deviation_of(found.returns(rows[0]) + found.returns(rows[-1]), 72.0)
    chosen = rows[: len(WEIGHTS)]
    return [*pairs, found.correlation_with(rows[1], series), found.variance(chosen, WEIGHTS[: len(chosen)])]


def test_remembered_pairs_equal_new_ones_after_closes_repairs_and_new_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = AMarket(*(f"C{k}USDTM" for k in range(5)))
    for k, symbol in enumerate(market.symbols[:4]):
        market.cache.load(klines(symbol, candles(rng, 10.0 ** (3 * k - 6), 240), START - 240 * HOUR))
    versions, added = set(), 5
    for step in range(60):
        kind = int(rng.integers(0, 5))
        if kind == 0:
            symbol = market.symbols[int(rng.integers(0, 5))]
            start = market.cache.hour_start - int(rng.integers(1, 200)) * HOUR
            bars = candles(rng, 5.0, int(rng.integers(1, 60)))
            market.cache.load(klines(symbol, bars, start, as_of=market.cache.hour_start))
        elif kind == 1 and added < 90:
            added += 1
            at = market.cache.hour_start
            market.cache.listing(Listing(ts=at, contract=contract(f"C{added}USDTM"), change="listed"))
        elif kind == 2:
            for block in market.cache.bars_stored(START)[-3:]:
                market.cache.load_block(block)
        elif kind == 3:
            market.walk(rng, int(rng.integers(1, 4)), dict.fromkeys(market.symbols, 1.0 + step))
        rows = rng.permutation(len(market.cache.states))[:5].tolist()
        remembered = figures(market.cache.comovement, rows)
        anew = figures(Comovement(Trail(market.cache.hours.ring)), rows)
        assert np.array(remembered).tobytes() == np.array(anew).tobytes(), step
        versions.add(market.cache.comovement.version)
    assert len(versions) > 20


def test_the_variance_of_a_book_is_that_of_its_weighted_returns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = AMarket(*(f"C{k}USDTM" for k in range(4)))
    for symbol in market.symbols:
        market.cache.load(klines(symbol, candles(rng, 5.0, 240), START - 240 * HOUR))
    found = market.cache.comovement
    whole = sum(weight * found.returns(row) for row, weight in enumerate(WEIGHTS))
    assert isinstance(whole, np.ndarray)
    expected = np.cov(whole, aweights=2.0 ** (-np.arange(238, -1, -1) / 72.0), ddof=0)
    assert found.variance([0, 1, 2, 3], WEIGHTS) == pytest.approx(float(expected), rel=1e-9)
    market.cache.listing(Listing(ts=START, contract=contract("NEWUSDTM"), change="listed"))
    assert np.isnan(found.variance([0, 4], (50.0, 50.0)))
    assert np.isnan(found.correlation(0, 4))
