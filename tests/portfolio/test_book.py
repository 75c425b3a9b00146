"""What holds for every book, whatever happens: places, ranks, weights, limits, and an account of every change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.portfolio.builders import DAY, HOUR, T0, manager, standing
from zmart_stream.domain.commands import AddHolding, Rebalance, RemoveHolding, ReplaceHolding
from zmart_stream.domain.errors import BrokenBookError, CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import Holding, Portfolio, PortfolioChange
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import check_book
from zmart_stream.portfolio.weights.equal import equal_weights

SYMBOLS = tuple(f"S{i:02d}" for i in range(14))
SECTORS = ("L1", "L1", "L1", None, "AI", "AI", None)
PLACES, PER_SECTOR, SWAPS = 6, 2, 3
scores = st.one_of(st.none(), st.integers(0, 100).map(float))
symbols = st.sampled_from(SYMBOLS)


def twins(names: Sequence[str]) -> list[list[float]]:
    """Every contract moves with the one seven places on."""
    return [[0.97 if abs(int(a[1:]) - int(b[1:])) in (0, 7) else 0.1 for b in names] for a in names]


class BookMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.book = manager(
            twins,
            max_symbols=PLACES,
            max_per_sector=PER_SECTOR,
            max_swaps_per_day=SWAPS,
            min_hold_s=3 * 3600.0,
            confirm=2,
            reentry_s=4 * 3600.0,
        )
        self.field: dict[str, Standing] = {}
        self.told: list[PortfolioChange] = []
        self.known = self.book.portfolio

    @initialize(values=st.lists(scores, min_size=len(SYMBOLS), max_size=len(SYMBOLS)))
    def first_fill(self, values: list[float | None]) -> None:
        for n, (symbol, score) in enumerate(zip(SYMBOLS, values, strict=True)):
            self.field[symbol] = standing(symbol, score, sector=SECTORS[n % len(SECTORS)])
        self.take(self.book.first_fill(self.now, self.field))

    def take(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, PortfolioChange):
                self.judge(message)
                self.told.append(message)

    def judge(self, change: PortfolioChange) -> None:
        before, after = ({h.symbol for h in p.holdings} for p in (change.before, change.after))
        assert change.reason
        assert change.numbers or change.kind in ("reweight",)
        assert after - before == ({change.symbol_in} - {None})
        assert before - after == ({change.symbol_out} - {None})
        if change.symbol_in is not None:
            for held in after - {change.symbol_in}:
                assert twins([change.symbol_in, held])[0][1] <= 0.9
            sector = self.field[change.symbol_in].sector
            if sector is not None:
                assert sum(self.field[symbol].sector == sector for symbol in after) <= PER_SECTOR
        if change.who == "machine":
            self.judge_machine(change)

    def judge_machine(self, change: PortfolioChange) -> None:
        if change.symbol_in is not None:
            score = self.field[change.symbol_in].score
            assert score is not None
            assert change.kind == "replace" or score >= 50.0
            left = [c for c in self.told if c.symbol_out == change.symbol_in]
            if left:
                entered = [c for c in self.told if c.symbol_in == change.symbol_in and c.ts > left[-1].ts]
                assert entered or (left[-1].who == "machine" and change.ts - left[-1].ts >= 4 * HOUR)
        if change.kind == "replace":
            out = next(h for h in change.before.holdings if h.symbol == change.symbol_out)
            assert change.ts - out.since >= 3 * HOUR
            swaps = [c for c in self.told if c.kind == "replace" and c.who == "machine" and c.ts > change.ts - DAY]
            assert len(swaps) < SWAPS

    @rule(changed=st.dictionaries(symbols, scores, max_size=5))
    def close(self, changed: dict[str, float | None]) -> None:
        for symbol, score in changed.items():
            self.field[symbol] = standing(symbol, score, sector=self.field[symbol].sector)
        self.now += HOUR
        before = self.book.portfolio
        told = self.book.close(self.now, self.field)
        self.take(told)
        if {h.symbol for h in before.holdings} != {h.symbol for h in self.book.portfolio.holdings}:
            assert any(isinstance(message, PortfolioChange) for message in told)

    @rule(symbol=symbols, status=st.sampled_from(["Open", "Paused", "Settled"]))
    def status(self, symbol: str, status: str) -> None:
        old = self.field[symbol]
        self.field[symbol] = standing(symbol, old.score, sector=old.sector, status=status)
        self.take(self.book.gone(self.now, symbol, self.field))

    @rule(symbol=symbols, other=symbols, kind=st.sampled_from(["add", "remove", "replace", "rebalance"]))
    def operate(self, symbol: str, other: str, kind: str) -> None:
        self.now += 60 * 1_000_000_000
        base: dict[str, Any] = {"ts": self.now, "request_id": "r"}
        command = {
            "add": AddHolding(symbol=symbol, **base),
            "remove": RemoveHolding(symbol=symbol, **base),
            "replace": ReplaceHolding(symbol_out=symbol, symbol_in=other, **base),
            "rebalance": Rebalance(**base),
        }[kind]
        before = self.book.portfolio
        try:
            self.take(self.book.command(command, self.field))
        except CommandRefusedError:
            assert self.book.portfolio == before

    @rule()
    def pause_for_an_hour(self) -> None:
        before = self.book.portfolio
        self.book.hold.begin("paused")
        self.now += HOUR
        assert self.book.close(self.now, self.field) == []
        self.book.hold.end("paused")
        assert self.book.portfolio == before

    @rule()
    def restart(self) -> None:
        other = manager(
            twins,
            max_symbols=PLACES,
            max_per_sector=PER_SECTOR,
            max_swaps_per_day=SWAPS,
            min_hold_s=3 * 3600.0,
            confirm=2,
            reentry_s=4 * 3600.0,
        )
        other.restore(self.book.snapshot())
        self.book = other

    @invariant()
    def book_is_sound(self) -> None:
        check_book(self.book.portfolio, PLACES)
        assert [h.rank for h in self.book.portfolio.holdings] == list(range(1, len(self.book.portfolio.holdings) + 1))
        if self.told:
            last = self.told[-1].after
            assert [(h.symbol, h.weight) for h in last.holdings] == [
                (h.symbol, h.weight) for h in self.book.portfolio.holdings
            ]


TestBook = BookMachine.TestCase
TestBook.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("count", range(51))
@pytest.mark.parametrize("max_weight", [25.0, 100.0, 33.33, 2.0])
def test_equal_weights_and_cash_are_exactly_a_hundred(count: int, max_weight: float) -> None:
    weights, cash = equal_weights(count, max_weight)
    assert sum(round(w * 100) for w in weights) + round(cash * 100) == 10_000
    assert all(round(w, 2) == w and w <= max_weight for w in weights)
    assert not weights or max(weights) - min(weights) <= 0.010001
    assert cash == pytest.approx(100.0 - min(100.0, count * max_weight), abs=0.005 * (count + 1))


@pytest.mark.parametrize(
    ("ranks", "weights", "cash", "fault"),
    [
        ((1, 3), (50.0, 50.0), 0.0, "ranks"),
        ((1, 2), (50.0, 50.01), 0.0, "sum"),
        ((1, 2, 3), (30.0, 30.0, 30.0), 10.0, "at most 2"),
    ],
)
def test_a_broken_book_is_noticed(ranks: tuple[int, ...], weights: tuple[float, ...], cash: float, fault: str) -> None:
    holdings = tuple(
        Holding(id=f"{n}", symbol=f"S{n}", rank=rank, weight=weight, since=T0, score=None)
        for n, (rank, weight) in enumerate(zip(ranks, weights, strict=True))
    )
    with pytest.raises(BrokenBookError, match=fault):
        check_book(Portfolio(holdings=holdings, cash=cash), 2)
