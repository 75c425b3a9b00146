import json
import re
from itertools import pairwise

import numpy as np
import pytest

from tests.sandbox.market_checks import (
    HOUR_MS,
    assert_book_is_sound,
    assert_larger_bars_join,
    assert_levels_agree,
    assert_running_bar_is_the_trades_so_far,
)
from zmart_stream.domain.errors import ConfigError
from zmart_stream.domain.sectors import sector_of
from zmart_stream.sandbox.barmarket import BarMarket
from zmart_stream.sandbox.market import Market
from zmart_stream.sandbox.synthetic import synthetic_market

MS = 1_000_000
HOUR = HOUR_MS * MS
DAY = 24 * HOUR
START = 1_794_000_000 * 10**9  # 2026-11-06
FIELDS = """
symbol displaySymbol rootSymbol type firstOpenDate expireDate settleDate baseCurrency displayBaseCurrency quoteCurrency
settleCurrency maxOrderQty marketMaxOrderQty maxPrice lotSize tickSize indexPriceTickSize multiplier initialMargin
maintainMargin maxRiskLimit minRiskLimit riskStep makerFeeRate takerFeeRate makerFixFee takerFixFee settlementFee
isDeleverage isQuanto isInverse markMethod fairMethod fundingBaseSymbol fundingQuoteSymbol fundingBaseSymbol1M
fundingQuoteSymbol1M fundingRateSymbol premiumsSymbol1M premiumsSymbol8H indexSymbol settlementSymbol sourceExchanges
status fundingFeeRate predictedFundingFeeRate lastTimeFundingRate dailyInterestRate fundingRateGranularity
currentFundingRateGranularity effectiveFundingRateCycleStartTime fundingRateCap fundingRateFloor period
nextFundingRateTime nextFundingRateDateTime openInterest volumeOf24h turnoverOf24h markPrice indexPrice lastTradePrice
lowPrice highPrice priceChg priceChgPct maxLeverage buyLimit sellLimit orderPriceRange supportCross k m f mmrLimit
mmrLevConstant adjustK adjustM adjustMmrLevConstant adjustActiveTime crossRiskLimit marketStage preMarketToPerpDate
marketType assetClass subMarketType
""".split()


def market(contracts: int = 700, seed: int = 7, start: int = START) -> BarMarket:
    made: Market = synthetic_market(seed=seed, contracts=contracts, start=start)
    assert isinstance(made, BarMarket)
    return made


@pytest.fixture(scope="module")
def venue() -> BarMarket:
    return market()


@pytest.fixture(scope="module")
def rows(venue: BarMarket) -> list[dict[str, object]]:
    return [venue.contract_row(symbol, START + 1_234_567 * MS) for symbol in venue.symbols(START)]


