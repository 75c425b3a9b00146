"""What must hold of any market, whatever its bars come from."""

from itertools import pairwise

import numpy as np

from zmart_stream.sandbox.barmarket import BarMarket
from zmart_stream.sandbox.market import Print

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def row_of(prints: list[Print], multiplier: float, *, inverse: bool) -> list[float]:
    prices = [trade.price for trade in prints]
    lots = sum(trade.lots for trade in prints)
    money = sum(t.lots / t.price if inverse else t.lots * t.price * multiplier for t in prints)
    return [prices[0], max(prices), min(prices), prices[-1], float(lots), money]


def assert_rows_equal(got: list[float], wanted: list[float]) -> None:
    assert got[:5] == wanted[:5]
    assert abs(got[5] - wanted[5]) <= 1e-9 * abs(wanted[5])


def assert_levels_agree(market: BarMarket, symbol: str, hour: int) -> int:
    """Hour, its minutes and its trades tell the same; returns the number of trades."""
    row = market.contract_row(symbol, hour * HOUR_MS * 1_000_000)
    inverse, multiplier = row["isInverse"], abs(row["multiplier"])
    minutes = {
        int(bar[0]) // MINUTE_MS: bar[1:].tolist()
        for bar in market.bars(symbol, 1, hour * HOUR_MS, (hour + 1) * HOUR_MS)
    }
    everything: list[Print] = []
    for minute in range(hour * 60, hour * 60 + 60):
        prints = market.prints(symbol, minute)
        assert bool(prints) == (minute in minutes)
        if prints:
            assert_rows_equal(minutes[minute], row_of(prints, multiplier, inverse=inverse))
            assert (
                minute * MINUTE_MS * 1_000_000 <= prints[0].ts <= prints[-1].ts < (minute + 1) * MINUTE_MS * 1_000_000
            )
        everything += prints
    hours = market.bars(symbol, 60, hour * HOUR_MS, (hour + 1) * HOUR_MS)
    assert len(hours) == bool(everything)
    if everything:
        assert_rows_equal(hours[0, 1:].tolist(), row_of(everything, multiplier, inverse=inverse))
    assert all(a.sequence < b.sequence and a.ts < b.ts for a, b in pairwise(everything))
    assert all(trade.ts % 1_000_000 == 0 for trade in everything)
    assert all(round(round(t.price / row["tickSize"]) * row["tickSize"], 10) == t.price for t in everything)
    return len(everything)


def assert_larger_bars_join(market: BarMarket, symbol: str, start_ms: int, end_ms: int) -> None:
    """Every granularity is the aggregate of the minutes in it."""
    minutes = market.bars(symbol, 1, start_ms, end_ms)
    for granularity in (5, 15, 30, 60, 120, 240, 480, 720, 1440):
        width = granularity * MINUTE_MS
        for bar in market.bars(symbol, granularity, start_ms, end_ms - width + 1):
            inside = minutes[(minutes[:, 0] >= bar[0]) & (minutes[:, 0] < bar[0] + width)]
            wanted = [
                inside[0, 1],
                inside[:, 2].max(),
                inside[:, 3].min(),
                inside[-1, 4],
                inside[:, 5].sum(),
                inside[:, 6].sum(),
            ]
            assert_rows_equal(bar[1:].tolist(), wanted)


def assert_running_bar_is_the_trades_so_far(market: BarMarket, symbol: str, granularity: int, now: int) -> None:
    row = market.contract_row(symbol, now)
    running = market.running_bar(symbol, granularity, now)
    width = granularity * MINUTE_MS
    start = now // 1_000_000 // width * width
    prints = [
        trade
        for minute in range(start // MINUTE_MS, now // 1_000_000 // MINUTE_MS + 1)
        for trade in market.prints(symbol, minute)
        if trade.ts <= now
    ]
    if not prints:
        assert running is None
        return
    assert running is not None
    assert running[0] == start
    assert_rows_equal(running[1:], row_of(prints, abs(row["multiplier"]), inverse=row["isInverse"]))
    assert all(isinstance(value, float) for value in running)


def assert_book_is_sound(market: BarMarket, symbol: str, now: int) -> None:
    full = market.quotes(symbol, now, 1000)
    prices = [[price for price, _ in side] for side in full]
    assert prices[0][0] < prices[1][0]
    assert np.all(np.diff(prices[0]) < 0)
    assert np.all(np.diff(prices[1]) > 0)
    assert prices[0][-1] > 0
    assert all(isinstance(lots, int) and lots > 0 for side in full for _, lots in side)
    for levels in (1, 5, 8, 20, 100):
        few = market.quotes(symbol, now, levels)
        assert few.bids == full.bids[:levels]
        assert few.asks == full.asks[:levels]
