"""The book's weights and money through the core: they balance to the unit whatever happens, and no restart shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import pytest

from tests.engine.bookkeeping import UNIT, Bookkeeper, History, midnight
from tests.engine.stream import HOUR, NS, T0, Session
from zmart_stream.domain.bars import BarBlock
from zmart_stream.domain.commands import (
    AddHolding,
    CommandDone,
    Pause,
    Rebalance,
    Reconfigure,
    RemoveHolding,
    ReplaceHolding,
    Resume,
)
from zmart_stream.domain.market import FundingHistory, FundingSettled, Listing, Tick
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import (
    BookTraded,
    EquityMarked,
    FundingPaid,
    Portfolio,
    PortfolioChange,
    SwapMeasured,
    WeightsKept,
)
from zmart_stream.domain.scores import ScoresClosed
from zmart_stream.domain.settings import CoreSettings, MarketSettings, PortfolioSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.portfolio import OPTIMISERS
from zmart_stream.scoring.registry import build_scorers

CLOSE = T0 // HOUR * HOUR + HOUR
AFTER = 2 * NS
M = TypeVar("M", bound=Message)


def settings(*, bar_s: int = 3600, **portfolio: Any) -> CoreSettings:
    market = MarketSettings(bar_s=bar_s, gap_floor_instrument_s=9e4, gap_floor_poll_s=9e4, gap_floor_depth_s=1e6)
    book: dict[str, Any] = {
        "max_symbols": 6,
        "max_correlation": 1.1,
        "max_per_sector": 9,
        "max_sector_weight": 100.0,
        "entry_score": 0.0,
        "exit_score": 0.0,
        "live_share": 0.0,
        **portfolio,
    }
    return CoreSettings(market=market, portfolio=PortfolioSettings(**book))


LIVELY: dict[str, Any] = {"confirm": 1, "replace_margin": 1.0, "min_hold_s": 3600.0, "max_swaps_per_day": 99}
LIVELY |= {"cost_safety": 0.01, "bps_per_point": 500.0, "reentry_s": 7200.0, "swap_horizon_s": 6 * 3600.0}


def make(chosen: CoreSettings, session: int = 1) -> Engine:
    return Engine(chosen, build_scorers(chosen.scoring), session=session)


def of(kind: type[M], told: Sequence[Message]) -> list[M]:
    return [message for message in told if isinstance(message, kind)]


def feed(engine: Engine, messages: Any) -> list[Message]:
    return [told for message in messages for told in engine.process(message)]


def started(seed: int = 3, **portfolio: Any) -> tuple[Engine, Session, list[Message]]:
    engine, session = make(settings(**portfolio)), Session(seed)
    return engine, session, feed(engine, session.start())


def reborn(engine: Engine, session: int = 1) -> Engine:
    """The same core from a full snapshot, as msgpack carries it."""
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(engine.snapshot(full=True)))
    found = make(engine.settings, session)
    found.restore(state)
    return found


def quoted(session: Session, ts: int) -> list[Message]:
    """A mark of every contract."""
    return [session.stats(n, ts) for n in range(len(session.contracts))]


def equity_path(told: Sequence[Message]) -> list[EquityMarked]:
    return of(EquityMarked, told)


@pytest.mark.parametrize(("seed", "optimiser"), [(0, "risk_parity"), (1, "hrp"), (2, "min_variance")])
def test_every_bar_balances_through_random_histories(seed: int, optimiser: str) -> None:
    session, books = Session(seed), Bookkeeper()
    history = History(session, seed * 7 + 1)
    engine = make(settings(optimiser=optimiser, **LIVELY))
    kinds: dict[type[Message], int] = {}
    for number, message in enumerate([*session.start(), *history.messages(T0 + 5 * NS, T0 + 30 * HOUR, 150 * NS)]):
        told = engine.process(Tick(ts=message.ts))  # closes come before the message that passes them
        books.take(engine, told)
        told += (then := engine.process(message))
        books.take(engine, then)
        for each in told:
            kinds[type(each)] = kinds.get(type(each), 0) + 1
        if number % 190 == 100:
            engine = reborn(engine)
    assert books.marked >= 30
    assert kinds[BookTraded] > 5
    assert kinds[FundingPaid] > 5
    assert kinds[SwapMeasured] > 0
    whole = engine.attribution("all")
    parts = sum(line["contribution"] for line in whole["contributions"]) + whole["funding"] + whole["costs"]
    assert parts == pytest.approx(whole["return"], abs=1e-12)
    active = sum(line["total"] for line in whole["effects"]) + whole["active_funding"] + whole["active_costs"]
    assert active == pytest.approx(whole["active"], abs=1e-12)
    assert books.last is not None
    assert whole["return"] == pytest.approx(books.last.equity / UNIT / 1e5 - 1.0, abs=1e-12)


@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
def test_weights_keep_their_limits_through_changes(optimiser: str) -> None:
    limits = {"max_weight": 30.0, "min_weight": 5.0, "max_sector_weight": 60.0, "cash": 7.5}
    session = Session(5)
    history = History(session, 5, commands=0.15)
    engine = make(settings(optimiser=optimiser, max_per_sector=3, **{**LIVELY, **limits}))
    changes = 0
    for message in [*session.start(), *history.messages(T0 + 5 * NS, T0 + 12 * HOUR, 150 * NS)]:
        for told in engine.process(message):
            if isinstance(told, PortfolioChange) and told.kind == "reweight":
                changes += 1
                check_limits(told.after, engine, limits)
    assert changes > 3 or optimiser == "equal"  # weights that come with a change are equal there already
    assert changes > 0


def check_limits(book: Portfolio, engine: Engine, limits: dict[str, float]) -> None:
    weights = {holding.symbol: holding.weight for holding in book.holdings}
    invested = min(100.0 - limits["cash"], len(weights) * limits["max_weight"])
    least = min(limits["min_weight"], invested / 2 / len(weights))
    assert sum(round(w * 100) for w in weights.values()) + round(book.cash * 100) == 10_000
    assert sum(weights.values()) == pytest.approx(invested)
    assert all(least - 1e-9 <= weight <= limits["max_weight"] for weight in weights.values())
    sectors: dict[str, float] = {}
    for symbol, weight in weights.items():
        sector = engine.market.by_symbol[symbol].contract.sector
        if sector is not None:
            sectors[sector] = sectors.get(sector, 0.0) + weight
    assert max(sectors.values(), default=0.0) <= limits["max_sector_weight"] + 1e-9


def test_the_ledger_opens_with_the_first_fill_and_pays_for_it() -> None:
    engine, _, told = started()
    opening, traded = of(EquityMarked, told), of(BookTraded, told)
    assert [(point.equity, point.cash) for point in opening] == [(100_000 * UNIT, 100_000 * UNIT)]
    assert [trade.completes_first_fill for trade in traded] == [True]
    assert traded[0].weights == {h.symbol: h.weight for h in engine.symbols.portfolio.holdings}
    fee_bps = 6.0
    assert all(quote.cost_bps > fee_bps for quote in traded[0].quotes.values())
    money = engine.statistics()["ledger"]
    assert money["equity_usdt"] == pytest.approx(100_000 - traded[0].costs / UNIT, abs=0.01)
    assert money["first_book_usdt"] == money["equity_usdt"]
    assert 0.0 <= money["cash_usdt"] < 1.0


def test_a_day_begins_with_new_weights_and_a_small_drift_waits_for_it() -> None:
    engine, session, _ = started()
    night = midnight(T0)
    told = feed(engine, [Tick(ts=CLOSE + AFTER + k * HOUR) for k in range((night - CLOSE) // HOUR)])
    assert "reweight" not in {change.kind for change in of(PortfolioChange, told)}
    assert len(equity_path(told)) == (night - CLOSE) // HOUR
    session.price[0] *= 1.001
    told = feed(engine, [*quoted(session, night - NS), Tick(ts=night + AFTER)])
    assert [c.reason for c in of(PortfolioChange, told) if c.kind == "reweight"] in (["daily"], [])
    assert len(of(BookTraded, told)) == 1
    assert of(BookTraded, feed(engine, [Tick(ts=night + HOUR + AFTER)])) == []


def test_a_weight_that_left_its_buffer_is_brought_back() -> None:
    engine, session, _ = started(optimiser="equal")
    first = engine.symbols.portfolio.holdings[0]
    place = [c.symbol for c in session.contracts].index(first.symbol)
    session.price[place] *= 1.5
    told = feed(engine, [*quoted(session, CLOSE - NS), Tick(ts=CLOSE + AFTER)])
    assert [trade.weights[first.symbol] for trade in of(BookTraded, told)] == [first.weight]
    assert engine.statistics()["positions"][0]["weight"] == pytest.approx(first.weight, abs=0.01)
    assert "reweight" not in {change.kind for change in of(PortfolioChange, told)}  # the targets are what they were


def test_while_the_book_holds_it_is_marked_and_funded_but_not_traded() -> None:
    engine, session, _ = started(optimiser="equal")
    held = engine.symbols.portfolio.holdings
    told = engine.process(Pause(ts=engine.now, request_id="1"))
    place = [c.symbol for c in session.contracts].index(held[0].symbol)
    session.price[place] *= 2.0
    told = feed(engine, quoted(session, CLOSE - NS))
    told = engine.process(Tick(ts=CLOSE + AFTER))
    assert [point.price_pnl > 0 for point in equity_path(told)] == [True]
    assert of(BookTraded, told) == []
    told = engine.process(Rebalance(ts=engine.now, request_id="2"))
    assert [done.code for done in of(CommandDone, told)] == ["holding"]
    told = engine.process(RemoveHolding(ts=engine.now, request_id="3", symbol=held[1].symbol))
    assert [change.kind for change in of(PortfolioChange, told)] == ["remove"]
    assert held[1].symbol not in of(BookTraded, told)[0].weights
    engine.process(Resume(ts=engine.now, request_id="4"))
    told = engine.process(Tick(ts=CLOSE + HOUR + AFTER))
    assert of(BookTraded, told) == [] or "composition" in {c.reason for c in of(PortfolioChange, told)}


def test_a_swap_is_traded_by_itself_and_measured_to_its_horizon() -> None:
    engine, session, _ = started(swap_horizon_s=3 * 3600.0, automatic=False, max_symbols=6)
    for n, symbol in enumerate([c.symbol for c in session.contracts[:3]]):
        engine.process(AddHolding(ts=engine.now, request_id=str(n), symbol=symbol))
    out, into = session.contracts[1].symbol, session.contracts[9].symbol
    feed(engine, [*quoted(session, CLOSE - NS), Tick(ts=CLOSE + AFTER)])
    told = engine.process(ReplaceHolding(ts=CLOSE + AFTER, request_id="9", symbol_out=out, symbol_in=into))
    swap = next(trade for trade in of(BookTraded, told) if trade.swap is not None)
    begun = of(SwapMeasured, told)
    assert [(m.is_final, m.until - CLOSE) for m in begun] == [(False, 3 * HOUR)]
    assert begun[0].unswapped - begun[0].swapped == swap.costs  # so far it has only cost
    assert swap.costs / UNIT == pytest.approx(100_000 / 3 * 2 * swap.quotes[into].cost_bps / 1e4, rel=0.5)
    session.price[9] *= 1.10
    told = feed(engine, [*quoted(session, CLOSE + 2 * HOUR - NS), Tick(ts=CLOSE + 3 * HOUR)])
    assert of(SwapMeasured, told) == []
    assert engine.swaps()["running"][0]["earned_usdt"] > 2_000
    told = engine.process(Tick(ts=CLOSE + 3 * HOUR + AFTER))
    assert [(m.is_final, m.swap) for m in of(SwapMeasured, told)] == [(True, swap.swap)]
    seen = engine.swaps()
    assert seen["running"] == []
    assert [s["earned_usdt"] for s in seen["final"]] == [seen["earned_usdt"]["final"]]
    assert seen["final"][0]["spread_bps"] == pytest.approx(1_000, rel=0.02)
    assert seen["slope"]["swaps"] == 1
    assert seen["slope"]["configured"] == 2.0


class Killed:
    """A core whose last snapshot and stored messages are kept as the daemon keeps them, up to any message."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.snapshot = engine.snapshot(full=True)
        self.stored: list[Message] = []
        self.book = engine.symbols.portfolio

    def process(self, message: Message) -> list[Message]:
        told = self.engine.process(message)
        self.stored += of(PortfolioChange, told) + of(BookTraded, told) + of(FundingPaid, told)
        if of(BarBlock, told) or of(ScoresClosed, told):
            self.snapshot, self.stored = self.engine.snapshot(full=True), []
        return told

    def again(self) -> Engine:
        """The next session on what was stored."""
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(self.snapshot))
        engine = make(self.engine.settings, session=2)
        engine.restore(state)
        messages = [message for message in self.stored if not isinstance(message, PortfolioChange)]
        engine.restore_book(self.engine.symbols.portfolio, of(PortfolioChange, self.stored), messages)
        engine.restart(2)
        return engine


