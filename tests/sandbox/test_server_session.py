"""The rules of a websocket session, over real sockets; durations are shortened by settings."""

import asyncio
import socket as sockets
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.sandbox.venue_client import HOUR_S, Bench, Socket, venue

TICKER = "/contractMarket/tickerV2:XBTUSDTM"


def _many(number: int) -> str:
    return "/contractMarket/tickerV2:" + ",".join(f"C{at}USDTM" for at in range(number))


def test_acks_come_only_when_asked_for_and_ids_are_echoed() -> None:
    async def run() -> None:
        async with venue() as bench:
            socket = await bench.connect()
            await socket.send(id=1, type="subscribe", topic=TICKER, response=False)
            assert (await socket.frame())["topic"] == TICKER
            assert await socket.ask(id=7, type="unsubscribe", topic=TICKER, response=True) == {"id": 7, "type": "ack"}
            pong = await socket.ask(id="901", type="ping")
            assert list(pong) == ["id", "type", "timestamp"]
            now_us = bench.server.clock.now() // 1000
            assert 0 <= now_us - pong["timestamp"] < 600_000_000

    asyncio.run(run())


def test_unknown_symbols_are_acked_and_silent_and_a_second_subscribe_adds_no_stream() -> None:
    async def run() -> None:
        async with venue() as bench:
            socket = await bench.connect("/contractMarket/tickerV2:NOPEUSDTM,XBTUSDTM", TICKER, TICKER)
            seen = [await socket.push(TICKER) for _ in range(10)]
            assert [frame["sn"] for frame in seen] == sorted({frame["sn"] for frame in seen})
            (row,) = (await bench.state())["connections"]
            assert row["subscriptions"] == ["/contractMarket/tickerV2:NOPEUSDTM", TICKER]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("frame", "code", "text"),
    [
        ({"type": "subscribe", "topic": "/contractMarket/unheardOf:XBTUSDTM"}, 404, "topic does not exist"),
        ({"type": "subscribe", "topic": "/contractMarket/level2Depth20:XBTUSDTM"}, 404, "topic does not exist"),
        ({"type": "subscribe", "topic": "/contractMarket/tickerV2"}, 400, "topic is invalid"),
        ({"type": "subscribe", "topic": "/contractMarket/limitCandle:XBTUSDTM_2min"}, 400, "topic is invalid"),
        ({"type": "subscribe"}, 406, "topic is required"),
        ({"type": "subscribe", "topic": TICKER, "privateChannel": True}, 403, "login is required"),
        ({"type": "subscribe", "topic": "/contractAccount/wallet"}, 403, "login is required"),
        ({"type": "dance"}, 415, "type is not supported"),
        (
            {"type": "subscribe", "topic": _many(101)},
            509,
            "exceed max subscription count limitation of 100 per time",
        ),
    ],
)
def test_refused_requests_carry_their_id_and_an_integer_code(frame: dict[str, Any], code: int, text: str) -> None:
    async def run() -> None:
        async with venue() as bench:
            socket = await bench.connect()
            answer = await socket.ask(id="q", response=True, **frame)
            assert answer == {"id": "q", "type": "error", "code": code, "data": text}

    asyncio.run(run())


@pytest.mark.parametrize("closes", [False, True])
def test_a_frame_that_is_not_json_gets_a_parser_message(closes: bool) -> None:
    async def run() -> None:
        async with venue(unknowns={"bad_json_closes": closes}) as bench:
            socket = await bench.connect()
            await socket.ws.send_str("hello there")
            answer = await socket.frame()
            assert answer["code"] == 400
            assert answer["data"].startswith("Unrecognized token 'hello'")
            assert len(answer["id"]) == 24
            if closes:
                assert await socket.frame() == {}
            else:
                assert (await socket.ask(id="1", type="ping"))["type"] == "pong"
                await socket.ws.send_str("[" * 50_000)
                assert (await socket.frame())["code"] == 400

    asyncio.run(run())


