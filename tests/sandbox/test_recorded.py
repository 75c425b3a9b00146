from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from tests.sandbox.market_checks import (
    HOUR_MS,
    assert_book_is_sound,
    assert_larger_bars_join,
    assert_levels_agree,
    assert_running_bar_is_the_trades_so_far,
)
from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.barmarket import BarMarket
from zmart_stream.sandbox.recorded import recorded_market

MS = 1_000_000
HOUR = HOUR_MS * MS
BEGIN_MS = 1_746_400_020_000  # not on an hour
PRICE_DIGITS, LOT_DIGITS = {"BTCUSDT": 1, "FOOUSDT": 5}, {"BTCUSDT": 3, "FOOUSDT": 0}


def record(seed: int, minutes: int = 1, bars: int = 3000) -> pa.Table:
    """A record of two symbols with gaps, empty bars and bars of a single lot."""
    rng = np.random.default_rng(seed)
    tables = []
    for name, price in (("BTCUSDT", 950_000), ("FOOUSDT", 4_000)):
        closes = price + rng.integers(-40, 41, bars).cumsum()
        opens = np.concatenate(([price], closes[:-1])) + rng.integers(-3, 4, bars)
        high = np.maximum(opens, closes) + rng.integers(0, 30, bars)
        low = np.maximum(np.minimum(opens, closes) - rng.integers(0, 30, bars), 1)
        lots = rng.integers(4, 5000, bars)
        quiet = rng.random(bars) < 0.05
        single = rng.random(bars) < 0.05
        flat = quiet | single
        closes, high, low = (np.where(flat, opens, column) for column in (closes, high, low))
        lots = np.where(quiet, 0, np.where(single, 1, lots))
        start = BEGIN_MS // (minutes * 60_000) * minutes * 60_000 + np.arange(bars) * minutes * 60_000
        kept = np.ones(bars, dtype=bool)
        kept[700:760] = False
        scale = 10.0 ** PRICE_DIGITS[name]
        columns = {"symbol": np.full(bars, name), "ts_ms": start, "open": opens / scale, "high": high / scale}
        columns |= {"low": low / scale, "close": closes / scale, "volume": lots / 10.0 ** LOT_DIGITS[name]}
        tables.append(pa.table({key: column[kept] for key, column in columns.items()}))
    return pa.concat_tables(tables)


def opened(path: Path, history_days: float = 1.0, start: int | None = None) -> BarMarket:
    market = recorded_market(path, history_days=history_days, seed=3, start=start)
    assert isinstance(market, BarMarket)
    return market


