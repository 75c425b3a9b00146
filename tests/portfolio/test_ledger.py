"""The ledger balances to the last unit over any history, survives a restart, and says what each swap earned."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmart_stream.portfolio.account import UNIT, Account, Quote
from zmart_stream.portfolio.benchmark import DAY_NS
from zmart_stream.portfolio.ledger import Closed, Ledger, LedgerState
from zmart_stream.portfolio.swaps import SwapNote

HOUR = DAY_NS // 24
T0 = 20_000 * DAY_NS
SYMBOLS = ("ADAUSDTM", "SOLUSDTM", "XBTUSDTM", "XRPUSDTM", "PEPEUSDTM")
SECTORS = {"ADAUSDTM": "layer", "SOLUSDTM": "layer", "XBTUSDTM": "base", "PEPEUSDTM": "meme"}
PRICES = {"ADAUSDTM": 0.7, "SOLUSDTM": 160.0, "XBTUSDTM": 60_000.0, "XRPUSDTM": 2.2, "PEPEUSDTM": 1.1e-5}


def usdt(units: int) -> float:
    return units / UNIT


def free(prices: dict[str, float], cost_bps: float = 0.0) -> dict[str, Quote]:
    return {symbol: Quote(price=price, cost_bps=cost_bps) for symbol, price in prices.items()}


def marked(ledger: Ledger, ts: int, prices: dict[str, float]) -> Closed:
    return ledger.mark(ts, prices, SYMBOLS, SECTORS)


class World:
    """A random history: moves, re-weightings, funding, delistings; the same steps can be played on another ledger."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.prices = dict(PRICES)
        self.ts = T0
        self.gone: set[str] = set()

    def step(self, ledger: Ledger) -> Closed:
        """Up to one bar of events, then its close."""
        for _ in range(int(self.rng.integers(0, 4))):
            self._event(ledger)
        self._move()
        self.ts += HOUR
        return marked(ledger, self.ts, {s: p for s, p in self.prices.items() if s not in self.gone})

    def _move(self) -> None:
        for symbol in self.prices:
            self.prices[symbol] *= float(np.exp(self.rng.normal() * 0.05))

    def _event(self, ledger: Ledger) -> None:
        self.ts += int(self.rng.integers(1, HOUR // 8))
        kind = int(self.rng.integers(0, 10))
        if kind < 5:
            self._trade(ledger)
        elif kind < 8:
            symbol = SYMBOLS[int(self.rng.integers(0, len(SYMBOLS)))]
            ledger.fund(symbol, float(self.rng.normal() * 1e-3), self.ts, mark=self.prices[symbol])
        elif kind < 9:
            ledger.hold_first_book()
        elif len(self.gone) < 2:
            symbol = SYMBOLS[int(self.rng.integers(0, len(SYMBOLS)))]
            self.gone.add(symbol)
            ledger.settle(self.ts, symbol)

    def _trade(self, ledger: Ledger) -> None:
        names = [s for s in SYMBOLS if s not in self.gone]
        chosen = [s for s in names if self.rng.random() < 0.6]
        shares = np.floor(self.rng.dirichlet(np.ones(len(chosen) + 1))[: len(chosen)] * 10_000) / 100
        weights = dict(zip(chosen, shares.tolist(), strict=True))
        out = next((s for s in ledger.weights() if s not in chosen), None)
        into = next((s for s in chosen if s not in ledger.weights()), None)
        swap = None
        if out is not None and into is not None:
            swap = SwapNote(id=str(self.ts), symbol_out=out, symbol_in=into, gap=15.0)
        quotes = free(self.prices, float(self.rng.uniform(0, 40)))
        ledger.trade(self.ts, weights, quotes, swap=swap)
        # fully invested after costs, not on credit; funding may be paid from what is not there until the next trade
        assert ledger.state.account.cash >= -UNIT // 100


@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 40))
def test_every_bar_balances_to_the_last_unit(seed: int, bars: int) -> None:
    world, ledger = World(seed), Ledger()
    before = marked(ledger, world.ts, world.prices).point
    for _ in range(bars):
        closed = world.step(ledger)
        point = closed.point
        assert point.equity == before.equity + point.price_pnl + point.funding - point.costs
        account = ledger.state.account
        assert point.equity == account.cash + sum(p.value for p in account.positions.values())
        assert point.costs >= 0
        for p in account.positions.values():
            assert abs(p.value - p.quantity * p.mark * UNIT) <= 1
        period = closed.period
        assert period is not None
        assert sum(period.contributions.values()) + period.funding + period.costs == pytest.approx(
            period.gain, abs=1e-12
        )
        before = point