def test_hours_minutes_and_trades_agree(venue: BarMarket, seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbols = [*rng.choice(venue.symbols(START), 12), "XBTUSDTM", "XBTUSDM", "ETHUSDM"]
    trades = [assert_levels_agree(venue, symbol, START // HOUR - int(rng.integers(1, 600))) for symbol in symbols]
    assert sum(trades) > 2000


@pytest.mark.parametrize("symbol", ["ETHUSDTM", "XBTUSDM"])
def test_every_granularity_is_made_of_the_minutes(venue: BarMarket, symbol: str) -> None:
    start = START // DAY * DAY // MS
    assert_larger_bars_join(venue, symbol, start, start + 24 * HOUR_MS)


def test_weeks_begin_on_monday_and_join_days(venue: BarMarket) -> None:
    weeks = venue.bars("SOLUSDTM", 10080, START // MS - 40 * 24 * HOUR_MS, START // MS)
    for week in weeks:
        assert (int(week[0]) // (24 * HOUR_MS) + 3) % 7 == 0
        days = venue.bars("SOLUSDTM", 1440, int(week[0]), int(week[0]) + 7 * 24 * HOUR_MS)
        assert len(days) == 7
        assert week[2] == days[:, 2].max()
        assert week[4] == days[-1, 4]
        assert week[5] == days[:, 5].sum()


def test_a_running_bar_is_the_trades_so_far(venue: BarMarket, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for symbol in (*rng.choice(venue.symbols(START), 6), "XBTUSDM"):
        for granularity in (1, 5, 60, 240):
            now = START + int(rng.integers(0, 5 * HOUR))
            assert_running_bar_is_the_trades_so_far(venue, symbol, granularity, now)


def test_prices_do_not_depend_on_when_the_venue_started_or_what_was_asked_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    early, late = market(60, seed, START - 90 * DAY), market(60, seed, START)
    asked = [(str(s), START - int(rng.integers(1, 80 * DAY))) for s in rng.choice(late.symbols(START)[:50], 8)]
    asked = [(s, now) for s, now in asked if s in early.symbols(now)]
    first = [_answers(early, symbol, now) for symbol, now in asked]
    late.symbols(START - 85 * DAY)
    second = [_answers(late, symbol, now) for symbol, now in reversed(asked)]
    assert asked
    assert first == second[::-1]


def _answers(venue: BarMarket, symbol: str, now: int) -> str:
    venue.symbols(now)
    row = venue.contract_row(symbol, now)
    figures = (
        venue.prints(symbol, now // HOUR * 60 + 7),
        venue.quotes(symbol, now, 30),
        venue.mark_index(symbol, now),
        venue.funding(symbol, now),
        venue.open_interest(symbol, now),
        venue.bars(symbol, 1440, now // MS - 20 * 24 * HOUR_MS, now // MS).tolist(),
        row,
    )
    return repr(figures)


def test_what_is_asked_for_together_is_what_is_asked_for_alone(seed: int) -> None:
    together, alone = market(90, seed), market(90, seed)
    symbols = list(together.symbols(START))
    assert {"XBTUSDTM", "XBTUSDCM", "XBTUSDM"} <= set(symbols)  # one coin, walks of its own for each
    assert alone.symbols(START) == tuple(symbols)
    for now in (START + 1_234_567 * MS, START + 2 * HOUR):
        rows = dict(zip(symbols, together.contract_rows(symbols, now), strict=True))
        books = dict(zip(symbols, together.quotes_of(symbols, now, 5), strict=True))
        tickers = dict(zip(symbols, together.quotes_of(symbols, now, 1), strict=True))
        minute = now // HOUR * 60 + 61
        prints = {symbol: together.prints(symbol, minute) for symbol in symbols}
        for symbol in reversed(symbols):
            assert alone.prints(symbol, minute) == prints[symbol]
            assert alone.contract_row(symbol, now) == rows[symbol]
            assert alone.quotes(symbol, now, 5) == books[symbol]
            assert alone.quotes(symbol, now, 1) == tickers[symbol]
            span = (now // MS - 500 * HOUR_MS, now // MS)
            assert np.array_equal(alone.bars(symbol, 60, *span), together.bars(symbol, 60, *span))


def test_another_seed_is_another_market() -> None:
    one, other = market(20, 1), market(20, 2)
    span = (START // MS - 30 * HOUR_MS, START // MS)
    assert not np.array_equal(one.bars("XBTUSDTM", 60, *span), other.bars("XBTUSDTM", 60, *span))


def test_sequences_and_prices_run_on_over_hours(venue: BarMarket) -> None:
    minute = START // HOUR * 60
    prints = [trade for at in range(minute - 3, minute + 4) for trade in venue.prints("XBTUSDTM", at)]
    assert all(a.sequence < b.sequence for a, b in pairwise(prints))
    assert 1_600_000_000_000 < prints[0].sequence < 2_000_000_000_000
    bars = venue.bars("XBTUSDTM", 60, START // MS - 1600 * HOUR_MS, START // MS)
    assert len(bars) == 1600
    assert np.array_equal(bars[1:, 1], bars[:-1, 4])


def test_rows_have_the_documented_fields_and_survive_json(rows: list[dict[str, object]]) -> None:
    assert len(FIELDS) == 86
    for row in rows:
        assert list(row) == FIELDS
        assert json.loads(json.dumps(row)) == row
        assert isinstance(row["openInterest"], str)
        assert row["predictedFundingFeeRate"] is None
        assert re.fullmatch(r"[A-Z0-9]+(USDTM|USDCM|USDM)|XBTM[HMUZ]\d\d", str(row["symbol"]))


def test_kinds_come_in_the_venues_proportions(rows: list[dict[str, object]]) -> None:
    def count(**wanted: object) -> int:
        return sum(all(row[key] == value for key, value in wanted.items()) for row in rows)

    assert len(rows) == len({row["symbol"] for row in rows}) == 700
    assert count(quoteCurrency="USDT", isInverse=False) == 689
    assert count(quoteCurrency="USDC") == 5
    assert count(type="FFWCSX", isInverse=True, multiplier=-1.0) == 4
    assert count(type="FFICSX", fundingFeeRate=None, fairMethod=None) == 2
    assert count(marketType="NASDAQ", subMarketType="US.STOCK") == 12
    assert count(marketStage="PRE_MARKET") == 3
    eight, four, one = (count(fundingRateGranularity=hours * HOUR_MS) for hours in (8, 4, 1))
    assert 200 < eight < 300 < four < 480
    assert 1 <= one <= 6
    assert 10 <= count(type="FFWCSX", currentFundingRateGranularity=None) <= 20
    assert count(lotSize=1, status="Open") == 700
    known = [row for row in rows if sector_of(str(row["baseCurrency"])) is not None]
    assert len(known) > 350


def test_size_and_spread_fall_into_classes(venue: BarMarket, rows: list[dict[str, object]]) -> None:
    turnover = np.array([float(row["turnoverOf24h"]) for row in rows if not row["isInverse"]])  # type: ignore[arg-type]  # JSON values
    assert np.sum(turnover > 2e6) >= 350
    assert turnover.max() / np.median(turnover) > 50
    spreads = []
    for symbol in venue.symbols(START):
        book = venue.quotes(symbol, START, 1)
        (bid, _), (ask, _) = book.bids[0], book.asks[0]
        spreads.append((ask - bid) / bid * 1e4)
    majors, middle, small = np.median(spreads[:10]), np.median(spreads[20:150]), np.median(spreads[500:])
    assert 0.4 < majors < 1.6
    assert 1.5 < middle < 6.5
    assert 8 < small < 30


def test_contracts_move_together_and_differ(venue: BarMarket) -> None:
    symbols = venue.symbols(START)[:80]
    closes = [venue.bars(symbol, 60, START // MS - 400 * HOUR_MS, START // MS)[:, 4] for symbol in symbols]
    returns = np.array([np.diff(np.log(close)) for close in closes if len(close) == 400])
    assert len(returns) > 60
    correlations = np.corrcoef(returns)[np.triu_indices(len(returns), 1)]
    assert 0.1 < correlations.mean() < 0.7
    yearly = returns.std(axis=1) * np.sqrt(8760)
    assert 0.2 < yearly.min() < yearly.max() < 4.0
    size = np.abs(returns)
    clustering = np.mean([np.corrcoef(row[:-1], row[1:])[0, 1] for row in size])
    assert clustering > 0.02


def test_taker_flow_moves_the_price(venue: BarMarket) -> None:
    minutes = range(START // HOUR * 60, START // HOUR * 60 + 180)
    flow, move = [], []
    for minute in minutes:
        prints = venue.prints("ETHUSDTM", minute)
        flow.append(sum(t.lots if t.side == "buy" else -t.lots for t in prints) / sum(t.lots for t in prints))
        move.append(prints[-1].price / prints[0].price - 1)
        assert 4 <= len(prints) <= 8
    assert np.corrcoef(flow, move)[0, 1] > 0.25


def test_volume_has_an_intraday_shape(venue: BarMarket) -> None:
    bars = [
        venue.bars(s, 60, START // DAY * DAY // MS - 30 * 24 * HOUR_MS, START // DAY * DAY // MS)
        for s in venue.symbols(START)[:20]
    ]
    by_hour = np.array([bar[:, 6].reshape(-1, 24).mean(0) / bar[:, 6].mean() for bar in bars if len(bar) == 720]).mean(
        0
    )
    assert by_hour.max() / by_hour.min() > 2
    assert 11 <= by_hour.argmax() <= 18


def test_books_are_sound_and_move(venue: BarMarket) -> None:
    for symbol in venue.symbols(START)[::97]:
        pictures = []
        for step in range(4):
            now = START + step * 700 * MS
            assert_book_is_sound(venue, symbol, now)
            pictures.append(venue.quotes(symbol, now, 50))
        assert pictures[0] != pictures[3]
        # most levels of a picture stand still, as in a real book
        standing = set(pictures[0].bids) & set(pictures[1].bids)
        assert len(standing) > 10


def test_depth_grows_with_turnover(venue: BarMarket) -> None:
    def depth(symbol: str) -> float:
        multiplier = venue.contract_row(symbol, START)["multiplier"]
        looks = [venue.quotes(symbol, START + minute * HOUR // 60, 5) for minute in range(30)]
        return float(sum(price * lots * multiplier for look in looks for price, lots in look.bids))

    assert depth("XBTUSDTM") > 20 * depth(venue.symbols(START)[300])


def test_listings_and_delistings_follow_the_calendar(venue: BarMarket) -> None:
    days = [venue.symbols(START + day * DAY) for day in range(8)]
    assert all(len(symbols) == 700 for symbols in days)
    listed = [s for s in days[7] if s not in days[0]]
    gone = [s for s in days[0] if s not in days[7]]
    assert 2 <= len(listed) <= 4
    assert len(listed) == len(gone)
    leaving = [s for s in days[0] if venue.contract_row(s, START)["expireDate"] and s.endswith("USDTM")]
    assert 1 <= len(leaving) <= 3
    for symbol in leaving:
        expiry = venue.contract_row(symbol, START)["expireDate"]
        assert START // MS < expiry <= START // MS + 5 * 24 * HOUR_MS
        assert symbol in venue.symbols(expiry * MS - 1)
        assert symbol not in venue.symbols(expiry * MS)
        assert venue.bars(symbol, 60, expiry - 4 * HOUR_MS, expiry + 9 * HOUR_MS)[-1, 0] < expiry
        assert not venue.prints(symbol, expiry // 60_000 + 5)
    young = venue.contract_row(listed[0], START + 7 * DAY)["firstOpenDate"]
    assert len(venue.bars(listed[0], 60, 0, young)) == 0
    assert venue.bars(listed[0], 60, 0, START // MS + 8 * 24 * HOUR_MS)[0, 0] >= young


def test_day_figures_are_those_of_the_last_24_hours(venue: BarMarket) -> None:
    now = START // HOUR * HOUR + 30 * 60 * 10**9
    for symbol in ("XBTUSDTM", "XBTUSDM", venue.symbols(START)[400]):
        stats = venue.day_stats(symbol, now)
        bars = venue.bars(symbol, 60, now // MS - 24 * HOUR_MS - HOUR_MS // 2, now // MS - HOUR_MS)
        running = venue.running_bar(symbol, 60, now)
        assert running is not None
        wanted = bars[1:, 6].sum() + bars[0, 6] / 2 + running[6]
        assert stats.turnover == pytest.approx(wanted, rel=1e-9)
        assert stats.last == running[4]
        assert stats.high == max(bars[:, 2].max(), running[2])
        row = venue.contract_row(symbol, now)
        assert row["turnoverOf24h"] == pytest.approx(stats.turnover)
        assert row["volumeOf24h"] == pytest.approx(stats.lots if row["isInverse"] else stats.lots * row["multiplier"])


def test_funding_follows_the_premium_on_its_own_grid(venue: BarMarket) -> None:
    rates: dict[int, list[float]] = {}
    for symbol in venue.symbols(START):
        state = venue.funding(symbol, START)
        if state is None:
            continue
        assert state.last_time <= START < state.next_time == state.last_time + state.interval
        assert state.floor <= state.rate <= state.cap
        settled = venue.settlements(symbol, state.last_time // MS - 3 * state.interval // MS, state.last_time // MS)
        assert settled[-1] == (state.last_time // MS, state.last_rate)
        since = state.last_time - venue.contract_row(symbol, START)["firstOpenDate"] * MS
        assert len(settled) == min(4, -(-since // state.interval))
        assert venue.funding(symbol, state.next_time).last_rate == venue.funding(symbol, state.next_time + 1).last_rate  # type: ignore[union-attr]  # perpetuals have a funding clock
        rates.setdefault(state.interval // HOUR, []).append(state.last_rate)
    assert sorted(rates) == [1, 4, 8]
    assert len(set(rates[4])) > 100
    odd = [s for s in venue.symbols(START) if (f := venue.funding(s, START)) and f.last_time % f.interval]
    assert 1 <= len(odd) <= 12
    mark, index = venue.mark_index("XBTUSDTM", START)
    assert 0 < abs(mark / index - 1) < 0.01


def test_open_interest_moves_but_does_not_jump(venue: BarMarket) -> None:
    series = [venue.open_interest("XBTUSDTM", START + step * HOUR // 12) for step in range(12 * 72)]
    steps = np.abs(np.diff(np.log(series)))
    assert steps.max() < 0.05
    assert max(series) / min(series) > 1.02


def test_a_start_outside_its_history_is_refused() -> None:
    with pytest.raises(ConfigError, match="start"):
        synthetic_market(seed=1, contracts=5, start=1_500_000_000 * 10**9)
    with pytest.raises(ConfigError, match="contracts"):
        synthetic_market(seed=1, contracts=0, start=START)


@pytest.mark.parametrize("contracts", [1, 3, 16, 100, 900])
def test_any_number_of_contracts_can_be_asked_for(contracts: int) -> None:
    small = market(contracts)
    symbols = small.symbols(START)
    assert len(symbols) == contracts
    assert symbols[0] == "XBTUSDTM"
    assert small.contract_row(symbols[-1], START)["symbol"] == symbols[-1]
