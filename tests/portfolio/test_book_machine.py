"""What holds for every book, whatever happens to it: a random market, operators, signals, settings and crashes."""

from __future__ import annotations

from typing import Any

import hypothesis
import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.portfolio.book_world import (
    CORRELATION,
    MIN_HOLD,
    NAMES,
    PER_SECTOR,
    REENTRY,
    SWAPS,
    World,
    correlation,
)
from tests.portfolio.builders import DAY
from zmart_stream.domain.portfolio import Portfolio, PortfolioChange

KINDS = {
    "first_fill": {"fill"},
    "fill": {"fill"},
    "replace": {"replace"},
    "not_eligible": {"remove"},
    "delisted": {"remove"},
    "exit_score": {"remove"},
    "resize": {"resize"},
    "rerank": {"rerank"},
    "composition": {"reweight"},
    "signal": {"add", "replace", "remove"},
    "operator": {"add", "replace", "remove", "pin", "unpin", "block", "unblock"},
}
REFUSALS = {
    "command": {
        "unknown_symbol", "already_in_book", "not_in_book", "book_full", "not_eligible", "cap_reached", "blocked",
        "pinned", "holding",
    },
    "act": {
        "already_in_book", "not_in_book", "book_full", "not_eligible", "cap_reached", "blocked", "pinned", "holding",
        "barred", "entry_score", "replace_margin", "min_hold", "swap_limit", "does_not_pay",
    },
}  # fmt: skip
names = st.sampled_from(NAMES)
scores = st.one_of(st.none(), st.integers(20, 95).map(float))
facts = st.fixed_dictionaries(
    {},
    optional={
        "score": scores,
        "spread_bps": st.sampled_from([None, 1.0, 3.0, 8.0, 14.0, 20.0, 30.0]),
        "live": st.sampled_from([True, True, True, False]),
        "turnover": st.sampled_from([1e7, 1.5e6, 1e6]),
        "status": st.sampled_from(["Open", "Open", "Open", "Paused", "Settled"]),
    },
)
Essence = tuple[list[tuple[str, str, int, float, bool]], float, tuple[str, ...]]


def essence(book: Portfolio) -> Essence:
    """All of a book that a change accounts for: scores and flags move without one."""
    return [(h.id, h.symbol, h.rank, h.weight, h.pinned) for h in book.holdings], book.cash, book.blocked


