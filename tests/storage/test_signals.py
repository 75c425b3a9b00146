"""A signal's life on disk: every step, every opinion, the outcome; and what is sent out, and who may ask."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import func, select, text

from tests.storage.samples import HOUR, START, Books, execute, opened, writing
from zmart_stream.domain.commands import CommandDone
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxEntry, OutboxFilled, OutboxMoved
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.signals import (
    AgentOutcome,
    Decision,
    Opinion,
    Plan,
    Problem,
    Reason,
    Signal,
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SignalRejected,
    SignalRepeated,
    SignalSettled,
    SubmitSignal,
)
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage import statements, tables
from zmart_stream.storage.items import SnapshotTaken, UserRecord, UsersRecorded
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.signal_pages import State, newest

NAME = "A0USDTM"
STATES: tuple[State | None, ...] = (None, "pending", "processed")


def uuid(number: int) -> str:
    return str(UUID(int=number << 64 | 1 << 63))


def signal(number: int, **facts: Any) -> Signal:
    known = {
        "id": uuid(number),
        "source": "scanner",
        "owner": "t1",
        "who": "ann",
        "signal_type": "BREAKOUT",
        "strength": 0.8,
        "confidence": 0.7,
        "direction": "BUY",
        "symbol": NAME,
        "data": {"indicator": "RSI", "deep": [1, {"x": "\x00"}]},
        "received": START + number,
        "expires": START + number + 900 * 10**9,
        **facts,
    }
    return msgspec.convert(known, Signal)


def opinion(agent: str, p: float) -> Opinion:
    reasons = (Reason(code="score", numbers={"now": 71.5, "best": None, "up": True, "word": "x"}),)
    return Opinion(agent=agent, p=p, stance="approve" if p >= 0.5 else "reject", reasons=reasons, ages={"ticker": 0.25})


def life(of: Signal, *, approved: bool = True, change: PortfolioChange | None = None) -> list[Message]:
    """From arrival to the end."""
    at = of.received
    plan = Plan(action="ADD", symbol=NAME)
    opinions = (opinion("technical", 0.61), opinion("risk", 0.49), opinion("fit", 0.1 + 0.2))
    decision = Decision(
        approved=approved,
        reason="approved" if approved else "below_threshold",
        p=0.612345,
        approve_at=0.55,
        prior=0.58,
        confidence=0.7,
        is_calibrated=False,
        spoke=3,
        quorum=3,
        veto=None,
        dissent=0.125,
        weights={"technical": 1.0},
        plan=plan,
    )
    told: list[Message] = [
        SignalReceived(ts=at, signal=of),
        SignalEvaluated(ts=at + 1, signal=of, plan=plan, opinions=opinions),
        SignalDecided(ts=at + 2, signal=of, decision=decision, price=0.1, cost=0.002, due=at + 24 * HOUR),
    ]
    end: dict[str, Any] = {"ts": at + 3, "signal_id": of.id, "symbol": NAME}
    if approved and change is not None:
        told += [
            change,
            SignalEnded(**end, status="acted", reason="add", detail="in", change_id=change.id),
        ]
    elif approved:
        told += [SignalEnded(**end, status="no_action", reason="book_full", detail="all places")]
    return told


def settled(of: Signal, *, net: float = 0.0125) -> SignalSettled:
    return SignalSettled(
        ts=of.received + 24 * HOUR,
        signal_id=of.id,
        source=of.source,
        owner=of.owner,
        signal_type=of.signal_type,
        symbol=NAME,
        direction=of.direction,
        approved=True,
        since=of.received + 2,
        until=of.received + 24 * HOUR,
        price_then=0.1,
        price_now=0.102,
        gross=net + 0.002,
        cost=0.002,
        net=net,
        hit=net > 0,
        confidence=0.7,
        p=0.612345,
        brier=0.15,
        agents=(AgentOutcome(agent="risk", p=0.49, brier=0.26),),
    )


def stored(told: list[Message]) -> list[Message]:
    """What the signals' tables hold of it."""
    return [message for message in told if type(message).__name__.startswith("Signal")]


def entry(number: int, **facts: Any) -> OutboxEntry:
    known = {
        "id": uuid(number),
        "event_id": f"e{number}",
        "event_type": "portfolio_change",
        "endpoint": "hook",
        "payload": '{"a": "\x00"}',
        "created": 5,
        "next_attempt": 5 + number,
        **facts,
    }
    return msgspec.convert(known, OutboxEntry)