@pytest.mark.parametrize("limit", [100, 300, 400])
def test_the_session_limit_is_a_setting_and_the_factor_multiplies_it(limit: int) -> None:
    async def run() -> None:
        async with venue(limits={"subscriptions": limit // 2}, quota_factor=2) as bench:
            socket = await bench.connect(*[_many(100).replace("C", f"{part}C") for part in range(limit // 100)])
            answer = await socket.subscribe(TICKER)
            assert (answer["code"], answer["data"]) == (
                509,
                f"exceed max subscription count limitation of {limit} per session",
            )

    asyncio.run(run())


def test_errors_may_hang_on_response_too() -> None:
    async def run() -> None:
        async with venue(unknowns={"errors_need_response": True}) as bench:
            socket = await bench.connect()
            await socket.send(id="quiet", type="subscribe", topic="/nothing:X", response=False)
            assert (await socket.ask(id="after", type="ping"))["id"] == "after"
        async with venue() as bench:
            socket = await bench.connect()
            await socket.send(id="loud", type="subscribe", topic="/nothing:X", response=False)
            assert (await socket.frame())["id"] == "loud"

    asyncio.run(run())


def test_too_many_client_messages_end_the_connection() -> None:
    async def run() -> None:
        async with venue(limits={"messages": 3}) as bench:
            socket = await bench.connect()
            for number in range(4):
                await socket.send(id=str(number), type="ping")
            frames = await socket.drained()
            assert [frame["type"] for frame in frames] == ["pong", "pong", "pong", "error"]
            assert (frames[-1]["code"], frames[-1]["data"]) == (509, "exceed max permits per second")
            assert (socket.ws.close_code, socket.close_reason) == (1000, "Bye")

    asyncio.run(run())


@pytest.mark.parametrize("form", ["error", "close", "drop"])
def test_idle_is_counted_on_client_frames_and_cut_in_three_forms(form: str) -> None:
    async def run() -> None:
        # a fast venue streams much while a client is idle, also where the machine stands still for a part of it
        async with venue(speed=240, transport={"idle_cut_s": 1.0, "idle_cut_form": form}) as bench:
            socket = await bench.connect(TICKER)
            await socket.ws.ping()  # of the protocol: does not count
            frames = await socket.drained()
            assert any(frame.get("topic") == TICKER for frame in frames)  # it was streaming all the while
            errors = [frame for frame in frames if frame["type"] == "error"]
            if form == "error":
                assert errors == [{"type": "error", "code": 400, "data": "ping timeout"}]
            else:
                assert errors == []
            assert (socket.ws.close_code, socket.close_reason) == ((1006, "") if form == "drop" else (1000, "Bye"))

    asyncio.run(run())


def test_a_client_that_pings_is_not_cut_before_the_end_of_the_connection() -> None:
    async def run() -> None:
        async with venue(transport={"idle_cut_s": 3.0, "connection_life_s": 4.5, "life_cut_code": 1001}) as bench:
            socket = await bench.connect()
            pongs = 0
            while frame := await socket.frame() if pongs else {"type": "pong"}:
                pongs += frame["type"] == "pong"
                await asyncio.sleep(0.1)
                if not socket.ws.closed:
                    await socket.send(id="1", type="ping")
            assert pongs > 1
            assert socket.ws.close_code == 1001

    asyncio.run(run())


async def _refused(bench: Bench, token: str) -> tuple[Socket, list[dict[str, Any]]]:
    socket = await bench.dial(token)
    return socket, await socket.drained()


def test_tokens_expire_and_invented_ones_are_refused_after_the_upgrade() -> None:
    async def run() -> None:
        async with venue(transport={"token_life_s": HOUR_S}) as bench:
            token = (await bench.token())["token"]
            assert set("-_=.") <= set(token)
            assert (await bench.token())["token"] != token
            assert (await (await bench.dial(token)).frame())["type"] == "welcome"
            bench.later(HOUR_S)
            for spoiled, text in ((token, "token is expired"), ("invented", "token is invalid")):
                socket, (error,) = await _refused(bench, spoiled)
                assert (error["type"], error["code"], error["data"]) == ("error", 401, text)
                assert socket.ws.close_code == 1000
        async with venue(unknowns={"malformed_token": "http"}) as bench:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await bench.dial("invented")
            assert refused.value.status == 401

    asyncio.run(run())


@pytest.mark.parametrize("limits", [{"dials": 2}, {"connections": 2}])
def test_dials_and_connections_are_limited(limits: dict[str, int]) -> None:
    async def run() -> None:
        async with venue(limits=limits) as bench:
            held = [await bench.connect() for _ in range(2)]
            _, (error,) = await _refused(bench, (await bench.token())["token"])
            assert error["code"] == 509
            assert ("service busy" if "dials" in limits else "max session count limitation of 2") in error["data"]
            assert all(not socket.ws.closed for socket in held)
        async with venue(limits=limits, unknowns={"excess_connection": "http"}) as bench:
            held = [await bench.connect() for _ in range(2)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await bench.dial()
            assert refused.value.status == 429

    asyncio.run(run())


def test_tunnels_mark_their_pushes() -> None:
    async def run() -> None:
        async with venue(limits={"tunnels": 1}) as bench:
            socket = await bench.connect()
            ask = {"type": "openTunnel", "response": True}
            assert (await socket.ask(id="a", newTunnelId="t1", **ask))["type"] == "ack"
            assert (await socket.ask(id="b", newTunnelId="t2", **ask))["code"] == 509
            await socket.ask(id="c", type="subscribe", topic=TICKER, tunnelId="t1", response=True)
            push = await socket.push(TICKER)
            assert push["tunnelId"] == "t1"
            assert (await socket.ask(id="d", type="closeTunnel", tunnelId="t1", response=True))["type"] == "ack"

    asyncio.run(run())


def test_large_frames_are_compressed_where_the_client_offers_it() -> None:
    async def run() -> None:
        topic = "/contractMarket/level2Depth50:XBTUSDTM"
        async with venue() as bench:
            plain, packed = await bench.connect(topic), await bench.connect(topic, compress=15)
            for socket in (plain, packed):
                assert len((await socket.push(topic))["data"]["bids"]) == 50
            assert [row["compressed"] for row in (await bench.state())["connections"]] == [False, True]

    asyncio.run(run())


def test_pongs_without_a_time_and_unanswered_protocol_pings() -> None:
    async def run() -> None:
        async with venue(unknowns={"pong_timestamp": False, "answers_protocol_pings": False}) as bench:
            socket = await bench.connect(autoping=False)
            await socket.ws.ping(b"x")
            message = b""
            await socket.send(id="1", type="ping")
            message = (await socket.ws.receive()).data
            assert msgspec.json.decode(message) == {"id": "1", "type": "pong"}
        async with venue() as bench:
            socket = await bench.connect(autoping=False)
            await socket.ws.ping(b"x")
            assert (await socket.ws.receive()).type is aiohttp.WSMsgType.PONG

    asyncio.run(run())


def test_a_reader_that_is_too_slow_loses_pushes_and_nothing_else() -> None:
    async def run() -> None:
        topic = "/contractMarket/level2Depth50:XBTUSDTM"
        quick = {"depth_ms": 1, "tick_ms": 1}
        async with venue(cadence=quick, transport={"slow_reader_bytes": 1000}) as bench:
            token = await bench.token()
            raw = sockets.socket()
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", bench.server.port))
            raw.sendall(
                b"GET /?token=" + token["token"].replace("=", "%3D").encode() + b" HTTP/1.1\r\nHost: x\r\n"
                b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            seen = b""
            while b"welcome" not in seen:
                seen += await asyncio.to_thread(raw.recv, 1000)
            frame = msgspec.json.encode({"id": "1", "type": "subscribe", "topic": topic})
            raw.sendall(bytes((0x81, 0x80 | len(frame), 0, 0, 0, 0)) + frame)
            reader = await bench.connect(topic)
            for _ in range(8):  # 2 MB each, which fills what the kernel holds
                await bench.fault(kind="hostile", form="big", connection=0)
            while not (await bench.state())["connections"][0]["frames_dropped"]:
                await reader.push(topic)
            raw.close()
            assert (await bench.state())["connections"][-1]["frames_dropped"] == 0

    asyncio.run(run())