@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(2, 30))
def test_a_restart_changes_nothing(seed: int, bars: int) -> None:
    straight, broken = Ledger(), Ledger()
    one, other = World(seed), World(seed)
    marked(straight, one.ts, one.prices)
    marked(broken, other.ts, other.prices)
    for bar in range(bars):
        expected, found = one.step(straight), other.step(broken)
        assert found == expected
        if bar % 5 == 1:
            data: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(broken.snapshot()))
            broken = Ledger()
            broken.restore(data)
    assert broken.snapshot() == straight.snapshot()


@given(seed=st.integers(0, 2**32 - 1))
def test_stays_add_up_to_what_the_book_made(seed: int) -> None:
    world, ledger = World(seed), Ledger()
    start = marked(ledger, world.ts, world.prices).point.equity
    for _ in range(25):
        world.step(ledger)
    world.gone.clear()
    ledger.trade(world.ts, {}, free(world.prices))
    end = marked(ledger, world.ts + HOUR, world.prices).point
    assert end.cash == end.equity
    assert sum(stay.earned for stay in ledger.stays) == end.equity - start


def test_costs_are_paid_on_what_is_traded_and_the_rest_is_invested() -> None:
    ledger = Ledger()
    marked(ledger, T0, PRICES)
    costs = ledger.trade(T0, {"SOLUSDTM": 60.0, "XBTUSDTM": 40.0}, free(PRICES, 10.0))
    assert usdt(costs) == pytest.approx(100_000 * 1e-3 / (1 + 1e-3), rel=1e-9)
    assert usdt(ledger.equity) == pytest.approx(100_000 - usdt(costs))
    assert ledger.weights() == {"SOLUSDTM": pytest.approx(60.0), "XBTUSDTM": pytest.approx(40.0)}
    again = ledger.trade(T0, {"SOLUSDTM": 60.0, "XBTUSDTM": 40.0}, free(PRICES, 10.0))
    assert again <= 1  # nothing to do but a unit's rounding


def test_profit_is_quantity_times_move() -> None:
    ledger = Ledger()
    marked(ledger, T0, PRICES)
    ledger.trade(T0, {"SOLUSDTM": 50.0}, free(PRICES))
    point = marked(ledger, T0 + HOUR, {**PRICES, "SOLUSDTM": 176.0}).point
    assert usdt(point.price_pnl) == pytest.approx(5_000.0, abs=1e-8)
    assert usdt(point.equity) == pytest.approx(105_000.0, abs=1e-8)
    assert usdt(point.benchmark) == pytest.approx(100_000 * (1 + 0.1 / 5))


def test_funding_is_paid_once_on_what_was_held_at_the_settlement() -> None:
    ledger = Ledger()
    marked(ledger, T0, PRICES)
    ledger.trade(T0, {"SOLUSDTM": 50.0}, free(PRICES))
    assert ledger.fund("SOLUSDTM", 1e-3, T0) is None  # bought after that settlement
    payment = ledger.fund("SOLUSDTM", 1e-4, T0 + HOUR, mark=192.0)
    assert payment is not None
    assert (usdt(payment.value), usdt(payment.amount)) == (pytest.approx(60_000.0), pytest.approx(-6.0))
    assert ledger.fund("SOLUSDTM", 1e-4, T0 + HOUR) is None
    assert ledger.fund("XRPUSDTM", 1e-4, T0 + HOUR) is None
    point = marked(ledger, T0 + HOUR, {**PRICES, "SOLUSDTM": 192.0}).point
    assert (usdt(point.funding), usdt(point.price_pnl)) == (pytest.approx(-6.0), pytest.approx(10_000.0))


def test_a_delisted_holding_settles_at_its_last_mark_and_moves_no_more() -> None:
    ledger = Ledger()
    marked(ledger, T0, PRICES)
    ledger.trade(T0, {"SOLUSDTM": 50.0, "XRPUSDTM": 50.0}, free(PRICES))
    ledger.hold_first_book()
    marked(ledger, T0 + HOUR, {**PRICES, "SOLUSDTM": 80.0})
    ledger.settle(T0 + HOUR + 1, "SOLUSDTM")
    closed = marked(ledger, T0 + 2 * HOUR, {**PRICES, "SOLUSDTM": 1.0})
    assert usdt(closed.point.equity) == pytest.approx(75_000.0)
    assert closed.point.first_book == closed.point.equity
    assert [(stay.symbol, usdt(stay.earned)) for stay in closed.stays] == [("SOLUSDTM", pytest.approx(-25_000.0))]