class BookMachine(RuleBasedStateMachine):
    """Judges every change by what the test itself remembers of the earlier ones."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.inputs: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: list[str] = []
        self.seen = 0
        self.known = essence(Portfolio())
        self.barred: dict[str, int | None] = {}
        self.swaps: list[int] = []
        self.vacated = 0
        self.causes: set[str] = set()

    # -- what happens ------------------------------------------------------------------------------------------------

    @initialize(values=st.lists(scores, min_size=len(NAMES), max_size=len(NAMES)))
    def begin(self, values: list[float | None]) -> None:
        self.feed("market", {name: {"score": score} for name, score in zip(NAMES, values, strict=True)})
        self.feed("first_fill")

    @rule(changed=st.dictionaries(names, facts, max_size=5), closes=st.integers(1, 4))
    def closes(self, changed: dict[str, dict[str, Any]], closes: int) -> None:
        self.feed("market", changed)
        for _ in range(closes):
            before = self.world.book.portfolio
            self.feed("close")
            if self.causes:
                assert self.world.book.portfolio == before
            else:
                assert len(self.world.book.portfolio.holdings) <= self.world.settings.portfolio.max_symbols

    @rule(values=st.lists(st.integers(30, 95), min_size=len(NAMES), max_size=len(NAMES)), closes=st.integers(2, 12))
    def calm(self, values: list[int], closes: int) -> None:
        """Everything is well, and scores stay for a while: streaks come to their end."""
        well = {"spread_bps": 3.0, "live": True, "turnover": 1e7, "status": "Open"}
        changed = {name: {**well, "score": float(score)} for name, score in zip(NAMES, values, strict=True)}
        self.closes(changed=changed, closes=closes)

    @rule(symbol=names, score=st.integers(60, 99), spread=st.sampled_from([1.0, 6.0, 14.0]), closes=st.integers(2, 6))
    def rival(self, symbol: str, score: int, spread: float, closes: int) -> None:
        rises = {"score": float(score), "spread_bps": spread, "live": True, "turnover": 1e7, "status": "Open"}
        self.closes(changed={symbol: rises}, closes=closes)

    @rule(symbol=names, status=st.sampled_from(["Settled", "Delisted", "Open"]))
    def venue_says(self, symbol: str, status: str) -> None:
        self.feed("market", {symbol: {"status": status}})
        self.feed("gone", symbol)

    @rule(
        kind=st.sampled_from(["add", "remove", "replace", "pin", "unpin", "block", "unblock"]),
        symbol=names,
        other=names,
    )
    def operator(self, kind: str, symbol: str, other: str) -> None:
        before = self.world.book.portfolio
        answer = self.feed("command", kind, symbol, other)
        assert answer == "ok" or answer in REFUSALS["command"]
        if answer != "ok":
            assert self.world.book.portfolio == before
        if "storage" in self.causes:
            assert answer == "holding"
        if self.causes <= {"paused"}:
            assert answer != "holding"

    @rule(place=st.integers(0, 9), other=names, kind=st.sampled_from(["remove", "replace", "pin", "block"]))
    def operator_on_a_holding(self, place: int, other: str, kind: str) -> None:
        held = self.world.book.portfolio.holdings
        if held:
            self.operator(kind=kind, symbol=held[place % len(held)].symbol, other=other)

    @rule(action=st.sampled_from(["ADD", "REPLACE", "REMOVE"]), symbol=names, place=st.integers(0, 9))
    def signal(self, action: str, symbol: str, place: int) -> None:
        held = self.world.book.portfolio.holdings
        before, other = self.world.book.portfolio, held[place % len(held)].symbol if held else symbol
        answer = self.feed("act", action, other if action == "REMOVE" and place < 8 else symbol, other)
        assert answer == "ok" or answer in REFUSALS["act"]
        if self.causes:
            assert answer == "holding"
        if answer != "ok":
            assert self.world.book.portfolio == before

    @rule(symbol=names, score=st.integers(56, 90), spread=st.sampled_from([1.0, 9.0, 14.0]), place=st.integers(0, 9))
    def good_signal(self, symbol: str, score: int, spread: float, place: int) -> None:
        rises = {"score": float(score), "spread_bps": spread, "live": True, "turnover": 1e7, "status": "Open"}
        self.feed("market", {symbol: rises})
        self.signal(action="REPLACE", symbol=symbol, place=place)

    @rule(cause=st.sampled_from(["paused", "storage", "venue_status", "universe_live", "gap"]))
    def hold(self, cause: str) -> None:
        self.causes.add(cause)
        self.feed("hold", cause, True)

    @precondition(lambda self: self.causes)
    @rule()
    def act_again(self) -> None:
        for cause in sorted(self.causes):
            self.feed("hold", cause, False)
        self.causes.clear()

    @rule(
        size=st.sampled_from([1, 3, 5, 5, 8]),
        automatic=st.sampled_from([True, True, False]),
        max_weight=st.sampled_from([12.34, 25.0, 60.0]),
        cash=st.sampled_from([0.0, 7.5]),
    )
    def configure(self, size: int, **others: Any) -> None:
        self.feed("configure", {"max_symbols": size, **others})

    @rule(shares=st.lists(st.integers(1, 9), min_size=len(NAMES), max_size=len(NAMES)))
    def reweigh(self, shares: list[int]) -> None:
        if self.world.book.portfolio.holdings:
            self.feed("reweigh", shares)

    @rule(how=st.sampled_from(["reopen", "snapshot", "history"]))
    def restart(self, how: str) -> None:
        if how == "reopen":
            self.feed("reopen")
        else:
            self.crash(uses_snapshot=how == "snapshot")

    def crash(self, uses_snapshot: bool) -> None:
        before = self.world.book
        self.feed("crash", uses_snapshot)
        if "configure" in [name for name, _ in self.inputs]:  # history does not say how many places there were
            self.vacated = self.world.book.memory.vacated
        after, now = self.world.book, self.world.now
        assert after.portfolio == before.portfolio
        assert after.memory.filled == before.memory.filled or before.portfolio.holdings
        assert after.memory.vacated == self.vacated
        assert after.memory.swaps_in_day(now) == before.memory.swaps_in_day(now)
        assert [after.memory.is_barred(name, now) for name in NAMES] == [
            before.memory.is_barred(name, now) for name in NAMES
        ]
        assert after.eligibility.blocked == before.eligibility.blocked

    # -- what must hold ----------------------------------------------------------------------------------------------

    def feed(self, name: str, *args: Any) -> str:
        """Give an input, judge every change that follows, and the book as it is then."""
        self.inputs.append((name, args))
        answer: str = getattr(self.world, name)(*args)
        self.answers.append(answer)
        changes = self.world.changes
        for change in changes[self.seen :]:
            self.judge(change)
        self.seen = len(changes)
        self.world.book.check()
        assert essence(self.world.book.portfolio) == self.known
        if name == "market":
            return answer
        assert all(not h.replacement_candidate for h in self.world.book.portfolio.holdings if h.pinned)
        return answer

    def judge(self, change: PortfolioChange) -> None:
        assert change.kind in KINDS[change.reason]
        assert change.numbers
        assert msgspec.json.decode(msgspec.json.encode(change), type=PortfolioChange) == change
        assert (change.ts, change.revision) == (self.world.now, self.world.revision)
        assert change.who == {"signal": "signal:s1", "operator": "anna"}.get(change.reason, "machine")
        assert essence(change.before) == self.known
        self.known = essence(change.after)
        before, after = ([h.symbol for h in book.holdings] for book in (change.before, change.after))
        assert set(after) - set(before) == {change.symbol_in} - {None}
        assert set(before) - set(after) == {change.symbol_out} - {None}
        if self.causes:
            assert change.reason in ("operator", "composition")
        if change.symbol_in or change.symbol_out:
            self.judge_weights(change)
        if change.symbol_out is not None:
            self.judge_leaving(change, change.symbol_out)
        if change.symbol_in is not None:
            self.judge_entering(change, change.symbol_in)
        if change.kind == "replace" and change.who != "anna":
            self.judge_swap(change)
        self.remember(change)

    def judge_weights(self, change: PortfolioChange) -> None:
        limits, book = self.world.settings.portfolio, change.after
        assert all(0.0 < h.weight <= limits.max_weight for h in book.holdings)
        invested = min(100.0 - limits.cash, len(book.holdings) * limits.max_weight)
        assert abs(100.0 - book.cash - invested) < 0.005 * (len(book.holdings) + 1)

    def judge_leaving(self, change: PortfolioChange, symbol: str) -> None:
        left = next(h for h in change.before.holdings if h.symbol == symbol)
        if left.pinned and change.who != "anna":
            everyone = all(h.pinned for h in change.before.holdings)
            assert change.reason == "delisted" or (change.reason == "resize" and everyone)
        if change.reason == "resize":
            assert len(change.before.holdings) > self.world.settings.portfolio.max_symbols
            free = [h for h in change.before.holdings if h.pinned == left.pinned]
            assert min((-1.0 if h.score is None else h.score) for h in free) == (
                left.score if left.score is not None else -1.0
            )
        elif change.who == "machine":
            assert self.world.settings.portfolio.automatic

    def judge_entering(self, change: PortfolioChange, symbol: str) -> None:
        beside = [h.symbol for h in change.after.holdings if h.symbol != symbol]
        came = self.world.field[symbol]
        assert all(correlation(symbol, held) <= CORRELATION for held in beside)
        same = [held for held in beside if came.sector and self.world.field[held].sector == came.sector]
        assert len(same) < PER_SECTOR
        assert symbol not in change.before.blocked
        assert came.live
        assert came.status == "Open"
        assert came.score is not None
        assert came.spread_bps is not None
        assert came.spread_bps <= 15.0
        assert came.turnover == 1e7
        assert len(change.after.holdings) <= max(self.world.settings.portfolio.max_symbols, len(change.before.holdings))
        if change.who == "anna":
            return
        until = self.barred.get(symbol, 0)
        assert until is not None
        assert until <= change.ts
        if change.reason != "replace":
            assert came.score >= 50.0
        if change.who == "machine":
            assert self.world.settings.portfolio.automatic
        if change.kind != "replace" and change.reason != "first_fill":
            free = self.world.settings.portfolio.max_symbols - len(change.before.holdings)
            assert ("swaps_left" in change.numbers) is (self.vacated > 0 and self.swaps_left(change.ts) > 0)
            assert "swaps_left" in change.numbers or free > self.vacated

    def judge_swap(self, change: PortfolioChange) -> None:
        assert change.symbol_in is not None
        assert change.symbol_out is not None
        came, left = self.world.field[change.symbol_in], self.world.field[change.symbol_out]
        assert came.score is not None
        assert left.score is not None
        by_signal = change.reason == "signal"
        gap = came.score - left.score
        assert gap >= (6.0 if by_signal else 12.0)
        cost = self.world.cost_bps(change.symbol_in) + self.world.cost_bps(change.symbol_out)
        assert (gap + 5.0 * by_signal) * 2.0 >= 1.25 * cost - 1e-9
        assert change.numbers["earns_bps"] == (gap + 5.0 * by_signal) * 2.0
        since = next(h.since for h in change.before.holdings if h.symbol == change.symbol_out)
        assert change.ts - since >= MIN_HOLD
        assert self.swaps_left(change.ts) > 0
        assert change.numbers["swaps_left"] == self.swaps_left(change.ts) - 1

    def swaps_left(self, ts: int) -> int:
        return SWAPS - sum(1 for at in self.swaps if at > ts - DAY)

    def remember(self, change: PortfolioChange) -> None:
        if change.symbol_out is not None:
            self.barred[change.symbol_out] = None if change.who == "anna" else change.ts + REENTRY
        if change.symbol_in is not None:
            self.barred.pop(change.symbol_in, None)
        if change.kind == "unblock" and self.barred.get(str(change.numbers["symbol"]), 0) is None:
            del self.barred[str(change.numbers["symbol"])]
        if "swaps_left" in change.numbers:
            self.swaps.append(change.ts)
        if change.symbol_out is not None and change.symbol_in is None:
            self.vacated += 1
        if change.symbol_in is not None and change.symbol_out is None and "swaps_left" in change.numbers:
            self.vacated -= 1
        if change.symbol_in or change.symbol_out:
            free = max(0, self.world.settings.portfolio.max_symbols - len(change.after.holdings))
            self.vacated = min(self.vacated, free)

    def teardown(self) -> None:
        """The same inputs once more, snapshots left out where nothing may depend on them, tell the same."""
        again = World()
        answers = []
        for name, args in self.inputs:
            answers.append("ok" if name == "reopen" else getattr(again, name)(*args))
        assert answers == self.answers
        assert again.told == self.world.told


def test_no_book_ever_breaks(seed: int) -> None:
    bounds = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # a failure comes at once; shrinking its story takes minutes
    )
    run_state_machine_as_test(hypothesis.seed(seed)(BookMachine), settings=bounds)