def test_a_life_comes_back_step_by_step(url: str) -> None:
    books, one = Books(), signal(1, idempotency_key="k1")
    change = books.change("add", [NAME], symbol_in=NAME, reason="signal", who=f"signal:{one.id}")
    told = life(one, change=change)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put(told)
                await writer.drain(180)
                writer.put([settled(one)])
                writer.put([*told, settled(one)])  # delivered again
            reader = StorageReader(database)
            found = await reader.signal(one.id)
            assert found is not None
            assert [(step["status"], step["reason"]) for step in found["steps"]] == [
                ("received", "received"), ("evaluated", "evaluated"), ("approved", "approved"), ("acted", "add"),
            ]  # fmt: skip
            assert [step["ts"] - one.received for step in found["steps"]] == [0, 1, 2, 3]
            assert [(said["agent"], said["p"]) for said in found["opinions"]] == [
                ("technical", 0.61), ("risk", 0.49), ("fit", 0.1 + 0.2),
            ]  # fmt: skip
            assert found["opinions"][0]["reasons"][0]["numbers"] == {"now": 71.5, "best": None, "up": True, "word": "x"}
            assert found["outcome"]["net"] == 0.0125
            assert found["outcome"]["agents"] == [{"agent": "risk", "p": 0.49, "brier": 0.26}]
            assert found["status"] == "acted"
            assert found["change_id"] == change.id
            assert found["signal_data"] == one.data
            assert found["decision"]["plan"]["action"] == found["action"] == "ADD"
            assert found["symbol_id"] == symbol_id(NAME)
            assert await reader.signal(uuid(99)) is None
            assert (await reader.load_state("1.0")).signals == (*stored(told), settled(one))

    asyncio.run(scenario())


def test_waiting_and_processed_signals_in_pages(url: str) -> None:
    signals = [signal(number, source="a" if number % 2 else "b", idempotency_key=f"k{number}") for number in range(9)]

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([SignalReceived(ts=one.received, signal=one) for one in signals[:3]])
                for one in signals[3:]:
                    writer.put(life(one, approved=one.source == "a"))
                writer.put([settled(signals[3]), settled(signals[5], net=-0.01)])
            reader = StorageReader(database)
            assert [row["id"] for row in await reader.signals(state="pending")] == [uuid(n) for n in (2, 1, 0)]
            assert [row["id"] for row in await reader.signals(2, 1, state="processed")] == [uuid(7), uuid(6)]
            processed = await reader.signals_and_count(2, 1, state="processed", source=None, symbol=None)
            assert processed == (await reader.signals(2, 1, state="processed"), 6)
            assert (await reader.signals_and_count(0, 0, state=None, source="a", symbol=None))[1] == 4
            assert len(await reader.signals(symbol=NAME)) == 9
            assert await reader.signals(symbol="NOUSDTM") == []
            facts = await reader.signal_statistics()
            assert facts["by_status"] == {"declined": 3, "no_action": 3, "received": 3}
            assert facts["by_source"]["a"] == {"no_action": 3, "received": 1}
            assert facts["by_type"] == {"BREAKOUT": {"declined": 3, "no_action": 3, "received": 3}}
            assert facts["outcomes"]["a"]["outcomes"] == 2
            assert facts["outcomes"]["a"]["hits"] == 1
            assert facts["latency_s"]["no_action"] == pytest.approx(3e-9)

    asyncio.run(scenario())


def test_a_refused_signal_is_kept_and_invents_no_contract(url: str) -> None:
    wrong = signal(1, strength=7.5, confidence=-1.0, symbol="NOSUCH" * 20, source="s" * 300, idempotency_key="k")
    problems = (Problem(field="signal_strength", value=7.5, rule="a number from 0 to 1"),)
    again = signal(2, idempotency_key="k")

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([SignalRejected(ts=START, signal=wrong, problems=problems)])
                writer.put(life(again))
            reader = StorageReader(database)
            found = await reader.signal(wrong.id)
            assert found is not None
            assert (found["status"], found["signal_strength"], found["symbol_id"]) == ("rejected", None, None)
            assert found["problems"] == [
                {"field": "signal_strength", "value": 7.5, "rule": "a number from 0 to 1", "code": "invalid"}
            ]
            assert [row["symbol"] for row in await reader.symbols()] == [NAME]
            rejected = (await reader.load_state("1.0")).signals[0]
            assert isinstance(rejected, SignalRejected)
            assert rejected.problems == problems

    asyncio.run(scenario())


def test_a_key_used_again_after_its_day_is_the_later_signals(url: str) -> None:
    """The core remembers a key for a day; the database must not end the daemon over one that is older."""
    first, later = signal(1, idempotency_key="k"), signal(2, idempotency_key="k", received=START + 30 * HOUR)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put(life(first))
                writer.put(life(later))
            reader = StorageReader(database)
            keys = {row["id"]: row["idempotency_key"] for row in await reader.signals()}
            assert keys == {first.id: None, later.id: "k"}
            with pytest.raises(Exception, match=r"(?i)unique"):
                await execute(database, text("UPDATE signals SET idempotency_key = 'k'"))

    asyncio.run(scenario())