def missed(history: Sequence[Message], ts: int) -> list[Message]:
    """What the venue tells of past settlements when it is asked at `ts`."""
    past: dict[str, list[tuple[int, float]]] = {}
    for message in of(FundingSettled, history):
        past.setdefault(message.symbol, []).append((message.ts_event, message.rate))
    return [FundingHistory(ts=ts, symbol=symbol, settlements=tuple(found)) for symbol, found in past.items()]


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_at_any_message_leaves_the_equity_path_as_it_was(seed: int) -> None:
    session = Session(seed)
    history = History(session, seed, commands=0.1)
    messages = [*session.start(), *history.messages(T0 + 5 * NS, T0 + 9 * HOUR, 150 * NS)]
    daemon = Killed(make(settings(optimiser="equal", automatic=False)))
    compared = replayed = 0
    for number, message in enumerate(messages):
        daemon.process(message)
        if number % 25 or not of(BookTraded, daemon.stored) + of(FundingPaid, daemon.stored):
            continue
        replayed += len(daemon.stored)
        ts = message.ts
        tail: list[Message] = missed(messages[: number + 1], ts)
        for close in range(ts // HOUR * HOUR + HOUR, ts + 4 * HOUR, HOUR):
            tail += [*quoted(session, max(ts, close - NS)), Tick(ts=close + AFTER)]
        straight, broken = (equity_path(feed(engine, tail)) for engine in (reborn(daemon.engine), daemon.again()))
        names = ("end", "equity", "cash", "price_pnl", "funding", "costs", "traded")
        for found, expected in zip(broken, straight, strict=True):
            assert [getattr(found, name) for name in names] == [getattr(expected, name) for name in names]
            compared += 1
    assert compared > 8
    assert replayed > 5


def test_a_settlement_missed_while_away_is_paid_once() -> None:
    engine, session, told = started(automatic=False)
    place, symbol = 3, session.contracts[3].symbol
    engine.process(AddHolding(ts=engine.now, request_id="1", symbol=symbol))
    settled = T0 // (8 * HOUR) * 8 * HOUR + 8 * HOUR
    feed(engine, [*quoted(session, CLOSE - NS), Tick(ts=CLOSE + AFTER)])
    daemon = Killed(engine)
    later = daemon.again()
    past = FundingHistory(ts=settled + HOUR, symbol=symbol, settlements=((settled - 8 * HOUR, 0.01), (settled, 0.001)))
    bars = session.bars(place, 3600, settled + HOUR, 12)
    told = feed(later, [Tick(ts=settled + AFTER), bars, past])
    paid = of(FundingPaid, told)
    assert [(payment.settled, payment.amount) for payment in paid] == [(settled, -round(paid[0].value * 0.001))]
    close = next(row[4] for row in bars.rows if row[0] == settled - HOUR)
    position = later.manager.ledger.state.account.positions[symbol]
    assert paid[0].value / UNIT == pytest.approx(position.quantity * close)
    again = [past, FundingSettled(ts=later.now, ts_event=settled + 7_000_000, symbol=symbol, rate=0.001)]
    assert of(FundingPaid, feed(later, again)) == []


def test_a_book_older_than_its_ledger_opens_it_as_it_stands() -> None:
    engine, session, _ = started()
    state = engine.snapshot(full=True)
    del state["manager"]
    later = make(engine.settings, session=2)
    later.restore(state)
    later.restore_book(engine.symbols.portfolio)
    later.restart(2)
    told = feed(later, [*quoted(session, CLOSE - NS), Tick(ts=CLOSE + AFTER)])
    assert [point.equity for point in equity_path(told)] == [100_000 * UNIT]
    assert [(t.costs, t.completes_first_fill) for t in of(BookTraded, told)] == [(0, True)]
    present = later.manager.ledger.weights()
    assert present == pytest.approx({h.symbol: h.weight for h in later.symbols.portfolio.holdings}, abs=1e-6)


def test_a_ledger_survives_a_snapshot_that_does_not_fit_and_goes_on_at_its_equity_when_it_does_not_either() -> None:
    engine, session, _ = started()
    session.price[[c.symbol for c in session.contracts].index(engine.symbols.portfolio.holdings[0].symbol)] *= 1.3
    told = feed(engine, [*quoted(session, CLOSE - NS), Tick(ts=CLOSE + AFTER)])
    last, state = equity_path(told)[-1], engine.snapshot(full=True)
    assert last.equity > 100_000 * UNIT
    kept, anew = make(engine.settings, 2), make(engine.settings, 2)
    assert kept.restore_ledger(state, last)
    assert kept.manager.ledger.equity == engine.manager.ledger.equity
    assert not anew.restore_ledger({"manager": {"ledger": {}, "memory": b"\x80"}}, last)
    anew.restore_book(engine.symbols.portfolio)
    tail = [*session.start(CLOSE + 5 * NS), *quoted(session, CLOSE + HOUR - NS), Tick(ts=CLOSE + HOUR + AFTER)]
    first = equity_path(feed(anew, tail))[0]
    assert (first.equity, first.benchmark) == (last.equity, pytest.approx(last.benchmark, rel=1e-9))


def test_a_delisted_holding_settles_at_its_last_mark_without_costs() -> None:
    engine, session, _ = started()
    out = engine.symbols.portfolio.holdings[2].symbol
    place = [c.symbol for c in session.contracts].index(out)
    session.price[place] *= 0.5
    feed(engine, [session.stats(place, engine.now)])
    told = engine.process(Listing(ts=engine.now, contract=session.contracts[place], change="delisted"))
    quote = of(BookTraded, told)[0].quotes[out]
    assert (quote.price, quote.cost_bps) == (pytest.approx(session.price[place] * 1.0001), 0.0)
    assert out not in engine.manager.ledger.weights()
    assert [stay.symbol for stay in engine.manager.ledger.state.account.stays] == [out]
    told = feed(engine, [*quoted(session, CLOSE - NS), Tick(ts=CLOSE + AFTER)])
    first = engine.manager.ledger.state.first_book
    assert first is not None
    assert out not in first.positions  # whoever still held it has cash now


def test_limits_that_conflict_keep_the_weights_and_are_told_once() -> None:
    engine, _, _ = started()
    before = {h.symbol: h.weight for h in engine.symbols.portfolio.holdings}
    narrow = msgspec.structs.replace(engine.settings.portfolio, max_sector_weight=10.0, max_weight=18.0)
    change = Reconfigure(
        ts=engine.now, request_id="1", settings=msgspec.structs.replace(engine.settings, portfolio=narrow), revision=2
    )
    feed(engine, [change])
    told = engine.process(Rebalance(ts=engine.now, request_id="2", who="anna"))
    done = of(CommandDone, told)[0]
    assert (done.accepted, done.code) == (False, "infeasible")
    assert "max_sector_weight 10" in done.detail
    assert [kept.reason for kept in of(WeightsKept, told)] == [done.detail]
    assert {h.symbol: h.weight for h in engine.symbols.portfolio.holdings} == before
    out = engine.symbols.portfolio.holdings[5].symbol
    told = engine.process(RemoveHolding(ts=engine.now, request_id="3", symbol=out))
    assert of(WeightsKept, told) == []  # told with the first
    assert out not in engine.manager.ledger.weights()
    assert max(h.weight for h in engine.symbols.portfolio.holdings) <= 18.0


def test_a_ledger_that_opens_with_a_refused_rebalance_is_told_and_balances() -> None:
    engine, session, _ = started()
    narrow = msgspec.structs.replace(engine.settings.portfolio, max_sector_weight=10.0, max_weight=18.0)
    later = make(msgspec.structs.replace(engine.settings, portfolio=narrow), session=2)
    later.restore_book(engine.symbols.portfolio)
    feed(later, [*session.start(T0 + 60 * NS), *quoted(session, T0 + 61 * NS)])
    told = later.process(Rebalance(ts=later.now, request_id="1", who="anna"))
    assert [(done.accepted, done.code) for done in of(CommandDone, told)] == [(False, "infeasible")]
    (opening,), (traded,) = equity_path(told), of(BookTraded, told)
    assert opening.equity == opening.cash == 100_000 * UNIT
    assert set(traded.weights) == {holding.symbol for holding in later.symbols.portfolio.holdings}
    told = feed(later, [*quoted(session, CLOSE - NS), Tick(ts=CLOSE + AFTER)])
    (point,) = equity_path(told)
    assert point.equity == opening.equity + point.price_pnl + point.funding - point.costs


def test_an_operator_rebalances_when_there_is_something_to_change() -> None:
    engine, session, _ = started(optimiser="inverse_volatility")
    told = engine.process(Rebalance(ts=engine.now, request_id="1"))
    assert [(d.accepted, d.detail) for d in of(CommandDone, told)] == [(True, "nothing to change")]
    session.price[0] *= 1.02
    feed(engine, quoted(session, engine.now))
    held = engine.symbols.portfolio.holdings[0].symbol
    session.price[[c.symbol for c in session.contracts].index(held)] *= 1.05
    feed(engine, [*quoted(session, CLOSE - NS), Tick(ts=CLOSE + AFTER)])
    told = engine.process(Rebalance(ts=engine.now, request_id="2", who="anna", note="before the week ends"))
    assert [done.detail for done in of(CommandDone, told)] == [""]
    assert len(of(BookTraded, told)) == 1
    assert all((c.who, c.note) == ("anna", "before the week ends") for c in of(PortfolioChange, told))


def test_reads_agree_with_each_other() -> None:
    engine, session, _ = started(**LIVELY)
    feed(engine, session.run(T0 + 60 * NS, T0 + 30 * HOUR, 200 * NS))
    statistics, money = engine.statistics(), engine.statistics()["ledger"]
    assert sum(p["value_usdt"] for p in statistics["positions"]) + money["cash_usdt"] == pytest.approx(
        money["equity_usdt"], abs=0.1
    )
    assert statistics["weights"]["total"] + statistics["weights"]["cash"] == pytest.approx(100.0)
    points = engine.equity()["points"]
    assert [points[0]["equity"], len(points)] == [100_000.0, 31]
    assert engine.equity(since=points[3]["end"], until=points[5]["end"])["points"] == points[3:6]
    for window in ("1d", "7d", "30d", "all"):
        figures = engine.metrics(window)["figures"]
        assert all((f["value"] is None) == bool(f["reason"]) for f in figures.values())
        assert engine.attribution(window)["return"] == pytest.approx(figures["return"]["value"])
    assert engine.metrics("1d")["observations"] == 24
    assert engine.metrics("30d")["figures"]["volatility"]["reason"] == "2 returns, 20 are needed"
    proposals = engine.optimise()["optimisers"]
    assert [p["name"] for p in proposals] == list(OPTIMISERS)
    volatility = {p["name"]: p["volatility"]["value"] for p in proposals if not p["reason"]}
    assert min(volatility, key=lambda name: volatility[name]) == "min_variance"
    for proposal in proposals:
        assert sum(proposal["weights"].values()) + proposal["cash"] == pytest.approx(100.0)
        assert proposal["cost_usdt"] == pytest.approx(sum(t["cost_usdt"] for t in proposal["trades"]))
    with pytest.raises(KeyError):
        engine.optimise("tarot")
    with pytest.raises(KeyError):
        engine.metrics("2d")
    assert msgspec.json.decode(msgspec.json.encode([statistics, proposals, engine.swaps()]))
