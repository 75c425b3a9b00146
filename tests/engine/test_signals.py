"""Signals through the core: in by a command or a detector, judged, decided, acted on, settled."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from tests.engine.stream import DAY, HOUR, NS, T0, Session
from tests.engine.test_engine import AFTER, CLOSE, feed, of, settings
from tests.signals.judges import agent, detector, sure
from zmart_stream.domain.commands import (
    AddHolding,
    CommandDone,
    DisablePlugin,
    Pause,
    PinHolding,
    PluginDisabled,
    Reconfigure,
    ReleaseSource,
    RemoveHolding,
    Resume,
    StorageDegraded,
    StorageRecovered,
)
from zmart_stream.domain.market import Tick
from zmart_stream.domain.message import Message
from zmart_stream.domain.messages import pack, unpack_input
from zmart_stream.domain.portfolio import HoldChanged, PortfolioChange
from zmart_stream.domain.scores import ScoreChanged
from zmart_stream.domain.settings import AgentSettings, CoreSettings, DetectorSettings, SignalSettings
from zmart_stream.domain.signals import (
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SignalRejected,
    SignalRepeated,
    SignalSettled,
    SubmitSignal,
)
from zmart_stream.engine.engine import Engine
from zmart_stream.engine.ids import symbol_id
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.signals import processor
from zmart_stream.signals.answer import answer_to

SIGNALS = (SignalReceived, SignalRejected, SignalRepeated, SignalEvaluated, SignalDecided, SignalEnded, SignalSettled)


def core(
    agents: tuple[AgentSettings, ...] = (),
    detectors: tuple[DetectorSettings, ...] = (),
    book: dict[str, Any] | None = None,
    **signals: Any,
) -> CoreSettings:
    """Settings with a book that signals may change freely, unless `book` says otherwise."""
    free = {"max_symbols": 5, "min_hold_s": 0.0, "cost_safety": 0.0, "max_swaps_per_day": 100, "reentry_s": 0.0}
    chosen = SignalSettings(agents=agents or sure(0.8), detectors=detectors, **signals)
    return msgspec.structs.replace(
        settings(**{**free, "replace_margin": -400.0, "bps_per_point": 0.0, **(book or {})}), signals=chosen
    )


def started(with_settings: CoreSettings, seed: int = 3) -> tuple[Engine, Session]:
    engine, session = Engine(with_settings, build_scorers(with_settings.scoring), session=1), Session(seed)
    feed(engine, session.start())
    assert engine.symbols.portfolio.holdings
    return engine, session


numbered = iter(range(10**9))


def signal(ts: int, **fields: Any) -> SubmitSignal:
    given = {
        "source_name": "bot",
        "signal_type": "BREAKOUT",
        "signal_strength": 0.8,
        "confidence_level": 0.7,
        "owner": "token-1",
        "who": "anna",
        **fields,
    }
    return SubmitSignal(ts=ts, request_id=f"r{next(numbered)}", **given)


def outside(engine: Engine) -> str:
    """The best contract that is not held."""
    held = {holding.symbol for holding in engine.symbols.portfolio.holdings}
    return next(symbol for symbol in engine.ranked_symbols() if symbol not in held)


def symbols_held(engine: Engine) -> list[str]:
    return [holding.symbol for holding in engine.symbols.portfolio.holdings]


def one(kind: type[Any], told: Iterable[Message]) -> Any:
    (found,) = (message for message in told if isinstance(message, kind))
    return found


def test_an_approved_signal_is_decided_and_acted_on_in_one_cascade() -> None:
    engine, _ = started(core())
    symbol, weakest = outside(engine), engine.judging.view.weakest()
    assert weakest is not None
    told = engine.process(signal(engine.now, symbol=symbol))
    names = [type(message).__name__ for message in told]
    assert names[:4] == ["SignalReceived", "SignalEvaluated", "SignalDecided", "PortfolioChange"]
    assert names[-2:] == ["SignalEnded", "CommandDone"]
    received, decided, ended = one(SignalReceived, told), one(SignalDecided, told), one(SignalEnded, told)
    decision = decided.decision
    assert (decision.approved, decision.plan.action, decision.plan.symbol_out) == (True, "REPLACE", weakest.symbol)
    prior = 0.5 + 0.5 * 0.8 * (0.7 - 0.5)
    odds = ((prior / (1 - prior)) * (0.8 / 0.2) ** 3) ** (1 / 4)
    assert decision.p == pytest.approx(odds / (1 + odds), abs=1e-6)
    change = of(PortfolioChange, told)[0]
    assert (ended.status, ended.reason, ended.change_id) == ("acted", "replace", change.id)
    assert ended.symbol == symbol
    assert (change.symbol_in, change.symbol_out, change.who) == (symbol, weakest.symbol, f"signal:{received.signal.id}")
    assert symbol in symbols_held(engine)
    done = one(CommandDone, told)
    assert (done.accepted, done.detail) == (True, received.signal.id)
    steps = [step["status"] for step in engine.signal(received.signal.id)["steps"]]
    assert steps == ["received", "evaluated", "approved", "acted"]


@pytest.mark.parametrize(
    ("agents", "more", "reason"),
    [
        (sure(0.3), {}, "below_threshold"),
        (sure(0.9, count=2), {}, "no_quorum"),
        ((*sure(0.9), agent("Guard", limit=0.0)), {}, "veto"),
        (sure(0.56), {"approve_at": 0.6}, "below_threshold"),
    ],
)
def test_a_declined_signal_changes_nothing_and_says_why(
    agents: tuple[AgentSettings, ...], more: dict[str, Any], reason: str
) -> None:
    engine, _ = started(core(agents, **more))
    before = engine.symbols.portfolio
    told = engine.process(signal(engine.now, symbol=outside(engine)))
    decision = one(SignalDecided, told).decision
    assert (decision.approved, decision.reason) == (False, reason)
    assert of(SignalEnded, told) == []
    assert of(PortfolioChange, told) == []
    assert engine.symbols.portfolio == before
    assert decision.veto == ("guard" if reason == "veto" else None)


def test_each_action_of_the_book() -> None:
    engine, _ = started(core())
    held = symbols_held(engine)
    told = engine.process(signal(engine.now, symbol=held[0], signal_type="UP"))
    assert one(SignalDecided, told).decision.plan.action == "WEIGHT_UP"
    change = of(PortfolioChange, told)[0]
    assert (change.kind, change.reason) == ("reweight", "signal")
    assert engine.symbols.portfolio.holdings[0].symbol == held[0]

    engine.process(PinHolding(ts=engine.now, request_id="pin", symbol=held[1]))
    told = engine.process(signal(engine.now, symbol=held[1], signal_direction="SELL"))
    assert one(SignalDecided, told).decision.plan.action == "WEIGHT_DOWN"
    assert held[1] in symbols_held(engine)

    told = engine.process(signal(engine.now, symbol=held[2], signal_direction="SELL"))
    assert one(SignalEnded, told).reason == "remove"
    assert held[2] not in symbols_held(engine)

    told = engine.process(signal(engine.now, symbol=held[2], signal_direction="SELL", source_name="other"))
    assert (one(SignalEnded, told).status, one(SignalEnded, told).reason) == ("no_action", "not_in_book")

    told = engine.process(signal(engine.now, symbol=outside(engine)))
    assert one(SignalDecided, told).decision.plan.action == "ADD"
    assert one(SignalEnded, told).status == "acted"
    assert len(symbols_held(engine)) == 5


def test_a_limit_that_stops_it_is_the_reason_of_its_end() -> None:
    engine, _ = started(core(book={"min_hold_s": 86400.0}))
    told = engine.process(signal(engine.now, symbol=outside(engine)))
    ended = one(SignalEnded, told)
    assert (ended.status, ended.reason) == ("no_action", "min_hold")
    assert "min_hold" in ended.detail
    assert of(PortfolioChange, told) == []


def test_a_market_signal_gets_its_contract_from_the_book() -> None:
    engine, _ = started(core())
    view = engine.judging.view
    best, weakest = outside(engine), view.weakest()
    assert weakest is not None
    told = engine.process(signal(engine.now))
    evaluated = one(SignalEvaluated, told)
    assert (evaluated.signal.symbol, evaluated.plan.symbol) == (None, best)
    assert one(SignalDecided, told).decision.plan.symbol == best
    weakest = view.weakest()
    assert weakest is not None
    told = engine.process(signal(engine.now, signal_direction="SELL"))
    assert one(SignalDecided, told).decision.plan.symbol == weakest.symbol
    assert weakest.symbol not in symbols_held(engine)


def test_a_buy_that_no_holding_makes_room_for_names_the_age_that_stops_it_not_the_cap_elsewhere() -> None:
    engine, session = started(core(book={"min_hold_s": 86400.0, "max_per_sector": 1}))
    held, symbol = symbols_held(engine), outside(engine)
    weakest = engine.judging.view.weakest()
    assert weakest is not None
    alike = next(each for each in held if each != weakest.symbol)  # the only one in whose place the cap holds
    bases = {each.symbol: each.base for each in session.contracts}
    sectors = {base: "one" if each in (symbol, alike) else each for each, base in bases.items()}
    chosen = msgspec.structs.replace(engine.settings.portfolio, sectors=sectors)
    one_sector = msgspec.structs.replace(engine.settings, portfolio=chosen)
    engine.process(Reconfigure(ts=engine.now, request_id="r", settings=one_sector, revision=2))
    while len(symbols_held(engine)) < 5:
        others = (each.symbol for each in session.contracts if each.symbol not in (*symbols_held(engine), symbol))
        engine.process(AddHolding(ts=engine.now, request_id="a", symbol=next(others)))
    told = engine.process(signal(engine.now, symbol=symbol))
    assert one(SignalDecided, told).decision.plan.symbol_out == alike
    assert one(SignalEnded, told).reason == "min_hold"


@pytest.mark.parametrize(("size", "reason"), [(2, "all_pinned"), (0, "empty_book")])
def test_a_market_signal_without_a_target_says_why(size: int, reason: str) -> None:
    engine, _ = started(core(book={"max_symbols": 2}))
    for symbol in symbols_held(engine):
        command = PinHolding if size else RemoveHolding
        engine.process(command(ts=engine.now, request_id="p", symbol=symbol))
    told = engine.process(signal(engine.now, signal_direction="SELL"))
    decision = one(SignalDecided, told).decision
    assert (decision.approved, decision.reason, decision.plan.reason) == (False, "no_target", reason)
    assert one(SignalEvaluated, told).opinions == ()


def test_a_tilt_that_moves_nothing_is_taken_back_and_one_that_goes_on_is_told_so() -> None:
    full = {"optimiser": "equal", "max_weight": 20.0}  # five holdings at 20 %: there is no room
    engine, _ = started(core(book=full))
    held, manager = symbols_held(engine), engine.manager
    while len(symbols_held(engine)) < 5:
        engine.process(AddHolding(ts=engine.now, request_id="a", symbol=outside(engine)))
    told = engine.process(signal(engine.now, symbol=held[0]))
    ended = one(SignalEnded, told)
    assert (ended.status, ended.reason, of(PortfolioChange, told)) == ("no_action", "no_change", [])
    assert manager.memory.tilts == {}, "it does not act on another day"

    engine, _ = started(core(book={"optimiser": "equal"}))
    held, manager = symbols_held(engine), engine.manager
    assert one(SignalEnded, engine.process(signal(engine.now, symbol=held[0]))).status == "acted"
    until = manager.memory.tilts[held[0]].until
    ended = one(SignalEnded, engine.process(signal(engine.now + 600 * NS, symbol=held[0])))
    assert (ended.status, ended.reason) == ("no_action", "already_tilted")
    assert "24 h from now" in ended.detail
    assert manager.memory.tilts[held[0]].until == until + 600 * NS


def test_limits_that_conflict_are_what_stops_a_tilt() -> None:
    engine, session = started(core(book={"optimiser": "equal"}))
    sectors = {contract.base: "one" for contract in session.contracts}
    chosen = msgspec.structs.replace(engine.settings.portfolio, sectors=sectors, max_sector_weight=10.0)
    tight = msgspec.structs.replace(engine.settings, portfolio=chosen)
    engine.process(Reconfigure(ts=engine.now, request_id="r", settings=tight, revision=2))
    symbol = symbols_held(engine)[0]
    for n in range(2):
        told = engine.process(signal(engine.now, symbol=symbol, source_name=f"s{n}"))
        ended = one(SignalEnded, told)
        assert (ended.status, ended.reason) == ("no_action", "infeasible")
        assert "sector" in ended.detail
        assert engine.manager.memory.tilts == {}


def test_every_broken_rule_is_named_with_field_and_value_and_the_signal_is_told_as_rejected() -> None:
    engine, _ = started(core())
    told = engine.process(
        signal(engine.now, symbol="NOSUCH", signal_strength=1.5, confidence_level=float("nan"), signal_type="up")
    )
    rejected, done = one(SignalRejected, told), one(CommandDone, told)
    assert [problem.field for problem in rejected.problems] == [
        "signal_type",
        "signal_strength",
        "confidence_level",
        "symbol",
    ]
    assert (done.accepted, done.code) == (False, "unknown_symbol")
    assert done.facts["problems"][1]["value"] == 1.5
    assert of(SignalEvaluated, told) == []
    assert engine.signals(("rejected",))[0]["problems"][3]["code"] == "unknown_symbol"
    statistics = engine.signal_statistics()
    assert statistics["total"]["rejected"] == 1
    assert list(statistics["by_type"]) == ["OTHER"], "what is no type has no line of its own"
    assert done.detail.startswith("signal_type (up): upper case letters")
    late = one(SignalRejected, engine.process(signal(engine.now, expires_at=T0 // DAY * DAY - DAY)))
    assert late.problems[0].value == "2026-02-15T00:00:00.000Z", "as its sender wrote it"


def test_the_uuid_of_a_contract_is_as_good_as_its_symbol() -> None:
    engine, _ = started(core())
    symbol = outside(engine)
    told = engine.process(signal(engine.now, symbol_id=symbol_id(symbol)))
    assert one(SignalReceived, told).signal.symbol == symbol


def test_the_same_signal_twice_acts_once() -> None:
    engine, _ = started(core())
    symbol = outside(engine)
    first = engine.process(signal(engine.now, symbol=symbol))
    told = engine.process(signal(engine.now + 59 * NS, symbol=symbol))
    repeated = one(SignalRepeated, told)
    assert (repeated.by, repeated.status, repeated.action) == ("content", "acted", "REPLACE")
    assert repeated.signal_id == one(SignalReceived, first).signal.id
    assert one(CommandDone, told).detail == repeated.signal_id
    assert [type(message) for message in told] == [SignalRepeated, CommandDone]
    again = engine.process(signal(engine.now + 2 * NS, symbol=symbol))  # 61 s after the first
    assert one(SignalReceived, again).signal.id != repeated.signal_id


def test_what_is_sent_again_gets_the_first_answer_as_it_stands_by_now() -> None:
    engine, _ = started(core())
    engine.process(Pause(ts=engine.now, request_id="p"))
    symbol, expires = outside(engine), engine.now + 60 * NS
    sent = signal(engine.now, symbol=symbol, idempotency_key="k", expires_at=expires)
    waits = answer_to(engine.process(sent))
    assert answer_to(engine.process(sent)) == {**waits, "repeated": True}
    feed(engine, [Resume(ts=engine.now, request_id="q"), Tick(ts=engine.now + NS)])
    later = msgspec.structs.replace(sent, ts=expires + HOUR)
    again = answer_to(engine.process(later))
    ended, decision = engine.signal(waits["signal_id"])["ended"], engine.signal(waits["signal_id"])["decision"]
    assert (again["status"], again["repeated"], again["change_id"]) == ("acted", True, ended["change_id"])
    assert (again["reason"], again["decision"]["reason"]) == ("replace", "approved")
    assert (again["decision"]["dissent"], again["decision"]["spoke"]) == (decision["dissent"], 3)
    assert again["decision"]["symbol_out"] == decision["plan"]["symbol_out"] is not None
    fresh = msgspec.structs.replace(later, idempotency_key=None)
    assert one(SignalRejected, engine.process(fresh)).problems[0].field == "expires_at", (
        "without the key it is too late"
    )


def test_a_full_waiting_room_refuses_the_next_signal_and_not_one_that_waits_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "MOST_WAITING", 2)
    engine, _ = started(core())
    engine.process(Pause(ts=engine.now, request_id="p"))
    first = signal(engine.now, idempotency_key="k", signal_type="ONE")
    second = signal(engine.now, signal_type="TWO")
    feed(engine, [first, second])
    refused = one(SignalRejected, engine.process(signal(engine.now, signal_type="THREE")))
    assert (refused.problems[0].code, refused.problems[0].value) == ("backlog", 2)
    assert "paused" in refused.problems[0].rule
    assert [one(SignalRepeated, engine.process(each)).by for each in (first, second)] == ["key", "content"]


def test_two_bots_of_one_token_may_count_alike() -> None:
    engine, _ = started(core(sure(0.2)))
    told = feed(engine, [signal(engine.now, source_name=name, idempotency_key="1") for name in ("one", "two")])
    assert len(of(SignalReceived, told)) == 2
    told = feed(engine, [signal(engine.now + HOUR, source_name=name, idempotency_key="1") for name in ("one", "two")])
    assert [m.signal_id for m in of(SignalRepeated, told)] == [s["signal"]["id"] for s in engine.signals()][::-1]


def test_a_key_gives_the_first_answer_whatever_else_is_said_for_a_day() -> None:
    engine, _ = started(core())
    first = one(SignalReceived, engine.process(signal(engine.now, idempotency_key="k1"))).signal.id
    told = engine.process(signal(engine.now + HOUR, signal_type="OTHER", idempotency_key="k1"))
    assert (one(SignalRepeated, told).by, one(SignalRepeated, told).signal_id) == ("key", first)
    told = engine.process(signal(engine.now, idempotency_key="k1", owner="token-2", source_name="other"))
    assert of(SignalRepeated, told) == [], "another token's key is another key"
    told = engine.process(signal(engine.now + DAY, signal_type="OTHER", idempotency_key="k1"))
    assert of(SignalRepeated, told) == []


def test_a_source_that_an_operator_released_belongs_to_whoever_uses_it_next() -> None:
    engine, _ = started(core())
    ask = ReleaseSource(ts=engine.now, request_id="r", who="anna", source_name="bot")
    assert [done.code for done in of(CommandDone, engine.process(ask))] == ["unknown_source"]
    engine.process(signal(engine.now + NS, source_name="bot", owner="revoked"))
    taken = engine.process(signal(engine.now + NS, source_name="bot", owner="new"))
    assert one(SignalRejected, taken).problems[0].code == "source_taken"
    assert [done.accepted for done in of(CommandDone, engine.process(ask))] == [True]
    assert of(SignalRejected, engine.process(signal(engine.now + NS, source_name="bot", owner="new"))) == []
    back = engine.process(signal(engine.now + NS, source_name="bot", owner="revoked"))
    assert one(SignalRejected, back).problems[0].code == "source_taken"


def test_a_source_belongs_to_the_token_that_used_it_first() -> None:
    engine, _ = started(core())
    engine.process(signal(engine.now))
    told = engine.process(signal(engine.now, owner="token-2", signal_type="OTHER"))
    assert one(SignalRejected, told).problems[0].code == "source_taken"
    assert one(CommandDone, told).code == "source_taken"
    told = engine.process(signal(engine.now, source_name="detector.breakout", signal_type="OTHER"))
    assert one(CommandDone, told).code == "source_taken"


@pytest.mark.parametrize("cause", ["pause", "storage"])
def test_signals_wait_while_the_book_holds_and_are_judged_afterwards(cause: str) -> None:
    engine, _ = started(core())
    begin: Message = Pause(ts=engine.now, request_id="p")
    end: Message = Resume(ts=engine.now + 100 * NS, request_id="q")
    if cause == "storage":
        begin, end = StorageDegraded(ts=engine.now, reason="full"), StorageRecovered(ts=engine.now + 100 * NS)
    engine.process(begin)
    symbol = outside(engine)
    told = engine.process(signal(engine.now, symbol=symbol))
    assert [type(message) for message in told] == [SignalReceived, CommandDone]
    short = engine.process(signal(engine.now, signal_type="SHORT", expires_in_s=50.0))
    assert engine.signals(("received",))[0]["signal"]["signal_type"] == "SHORT"
    told = engine.process(Tick(ts=engine.now + 60 * NS))
    ended = one(SignalEnded, told)
    assert (ended.signal_id, ended.status) == (one(SignalReceived, short).signal.id, "expired")
    assert ended.reason == {"pause": "paused", "storage": "storage"}[cause]
    assert ended.ts == one(SignalReceived, short).signal.expires
    assert of(SignalEvaluated, told) == []
    engine.process(end)
    told = engine.process(Tick(ts=engine.now + NS))
    assert one(SignalEnded, told).status == "acted"
    assert symbol in symbols_held(engine)


def test_before_warm_up_ended_signals_wait() -> None:
    with_settings = core()
    engine, session = Engine(with_settings, build_scorers(with_settings.scoring)), Session(3)
    messages = list(session.start())
    feed(engine, messages[:-40])
    told = engine.process(signal(engine.now))
    assert of(SignalEvaluated, told) == []
    later = feed(engine, messages[-40:])
    later += engine.process(Tick(ts=engine.now + 2 * NS))
    assert len(of(SignalDecided, later)) == 1


def test_many_at_one_instant_take_turns_and_none_is_lost() -> None:
    engine, _ = started(core(sure(0.2)))
    ts = engine.now
    told = feed(engine, [signal(ts, source_name=f"s{n}") for n in range(50)])
    assert len(of(SignalReceived, told)) == 50
    assert len(of(SignalDecided, told)) == 10
    told = engine.process(Tick(ts=ts + NS))
    assert len(of(SignalDecided, told)) == 20, "one turn a message, however far time jumps"
    told = feed(engine, [Tick(ts=ts + NS + k * NS // 5) for k in range(1, 6)])
    assert len(of(SignalDecided, told)) == 20
    assert engine.signals(("received",)) == []


def test_signals_of_one_turn_find_the_book_as_those_before_them_left_it() -> None:
    engine, _ = started(core())
    engine.process(Pause(ts=engine.now, request_id="p"))
    held = symbols_held(engine)
    feed(engine, [signal(engine.now, source_name=name, signal_direction="SELL") for name in ("one", "two")])
    feed(engine, [signal(engine.now, source_name=name) for name in ("three", "four")])
    told = feed(engine, [Resume(ts=engine.now, request_id="q"), Tick(ts=engine.now + NS)])
    assert [(m.status, m.reason) for m in of(SignalEnded, told)] == [("acted", "remove")] * 2 + [("acted", "add")] * 2
    targets = [decided.decision.plan.symbol for decided in of(SignalDecided, told)]
    assert len({*targets[:2]} & {*held}) == len({*targets[2:]}) == 2, "the second chose anew"
    kinds = [type(m) for m in told if isinstance(m, SignalEvaluated | SignalDecided | SignalEnded)]
    assert kinds == [SignalEvaluated, SignalDecided, SignalEnded] * 4


def test_what_was_due_before_a_pause_is_through_before_it() -> None:
    engine, _ = started(core())
    ts, (stays, leaves, *_) = engine.now, symbols_held(engine)
    feed(engine, [signal(ts, source_name=f"s{n}", symbol=stays) for n in range(10)])
    feed(engine, [signal(ts, symbol=leaves, signal_direction="SELL")])
    assert len(engine.signals(("received",))) == 1, "this instant has had its share"
    told = engine.process(Pause(ts=ts + NS, request_id="p"))
    assert (one(SignalEnded, told).status, one(SignalEnded, told).reason) == ("acted", "remove")
    assert [type(each) for each in told[-2:]] == [HoldChanged, CommandDone]


def test_a_restore_in_the_middle_of_a_burst_goes_on_with_the_same_share() -> None:
    engine, _ = started(core(sure(0.2)))
    sent = [signal(engine.now, source_name=f"s{n}") for n in range(24)]
    feed(engine, sent[:8])
    again = Engine(engine.settings, build_scorers(engine.settings.scoring), session=1)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(engine.snapshot(full=True))))
    later = [*sent[8:], Tick(ts=engine.now + NS // 20), Tick(ts=engine.now + NS // 10)]
    told, ours = feed(again, later), feed(engine, later)
    assert [pack(message) for message in told] == [pack(message) for message in ours]
    assert len(of(SignalDecided, ours)) == 16


@pytest.mark.parametrize(
    "how",
    [
        *("raise", "type", "silent", "nan", "range", "stance", "name", "numbers", "veto"),
        *("age", "list", "object", "huge", "text", "long", "blank"),
    ],
)
def test_an_agent_that_fails_has_no_opinion_and_is_left_out_after_three_in_a_row(how: str) -> None:
    engine, _ = started(core((*sure(0.2), agent("Broken", how=how))))
    told = []
    for n in range(4):
        told.append(engine.process(signal(engine.now + NS, source_name=f"s{n}")))
    opinions = [one(SignalEvaluated, each).opinions for each in told]
    assert [each[-1].agent for each in opinions] == ["broken", "broken", "broken", "fixed2"]
    assert {each[-1].stance for each in opinions[:3]} == {"abstain"}
    assert opinions[0][-1].reasons[0].code == "failed"
    notice = one(PluginDisabled, told[2])
    assert (notice.kind, notice.name) == ("agent", "broken")
    assert one(SignalDecided, told[0]).decision.spoke == 3
    assert engine.status()["plugins"]["agents"]["failures"] == {"broken": 3}


def test_numpys_numbers_are_as_good_as_pythons() -> None:
    with_settings = core((*sure(0.6), agent("Vectorised")), (detector("Vectorised"),))
    engine, session = started(with_settings)
    told = feed(engine, [signal(engine.now), *session.run(engine.now, CLOSE, 60 * NS), Tick(ts=CLOSE + AFTER)])
    assert of(PluginDisabled, told) == []
    opinion = of(SignalEvaluated, told)[0].opinions[-1]
    assert (opinion.p, opinion.ages) == (pytest.approx(0.7), {"trade": 1.5})
    assert opinion.reasons[0].numbers == {"p": pytest.approx(0.7), "single": 0.5}
    assert of(SignalReceived, told)[1].signal.data == {"strength": 0.5, "count": 3}
    again = Engine(with_settings, build_scorers(with_settings.scoring), session=1)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(engine.snapshot(full=True))))
    assert again.signals() == engine.signals()


def test_a_plug_in_that_was_too_slow_is_left_out_by_command() -> None:
    engine, _ = started(core((*sure(0.2), agent("Guard")), (detector("EveryClose"),)))
    for kind, name in (("agent", "guard"), ("detector", "everyclose")):
        told = engine.process(DisablePlugin(ts=engine.now, request_id="d", kind=kind, name=name, reason="slow"))
        assert one(PluginDisabled, told).kind == kind
        assert one(CommandDone, told).accepted
    told = engine.process(DisablePlugin(ts=engine.now, request_id="d", kind="agent", name="guard", reason="slow"))
    assert one(CommandDone, told).code == "unknown_plugin"
    told = engine.process(signal(engine.now))
    assert [each.agent for each in one(SignalEvaluated, told).opinions] == ["fixed0", "fixed1", "fixed2"]
    assert of(SignalReceived, engine.process(Tick(ts=CLOSE + AFTER))) == []


def test_a_detector_raises_signals_at_closes_and_keeps_its_cool_down() -> None:
    engine, session = started(core(sure(0.2), (detector("EveryClose", cooldown_s=7200.0, count=2),)))
    told = feed(engine, [*session.run(engine.now, CLOSE, 60 * NS), Tick(ts=CLOSE + AFTER)])
    received = of(SignalReceived, told)
    assert [(m.signal.source, m.signal.owner, m.request_id) for m in received] == [
        ("detector.everyclose", "machine", None)
    ] * 2
    assert len(of(SignalDecided, told)) == 2
    told = feed(engine, [*session.run(engine.now, CLOSE + HOUR, 60 * NS), Tick(ts=CLOSE + HOUR + AFTER)])
    assert of(SignalReceived, told) == []
    told = feed(engine, [*session.run(engine.now, CLOSE + 2 * HOUR, 60 * NS), Tick(ts=CLOSE + 2 * HOUR + AFTER)])
    assert len(of(SignalReceived, told)) == 2


def test_a_detector_that_watches_moves_sees_them_within_the_bar() -> None:
    engine, session = started(core(sure(0.2), (detector("EveryMove", cooldown_s=60.0),)))
    engine.process(Tick(ts=engine.now + 61 * NS))
    cascades = (engine.process(message) for message in session.run(engine.now, CLOSE, 2 * NS))
    told = next(each for each in cascades if of(ScoreChanged, each))
    assert [type(m) for m in told[:4]] == [ScoreChanged, SignalReceived, SignalEvaluated, SignalDecided]
    assert of(SignalReceived, told)[0].signal.symbol == of(ScoreChanged, told)[0].symbol


def test_a_detector_that_names_what_is_not_listed_is_left_out() -> None:
    engine, session = started(core(sure(0.2), (detector("BrokenDetector"),)))
    told = feed(engine, session.run(engine.now, CLOSE + 3 * HOUR, 60 * NS))
    assert [(m.kind, m.name) for m in of(PluginDisabled, told)] == [("detector", "brokendetector")]


def test_outcomes_are_settled_at_the_horizon_net_of_cost_for_declined_ones_too() -> None:
    engine, session = started(core(sure(0.3), outcome_horizon_s=3600.0))
    symbol = outside(engine)
    place = [c.symbol for c in session.contracts].index(symbol)
    decided = one(SignalDecided, engine.process(signal(engine.now, symbol=symbol)))
    sold = one(SignalDecided, engine.process(signal(engine.now, symbol=symbol, signal_direction="SELL")))
    then = engine.judging.view.mark(symbol)
    assert decided.price == then
    assert decided.cost == pytest.approx(2e-4 * engine.judging.view.cost_bps(symbol))
    session.price[place] *= 1.02
    ts = decided.due - NS
    told = feed(engine, [session.stats(place, ts)])
    assert of(SignalSettled, told) == []
    told = engine.process(Tick(ts=decided.due))
    bought, short = of(SignalSettled, told)
    now = engine.judging.view.mark(symbol)
    assert (bought.ts, bought.until) == (decided.due, decided.due)
    assert bought.gross == pytest.approx(now / then - 1.0)
    assert bought.net == pytest.approx(bought.gross - decided.cost)
    assert short.gross == pytest.approx(-bought.gross)
    assert (bought.hit, short.hit, bought.approved) == (True, False, False)
    assert bought.brier == pytest.approx((1.0 - decided.decision.p) ** 2)
    assert short.signal_id == sold.signal.id
    assert [each.brier for each in bought.agents] == pytest.approx([0.49] * 3)
    cards = engine.scorecards()
    (source,) = cards["sources"]
    assert (source["source"], source["outcomes"], source["hits"], source["misses"]) == ("bot", 2, 1.0, 1.0)
    assert [card["agent"] for card in cards["agents"]] == ["fixed0", "fixed1", "fixed2"]


def test_after_thirty_outcomes_the_hit_rate_speaks_instead_of_the_stated_confidence() -> None:
    engine, session = started(core(sure(0.5), outcome_horizon_s=60.0, calibrate_after=4))
    symbol = outside(engine)
    place = [c.symbol for c in session.contracts].index(symbol)
    for n in range(4):
        feed(engine, [signal(engine.now + NS, symbol=symbol, signal_type=f"T{n}", confidence_level=0.1)])
        session.price[place] *= 1.03
        feed(engine, [session.stats(place, engine.now + 30 * NS), Tick(ts=engine.now + 61 * NS)])
    told = engine.process(signal(engine.now, symbol=symbol, confidence_level=0.1))
    decision = one(SignalDecided, told).decision
    assert decision.is_calibrated
    assert decision.confidence == pytest.approx(5 / 6, abs=1e-4)
    assert decision.prior == pytest.approx(0.5 + 0.4 * (decision.confidence - 0.5))


def test_other_settings_judge_from_then_on() -> None:
    engine, _ = started(core(sure(0.2)))
    other = core(sure(0.9))
    told = engine.process(Reconfigure(ts=engine.now, request_id="r", settings=other, revision=2))
    assert one(CommandDone, told).accepted
    told = engine.process(signal(engine.now))
    assert one(SignalDecided, told).decision.approved
    wrong = core((agent("NoSuch"),))
    told = engine.process(Reconfigure(ts=engine.now, request_id="r", settings=wrong, revision=3))
    assert (one(CommandDone, told).accepted, one(CommandDone, told).code) == (False, "config")
    assert "tests.signals.judges:NoSuch" in one(CommandDone, told).detail


def busy(seed: int, hours: int = 4) -> list[Message]:
    """A session with signals of all kinds, a pause, and closes."""
    session, rng = Session(seed), random.Random(seed)
    messages = list(session.start())
    symbols: list[str | None] = [None, *(c.symbol for c in session.contracts)]
    for message in session.run(T0 + 5 * NS, T0 + hours * HOUR, 90 * NS):
        messages.append(message)
        if rng.random() < 0.15:
            messages.append(
                msgspec.structs.replace(
                    signal(message.ts),
                    request_id=f"{len(messages)}",
                    source_name=rng.choice(["a", "b", "c"]),
                    symbol=rng.choice(symbols),
                    signal_direction=rng.choice([None, "BUY", "SELL"]),
                    signal_strength=round(rng.uniform(-0.1, 1.0), 2),
                    confidence_level=round(rng.random(), 2),
                    idempotency_key=rng.choice([None, None, "k1", "k2"]),
                    expires_in_s=rng.choice([None, 30.0, 600.0]),
                )
            )
        elif rng.random() < 0.02:
            messages.append(Pause(ts=message.ts, request_id=f"{len(messages)}"))
        elif rng.random() < 0.06:
            messages.append(Resume(ts=message.ts, request_id=f"{len(messages)}"))
    return messages


def busy_core() -> CoreSettings:
    agents = (agent("Score"), agent("Guard", limit=0.5), agent("Fixed", p=0.7), AgentSettings(name="record"))
    detectors = (detector("EveryClose", cooldown_s=3600.0, count=12), detector("EveryMove", cooldown_s=1800.0))
    return core(agents, detectors, outcome_horizon_s=900.0, learn_weights=True, quorum=2, calibrate_after=5)


def busy_engine() -> Engine:
    with_settings = busy_core()
    return Engine(with_settings, build_scorers(with_settings.scoring), session=1)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_messages_give_the_same_signals_bit_for_bit_and_after_a_restore_anywhere(seed: int) -> None:
    print("seed", seed)
    messages = [unpack_input(pack(message)) for message in busy(seed)]
    first, second = busy_engine(), busy_engine()
    rng = random.Random(seed)
    restores = set(rng.sample(range(200, len(messages)), 12))
    kinds: set[type] = set()
    for number, message in enumerate(messages):
        told = first.process(message)
        assert [pack(each) for each in second.process(message)] == [pack(each) for each in told], number
        kinds.update(type(each) for each in told)
        if number in restores:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(second.snapshot(full=True)))
            second = busy_engine()
            second.restore(state)
    assert set(SIGNALS) <= kinds
    assert first.signal_statistics() == second.signal_statistics()
    assert first.scorecards() == second.scorecards()
    assert first.signals() == second.signals()


def test_a_kill_forgets_nothing_that_was_stored() -> None:
    messages = busy(5, hours=3)
    engine = busy_engine()
    stored: list[Message] = []
    restores = set(random.Random(5).sample(range(300, len(messages)), 6))
    snapshot, since = engine.snapshot(full=True), 0
    for number, message in enumerate(messages):
        stored += [each for each in engine.process(message) if isinstance(each, SIGNALS)]
        if number % 97 == 0:
            snapshot, since = engine.snapshot(full=True), max(0, len(stored) - 40)  # some that it knows come again
        if number in restores:
            restored = busy_engine()
            restored.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot)))
            restored.restore_signals(stored[since:])
            ours, theirs = engine.judging.processor.book.snapshot(), restored.judging.processor.book.snapshot()
            for part in ("waiting", "register", "outcomes", "cards"):
                assert theirs[part] == ours[part], (number, part)


def test_after_a_kill_a_detector_keeps_the_silence_that_it_began() -> None:
    chosen = core(sure(0.2), (detector("EveryMove", cooldown_s=3600.0),))
    engine, session = started(chosen)
    engine.process(Tick(ts=engine.now + 61 * NS))
    snapshot = msgspec.msgpack.encode(engine.snapshot(full=True))
    run = list(session.run(engine.now, CLOSE, 2 * NS))
    told = feed(engine, run)
    assert len(of(SignalReceived, told)) > 1
    again = Engine(chosen, build_scorers(chosen.scoring), session=1)
    again.restore(msgspec.msgpack.decode(snapshot))
    again.restore_signals([each for each in told if isinstance(each, SIGNALS)])
    assert again.judging.watch.snapshot() == engine.judging.watch.snapshot()


def test_after_a_kill_the_same_signal_still_acts_once() -> None:
    engine, session = started(core())
    symbol = outside(engine)
    snapshot = engine.snapshot(full=True)
    told = engine.process(signal(engine.now, symbol=symbol, idempotency_key="k"))
    later = Engine(core(), build_scorers(core().scoring), session=2)
    later.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot)))
    changes = of(PortfolioChange, told)
    later.restore_book(changes[-1].after, changes)
    later.restore_signals([each for each in told if isinstance(each, SIGNALS)])
    later.restart(2)
    again = feed(later, [*session.start(later.now), signal(later.now + 20 * NS, symbol=symbol, idempotency_key="k")])
    repeated = one(SignalRepeated, again)
    assert (repeated.signal_id, repeated.status) == (one(SignalReceived, told).signal.id, "acted")
    assert of(SignalDecided, again) == []
