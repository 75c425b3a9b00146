"""What is restored goes on bit for bit."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from tests.market.a_market import START, AMarket, candles, klines, row_of_poll
from zmart_stream.domain.bars import BarBlock, BarsAmended
from zmart_stream.domain.errors import SnapshotError
from zmart_stream.domain.market import Depth, FundingSettled
from zmart_stream.domain.settings import MarketSettings
from zmart_stream.market.bars import DAY, HOUR, NS, Field
from zmart_stream.market.cache import MarketCache

A, B = "AUSDTM", "BUSDTM"


def lived(seed: int) -> tuple[AMarket, list[BarBlock], list[BarsAmended]]:
    """A market with history, two days of trades, a gap and its repair; and what storage got."""
    rng = np.random.default_rng(seed)
    market = AMarket(A, B)
    for symbol, level in ((A, 3e-5), (B, 6e4)):
        market.cache.load(klines(symbol, candles(rng, level, 240), START - 240 * HOUR))
        market.cache.load(klines(symbol, candles(rng, level, 60), START - 60 * DAY, interval_s=86400))
    blocks = market.cache.bars_stored(START)
    market.cache.take_amended()
    for hour in range(49):
        at = market.cache.hour_start
        move(market, rng, at)
        if hour == 30:
            market.cover(None, at + NS)
        blocks += [m for m in market.close() if isinstance(m, BarBlock)]
        if hour == 30:
            market.cover(at + HOUR, at + HOUR)
            market.cache.load(klines(A, candles(rng, 3e-5, 1), at, as_of=at + HOUR + NS))
    market.trade(A, market.cache.hour_start + NS, 4e-5)
    market.trade(A, market.cache.hour_start + HOUR, 4.1e-5)
    return market, blocks, market.cache.take_amended()


def move(market: AMarket, rng: np.random.Generator, at: int) -> None:
    for symbol in market.symbols:
        price = market[symbol].price * float(np.exp(rng.normal(0, 0.01)))
        market.trade(symbol, at + int(rng.integers(1, HOUR)), price, int(rng.integers(1, 9)))
        market.ticker(symbol, at + 2 * NS, price * 0.999, price * (1 + rng.random() * 1e-3))
        level = ((price, 5),)
        market.cache.depth(
            Depth(ts=at, ts_event=at, symbol=symbol, sequence=1, bids=level, asks=level, source="stream")
        )
        market.cache.stats(row_of_poll(symbol, at + 3 * NS, open_interest=rng.random() + 1, mark=price, index=price))
        market.cache.funding_settled(FundingSettled(ts=at, ts_event=at, symbol=symbol, rate=float(rng.normal())))


def restored(data: dict[str, Any]) -> AMarket:
    other = AMarket.__new__(AMarket)
    other.symbols = (A, B)
    other.cache = MarketCache(MarketSettings(), probe_usdt=10_000.0, sectors={})
    other.cache.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(data)))
    return other


def assert_go_on_alike(one: AMarket, two: AMarket, seed: int) -> None:
    for k in range(30):
        outs = []
        for market in (one, two):
            move(market, np.random.default_rng([seed, k]), market.cache.hour_start)
            market.cache.sweep(market.cache.hour_start + 1000 * NS)
            outs.append(market.close())
        assert outs[0] == outs[1]
    assert repr([s.dump() for s in one.cache.states]) == repr([s.dump() for s in two.cache.states])
    for field in ("ew_var", "correlation", "drawdown"):
        a, b = (getattr(m.cache.view().hour, field) for m in (one, two))
        np.testing.assert_array_equal(a, b)
    assert msgspec.msgpack.encode(one.cache.snapshot(full=True)) == msgspec.msgpack.encode(
        two.cache.snapshot(full=True)
    )


def test_a_full_snapshot_goes_on_bit_for_bit(seed: int) -> None:
    market, _, _ = lived(seed)
    other = restored(market.cache.snapshot(full=True))
    assert repr(other[A].dump()) == repr(market[A].dump())
    assert other.cache.unrepaired() == market.cache.unrepaired() == 1
    assert_go_on_alike(market, other, seed)


def test_a_small_snapshot_with_the_stored_bars_goes_on_bit_for_bit(seed: int) -> None:
    market, blocks, amended = lived(seed)
    other = restored(market.cache.snapshot(full=False))
    assert np.isnan(other.cache.hours.ring.window(Field.CLOSE)).all()
    for block in blocks:
        other.cache.load_block(block)
    for message in amended:
        other.cache.load_amended(message)
    assert_go_on_alike(market, other, seed)


def test_what_does_not_fit_is_refused() -> None:
    market = AMarket(A)
    data = market.cache.snapshot(full=True)
    with pytest.raises(SnapshotError, match="format"):
        restored(data | {"format": 0})
    with pytest.raises(SnapshotError, match="not empty"):
        market.cache.restore(data)
    with pytest.raises(SnapshotError, match="windows"):
        restored(data | {"windows": [100, 60]})
    broken = data["hours"]["live"] | {"shape": [7, 5]}
    with pytest.raises(SnapshotError, match="array"):
        restored(data | {"hours": data["hours"] | {"live": broken}})


@pytest.mark.parametrize("full", [True, False])
def test_the_close_that_ended_a_day_is_seen_alike_after_a_restore(full: bool, seed: int) -> None:
    """In the hour after midnight `view` is still of the close before the day was committed: nothing else tells it."""
    rng = np.random.default_rng(seed)
    market, blocks, amended = lived(seed)
    while market.cache.hour_start % DAY:
        move(market, rng, market.cache.hour_start)
        blocks += [m for m in market.close() if isinstance(m, BarBlock)]
    other = restored(market.cache.snapshot(full=full))
    if not full:
        for block in blocks:
            other.cache.load_block(block)
        for message in amended:
            other.cache.load_amended(message)
    one, two = market.cache.view().day, other.cache.view().day
    for name in ("seen", "turnover_7", "turnover_20", "rsi", "macd", "boll_mean"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.seen < market.cache.days.live[0]).all()  # without the day that the close committed
