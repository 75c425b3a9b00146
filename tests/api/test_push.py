"""The stream and the websocket: what is told, to whom, in which order, and what becomes of those who do not read."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.api.desk import SAFETY_S, SYMBOLS, Desk, desk
from tests.api.listening import T0, Ear, feed, listening, score
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits, PushLimits
from zmart_stream.api.openapi_endless import EVENTS
from zmart_stream.api.push import events
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.wants import TYPES
from zmart_stream.domain.commands import Reconfigured
from zmart_stream.domain.portfolio import HoldChanged, Holding, Portfolio, PortfolioChange
from zmart_stream.domain.signals import (
    Decision,
    Plan,
    Problem,
    Signal,
    SignalDecided,
    SignalEnded,
    SignalReceived,
    SignalRejected,
)

CHECKOUT = Path(__file__).resolve().parents[2]
FIRST, SECOND = list(SYMBOLS)[:2]


@asynccontextmanager
async def pushing(folder: Path, push: PushLimits | None = None, **more: object) -> AsyncIterator[tuple[Desk, Hub]]:
    """A server with a hub of these limits."""
    hub = Hub(push)
    async with desk(folder, push=hub, **more) as at:
        yield at, hub


async def until(condition) -> None:
    """Give the loop turns until it is so."""
    async with asyncio.timeout(SAFETY_S):
        while not condition():  # noqa: ASYNC110 - what it waits for are counts, not events
            await asyncio.sleep(0.005)


def signal() -> Signal:
    return Signal(
        id="s1", source="bot", owner="o", who="w", signal_type="BREAKOUT", strength=0.9, confidence=0.8,
        direction="BUY", symbol=FIRST, received=T0, expires=T0 + 10**9,
    )  # fmt: skip


def of_every_kind() -> list:
    decision = Decision(
        approved=True, reason="approved", p=0.7, approve_at=0.55, prior=0.5, confidence=0.8, is_calibrated=False,
        spoke=3, quorum=3, veto=None, dissent=0.1, weights={},
        plan=Plan(action="REPLACE", symbol=FIRST, symbol_out=SECOND),
    )  # fmt: skip
    book = Portfolio(holdings=(Holding(id="h", symbol=FIRST, rank=1, weight=10.0, since=T0, score=70.0),), cash=90.0)
    return [
        score(FIRST, 71.5, 70.0),
        PortfolioChange(
            ts=T0, id="c", kind="replace", reason="replace", symbol_in=FIRST, symbol_out=SECOND,
            before=Portfolio(), after=book, revision=1,
        ),
        SignalReceived(ts=T0, signal=signal()),
        SignalRejected(ts=T0, signal=signal(), problems=(Problem(field="f", value=2.0, rule="at most 1"),)),
        SignalEnded(ts=T0, signal_id="s1", status="acted", reason="replace", change_id="c"),
        SignalDecided(ts=T0, signal=signal(), decision=decision, price=1.0, cost=0.001, due=T0),
        feed("lost"),
        HoldChanged(ts=T0, on=True, reason="venue"),
        Reconfigured(ts=T0, revision=2, changed=("portfolio.max_symbols",)),
    ]  # fmt: skip


def test_every_type_is_told_with_the_documented_fields(tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub), listening(at.port) as ear:
            assert "content-type: text/event-stream" in ear.head
            events.tell(hub, of_every_kind())
            heard = await ear.events(len(of_every_kind()))
        assert {event.kind for event in heard} == set(TYPES)
        first, change = heard[0].data, heard[1].data
        assert first["symbol"] == FIRST
        assert (first["new_score"], first["old_score"], first["change"]) == (71.5, 70.0, 1.5)
        assert first["timestamp"] == "2025-10-09T08:53:20.000Z"
        assert (change["type"], change["symbol"]) == ("replace", FIRST)
        assert change["details"]["before"]["holdings"] == []
        assert change["details"]["after"]["holdings"][0]["symbol"] == FIRST
        text = (CHECKOUT / "docs" / "api.md").read_text()
        rows = dict(re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|", text, re.MULTILINE))
        assert rows.keys() == set(TYPES)
        for event in heard:
            assert list(event.data) == re.findall(r"`(\w+)`", rows[event.kind]), event.kind
            assert tuple(event.data) == EVENTS[event.kind], event.kind

    asyncio.run(scenario())


def test_a_stream_brings_what_it_was_asked_for(tmp_path) -> None:
    async def scenario() -> None:
        async with (
            pushing(tmp_path) as (at, hub),
            listening(at.port, f"?types=score_update,hold&symbols={SECOND}") as ear,
        ):
            everything = [score(FIRST, 1.0), feed("x"), score(SECOND, 2.0), HoldChanged(ts=T0, on=True, reason="r")]
            events.tell(hub, everything)
            assert [(e.kind, e.id) for e in await ear.events(2)] == [
                ("score_update", f"{hub.session}-3"),
                ("hold", f"{hub.session}-4"),
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?types=score_updates", 400, "bad_query"),
        ("?symbols=NOSUCHUSDTM", 404, "unknown_symbol"),
        ("?symbols=..%2f", 400, "bad_symbol"),
        ("?kinds=hold", 400, "bad_query"),
        ("?token=x", 401, "unauthorised"),
    ],
)
def test_a_stream_that_cannot_be_had_is_a_problem(query, status, code, tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub):
            found = await at.ask("GET", f"stream{query}")
            assert (found.status, found.code) == (status, code)
            assert hub.clients == 0

    asyncio.run(scenario())


def test_a_client_that_comes_back_hears_what_it_missed_and_nothing_twice(tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub):
            async with listening(at.port) as ear:
                events.tell(hub, [score(FIRST, float(n)) for n in range(10)])
                last = (await ear.events(4))[-1]
            async with listening(at.port, "", f"Last-Event-ID: {last.id}") as ear:
                events.tell(hub, [score(FIRST, 10.0)])
                assert [event.data["new_score"] for event in await ear.events(7)] == [float(n) for n in range(4, 11)]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("said", "reason", "missed", "first"),
    [
        ("{session}-3", "too_old", 21, 25),
        ("00000000-3", "restarted", None, 25),
        ("{session}-99", "unknown_id", None, 41),
        ("' OR 1=1--", "unknown_id", None, 41),
        ("\u00e9" * 40, "unknown_id", None, 41),
        ("x" * 5000, "unknown_id", None, 41),
    ],
)
def test_an_id_that_cannot_be_resumed_is_said(said, reason, missed, first, tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, PushLimits(ring=16)) as (at, hub):
            events.tell(hub, [score(FIRST, float(n)) for n in range(1, 41)])
            async with listening(at.port, "", f"Last-Event-ID: {said.format(session=hub.session)}") as ear:
                reset = await ear.event()
                assert (reset.kind, reset.data) == ("reset", {"reason": reason, "missed": missed})
                if first == 41:
                    events.tell(hub, [score(FIRST, 41.0)])
                assert (await ear.event()).id == f"{hub.session}-{first}"

    asyncio.run(scenario())


def test_who_does_not_read_is_told_of_the_gap_and_gets_the_newest(tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, PushLimits(ring=64, deadline_s=SAFETY_S)) as (at, hub), listening(at.port) as ear:
            told = 0
            while not hub.dropped:
                events.tell(hub, [feed(f"{told + n:06} " + "x" * 4000) for n in range(16)])
                told += 16
                await asyncio.sleep(0.001)
            numbers, dropped = [], 0
            events.tell(hub, [feed(f"{told:06}")])
            while not numbers or numbers[-1] != told:
                event = await ear.event()
                if event.kind == "dropped":
                    dropped += event.data["count"]
                else:
                    numbers.append(int(event.data["reason"][:6]))
            assert numbers == sorted(set(numbers))
            assert dropped == hub.dropped == told + 1 - len(numbers) > 0

    asyncio.run(scenario())


def test_who_never_reads_is_cut_at_the_deadline(tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, PushLimits(ring=64, deadline_s=0.1)) as (at, hub), listening(at.port):
            async with asyncio.timeout(SAFETY_S):
                while hub.clients:
                    events.tell(hub, [feed("x" * 4000) for _ in range(16)])
                    await asyncio.sleep(0.001)
            await until(lambda: at.running.gate.open == 0)
            assert hub.clients == 0

    asyncio.run(scenario())


def test_clients_are_capped_by_themselves_and_room_comes_back(tmp_path) -> None:
    async def scenario() -> None:
        push = PushLimits(clients=4, clients_per_caller=2)
        async with pushing(tmp_path, push, limits=Limits(max_connections_per_address=2)) as (at, hub):
            async with listening(at.port), listening(at.port):
                assert at.running.gate.open == 0, "streams are not counted among the connections of requests"
                found = await at.ask("GET", "stream")
                assert (found.status, found.code) == (503, "busy")
                assert (await at.ask("GET", "status")).status == 200
            await until(lambda: hub.clients == 0)
            async with listening(at.port) as ear:
                assert ear.status == 200

    asyncio.run(scenario())


def test_silence_is_filled_and_a_revoked_token_ends_the_stream(tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, PushLimits(heartbeat_s=0.05)) as (at, hub):
            made, secret = at.tokens.create("desk", ["read"])
            async with listening(at.port, "", f"Authorization: Bearer {secret}") as ear:
                next_event = asyncio.create_task(ear.event())
                await until(lambda: ear.comments > 2)
                at.tokens.revoke(made.id)
                with pytest.raises(EOFError):
                    await next_event
            assert hub.clients == 0

    asyncio.run(scenario())


def test_readers_get_everything_in_order_beside_clients_that_never_read(tmp_path) -> None:
    """60 clients of which 10 never read, telling costs the same as for none, and those ten are cut."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    count = 1200

    async def follow(ear: Ear) -> list[str]:
        return [(await ear.event()).data["reason"][:6] for _ in range(count)]

    async def scenario() -> None:
        limits = PushLimits(ring=4096, clients=60, clients_per_caller=60, deadline_s=4.0)
        async with pushing(tmp_path, limits) as (at, hub), AsyncExitStack() as stack:
            rooms = [None] * 50 + [4096] * 10
            ears = [await stack.enter_async_context(listening(at.port, room=room)) for room in rooms]
            reading = [asyncio.create_task(follow(ear)) for ear in ears[:50]]
            told = 0
            while told < count:
                burst = min(chance.randint(1, 60), count - told)
                events.tell(hub, [feed(f"{told + n:06}" + "x" * 400) for n in range(burst)])
                told += burst
                await asyncio.sleep(0.002)
            for heard in await asyncio.gather(*reading):
                assert heard == [f"{n:06}" for n in range(count)]
            assert hub.dropped == 0
            # what is not read waits in the ring alone: no client holds more than its own two buffers
            await until(lambda: hub.clients == 50)

    asyncio.run(scenario())


def test_a_client_of_http_1_0_gets_the_events_as_they_are(tmp_path) -> None:
    """It knows no chunks: what it reads to the end of the connection is the stream."""

    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub):
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            async with asyncio.timeout(SAFETY_S):
                writer.write(f"GET {PREFIX}/stream HTTP/1.0\r\nHost: 127.0.0.1:{at.port}\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"chunked" not in head.lower()
                assert await reader.readuntil(b"\n\n") == b"retry: 2000\n\n"
                events.tell(hub, [score(FIRST, 1.0), score(SECOND, 2.0)])
                for event in hub.ring.read(1, 2):
                    assert await reader.readuntil(b"\n\n") == event.sse
            writer.close()

    asyncio.run(scenario())


def test_a_ring_keeps_the_newest() -> None:
    hub = Hub(PushLimits(ring=3))
    assert (hub.ring.oldest, hub.ring.read(1, 9)) == (1, [])
    for _ in range(5):
        hub.publish("hold", (), {})
    assert hub.ring.oldest == 3
    assert [event.number for event in hub.ring.read(1, 2)] == []
    assert [event.number for event in hub.ring.read(3, 2)] == [3, 4]
    assert [event.number for event in hub.ring.read(4, 9)] == [4, 5]