def assert_gives_back(market: BarMarket, table: pa.Table, name: str, minutes: int) -> None:
    """Its bars are the record's rows with volume, in O, H, L, C and volume, bit for bit."""
    rows = table.filter(pa.compute.equal(table["symbol"], name)).to_pydict()
    wanted = np.array([rows[key] for key in ("ts_ms", "open", "high", "low", "close", "volume")]).T
    assert market.end is not None
    wanted = wanted[(wanted[:, 5] > 0) & (wanted[:, 0] < market.end // MS)]
    symbol = name.replace("BTC", "XBT") + "M"
    bars = market.bars(symbol, minutes, 0, 2**53)
    multiplier = market.contract_row(symbol, market.start)["multiplier"]
    assert np.array_equal(bars[:, :5], wanted[:, :5])
    coins = bars[:, 5] * multiplier if multiplier >= 1 else bars[:, 5] / round(1 / multiplier)
    assert np.array_equal(coins, wanted[:, 5])
    assert np.array_equal(bars[:, 5], np.rint(bars[:, 5]))


@pytest.fixture(params=["parquet", "csv", "directory"])
def path(request: pytest.FixtureRequest, tmp_path: Path, seed: int) -> Path:
    table = record(seed)
    if request.param == "csv":
        pcsv.write_csv(table, tmp_path / "bars.csv")
        return tmp_path / "bars.csv"
    pq.write_table(table, tmp_path / "ohlcv_1m.parquet")
    return tmp_path if request.param == "directory" else tmp_path / "ohlcv_1m.parquet"


def test_the_record_comes_back_exactly_from_any_file(path: Path, seed: int) -> None:
    market = opened(path)
    assert market.symbols(market.start) == ("XBTUSDTM", "FOOUSDTM")
    for name in ("BTCUSDT", "FOOUSDT"):
        assert_gives_back(market, record(seed), name, 1)
    row = market.contract_row("XBTUSDTM", market.start)
    assert (row["tickSize"], row["multiplier"], row["firstOpenDate"]) == (0.1, 0.001, BEGIN_MS)
    assert len(row) == 86


def test_levels_agree_and_running_bars_are_the_trades_so_far(path: Path) -> None:
    market = opened(path)
    first = market.start // HOUR
    for symbol in ("XBTUSDTM", "FOOUSDTM"):
        assert sum(assert_levels_agree(market, symbol, hour) for hour in range(first - 14, first + 3)) > 1000
        for granularity in (1, 15, 60):
            assert_running_bar_is_the_trades_so_far(market, symbol, granularity, market.start + 31_234 * 10**6)
        assert_larger_bars_join(
            market, symbol, first * HOUR_MS // (24 * HOUR_MS) * 24 * HOUR_MS, (first + 24) * HOUR_MS
        )
        for step in range(3):
            assert_book_is_sound(market, symbol, market.start + step * 333 * MS)


def test_five_minute_bars_are_split_into_minutes(tmp_path: Path, seed: int) -> None:
    table = record(seed, minutes=5)
    pq.write_table(table, tmp_path / "ohlcv_5m.parquet")
    market = opened(tmp_path)
    for name in ("BTCUSDT", "FOOUSDT"):
        assert_gives_back(market, table, name, 5)
    hour = market.start // HOUR
    assert assert_levels_agree(market, "XBTUSDTM", hour) > 100
    minutes = market.bars("XBTUSDTM", 1, hour * HOUR_MS, (hour + 1) * HOUR_MS)
    assert len(minutes) > 30


def test_it_starts_after_the_history_and_ends_with_the_record(tmp_path: Path, seed: int) -> None:
    pq.write_table(record(seed), tmp_path / "ohlcv_1m.parquet")
    market = opened(tmp_path, history_days=0.5)
    assert market.start == BEGIN_MS * MS + 12 * HOUR
    assert market.end == (BEGIN_MS + 3000 * 60_000) * MS
    assert len(market.prints("XBTUSDTM", market.end // MS // 60_000)) == 0
    assert len(market.bars("XBTUSDTM", 60, market.end // MS, market.end // MS + 9 * HOUR_MS)) == 0
    later = opened(tmp_path, start=market.start + HOUR)
    assert later.start == market.start + HOUR
    with pytest.raises(ConfigError, match="days"):
        opened(tmp_path, history_days=30)


def test_the_last_price_stands_over_a_gap(tmp_path: Path, seed: int) -> None:
    table = record(seed)
    pq.write_table(table, tmp_path / "ohlcv_1m.parquet")
    market = opened(tmp_path)
    gap = (BEGIN_MS + 730 * 60_000) * MS
    before = market.bars("XBTUSDTM", 1, 0, gap // MS)[-1]
    assert market.day_stats("XBTUSDTM", gap).last == before[4]
    assert abs(market.mark_index("XBTUSDTM", gap)[0] / before[4] - 1) < 0.01


def test_the_last_price_stands_for_days(tmp_path: Path, seed: int) -> None:
    table = record(seed, bars=6000)
    minute = (table["ts_ms"].to_numpy() - BEGIN_MS) // 60_000
    foo = np.array(table["symbol"].to_pylist()) == "FOOUSDT"
    table = table.filter(pa.array(np.where(foo, minute < 300, (minute < 400) | (minute > 5500))))
    pq.write_table(table, tmp_path / "ohlcv_1m.parquet")
    market = opened(tmp_path, history_days=0.1)
    now = (BEGIN_MS + 5400 * 60_000) * MS
    for symbol in ("XBTUSDTM", "FOOUSDTM"):
        last = market.bars(symbol, 1, 0, now // MS)[-1, 4]
        stats = market.day_stats(symbol, now)
        assert (stats.last, stats.lots) == (last, 0)
        book = market.quotes(symbol, now, 5)
        assert book.bids[0][0] <= last <= book.asks[0][0]


def test_recorded_funding_is_settled_as_recorded(tmp_path: Path, seed: int) -> None:
    pq.write_table(record(seed), tmp_path / "ohlcv_1m.parquet")
    begin = BEGIN_MS // (8 * HOUR_MS) * 8 * HOUR_MS
    times = [begin + step * 8 * HOUR_MS + step % 2 for step in range(9)]
    rates = [round(1e-4 + step * 1e-5, 6) for step in range(9)]
    pq.write_table(
        pa.table({"symbol": ["BTCUSDT"] * 9, "ts_ms": times, "funding_rate": rates}), tmp_path / "funding_rate.parquet"
    )
    market = opened(tmp_path)
    state = market.funding("XBTUSDTM", market.start)
    assert state is not None
    place = (state.last_time // MS - begin) // (8 * HOUR_MS)
    assert state.last_rate == rates[place]
    assert state.next_time - state.last_time == state.interval == 8 * HOUR
    assert rates[place] - 1e-4 <= state.rate <= rates[place + 1] + 1e-4
    assert market.settlements("XBTUSDTM", begin, market.start // MS) == [
        (time // 1000 * 1000, rate) for time, rate in zip(times, rates, strict=True) if time <= market.start // MS
    ]
    assert market.funding("FOOUSDTM", market.start) is not None


def test_lots_shrink_until_every_bar_can_trade_through_its_prices(tmp_path: Path) -> None:
    table = pa.table(
        {
            "symbol": ["ABCUSDT"] * 3,
            "ts_ms": [BEGIN_MS, BEGIN_MS + 60_000, BEGIN_MS + 120_000],
            "open": [1.0, 1.1, 1.2],
            "high": [1.3, 1.1, 1.3],
            "low": [0.9, 1.1, 1.2],
            "close": [1.1, 1.1, 1.2],
            "volume": [1.0, 2.0, 3.0],
        }
    )
    pq.write_table(table, tmp_path / "ohlcv_1m.parquet")
    market = opened(tmp_path, history_days=0.0)
    assert market.contract_row("ABCUSDTM", market.start)["multiplier"] == 0.1
    assert_gives_back(market, table, "ABCUSDT", 1)
    assert len(market.prints("ABCUSDTM", BEGIN_MS // 60_000)) >= 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ts_ms": [1, 60_000]}, "whole minutes"),
        ({"ts_ms": [60_000, 60_000]}, "only once"),
        ({"high": [0.5, 1.0]}, "cannot be"),
        ({"close": [float("nan"), 1.0]}, "not finite"),
        ({"volume": [-1.0, 1.0]}, "cannot be"),
        ({"symbol": ["ABC", "ABC"]}, "quote currency"),
        ({"ts_ms": [0, 7 * 60_000]}, "7 min"),
    ],
)
def test_a_record_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, list[object]], said: str) -> None:
    columns: dict[str, list[object]] = {"symbol": ["ABCUSDT"] * 2, "ts_ms": [60_000, 120_000], "volume": [5.0, 5.0]}
    columns |= {key: [1.0, 1.0] for key in ("open", "high", "low", "close")}
    pq.write_table(pa.table(columns | change), tmp_path / "ohlcv_1m.parquet")
    with pytest.raises(ConfigError, match=said):
        opened(tmp_path, history_days=0.0)


def test_files_that_are_no_record_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no ohlcv_\*"):
        opened(tmp_path)
    (tmp_path / "ohlcv_1m.parquet").write_text("not parquet")
    with pytest.raises(ConfigError, match="not readable"):
        opened(tmp_path)
    (tmp_path / "bars.csv").write_text("symbol,open\nABCUSDT,1\n")
    with pytest.raises(ConfigError, match="no column"):
        opened(tmp_path / "bars.csv")


@pytest.mark.parametrize(("folder", "minutes"), [("binance_perp_1m", 1), ("binance_perp_5m", 5)])
def test_real_records_come_back_exactly(shared_data: Path, folder: str, minutes: int, seed: int) -> None:
    market = opened(shared_data / folder, history_days=15)
    table = pq.read_table(shared_data / folder / f"ohlcv_{minutes}m.parquet")
    table = table.set_column(0, "symbol", table["symbol"].cast(pa.string()))
    for name in ("BTCUSDT", "XRPUSDT", "SUIUSDT", "XMRUSDT"):
        assert_gives_back(market, table, name, minutes)
    rng = np.random.default_rng(seed)
    for symbol in rng.choice(market.symbols(market.start), 6):
        assert assert_levels_agree(market, symbol, market.start // HOUR + int(rng.integers(0, 300))) > 100
