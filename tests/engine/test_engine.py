"""The core from outside: messages in, messages out."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest

from tests.engine.stream import DAY, HOUR, NS, T0, Session
from zmart_stream.domain.bars import BarBlock, BarsAmended, RepairWanted
from zmart_stream.domain.commands import (
    AddHolding,
    CommandDone,
    DisablePlugin,
    Pause,
    PluginDisabled,
    Recalculate,
    Reconfigure,
    Reconfigured,
    RemoveHolding,
    Resume,
    StorageDegraded,
    StorageRecovered,
)
from zmart_stream.domain.errors import BrokenBookError, SnapshotError
from zmart_stream.domain.market import HOUR_S, Bars, Coverage, Listing, Tick, VenueStatus, WarmUp
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, BookTraded, FlagsChanged, HoldChanged, PortfolioChange
from zmart_stream.domain.scores import Recalculated, ScoreChanged, ScoresClosed
from zmart_stream.domain.settings import (
    CoreSettings,
    MarketSettings,
    PortfolioSettings,
    ScorerSettings,
    ScoringSettings,
)
from zmart_stream.engine.engine import Engine
from zmart_stream.scoring.registry import build_scorers

CLOSE = T0 // HOUR * HOUR + HOUR
GRACE = 3 * NS // 2
AFTER = 10 * NS
M = TypeVar("M", bound=Message)


def settings(*, bar_s: int = 3600, **portfolio: Any) -> CoreSettings:
    market = MarketSettings(bar_s=bar_s, gap_floor_instrument_s=900.0, gap_floor_poll_s=900.0, gap_floor_depth_s=1e5)
    book = {"max_correlation": 1.1, "entry_score": 0.0, "exit_score": 0.0, **portfolio}
    return CoreSettings(market=market, portfolio=PortfolioSettings(**book))


def make(with_settings: CoreSettings | None = None, *, session: int = 1) -> Engine:
    chosen = with_settings or settings()
    return Engine(chosen, build_scorers(chosen.scoring), session=session)


def feed(engine: Engine, messages: Any) -> list[Message]:
    return [told for message in messages for told in engine.process(message)]


def started(with_settings: CoreSettings | None = None, seed: int = 3) -> tuple[Engine, Session, list[Message]]:
    engine, session = make(with_settings), Session(seed)
    return engine, session, feed(engine, session.start())


def of(kind: type[M], told: list[Message]) -> list[M]:
    return [message for message in told if isinstance(message, kind)]


def cover(engine: Engine, session: Session, ts: int, since: int | None) -> list[Message]:
    symbols = tuple(c.symbol for c in session.contracts)
    return feed(
        engine,
        [Coverage(ts=ts, topic=topic, symbols=symbols, since=since) for topic in ("ticker", "execution")],
    )


def repair(engine: Engine, wanted: list[RepairWanted], ts: int) -> list[Message]:
    told = []
    for want in wanted:
        price = engine.market.by_symbol[want.symbol].prev_close
        step = want.interval_s * NS
        rows = tuple((at, price, price, price, price, 5.0, 5.0) for at in range(want.since, want.until, step))
        told += engine.process(
            Bars(
                ts=ts,
                symbol=want.symbol,
                interval_s=want.interval_s,
                since=want.since,
                until=want.until,
                as_of=ts,
                rows=rows,
            )
        )
    return told


def test_warm_up_scores_everything_then_fills_the_book_at_once() -> None:
    engine, session, told = started()
    assert [m.size for m in of(BookReady, told)] == [10]
    assert [m.kind for m in of(PortfolioChange, told)] == ["fill"] * 10 + ["reweight"]
    assert all(m.ts > T0 for m in of(PortfolioChange, told))
    assert engine.status()["scored"] == len(session.contracts)
    order = [type(m).__name__ for m in told]
    assert order.index("PortfolioChange") > order.index("ScoreChanged")


def test_without_the_end_of_warm_up_the_first_fill_waits_for_its_time() -> None:
    engine, session = make(), Session(3)
    told = feed(engine, (m for m in session.start() if not isinstance(m, WarmUp)))
    told += engine.process(Tick(ts=T0 + 90 * NS - 1))
    assert of(PortfolioChange, told) == []
    told = engine.process(Tick(ts=T0 + 90 * NS))
    assert [m.size for m in of(BookReady, told)] == [10]


def test_at_the_end_of_warm_up_nine_tenths_of_the_universe_need_a_composite() -> None:
    engine, session = make(), Session(3)
    few = {c.symbol for c in session.contracts[:3]}
    told = feed(engine, (m for m in session.start() if not (isinstance(m, Bars) and m.symbol in few)))
    assert of(PortfolioChange, told) == []
    told = engine.process(session.bars(0, 86400, engine.now, 60))
    told += engine.process(session.bars(0, HOUR_S, engine.now, 240))
    told += engine.process(Tick(ts=engine.now + NS))
    assert of(PortfolioChange, told) == []
    told = engine.process(session.bars(1, 86400, engine.now, 60))
    told += engine.process(session.bars(1, HOUR_S, engine.now, 240))
    assert isinstance(told[0], BarsAmended)
    told += engine.process(Tick(ts=engine.now + NS))  # scored with the next sweep
    assert [m.size for m in of(BookReady, told)] == [10]


def test_bars_go_to_storage_once_and_as_amendments_afterwards() -> None:
    engine, session, told = started()
    blocks = of(BarBlock, told)
    assert len({(b.interval_s, b.start) for b in blocks}) == len(blocks) == 300
    assert of(BarsAmended, told) == []
    told = engine.process(Tick(ts=CLOSE + GRACE))
    assert [(b.interval_s, b.start) for b in of(BarBlock, told)] == [(3600, CLOSE - HOUR)]
    told = repair(engine, of(RepairWanted, told), CLOSE + AFTER)
    assert {m.interval_s for m in of(BarsAmended, told)} == {3600}
    assert of(BarBlock, told) == []
    assert len(of(BarsAmended, told)) == len(session.contracts)


def test_an_hour_that_closes_in_warm_up_is_not_stored_twice() -> None:
    engine, session = make(), Session(3)
    messages = list(session.start())
    told = feed(engine, messages[:-1])
    told += engine.process(Tick(ts=CLOSE + GRACE))
    assert of(BarBlock, told) == []
    told += engine.process(WarmUp(ts=CLOSE + AFTER, done=16, of=16, ended=True))
    blocks = of(BarBlock, told)
    assert len({(b.interval_s, b.start) for b in blocks}) == len(blocks)
    assert (3600, CLOSE - HOUR) in {(b.interval_s, b.start) for b in blocks}


def test_a_close_comes_after_the_grace_and_in_its_order() -> None:
    engine, session, _ = started()
    feed(engine, session.run(engine.now, CLOSE - NS))
    assert of(ScoresClosed, engine.process(Tick(ts=CLOSE + GRACE - 1))) == []
    told = engine.process(Tick(ts=CLOSE + GRACE))
    order = [type(m).__name__ for m in told]
    assert order.index("BarBlock") < order.index("ScoreChanged")
    assert order[-1] == "ScoresClosed"
    closed = of(ScoresClosed, told)[0]
    assert closed.end == CLOSE
    assert [row.rank for row in closed.rows if row.rank] != []
    book = {h.symbol for h in engine.symbols.portfolio.holdings}
    assert book <= {row.symbol for row in closed.rows}
    assert {m.ts for m in told} == {CLOSE + GRACE}


def test_one_message_may_pass_several_hours() -> None:
    engine, _, _ = started()
    told = engine.process(Tick(ts=CLOSE + 2 * HOUR + GRACE + 5))
    assert [m.end for m in of(ScoresClosed, told)] == [CLOSE, CLOSE + HOUR, CLOSE + 2 * HOUR]
    hours = [b.start for b in of(BarBlock, told) if b.interval_s == 3600]
    assert hours == [CLOSE - HOUR, CLOSE, CLOSE + HOUR]
    assert [m.ts for m in told] == sorted(m.ts for m in told)


@pytest.mark.parametrize(("bar_s", "ends"), [(900, [1200, 2100, 3000]), (14400, [9600])])
def test_the_decision_interval_sets_when_the_book_is_judged(bar_s: int, ends: list[int]) -> None:
    engine, session, _ = started(settings(bar_s=bar_s))
    first = -(-T0 // (bar_s * NS)) * bar_s * NS
    wanted = [first + n * bar_s * NS for n in range(len(ends))]
    told = feed(engine, session.run(engine.now, wanted[-1] - NS, 20 * NS))
    told += engine.process(Tick(ts=wanted[-1] + GRACE))
    assert [m.end for m in of(ScoresClosed, told)] == wanted
    hours = [b.start + HOUR for b in of(BarBlock, told)]
    assert hours == list(range(CLOSE, wanted[-1] + 1, HOUR))


def test_an_outage_holds_the_book_until_the_first_close_after_its_repair() -> None:
    engine, session, _ = started(settings(min_hold_s=0.0, confirm=1, replace_margin=0.0, grace=1))
    book = engine.symbols.portfolio
    told = cover(engine, session, CLOSE - 600 * NS, None)
    for minute in range(8 * 60 + 9):
        told += engine.process(Tick(ts=CLOSE + (minute - 9) * 60 * NS))
    assert [(m.on, m.reason.split(":")[0]) for m in of(HoldChanged, told)] == [(True, "universe_live")]
    back = CLOSE + 8 * HOUR + 600 * NS
    told += cover(engine, session, back, back)
    told += engine.process(Tick(ts=back + 2 * NS))
    assert engine.symbols.hold.code == "gap"
    first = engine.process(Tick(ts=CLOSE + 9 * HOUR + GRACE))
    told += first
    assert engine.symbols.hold.code == "gap"
    wanted = of(RepairWanted, first)
    assert {w.interval_s for w in wanted} == {3600}
    told += repair(engine, wanted, CLOSE + 9 * HOUR + AFTER)
    assert engine.market.unrepaired() == 0
    assert engine.symbols.hold.code == "gap"
    assert of(PortfolioChange, told) == []
    assert [h.symbol for h in engine.symbols.portfolio.holdings] == [h.symbol for h in book.holdings]
    told = engine.process(Tick(ts=CLOSE + 10 * HOUR + GRACE))
    assert [m.on for m in of(HoldChanged, told)] == [False]
    assert not engine.symbols.hold.on


def test_a_closed_venue_holds_the_book() -> None:
    engine, _, _ = started()
    told = engine.process(VenueStatus(ts=engine.now, status="close", reason="maintenance"))
    assert [(m.on, m.reason) for m in of(HoldChanged, told)] == [(True, "venue_status: maintenance")]
    command = RemoveHolding(ts=engine.now, request_id="r", symbol=engine.symbols.portfolio.holdings[0].symbol)
    assert [(m.accepted, m.code) for m in of(CommandDone, engine.process(command))] == [(False, "holding")]
    told = engine.process(VenueStatus(ts=engine.now, status="open"))
    assert [(m.on, m.reason.split(":")[0]) for m in of(HoldChanged, told)] == [(True, "gap")]


def test_pause_survives_a_restart_and_resume_ends_it() -> None:
    engine, _, _ = started()
    told = engine.process(Pause(ts=engine.now, request_id="1", note="lunch"))
    assert [type(m) for m in told] == [HoldChanged, CommandDone]
    other = make(session=2)
    other.restore(packed(engine.snapshot(full=True)))
    assert other.symbols.hold.reason == "paused: lunch"
    told = other.process(Resume(ts=other.now, request_id="2"))
    assert [m.on for m in of(HoldChanged, told)] == [False]


def test_failing_storage_holds_the_book_and_scores_go_on() -> None:
    engine, session, _ = started()
    told = engine.process(StorageDegraded(ts=engine.now, reason="disk full"))
    assert [(m.on, m.reason) for m in of(HoldChanged, told)] == [(True, "storage: disk full")]
    told = feed(engine, session.run(engine.now, CLOSE + 20 * NS))
    assert of(ScoreChanged, told)
    assert of(ScoresClosed, told)
    assert of(PortfolioChange, told) + of(FlagsChanged, told) == []
    told = engine.process(StorageRecovered(ts=engine.now))
    assert [m.on for m in of(HoldChanged, told)] == [False]


def test_recalculate_finds_no_drift() -> None:
    engine, session, _ = started()
    feed(engine, session.run(engine.now, CLOSE + 3 * HOUR, 20 * NS))
    told = engine.process(Recalculate(ts=engine.now, request_id="r"))
    answer = of(Recalculated, told)[0]
    assert answer.symbols_processed == 16
    assert answer.drift <= 1e-9
    assert answer.reanchored == 0
    assert answer.scores == {s: v.score for s, v in engine.standings().items()}
    assert of(CommandDone, told)[0].accepted
    one = of(Recalculated, engine.process(Recalculate(ts=engine.now, request_id="r", symbol="C03USDTM")))[0]
    assert list(one.scores) == ["C03USDTM"]
    told = engine.process(Recalculate(ts=engine.now, request_id="r", symbol="NONE"))
    assert [(m.accepted, m.code) for m in of(CommandDone, told)] == [(False, "unknown_symbol")]


def test_reconfigure_is_all_or_nothing() -> None:
    engine, _, _ = started()
    before = engine.settings
    bad = ScoringSettings(components=(ScorerSettings(name="nobody", weight=1.0),))
    command = Reconfigure(ts=engine.now, request_id="1", settings=CoreSettings(scoring=bad), revision=2)
    told = engine.process(command)
    assert [(type(m), getattr(m, "code", "")) for m in told] == [(CommandDone, "config")]
    assert engine.settings is before
    risk = ScoringSettings(components=(ScorerSettings(name="risk", weight=1.0),))
    good = msgspec.structs.replace(settings(max_symbols=6), scoring=risk)
    told = engine.process(
        Reconfigure(ts=engine.now, request_id="2", settings=good, revision=2, changed=("scoring", "portfolio"))
    )
    assert of(Reconfigured, told) == [Reconfigured(ts=engine.now, revision=2, changed=("scoring", "portfolio"))]
    assert {c.name for m in of(ScoreChanged, told) for c in m.components} == {"risk"}
    assert isinstance(told[-1], CommandDone)
    told = engine.process(Tick(ts=CLOSE + GRACE))
    resized = [m for m in of(PortfolioChange, told) if m.kind == "resize"]
    assert len(resized) == 4
    assert {m.revision for m in resized} == {2}
    assert len(engine.symbols.portfolio.holdings) == 6


def test_a_plug_in_is_left_out_on_command() -> None:
    engine, _, _ = started()
    command = DisablePlugin(ts=engine.now, request_id="1", kind="scorer", name="technical", reason="slow")
    told = engine.process(command)
    assert of(PluginDisabled, told)[0].name == "technical"
    assert of(ScoreChanged, told)
    assert engine.status()["plugins"]["disabled"] == {"technical": "slow"}
    assert [m.code for m in of(CommandDone, engine.process(command))] == ["unknown_plugin"]


def test_a_delisted_holding_leaves_at_once() -> None:
    engine, _, _ = started()
    out = engine.symbols.portfolio.holdings[3].symbol
    contract = engine.market.by_symbol[out].contract
    told = engine.process(Listing(ts=engine.now, contract=contract, change="delisted"))
    assert [(m.reason, m.symbol_out) for m in of(PortfolioChange, told)] == [("delisted", out), ("composition", None)]


def test_operator_commands_are_answered() -> None:
    engine, _, _ = started()
    held = [h.symbol for h in engine.symbols.portfolio.holdings]
    told = engine.process(RemoveHolding(ts=engine.now, request_id="1", symbol=held[0], who="anna"))
    assert [type(m) for m in told] == [PortfolioChange, PortfolioChange, BookTraded, CommandDone]
    told = engine.process(AddHolding(ts=engine.now, request_id="2", symbol="NONE"))
    assert [(m.request_id, m.accepted, m.code) for m in of(CommandDone, told)] == [("2", False, "unknown_symbol")]
    told = engine.process(AddHolding(ts=engine.now, request_id="3", symbol=held[0]))
    assert of(PortfolioChange, told)[0].symbol_in == held[0]


def packed(state: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(state))
    return found


@pytest.mark.parametrize("cut", [40, 90, 400, 1500, 2600])
def test_a_snapshot_goes_on_bit_for_bit(cut: int) -> None:
    lively = settings(min_hold_s=1800.0, confirm=2, replace_margin=1.0, max_swaps_per_day=9, bar_s=900)
    engine, session = make(lively), Session(11)
    messages = [*session.start(), *session.run(T0 + 5 * NS, T0 + 3 * HOUR, 5 * NS)]
    messages.insert(1000, Pause(ts=messages[999].ts, request_id="p"))
    messages.insert(1400, Resume(ts=messages[1399].ts, request_id="q"))
    messages.insert(2000, Recalculate(ts=messages[1999].ts, request_id="r"))
    feed(engine, messages[:cut])
    other = make(lively, session=99)
    other.restore(packed(engine.snapshot(full=True)))
    assert len(messages) > 2700
    rest = feed(engine, messages[cut:])
    assert of(PortfolioChange, rest)
    assert len(of(ScoreChanged, rest)) > 10
    assert [msgspec.msgpack.encode(m) for m in rest] == [msgspec.msgpack.encode(m) for m in feed(other, messages[cut:])]
    assert msgspec.msgpack.encode(engine.snapshot(full=True)) == msgspec.msgpack.encode(other.snapshot(full=True))


def copied(engine: Engine) -> Engine:
    other = make(engine.settings, session=9)
    other.restore(packed(engine.snapshot(full=True)))
    return other


def test_what_a_sweep_has_yet_to_see_is_in_the_snapshot() -> None:
    engine, session, _ = started()
    at = engine.now + 400 * NS
    feed(engine, [Tick(ts=at)])
    cover(engine, session, at, None)
    feed(engine, [Tick(ts=at + 400 * NS)])
    cover(engine, session, at + 400 * NS, at + 400 * NS)
    other = copied(engine)
    told = engine.process(Tick(ts=at + 402 * NS))
    assert of(ScoreChanged, told) or of(HoldChanged, told)
    assert other.process(Tick(ts=at + 402 * NS)) == told
    assert [s.live for s in other.market.states] == [s.live for s in engine.market.states]


def test_before_the_first_close_a_poll_freezes_parts_whose_count_doubled() -> None:
    engine, session = make(), Session(3)
    few = {c.symbol for c in session.contracts[:4]}
    late = []
    for message in session.start():
        if isinstance(message, WarmUp) and not message.ended and message.done != 4:
            continue
        if isinstance(message, Bars) and message.symbol not in few:
            late.append(message)
        else:
            engine.process(message)
    at = engine.now
    feed(engine, [msgspec.structs.replace(m, ts=at) for m in late])
    engine.process(Tick(ts=at + 2 * NS))
    engine.process(session.stats(0, at + 2 * NS))
    before = {row["symbol"]: row["score"] for row in engine.rankings()}
    assert len(before) == 16
    other = copied(engine)
    told = engine.process(Tick(ts=at + 4 * NS))
    after = {row["symbol"]: row["score"] for row in engine.rankings()}
    assert max(abs(after[symbol] - score) for symbol, score in before.items()) > 0.5
    assert of(ScoreChanged, told)
    assert other.process(Tick(ts=at + 4 * NS)) == told


def test_a_restart_waits_for_the_repair_and_does_not_fill_again() -> None:
    engine, session, told = started()
    told = feed(engine, session.run(engine.now, CLOSE - 900 * NS, 20 * NS))
    state, blocks = engine.snapshot(full=False), engine.market.bars_stored(engine.now)
    book = engine.symbols.portfolio
    missed = of(
        PortfolioChange,
        engine.process(RemoveHolding(ts=engine.now, request_id="1", symbol=book.holdings[0].symbol)),
    )
    later = make(session=2)
    later.restore(packed(state))
    for block in blocks:
        later.market.load_block(block)
    later.restore_book(engine.symbols.portfolio, missed)
    later.restart(2)
    assert later.symbols.portfolio == engine.symbols.portfolio
    assert later.symbols.memory.is_barred(book.holdings[0].symbol, T0 + 99 * DAY)
    back = CLOSE + 2 * HOUR + 100 * NS
    told = later.process(Tick(ts=back))
    assert [m.end for m in of(ScoresClosed, told)] == [CLOSE, CLOSE + HOUR, CLOSE + 2 * HOUR]
    assert later.symbols.hold.code == "gap"
    assert of(PortfolioChange, told) + of(BookReady, told) == []
    wanted = of(RepairWanted, told)
    told = cover(later, session, back, back)
    latest = {w.symbol: w for w in wanted}
    told += repair(later, list(latest.values()), back + NS)
    told += later.process(WarmUp(ts=back + 2 * NS, done=16, of=16, ended=True))
    told += feed(later, [session.ticker(n, back + 3 * NS) for n in range(16)])
    told += later.process(Tick(ts=back + 60 * NS))
    assert of(BookReady, told) == []
    assert of(BarBlock, told) == []
    third = later.process(Tick(ts=CLOSE + 3 * HOUR + GRACE))
    assert later.symbols.hold.code == "gap"
    told += third + repair(later, of(RepairWanted, third), CLOSE + 3 * HOUR + AFTER)
    told += later.process(Tick(ts=CLOSE + 4 * HOUR + GRACE))
    assert not later.symbols.hold.on
    told += later.process(Tick(ts=CLOSE + 5 * HOUR + GRACE))
    changes = of(PortfolioChange, told)
    assert {c.kind for c in changes} <= {"fill", "rerank", "reweight"}
    assert all(c.symbol_in != book.holdings[0].symbol for c in changes)
    assert {c.id for c in changes}.isdisjoint({c.id for c in missed})


def test_a_stored_book_that_breaks_its_rules_is_refused() -> None:
    engine, _, _ = started()
    book = engine.symbols.portfolio
    broken = msgspec.structs.replace(book, cash=1.0)
    with pytest.raises(BrokenBookError):
        make().restore_book(broken)


def test_a_snapshot_of_another_format_or_window_is_refused() -> None:
    engine, _, _ = started()
    state = packed(engine.snapshot(full=True))
    with pytest.raises(SnapshotError):
        make().restore({**state, "format": 99})
    narrow = CoreSettings(market=MarketSettings(window_hours=200))
    with pytest.raises(SnapshotError):
        make(narrow).restore(state)


def test_explain_adds_up_and_names_gates_and_the_way_out_and_in() -> None:
    engine, _, _ = started(settings(max_symbols=5))
    ranking = engine.rankings()
    assert [row["rank"] for row in ranking] == list(range(1, len(ranking) + 1))
    top = engine.explain(ranking[0]["symbol"])
    assert top["score"] == ranking[0]["score"]
    assert 50.0 + sum(c["contribution"] for c in top["components"]) == pytest.approx(top["score"], abs=1e-6)
    assert all(gate["ok"] for gate in top["gates"])
    assert top["rank"] == 1
    assert top["holding"]["symbol"] == ranking[0]["symbol"]
    assert top["change"]["moves"] == "out"
    outside = next(row for row in ranking if not row["in_book"])
    below = engine.explain(outside["symbol"])
    assert below["change"]["moves"] == "in"
    assert below["change"]["rule"] == "replace"
    assert below["change"]["target"] > outside["score"]
    with pytest.raises(KeyError):
        engine.explain("NONE")
    with pytest.raises(KeyError):
        engine.rankings("NONSENSE")
    assert engine.rankings("market_structure")[0]["score"] is not None


def test_two_engines_given_the_same_tell_the_same() -> None:
    told = []
    for _ in range(2):
        session = Session(7)
        told.append(feed(make(), [*session.start(), *session.run(T0 + 5 * NS, CLOSE + 5 * NS, 10 * NS)]))
    assert [msgspec.msgpack.encode(m) for m in told[0]] == [msgspec.msgpack.encode(m) for m in told[1]]
    assert len(told[0]) > 400
