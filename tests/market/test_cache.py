"""Messages in, figures and bars out."""

from __future__ import annotations

from math import exp2, isnan, log

import numpy as np
import pytest

from tests.market.a_market import START, AMarket, candles, contract, klines, row_of_poll
from zmart_stream.domain.bars import BarBlock, RepairWanted
from zmart_stream.domain.market import Coverage, Depth, Listing, MarkIndex, Side, Trade
from zmart_stream.market.bars import DAY, FIELDS, HOUR, NS, Field
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.indicators import (
    join_drawdown,
    provisional_atr,
    provisional_bollinger,
    provisional_ew_variance,
    provisional_macd,
    provisional_rsi,
)

A, B = "AUSDTM", "BUSDTM"


def columns(block: object) -> np.ndarray:
    assert isinstance(block, BarBlock)
    return np.frombuffer(block.columns, "<f8").reshape(FIELDS, len(block.symbols))


def test_bars_are_the_aggregated_trades_of_their_venue_time(seed: int) -> None:
    """Random trades, some across the end of the hour while the old bar is still open, empty hours among them."""
    rng = np.random.default_rng(seed)
    market = AMarket(A, B)
    plain: dict[tuple[str, int], list[Trade]] = {}
    late = 0
    for hour in range(60):
        start = START + hour * HOUR
        for symbol in (A, B):
            # sometimes nothing; sometimes the first trades come in the grace before the close of the hour before
            events = np.sort(rng.integers(start, start + HOUR + 3 * NS, int(rng.integers(0, 6))))
            for at in events.tolist():
                side: Side = "buy" if rng.random() < 0.5 else "sell"
                m = Trade(
                    ts=at + NS,
                    ts_event=at,
                    symbol=symbol,
                    sequence=0,
                    price=float(rng.uniform(90, 110)),
                    lots=int(rng.integers(1, 9)),
                    side=side,
                )
                market.cache.trade(m)
                plain.setdefault((symbol, at // HOUR * HOUR), []).append(m)
        blocks = [m for m in market.close() if isinstance(m, BarBlock) and m.interval_s == 3600]
        assert market.trade(A, start, 1.0) is None  # older than every open bar
        late += 1
        for symbol in (A, B):
            trades = plain.get((symbol, start), [])
            if not trades:
                continue
            bar = columns(blocks[0])[:, blocks[0].symbols.index(symbol)]
            prices, lots = [t.price for t in trades], [t.lots for t in trades]
            assert bar[: Field.TURNOVER].tolist() == [prices[0], max(prices), min(prices), prices[-1], sum(lots)]
            assert bar[Field.TURNOVER] == pytest.approx(sum(t.price * t.lots * 0.01 for t in trades))
            assert bar[Field.BUY] == sum(t.lots for t in trades if t.side == "buy")
            assert bar[Field.SELL] == sum(t.lots for t in trades if t.side == "sell")
            assert bar[Field.COUNT] == len(trades)
            assert bar[Field.WHOLE] == 1.0
    assert len(plain) > 60
    assert market.cache.counts["late"] == late


def test_trades_that_others_overtook_give_the_same_bar(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = AMarket(A)
    for hour in range(20):
        start = START + hour * HOUR
        plain = {int(at): float(rng.uniform(90, 110)) for at in start + rng.integers(0, HOUR, 6)}
        for at in rng.permutation(list(plain)).tolist():
            market.trade(A, at, plain[at], lots=2, ts=start + HOUR - NS * (hour % 2))
        block = market.close()[0]
        assert isinstance(block, BarBlock)
        prices = [plain[at] for at in sorted(plain)]
        bar = columns(block)[: Field.LOTS + 1, 0].tolist()
        assert bar == [prices[0], max(prices), min(prices), prices[-1], 2 * len(prices)]


def test_trades_of_the_next_hour_in_any_order_give_the_same_bar(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = AMarket(A)
    for hour in range(20):
        start = START + (hour + 1) * HOUR
        plain = {int(at): float(rng.uniform(90, 110)) for at in start + rng.integers(0, NS, 5)}
        early = rng.permutation(list(plain)).tolist()
        for at in early[:3]:
            market.trade(A, at, plain[at], ts=start + NS)
        market.close()
        for at in early[3:]:
            market.trade(A, at, plain[at], ts=start + 2 * NS)
        state = market[A]
        prices = [plain[at] for at in sorted(plain)]
        assert (state.h_open, state.h_close, state.h_high) == (prices[0], prices[-1], max(prices))


def test_in_the_grace_scores_read_the_old_bar_and_the_successor_only_accumulates() -> None:
    market = AMarket(A)
    state = market[A]
    assert market.trade(A, START + HOUR - NS, 100.0) is state
    assert market.trade(A, START + HOUR + NS // 2, 105.0) is None
    assert (state.price, state.last, state.n_close) == (100.0, 105.0, 105.0)
    assert market.trade(A, START + HOUR - NS // 2, 101.0, ts=START + HOUR + NS) is state
    assert (state.price, state.h_close, state.elapsed) == (101.0, 101.0, 1.0)
    market.close()
    assert (state.prev_close, state.price, state.h_open, state.h_count, state.n_count) == (101.0, 105.0, 105.0, 1, 0)
    assert market.trade(A, START + 3 * HOUR, 1.0) is None
    assert market.cache.counts["early"] == 1
    assert (
        market.cache.trade(Trade(ts=1, ts_event=1, symbol="XUSDTM", sequence=0, price=1.0, lots=1, side="buy")) is None
    )
    assert market.cache.counts["unknown"] == 1


def test_empty_hours_carry_the_close_and_rows_without_any_bar_have_none() -> None:
    market = AMarket(A, B)
    market.trade(A, START, 50.0, lots=4)
    first, second = market.close()[0], market.close()[0]
    assert isinstance(first, BarBlock)
    assert first.symbols == (A,)
    assert columns(second)[:, 0].tolist() == [50.0] * 4 + [0.0] * 5 + [1.0]
    assert market[A].price == 50.0
    assert isnan(market[B].prev_close)


def test_price_is_mid_only_before_any_trade_and_the_polls_last_before_a_quote() -> None:
    market = AMarket(A)
    state = market[A]
    market.cache.stats(row_of_poll(A, START + NS, last_price=98.0))
    assert state.price == 98.0
    market.ticker(A, START + 2 * NS, 99.0, 101.0)
    assert state.price == 100.0
    market.ticker(A, START + 3 * NS, 0.0, 101.0)
    assert state.price == 100.0
    market.trade(A, START + 4 * NS, 103.0)
    market.ticker(A, START + 5 * NS, 99.0, 101.0)
    assert state.price == 103.0
    market.close()
    assert state.price == 103.0


def test_spread_is_time_weighted_and_forgets_a_broken_book() -> None:
    market = AMarket(A)
    state = market[A]
    market.ticker(A, START, 99.0, 101.0)
    assert state.spread_ew_bps == pytest.approx(200.0)
    market.ticker(A, START + 30 * NS, 99.5, 100.5)
    market.ticker(A, START + 90 * NS, 99.0, 101.0)
    # 200 held for 30 s changes nothing, then 100 held for one half-life
    assert state.spread_ew_bps == pytest.approx(150.0)
    market.ticker(A, START + 91 * NS, 101.0, 99.0)
    assert isnan(state.spread_ew_bps)
    market.ticker(A, START + 92 * NS, 99.5, 100.5)
    assert state.spread_ew_bps == pytest.approx(100.0)
    ew = state.spread_ew_bps
    market.ticker(A, START + 92 * NS + 10 * NS, 99.9, 100.1)
    market.ticker(A, START + 92 * NS + 17 * NS, 99.9, 100.1)
    assert state.spread_ew_bps == pytest.approx(20.0 + (ew - 20.0) * exp2(-7 / 60))


def test_depth_and_basis_reach_their_slots() -> None:
    market = AMarket(A)
    state = market[A]

    def depth(at: int, lots: int, source: str = "stream") -> ContractState | None:
        levels = tuple((100.0 + k, lots) for k in range(8))
        bids = tuple((99.0 - k, lots) for k in range(8))
        return market.cache.depth(
            Depth(ts=at, ts_event=at, symbol=A, sequence=1, bids=bids, asks=levels, source=source)  # type: ignore[arg-type]  # literal from a loop
        )

    assert depth(START + 10 * NS, 10) is state
    thin = sum((99.0 - k) * 10 * 0.01 for k in range(5))
    assert state.depth_ew_ln == pytest.approx(log(thin))
    assert (len(state.bids), state.impact_extrapolated) == (5, True)
    depth(START + 70 * NS, 1000, "rest")
    assert state.depth_ew_ln == pytest.approx(log(thin))
    depth(START + 130 * NS, 1000)
    assert state.depth_ew_ln == pytest.approx(log(thin) + 0.5 * log(100))
    assert depth(START + 120 * NS, 5, "rest") is None  # older than what is known
    market.cache.depth(
        Depth(
            ts=START + 140 * NS,
            ts_event=START + 140 * NS,
            symbol=A,
            sequence=2,
            bids=(),
            asks=state.asks,
            source="stream",
        )
    )
    assert isnan(state.depth_ew_ln)
    assert isnan(state.impact_bps)
    for hours, mark in ((0, 101.0), (8, 100.0)):
        market.cache.mark_index(MarkIndex(ts=START + hours * HOUR, ts_event=0, symbol=A, mark=mark, index=100.0))
    assert state.basis_ew == pytest.approx(0.01)
    market.cache.stats(row_of_poll(A, START + 16 * HOUR, mark=100.0, index=100.0))
    assert state.basis_ew == pytest.approx(0.005)


def history(market: AMarket, seed: int, hours: int = 300, days: int = 60) -> None:
    rng = np.random.default_rng(seed)
    for symbol, level in zip(market.symbols, (3e-5, 100.0, 6e4), strict=False):
        market.cache.load(klines(symbol, candles(rng, level, hours), START - hours * HOUR))
        market.cache.load(klines(symbol, candles(rng, level, days), START - days * DAY, interval_s=86400))


def touched(s: ContractState) -> dict[str, float]:
    """What a scorer's touch makes of the slots, in the words of `HourColumns` and `DayColumns`."""
    traded = s.h_close > 0.0
    r = s.price / s.prev_close - 1.0
    bar = (s.h_high, s.h_low, 1.0 - s.price / s.h_high) if traded else (s.price, s.price, 0.0)
    high, low, close, _ = s.today()
    mean, std = provisional_bollinger(s.boll_mean19, s.boll_m2_19, close)
    return {
        "close": s.price,
        "ew_var": provisional_ew_variance(s.ew_mean, s.ew_var, s.ew_gain, r),
        "max_return": max(s.max_ret_167, r),
        "drawdown": join_drawdown((s.dd_high, s.dd_low, s.dd_167), bar)[2],
        "turnover_24": s.turnover_23 + s.h_turnover + (1.0 - s.elapsed) * s.turnover_24th,
        "base_close_24": s.base_close_24,
        "buy_24": s.buy_23 + s.h_buy,
        "sell_24": s.sell_23 + s.h_sell,
        "rsi": provisional_rsi(s.hour_rsi_gain, s.hour_rsi_loss, s.prev_close, s.hours_seen, s.price),
        "day_rsi": provisional_rsi(s.rsi_gain, s.rsi_loss, s.rsi_prev, s.days_seen, close),
        "day_macd": provisional_macd(s.ema12, s.ema26, s.days_seen, close),
        "day_atr": provisional_atr(s.atr, s.rsi_prev, s.days_seen, high, low),
        "day_boll_mean": mean,
        "day_boll_std": std,
        "day_turnover_7": s.day_turnover_7,
        "day_turnover_20": s.day_turnover_20,
        "day_turnover_30": s.day_turnover_30,
    }


def test_touch_just_before_the_close_equals_the_close(seed: int) -> None:
    """Over two UTC days, midnights included: same window, same figures."""
    rng = np.random.default_rng(seed)
    market = AMarket(A, B, "CUSDTM")
    history(market, seed)
    for _ in range(50):
        for symbol in market.symbols:
            for _ in range(int(rng.integers(0, 4))):
                at = market.cache.hour_start + int(rng.integers(0, HOUR))
                market.trade(symbol, at, market[symbol].price * float(np.exp(rng.normal(0, 0.01))), 7)
        market.cache.elapse(market.cache.hour_start + HOUR)
        before = [touched(s) for s in market.cache.states]
        market.close()
        view = market.cache.view()
        for row, figures in enumerate(before):
            for name, value in figures.items():
                column = getattr(view.day, name[4:]) if name.startswith("day_") else getattr(view.hour, name)
                assert column[row] == pytest.approx(value, rel=1e-12, abs=1e-300), (name, row)


def test_a_view_of_some_rows_is_that_part_of_the_whole(seed: int) -> None:
    market = AMarket(A, B, "CUSDTM")
    history(market, seed)
    for symbol in market.symbols:
        market.cache.stats(row_of_poll(symbol, START + NS))
    market.walk(np.random.default_rng(seed), 5, {s: market[s].price for s in market.symbols})
    whole, part = market.cache.view(), market.cache.view(np.array([2, 0]))
    assert [s.symbol for s in part.contracts] == ["CUSDTM", A]
    for name in ("ew_var", "drawdown", "correlation", "efficiency", "amihud", "rsi", "turnover_24"):
        np.testing.assert_allclose(getattr(part.hour, name), getattr(whole.hour, name)[[2, 0]], rtol=1e-12)
        assert not np.isnan(getattr(whole.hour, name)).any()
    for name in ("rsi", "macd", "atr", "boll_std", "turnover_30"):
        np.testing.assert_array_equal(getattr(part.day, name), getattr(whole.day, name)[[2, 0]])
    np.testing.assert_array_equal(part.hours.close, whole.hours.close[[2, 0]])
    assert whole.hours.close.shape == (3, 240)
    assert np.isclose(market.cache.comovement.correlation(0, 0), 1.0)


def test_midnight_commits_the_day_that_is_the_sum_of_its_hours() -> None:
    market = AMarket(A)
    for hour in range(24):
        market.trade(A, market.cache.hour_start + NS, 100.0 + hour, lots=hour + 1)
        market.trade(A, market.cache.hour_start + 2 * NS, 99.0 + hour)
        state = market[A]
        assert state.today()[:3] == (100.0 + hour, 99.0, 99.0 + hour)
        out = market.close()
    blocks = [m for m in out if isinstance(m, BarBlock)]
    assert [b.interval_s for b in blocks] == [3600, 86400]
    assert blocks[1].start == START
    day = columns(blocks[1])[:, 0]
    assert day[[0, 1, 2, 3, 4, 9]].tolist() == [100.0, 123.0, 99.0, 122.0, 24 * 25 / 2 + 24, 1.0]
    assert (state.days_seen, state.rsi_prev, state.day_turnover_20) == (1.0, 122.0, day[Field.TURNOVER])
    assert isnan(state.d_open)
    assert state.today() == (122.0, 122.0, 122.0, 0.0)


def test_a_gap_asks_for_repair_from_its_oldest_hour_until_it_comes() -> None:
    market = AMarket(A, B)
    history(market, 1)
    for symbol in (A, B):
        market.cache.stats(row_of_poll(symbol, START + NS))
        market.trade(symbol, START + NS, 100.0)
    assert [type(m) for m in market.close()] == [BarBlock]
    market.cover(None, START + HOUR + 5 * NS)
    wanted = [m for _ in range(3) for m in market.close() if isinstance(m, RepairWanted)]
    assert {m.symbol for m in wanted} == {A, B}
    assert [(m.since, m.until) for m in wanted if m.symbol == A] == [
        (START + HOUR, START + (2 + k) * HOUR) for k in range(3)
    ]
    assert market.cache.unrepaired() == 2
    again = START + 4 * HOUR + NS
    market.cover(again, again)
    last = [m for m in market.close() if isinstance(m, RepairWanted)]
    assert [m.until for m in last] == [START + 5 * HOUR] * 2
    market.cache.load(klines(A, np.full((5, 4), 90.0), START + HOUR))
    assert market.cache.unrepaired() == 1
    assert market[A].price == 90.0
    (amended,) = [m for m in market.cache.take_amended() if m.ts == START + 5 * HOUR and m.interval_s == 3600]
    assert [row[0] for row in amended.rows] == [START + (1 + k) * HOUR for k in range(4)]
    assert [m.symbol for m in market.close() if isinstance(m, RepairWanted)] == [B]


def test_a_loss_that_was_noticed_late_casts_doubt_on_the_hours_since() -> None:
    market = AMarket(A, B)
    for hour in range(6):
        for symbol in (A, B):
            market.trade(symbol, START + hour * HOUR + 60 * NS, 100.0 + hour)
        market.close()
    now, heard = START + 6 * HOUR + 10 * NS, START + 4 * HOUR + 30 * 60 * NS
    lost = Coverage(ts=now, topic="execution", symbols=(A,), since=None, reason="no_pong", heard=heard)
    market.cache.coverage(lost)
    assert whole(market, A, 6) == [1, 1, 1, 1, 0, 0]
    wanted = [m for m in market.close() if isinstance(m, RepairWanted)]
    assert [(m.symbol, m.since, m.until) for m in wanted] == [(A, START + 4 * HOUR, START + 7 * HOUR)]


def whole(market: AMarket, symbol: str, hours: int) -> list[float]:
    """WHOLE of the newest closed hours."""
    found: list[float] = market.cache.hours.ring.window(Field.WHOLE, hours)[:, market[symbol].row].tolist()
    return found


@pytest.mark.parametrize("renewed", [True, False])
def test_a_silence_lasts_until_the_topic_speaks_whatever_coverage_is_told(renewed: bool) -> None:
    """A venue that leaves a subscription dead may leave the next one dead as well, far into another hour."""
    market = AMarket(A, B)
    for hour in range(3):
        for symbol in (A, B):
            market.trade(symbol, START + hour * HOUR + 60 * NS, 100.0 + hour)
        market.close()
    polls = [START + 3 * HOUR + k * 600 * NS for k in range(1, 4)]
    for k, at in enumerate(polls):
        market.cache.stats(row_of_poll(A, at, last_price=100.0 + k))
    assert [m.topic for m in market.cache.take_silent()] == ["ticker", "execution"]
    assert whole(market, A, 3) == [1, 1, 0], "trades are missing since the last one that came"
    if renewed:
        for since in (None, polls[-1] + 5 * NS):
            lost = Coverage(ts=polls[-1] + 5 * NS, topic="execution", symbols=(A,), since=since, reason="silent")
            market.cache.coverage(lost)
    for _ in range(2):
        wanted = [m for m in market.close() if isinstance(m, RepairWanted)]
        assert [(m.symbol, m.since, m.until) for m in wanted] == [(A, START + 2 * HOUR, market.cache.hour_start)]
    market.trade(A, market.cache.hour_start + 60 * NS, 101.0)
    assert market[A].h_whole == 0.0
    assert market[A].n_whole == 1.0
    market.close()
    market.trade(A, market.cache.hour_start + 60 * NS, 101.0)
    market.close()
    assert whole(market, A, 7) == [1, 1, 0, 0, 0, 0, 1]
    assert whole(market, B, 7) == [1] * 7


def test_a_silence_that_nothing_ends_is_found_again() -> None:
    market = AMarket(A)
    found = []
    for k in range(12):
        at = START + (k + 1) * 10 * NS
        market.cache.stats(row_of_poll(A, at, last_price=100.0 + k))
        silent = [m.topic for m in market.cache.take_silent()]
        found.append("execution" in silent)
        if "execution" in silent:
            market.cover(None, at, ("execution",))
            market.cover(at, at, ("execution",))
    assert found.count(True) >= 3


def test_a_trade_that_misses_its_bar_puts_that_bar_in_doubt() -> None:
    market = AMarket(A, B)
    for hour in range(4):
        for symbol in (A, B):
            market.trade(symbol, START + hour * HOUR + 60 * NS, 100.0)
        market.close()
    now = START + 4 * HOUR + 5 * NS
    market.trade(A, START + 2 * HOUR + 90 * NS, 100.0, ts=now)
    assert market.cache.counts["late"] == 1
    assert whole(market, A, 4) == [1, 1, 0, 1]
    wanted = [m for m in market.close() if isinstance(m, RepairWanted)]
    assert [(m.symbol, m.since, m.until) for m in wanted] == [(A, START + 2 * HOUR, START + 5 * HOUR)]
    market.trade(B, START + 8 * HOUR + NS, 100.0, ts=START + 5 * HOUR + NS)
    assert market.cache.counts["early"] == 1
    for _ in range(5):
        market.close()
    assert whole(market, B, 10) == [1] * 5 + [0] * 4 + [1]


def test_a_trade_from_before_the_coverage_is_in_the_history_already() -> None:
    market = AMarket(A, covered=False)
    market.close()
    market.cache.load(klines(A, np.full((5, 1), 90.0), START))
    market.cover(START + HOUR + 10 * NS, START + HOUR + 10 * NS)
    market.trade(A, START + 60 * NS, 90.0, ts=START + HOUR + 11 * NS)
    assert whole(market, A, 1) == [1]


def test_contracts_that_nobody_fetches_are_not_asked_for() -> None:
    market = AMarket(A, covered=False)
    market.cache.listing(
        Listing(ts=START, contract=contract("XBTUSDM", is_inverse=True, settle="XBT"), change="listed")
    )
    market.cache.listing(Listing(ts=START, contract=contract(B), change="delisted"))
    assert [m.symbol for m in market.close() if isinstance(m, RepairWanted)] == [A]


def test_inverse_lots_are_worth_a_dollar() -> None:
    market = AMarket(A)
    market.cache.listing(
        Listing(ts=START, contract=contract("XBTUSDM", is_inverse=True, multiplier=-1.0), change="listed")
    )
    market.trade("XBTUSDM", START, 60_000.0, lots=500)
    assert market["XBTUSDM"].h_turnover == 500.0


def test_the_universe_is_read_from_the_contract_row() -> None:
    market = AMarket(A)
    state = market[A]
    assert not state.in_universe
    market.cache.stats(row_of_poll(A, START + NS))
    assert state.in_universe
    for change in ({"status": "Paused"}, {"turnover_24h": 1.9e6}, {"turnover_24h": None}):
        market.cache.stats(row_of_poll(A, START + 2 * NS, **change))
        assert not state.in_universe
        market.cache.stats(row_of_poll(A, START + 3 * NS))
        assert state.in_universe
    for facts in (
        {"expires_at": START + DAY},
        {"market_type": "STOCK"},
        {"market_stage": "PREMARKET"},
        {"listed_at": START - 6 * DAY},
        {"listed_at": None},
        {"quote": "USDC"},
    ):
        market.cache.listing(Listing(ts=START + 4 * NS, contract=contract(A, **facts), change="changed"))
        assert not state.in_universe, facts
    market.cache.listing(Listing(ts=START + 4 * NS, contract=contract(A, listed_at=START - 6 * DAY), change="changed"))
    assert market.cache.refresh_universe(START + DAY) == 1
    market.cache.listing(Listing(ts=START + 5 * NS, contract=contract(A), change="delisted"))
    assert market.cache.refresh_universe(START + 8 * DAY) == 0


def test_live_equals_recomputed_after_twice_the_ring(seed: int) -> None:
    market = AMarket(A, B)
    market.walk(np.random.default_rng(seed), 500, {A: 1e-8, B: 1e5})
    before = [s.dump() for s in market.cache.states]
    assert max(market.cache.recompute()) <= 1e-9
    for then, state in zip(before, market.cache.states, strict=True):
        for a, b in zip(then, state.dump(), strict=True):
            if isinstance(a, float):
                assert a == pytest.approx(b, rel=1e-9, nan_ok=True)


def test_stored_blocks_refill_an_empty_cache(seed: int) -> None:
    market = AMarket(A, B)
    history(market, seed)
    market.walk(np.random.default_rng(seed), 30, {s: market[s].price for s in market.symbols})
    other = MarketCache(market.cache.settings, probe_usdt=1e4, sectors={})
    other.listing(Listing(ts=market.cache.hour_start, contract=contract(B), change="listed"))
    for block in market.cache.bars_stored(0):
        other.load_block(block)
    other.recompute()
    for field in Field:
        np.testing.assert_array_equal(other.hours.ring.window(field)[:, 0], market.cache.hours.ring.window(field)[:, 1])
        np.testing.assert_array_equal(other.days.ring.window(field)[:, 0], market.cache.days.ring.window(field)[:, 1])
    # a daemon that starts from the stored bars seeds on the first of them
    assert other.by_symbol[B].prev_close == market[B].prev_close
    assert other.by_symbol[B].dd_167 == market[B].dd_167
