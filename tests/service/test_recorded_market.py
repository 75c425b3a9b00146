"""The daemon on prices of a record: the venue reproduces them exactly, and so does what the daemon keeps."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.service import stored
from tests.service.harness import FULL_BOOK, HOUR_NS, Daemon, ending

MINUTES = 5
DAYS = 24
STARTS_AT = pd.Timestamp("2026-03-02T00:00:00Z")
COINS = "BTC ETH SOL XRP ADA DOGE LINK AVAX DOT LTC BCH UNI ATOM NEAR".split()


def write_record(file: Path, seed: int) -> pd.DataFrame:
    """A record of random walks in five-minute bars."""
    rng = np.random.default_rng(seed)
    count = DAYS * 24 * 60 // MINUTES
    starts = (STARTS_AT.value // 10**6 + np.arange(count) * MINUTES * 60_000).astype("int64")
    frames = []
    for level, coin in zip(np.geomspace(60_000, 0.2, len(COINS)), COINS, strict=True):
        digits = max(2, 5 - math.floor(math.log10(level)))
        close = np.round(level * np.exp(np.cumsum(rng.normal(0, 0.001, count))), digits)
        open_ = np.concatenate(([round(level, digits)], close[:-1]))
        spread = np.abs(rng.normal(0, 0.0005, count))
        high = np.round(np.maximum(open_, close) * (1 + spread), digits)
        low = np.round(np.minimum(open_, close) * (1 - spread), digits)
        volume = np.round(rng.uniform(50_000, 500_000, count) / level, 3)
        columns = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
        frames.append(pd.DataFrame({"symbol": f"{coin}USDT", "ts_ms": starts, **columns}))
    record = pd.concat(frames, ignore_index=True)
    record.to_parquet(file)
    return record


def on_record(folder: Path, record: Path, *more: str) -> Daemon:
    sets = (f"sandbox.market={record}", "sandbox.speed=600", *FULL_BOOK, *more)
    return Daemon(folder, "--sandbox", sets=sets)


def hours_of(record: pd.DataFrame, since: int, until: int) -> dict[tuple[str, int], tuple[float, ...]]:
    """Hour bars of a record that start in [since, until), by coin and start."""
    rows = record[(record.ts_ms >= since // 10**6) & (record.ts_ms < until // 10**6)]
    grouped = rows.sort_values("ts_ms").groupby(["symbol", rows.ts_ms // 3_600_000])
    bars = grouped.agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    return {(symbol, hour * HOUR_NS): tuple(bar) for (symbol, hour), *bar in bars.itertuples(name=None)}


def test_a_record_becomes_bars_that_equal_it(tmp_path: Path, seed: int) -> None:
    record = write_record(tmp_path / "record.parquet", seed)
    daemon = on_record(tmp_path, tmp_path / "record.parquet")
    with ending(daemon):
        assert len(daemon.book_ready(10)["holdings"]) == 10
        began = int(datetime.fromisoformat(daemon.status()["as_of"]).timestamp() * 1000) * 1_000_000
        assert began - STARTS_AT.value >= 15 * 24 * HOUR_NS
        first = began // HOUR_NS * HOUR_NS + HOUR_NS
        query = "select max(start_ns) as newest from bar_blocks where interval_s = 3600"
        daemon.until("two hours", lambda: (stored.rows(daemon.state, query)[0]["newest"] or 0) >= first + HOUR_NS)
        lots = {row["symbol"]: row["multiplier"] for row in daemon.get("symbols")["symbols"]}
        expected = hours_of(record, first - 24 * HOUR_NS, first + 2 * HOUR_NS)
        assert len(expected) >= 25 * len(COINS)
        stored.settled(
            daemon, first - 24 * HOUR_NS, first + 2 * HOUR_NS, lambda found: differing(found, expected, lots)
        )
        assert daemon.stop() == 0


def differing(
    found: stored.Bars, expected: dict[tuple[str, int], tuple[float, ...]], lots: dict[str, float]
) -> list[str]:
    """Every bar that is not the record's, in words."""
    wrong = []
    for (coin, start), wanted in expected.items():
        symbol = {"BTCUSDT": "XBTUSDTM"}.get(coin, f"{coin}M")
        bar = found.get((symbol, start))
        if bar is None:
            wrong.append(f"{symbol} {start}: not known")
            continue
        coins = bar.ohlcv[4] * lots[symbol]
        if bar.ohlcv[:4] != pytest.approx(wanted[:4], rel=1e-12) or coins != pytest.approx(wanted[4], rel=1e-9):
            wrong.append(f"{symbol} {start}: {bar}, the record says {wanted}")
    return wrong


def test_recorded_perpetuals_fill_a_book(tmp_path: Path, shared_data: Path) -> None:
    record = shared_data / "binance_perp_1m"
    if not record.is_dir():
        pytest.skip("needs ../shared/data/binance_perp_1m")
    daemon = on_record(tmp_path, record)
    with ending(daemon):
        book = daemon.book_ready(10)
        assert len(book["holdings"]) == 10
        rows = daemon.rankings()
        assert len(rows) >= 10
        assert round(sum(row["weight"] for row in book["holdings"]) + book["cash"], 6) == 100.0
        top = daemon.get(f"explain/{book['holdings'][0]['symbol']}")
        total = 50.0 + sum(component["contribution"] for component in top["components"])
        assert top["sum"]["composite"] == pytest.approx(total, abs=1e-9)
        assert daemon.stop() == 0