def test_a_key_is_its_sources(url: str) -> None:
    """Two bots of one token may count their orders alike: each keeps its key, also in one batch."""
    one = signal(1, idempotency_key="order-1", source="a")
    other = signal(2, idempotency_key="order-1", source="b")
    third = signal(3, idempotency_key="order-1", source="c")

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([*life(one), *life(other)])
            async with writing(database) as writer:
                writer.put(life(third))
            keys = {row["id"]: row["idempotency_key"] for row in await StorageReader(database).signals()}
            assert keys == {each.id: "order-1" for each in (one, other, third)}

    asyncio.run(scenario())


def test_signals_are_no_operators_actions(url: str) -> None:
    one = signal(1)
    asked = SubmitSignal(
        ts=1, request_id="r1", owner="t1", source_name="s", signal_type="X", signal_strength=1, confidence_level=1
    )
    repeated = SignalRepeated(
        ts=3, signal_id=one.id, request_id="r2", by="key", first=1, status="received", approved=None, p=None,
        action=None, symbol=NAME,
    )  # fmt: skip

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([asked])
                await writer.drain(180)
                received = SignalReceived(ts=1, signal=one, request_id="r1")
                writer.put([received, CommandDone(ts=1, request_id="r1", accepted=True)])
                writer.put([repeated, CommandDone(ts=3, request_id="r2", accepted=True)])
                writer.put([CommandDone(ts=4, request_id="r3", accepted=True)])
            assert [row["request_id"] for row in await StorageReader(database).actions()] == ["r3"]

    asyncio.run(scenario())


def test_a_start_learns_of_signals_after_the_snapshot(url: str) -> None:
    before, after = life(signal(1), approved=False), life(signal(2))

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([*before, SnapshotTaken(ts=START, state={"n": 1})])
                writer.put(after)
            state = await StorageReader(database).load_state("1.0")
            assert list(state.signals) == [*before, *after]  # some from before it for a core that it does not fit

    asyncio.run(scenario())


def test_the_outbox_is_written_with_what_it_tells_of(url: str) -> None:
    entries = tuple(entry(n, event_id=f"e{n % 2}", endpoint=f"hook{n // 2}") for n in range(4))
    sent = msgspec.structs.replace(entries[0], state="delivered", attempts=1, done=9)
    failed = msgspec.structs.replace(entries[1], attempts=1, next_attempt=99, last_error="timed out")

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([OutboxFilled(ts=1, entries=entries)])
                writer.put([OutboxFilled(ts=1, entries=entries)])
                writer.put([OutboxMoved(ts=2, entries=(sent, failed))])
            reader = StorageReader(database)
            waiting = await reader.outbox(limit=2)
            assert [entry.id for entry in waiting] == [uuid(2), uuid(3)]
            assert {entry.id: entry for entry in await reader.outbox()}[uuid(1)].last_error == "timed out"
            assert await reader.outbox_counts() == {"pending": 3, "delivered": 1, "dead": 0}

    asyncio.run(scenario())


def test_a_name_is_given_anew_once_it_is_revoked(url: str) -> None:
    old = UserRecord(id="a1", name="ops", scopes=("read", "operate"), token_hash="0" * 64, created=START)
    new = UserRecord(id="a2", name="ops", scopes=("read",), token_hash="1" * 64, created=START + 10**9)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([UsersRecorded(ts=1, users=(old,))])
                gone = msgspec.structs.replace(old, revoked=START + 10**9)
                writer.put([UsersRecorded(ts=2, users=(new, gone))])
            assert await StorageReader(database).users() == (gone, new)

    asyncio.run(scenario())


def test_what_belongs_to_a_signal_goes_with_it(url: str) -> None:
    one = signal(1)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([*life(one), settled(one)])
            await execute(database, text("DELETE FROM signals"))
            async with database.reading() as connection:
                for table in (tables.signal_steps, tables.signal_evaluations, tables.signal_outcomes):
                    assert (await connection.execute(select(func.count()).select_from(table))).scalar() == 0

    asyncio.run(scenario())


def test_pages_and_keys_are_found_by_index(tmp_path: Path) -> None:
    """A year of signals is read by a page, never from one end to the other."""

    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path / 'zmart.db'}") as database, database.reading() as connection:
            asked: list[tuple[Any, dict[str, Any]]] = [
                (statements.RELEASE_KEY, {"whose": "t1", "key": "k", "other": uuid(1)}),
                *((newest(state, source, None).limit(10), {}) for state in STATES for source in (None, "scanner")),
            ]
            for statement, values in asked:
                compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
                given = {**compiled.params, **values}
                bound = tuple(given[name] for name in compiled.positiontup)
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", bound)
                told = [row[3] for row in plan]
                assert not any(line.startswith("SCAN") and "INDEX" not in line for line in told), (str(compiled), told)

    asyncio.run(scenario())
