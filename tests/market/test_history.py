"""Warm-up, repair and the venue's running candle."""

from __future__ import annotations

from math import isnan, nan

import numpy as np
import pytest

from tests.market.a_market import START, AMarket, candles, klines
from zmart_stream.domain.bars import BarBlock, RepairWanted
from zmart_stream.domain.market import Bars
from zmart_stream.market.bars import DAY, FIELDS, HOUR, NS, Field

A, B = "AUSDTM", "BUSDTM"
HALF = START + HOUR // 2


def candle(start: int, as_of: int, *ohlc: float, lots: float = 50.0) -> Bars:
    row = (start, *ohlc, lots, nan)
    return Bars(
        ts=as_of,
        symbol=A,
        interval_s=3600,
        since=start - HOUR,
        until=start + HOUR,
        as_of=as_of,
        rows=(row,),  # type: ignore[arg-type]  # too short on purpose
    )


def windows_of(market: AMarket) -> dict[str, float]:
    names = "price prev_close ew_mean ew_var ew_gain max_ret_167 dd_high dd_low dd_167 turnover_23 turnover_24th "
    names += "base_close_24 hour_rsi_gain hour_rsi_loss hours_seen rsi_gain ema26 atr days_seen d_high d_low d_turnover"
    return {name: getattr(market[A], name) for name in names.split()}


def test_a_bar_entered_midway_takes_the_running_candle_and_is_repaired_after_its_close() -> None:
    market = AMarket(A, covered=False)
    market.cover(HALF, HALF)
    state = market[A]
    market.trade(A, HALF + NS, 100.0, lots=2)
    market.cache.load(candle(START, HALF + 10 * NS, 95.0, 103.0, 94.0, 99.0))
    assert (state.h_open, state.h_high, state.h_low, state.h_close, state.price) == (95.0, 103.0, 94.0, 99.0, 99.0)
    assert (state.h_lots, state.h_turnover) == (50.0, pytest.approx(50 * 0.01 * (95 + 103 + 94 + 99) / 4))
    assert market.trade(A, HALF + 9 * NS, 99.5) is None  # the candle holds it
    assert market.cache.counts["contained"] == 1
    market.trade(A, HALF + 11 * NS, 104.0, lots=3)
    assert (state.h_high, state.h_close, state.h_lots) == (104.0, 104.0, 53.0)
    assert isnan(state.h_buy)
    out = market.close()
    block = next(m for m in out if isinstance(m, BarBlock))
    assert np.frombuffer(block.columns, "<f8").reshape(FIELDS, 1)[Field.WHOLE, 0] == 0.0
    wanted = [m for m in out if isinstance(m, RepairWanted)]
    assert [(m.since, m.until) for m in wanted] == [(START, START + HOUR)]
    market.cache.load(candle(START, START + HOUR + 3 * NS, 95.0, 104.5, 94.0, 104.0, lots=54.0))
    assert (state.prev_close, state.dd_high) == (104.0, 104.5)
    assert not [m for m in market.close() if isinstance(m, RepairWanted)]


def test_a_bar_seen_whole_needs_no_candle() -> None:
    market = AMarket(A)
    market.trade(A, START + NS, 100.0, lots=2)
    market.cache.load(candle(START, HALF, 95.0, 103.0, 94.0, 99.0))
    assert (market[A].h_open, market[A].h_lots, market[A].price) == (100.0, 2.0, 100.0)


def test_a_newer_trade_of_our_own_stays_the_close() -> None:
    market = AMarket(A, covered=False)
    market.cover(HALF, HALF)
    market.trade(A, HALF + 20 * NS, 100.0)
    market.cache.load(candle(START, HALF + 10 * NS, 95.0, 99.5, 94.0, 99.0))
    assert (market[A].h_close, market[A].h_high, market[A].price) == (100.0, 100.0, 100.0)