def test_the_first_book_is_held_whatever_the_book_does() -> None:
    ledger = Ledger()
    marked(ledger, T0, PRICES)
    ledger.trade(T0, {"SOLUSDTM": 100.0}, free(PRICES, 5.0))
    ledger.hold_first_book()
    start = ledger.equity
    ledger.trade(T0 + HOUR, {"XRPUSDTM": 100.0}, free(PRICES, 5.0))
    ledger.hold_first_book()  # only the first call counts
    point = marked(ledger, T0 + 2 * HOUR, {**PRICES, "SOLUSDTM": 176.0}).point
    assert point.first_book is not None
    assert point.first_book / start == pytest.approx(1.1)


def test_a_swap_is_final_after_its_horizon_and_later_trades_do_not_blur_it() -> None:
    ledger = Ledger(swap_horizon_ns=3 * HOUR)
    marked(ledger, T0, PRICES)
    ledger.trade(T0, {"SOLUSDTM": 50.0, "XBTUSDTM": 50.0}, free(PRICES))
    note = SwapNote(id="c1", symbol_out="SOLUSDTM", symbol_in="XRPUSDTM", gap=14.0)
    costs = ledger.trade(T0, {"XRPUSDTM": 50.0, "XBTUSDTM": 50.0}, free(PRICES, 10.0), swap=note)
    ledger.trade(T0 + HOUR, {"PEPEUSDTM": 100.0}, free(PRICES))
    assert {"SOLUSDTM", "XRPUSDTM", "XBTUSDTM", "PEPEUSDTM"} == set(ledger.symbols)
    moved = {**PRICES, "SOLUSDTM": 168.0, "XRPUSDTM": 2.42}
    assert marked(ledger, T0 + 2 * HOUR, moved).finals == ()
    running = ledger.swaps(T0 + 2 * HOUR)[0]
    assert not running.is_final
    final = marked(ledger, T0 + 3 * HOUR, moved).finals[0]
    assert final.is_final
    assert (final.costs, usdt(final.start)) == (costs, 100_000.0)
    assert usdt(final.unswapped) == pytest.approx(102_500.0)
    assert usdt(final.swapped) == pytest.approx(usdt(100_000 * UNIT - costs) * 1.05)
    assert final.spread_bps == pytest.approx(500.0)  # 10 % against 5 %, before costs
    assert ledger.slope.bps_per_point == pytest.approx(500.0 / 14.0)
    assert ledger.swaps(T0 + 4 * HOUR) == []


def test_the_benchmark_is_equal_again_every_midnight() -> None:
    ledger = Ledger()
    prices = {"ADAUSDTM": 1.0, "SOLUSDTM": 1.0}

    def close(ts: int, ada: float, sol: float) -> float:
        return usdt(ledger.mark(ts, {"ADAUSDTM": ada, "SOLUSDTM": sol}, prices, {}).point.benchmark) / 1e5

    close(T0, 1.0, 1.0)
    assert close(T0 + 23 * HOUR, 2.0, 1.0) == pytest.approx(1.5)
    assert close(T0 + DAY_NS, 3.0, 1.0) == pytest.approx(2.0)  # still in yesterday's weights
    assert close(T0 + DAY_NS + HOUR, 3.0, 2.0) == pytest.approx(3.0)  # equal since midnight
    assert ledger.mark(T0 + DAY_NS + 2 * HOUR, {"SOLUSDTM": 4.0}, prices, {}).point.benchmark == 500_000 * UNIT


def test_days_are_kept_whole_and_windows_add_up() -> None:
    world, ledger = World(9), Ledger()
    start = marked(ledger, world.ts, world.prices).point.equity
    point = None
    for _ in range(24 * 9):
        world.ts = world.ts // HOUR * HOUR
        point = world.step(ledger).point
        world.ts = point.ts
    assert point is not None
    everything, step = ledger.periods(None, point.ts)
    assert step == 86_400.0
    grown = np.prod([1.0 + day.gain for day in everything])
    assert grown == pytest.approx(point.equity / start, rel=1e-12)
    week, _ = ledger.periods(7 * DAY_NS, point.ts)
    assert min(bar.end for bar in week) > point.ts - 7 * DAY_NS
    assert all(a.end == b.start for a, b in pairwise(week))


def test_the_state_is_plain_values() -> None:
    world, ledger = World(4), Ledger()
    marked(ledger, world.ts, world.prices)
    for _ in range(10):
        world.step(ledger)
    state = msgspec.convert(msgspec.to_builtins(ledger.state), LedgerState)
    assert state == ledger.state
    assert isinstance(state.account, Account)
