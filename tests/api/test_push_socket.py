"""The websocket: what it hears, what it is refused, and what becomes of those who send or read what they should not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from tests.api.desk import SAFETY_S, SYMBOLS, Desk
from tests.api.listening import T0, Line, feed, frame, listening, score, upgraded
from tests.api.test_push import pushing, until
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits, PushLimits
from zmart_stream.api.push import events
from zmart_stream.domain.portfolio import HoldChanged

FIRST, SECOND = list(SYMBOLS)[:2]


def address(at: Desk) -> str:
    return f"http://127.0.0.1:{at.port}{PREFIX}/ws"


@asynccontextmanager
async def dialled(at: Desk) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(address(at)) as socket:
        yield socket


async def said(socket: aiohttp.ClientWebSocketResponse, **content: object) -> dict:
    await socket.send_json(content)
    found = await socket.receive_json(timeout=SAFETY_S)
    assert isinstance(found, dict)
    return found


def test_a_websocket_hears_what_it_subscribes_to(tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub), dialled(at) as socket:
            assert await said(socket, action="ping") == {"event": "pong", "data": {}}
            wanted = await said(socket, action="subscribe", types=["score_update"], symbols=[FIRST])
            assert wanted == {"event": "subscribed", "data": {"score_update": [FIRST]}}
            assert (await said(socket, action="subscribe", types=["hold"]))["data"]["hold"] is None
            everything = [score(SECOND, 1.0), score(FIRST, 2.0), HoldChanged(ts=T0, on=True, reason="r")]
            events.tell(hub, everything)
            first, second = [await socket.receive_json(timeout=SAFETY_S) for _ in range(2)]
            assert (first["event"], first["id"], first["data"]["new_score"]) == (
                "score_update",
                f"{hub.session}-2",
                2.0,
            )
            assert (second["event"], second["data"]["on"]) == ("hold", True)
            left = await said(socket, action="unsubscribe", types=["score_update"], symbols=[FIRST])
            assert left["data"] == {"hold": None}
            events.tell(hub, everything)
            assert (await socket.receive_json(timeout=SAFETY_S))["event"] == "hold"

    asyncio.run(scenario())


def test_a_websocket_gets_events_of_every_length_whole_and_in_order(tmp_path) -> None:
    """Frames state their length in one, three or nine bytes."""

    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub), dialled(at) as socket:
            await said(socket, action="subscribe")
            sizes = [125, 126, 127, 128, 65_535, 65_536, 125]
            empty = len(f'{{"event":"hold","id":"{hub.session}-1","data":{{"on":""}}}}')
            for size in sizes:
                hub.publish("hold", (), {"on": "x" * (size - empty)})
            for number, size in enumerate(sizes, 1):
                text = (await socket.receive(SAFETY_S)).data
                assert len(text) == size
                assert json.loads(text)["id"] == f"{hub.session}-{number}"

    asyncio.run(scenario())


def test_a_websocket_that_reads_late_is_told_of_what_it_missed(tmp_path) -> None:
    async def scenario() -> None:
        push = PushLimits(ring=64, deadline_s=SAFETY_S, heartbeat_s=SAFETY_S)
        async with pushing(tmp_path, push) as (at, hub), upgraded(at.port) as line:
            line.writer.write(frame(1, b'{"action": "subscribe"}'))
            await read_frame(line)
            told = 0
            while not hub.dropped:
                events.tell(hub, [feed(f"{told + n:06} " + "x" * 4000) for n in range(16)])
                told += 16
                await asyncio.sleep(0.001)
            events.tell(hub, [feed(f"{told:06}")])
            numbers, dropped = [], 0
            while not numbers or numbers[-1] != told:
                found = json.loads(await read_frame(line))
                if found["event"] == "dropped":
                    dropped += found["data"]["count"]
                else:
                    numbers.append(int(found["data"]["reason"][:6]))
            assert numbers == sorted(set(numbers))
            assert dropped == hub.dropped == told + 1 - len(numbers) > 0

    asyncio.run(scenario())


async def read_frame(line: Line) -> bytes:
    """The next message of a server: it masks nothing."""
    async with asyncio.timeout(SAFETY_S):
        size = (await line.reader.readexactly(2))[1]
        if size > 125:
            size = int.from_bytes(await line.reader.readexactly(2 if size == 126 else 8))
        return await line.reader.readexactly(size)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "bad_request"),
        ("[" * 10_000, "bad_request"),
        ('{"action": "drop"}', "bad_request"),
        ('{"action": "subscribe", "admin": true}', "bad_request"),
        ('{"action": "subscribe", "types": ["scores"]}', "bad_query"),
        (
            '{"action": "subscribe", "types": ["hold", "hold", "hold", "hold", "hold", "hold", "hold", "hold"]}',
            "bad_request",
        ),
        ('{"action": "subscribe", "symbols": ["NOSUCHUSDTM"]}', "unknown_symbol"),
        (json.dumps({"action": "subscribe", "symbols": ["A"] * 1001}), "bad_request"),
    ],
)
def test_a_websocket_answers_nonsense_with_a_problem_and_goes_on(text, code, tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, _), dialled(at) as socket:
            await socket.send_str(text)
            found = await socket.receive_json(timeout=SAFETY_S)
            assert (found["event"], found["data"]["code"]) == ("error", code)
            assert (await said(socket, action="ping"))["event"] == "pong"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("message", "closed"), [("x" * 17_000, 1009), (b"binary", 1003), (None, 1008)], ids=["large", "binary", "flood"]
)
def test_a_websocket_is_closed_on_what_is_too_much(message, closed, tmp_path) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=20)
        async with pushing(tmp_path, limits=limits) as (at, hub), dialled(at) as socket:
            if message is None:
                for _ in range(40):
                    await socket.send_str('{"action": "ping"}')
            else:
                await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
            async with asyncio.timeout(SAFETY_S):
                while not socket.closed:
                    await socket.receive()
            assert socket.close_code == closed
            await until(lambda: hub.clients == 0)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"Origin": "https://evil.example"}, "", 403),
        ({"Origin": "null"}, "", 403),
        ({"Host": "evil.example"}, "", 421),
        ({"Authorization": "Bearer wrong"}, "", 401),
        ({}, "?token=x", 401),
    ],
)
@pytest.mark.parametrize("path", ["ws", "stream"])
def test_strangers_are_refused_before_anything_is_accepted(path, headers, query, status, tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub), aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"http://127.0.0.1:{at.port}{PREFIX}/{path}{query}", headers=headers)
            assert refused.value.status == status
            assert hub.clients == 0

    asyncio.run(scenario())


def test_a_websocket_that_never_reads_is_cut(tmp_path) -> None:
    async def scenario() -> None:
        push = PushLimits(ring=64, deadline_s=0.1)
        async with pushing(tmp_path, push) as (at, hub):
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port, limit=4096)
            head = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
            writer.write(
                f"GET {PREFIX}/ws HTTP/1.1\r\nHost: localhost\r\n{head}\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            wanted = b'{"action": "subscribe"}'
            writer.write(bytes([0x81, 0x80 | len(wanted), 0, 0, 0, 0]) + wanted)  # a mask of noughts changes nothing
            async with asyncio.timeout(SAFETY_S):
                while hub.clients:
                    events.tell(hub, [feed("x" * 4000) for _ in range(16)])
                    await asyncio.sleep(0.001)
            await until(lambda: at.running.gate.open == 0)
            writer.close()

    asyncio.run(scenario())


def test_a_thousand_openings_leave_room_for_requests(tmp_path) -> None:
    async def scenario() -> None:
        push = PushLimits(clients=8, clients_per_caller=8)
        async with pushing(tmp_path, push) as (at, hub), AsyncExitStack() as stack, aiohttp.ClientSession() as session:
            refused = 0
            for _ in range(1000):
                try:
                    await stack.enter_async_context(session.ws_connect(address(at)))
                except aiohttp.WSServerHandshakeError as error:
                    refused += error.status == 503
            assert (refused, hub.clients) == (992, 8)
            assert (await at.ask("GET", "status")).status == 200

    asyncio.run(scenario())


def test_a_websocket_path_without_an_upgrade_is_a_bad_request(tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, _):
            found = await at.ask("GET", "ws")
            assert (found.status, found.code) == (400, "bad_request")
            for path in ("ws", "stream"):
                assert (await at.ask("POST", path)).status == 405

    asyncio.run(scenario())


def test_closing_ends_streams_at_once(tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub), listening(at.port) as ear:
            async with aiohttp.ClientSession() as session, session.ws_connect(address(at)) as socket:
                closing = asyncio.create_task(at.running.close())
                assert (await socket.receive(SAFETY_S)).type is aiohttp.WSMsgType.CLOSE
                assert socket.close_code == 1001
                with pytest.raises(EOFError):
                    await ear.event()
                await closing
            assert hub.clients == 0

    asyncio.run(scenario())