def test_in_the_grace_the_candle_is_the_successors() -> None:
    market = AMarket(A, covered=False)
    market.cover(START + HOUR + NS // 2, START + HOUR + NS // 2)
    market.cache.load(candle(START + HOUR, START + HOUR + NS, 95.0, 96.0, 94.0, 95.5))
    assert isnan(market[A].h_close)
    market.trade(A, START + HOUR + 2 * NS, 96.5)
    market.close()
    assert (market[A].h_open, market[A].price) == (95.0, 96.5)
    assert market.trade(A, START + HOUR + NS, 90.0) is None  # the candle holds it
    market.trade(A, START + HOUR + NS + 1, 94.5)  # older than the newest trade: in the bar, not its close
    assert (market[A].h_lots, market[A].price) == (52.0, 96.5)


def test_history_in_two_pieces_newest_first_equals_history_at_once(seed: int) -> None:
    bars = candles(np.random.default_rng(seed), 20.0, 240)
    one, two = AMarket(A), AMarket(A)
    one.cache.load(klines(A, bars, START - 240 * HOUR))
    two.cache.load(klines(A, bars[:, 150:], START - 90 * HOUR, as_of=START))
    two.cache.load(klines(A, bars[:, :150], START - 240 * HOUR, as_of=START))
    np.testing.assert_array_equal(one.cache.hours.live, two.cache.hours.live)
    assert repr(one[A].dump()) == repr(two[A].dump())
    assert one[A].price == bars[3, -1]
    assert one[A].hours_seen == 240.0


def test_history_that_arrives_after_closes_of_our_own(seed: int) -> None:
    """The warm-up reaches a contract hours after the start: states are as if it had come at once."""
    rng = np.random.default_rng(seed)
    bars = candles(rng, 20.0, 203)
    early, tardy = AMarket(A, B), AMarket(A, B)
    early.cache.load(klines(A, bars[:, :200], START - 200 * HOUR))
    for k in range(200, 203):
        for market in (early, tardy):
            for n, price in enumerate(bars[:4, k].tolist()):
                market.trade(A, market.cache.hour_start + n * NS, price, int(bars[4, k]))
            market.close()
    tardy.cache.load(klines(A, bars[:, :200], START - 200 * HOUR, as_of=START + 3 * HOUR))
    np.testing.assert_array_equal(early.cache.hours.live, tardy.cache.hours.live)
    assert repr(windows_of(early)) == repr(windows_of(tardy))


def test_an_outage_over_midnight_is_repaired_in_hours_and_in_the_day(seed: int) -> None:
    bars = candles(np.random.default_rng(seed), 20.0, 48)
    whole, gappy = AMarket(A), AMarket(A)
    for k in range(48):
        for market in (whole, gappy):
            if market is whole or not 20 <= k < 30:
                for n, price in enumerate(bars[:4, k].tolist()):
                    market.trade(A, market.cache.hour_start + n * NS, price, int(bars[4, k]))
        if k == 20:
            gappy.cover(None, gappy.cache.hour_start + NS)
        whole.close()
        gappy.close()
        if k == 29:
            gappy.cover(gappy.cache.hour_start, gappy.cache.hour_start)
    assert gappy.cache.days.ring.column(0)[Field.WHOLE, -2:].tolist() == [0.0, 0.0]
    repair = klines(A, np.concatenate((bars[:4, 20:30], 4 * bars[4:, 20:30])), START + 20 * HOUR, as_of=START + 2 * DAY)
    gappy.cache.load(repair)
    intervals = [(m.interval_s, len(m.rows)) for m in gappy.cache.take_amended()]
    assert intervals == [(3600, 10), (86400, 2)]
    for series in ("hours", "days"):
        ours, theirs = getattr(gappy.cache, series), getattr(whole.cache, series)
        np.testing.assert_array_equal(ours.live, theirs.live)
        for field in (Field.OPEN, Field.HIGH, Field.LOW, Field.CLOSE, Field.LOTS, Field.WHOLE):
            np.testing.assert_array_equal(ours.ring.window(field), theirs.ring.window(field))


def test_days_without_hours_of_today_leave_today_price_only(seed: int) -> None:
    market = AMarket(A)
    bars = candles(np.random.default_rng(seed), 20.0, 30)
    market.cache.load(klines(A, bars, START - 30 * DAY, interval_s=86400))
    state = market[A]
    assert (state.days_seen, state.rsi_prev) == (30.0, bars[3, -1])
    assert isnan(state.price)
    market.trade(A, START + NS, 21.0)
    assert state.today() == (21.0, 21.0, 21.0, pytest.approx(0.21))


def test_unknown_symbols_and_other_intervals_are_no_history() -> None:
    market = AMarket(A)
    assert market.cache.load(klines("XUSDTM", np.ones((5, 2)), START - 2 * HOUR)) is None
    assert market.cache.load(klines(A, np.ones((5, 2)), START - 2 * 900 * NS, interval_s=900)) is None
