"""Those who listen, and abuse it: websockets that send what no client sends, streams that nobody reads."""

import asyncio

import pytest

from tests.api.desk import SAFETY_S, SYMBOLS
from tests.api.listening import feed, frame, listening, upgraded
from tests.api.test_push import pushing, until
from zmart_stream.api.addresses import FREQTRADE
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits, PushLimits
from zmart_stream.api.push import events

PUBLIC = AuthSettings(host="192.0.2.7", allowed_hosts=("127.0.0.1",))
PROXIED = AuthSettings(behind_proxy=True)
PLENTY = Limits(requests_per_minute=1_000_000)
PATIENT = PushLimits(deadline_s=SAFETY_S, heartbeat_s=SAFETY_S)
"""No deadline of these ends a connection within a test."""

CONTINUED, TEXT, PING, PONG = 0, 1, 9, 10


@pytest.mark.parametrize("auth", [PUBLIC, PROXIED], ids=["public", "proxied"])
@pytest.mark.parametrize("path", [f"{PREFIX}/ws", f"{PREFIX}/stream", FREQTRADE])
def test_without_a_token_nothing_is_accepted(auth, path, tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, auth=auth) as (at, hub):
            _, signal = at.tokens.create("bot", ["signal"])
            for lines in ((), ("Authorization: Bearer zs_wrong",), (f"Authorization: Bearer {signal}",)):
                async with upgraded(at.port, *lines, path=path) as line:
                    status = int(line.head.split()[1])
                    assert status in (401, 403), line.head
                    assert "sec-websocket-accept" not in line.head
            assert hub.clients == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("path", [f"{PREFIX}/ws", f"{PREFIX}/stream", FREQTRADE])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1.evil.example", "file://"])
def test_a_page_of_another_site_cannot_open_it(origin, path, tmp_path) -> None:
    """Also where this machine needs no token: a browser on it would connect in the name of any page."""

    async def scenario() -> None:
        async with pushing(tmp_path, auth=AuthSettings(open_loopback=True)) as (at, hub):
            _, token = at.tokens.create("bot", ["operate"])
            for lines in ((), (f"Authorization: Bearer {token}",)):
                async with upgraded(at.port, f"Origin: {origin}", *lines, path=path) as line:
                    assert line.head.split()[1] == "403"
            assert hub.clients == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (bytes([0x81, 0xFF]) + (1 << 40).to_bytes(8, "big") + bytes(4), 1009),
        (bytes([0x81, 0xFF]) + b"\xff" * 8 + bytes(4), 1009),
        (frame(TEXT, b"x" * 16_385), 1009),
        (frame(TEXT, b"x" * 9000, last=False) + frame(CONTINUED, b"x" * 9000), 1009),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(3, b"x"), 1002),
        (frame(TEXT, b"x" * 20, reserved=0x40), 1002),
        (frame(TEXT, b"x" * 20, reserved=0x20), 1002),
        (frame(CONTINUED, b"x"), 1002),
        (frame(TEXT, b"x", last=False) + frame(TEXT, b"y"), 1002),
        (frame(PING, b"p" * 126), 1002),
        (frame(PING, b"p", last=False), 1002),
        (frame(8, b"\x00\x01"), 1002),
        (frame(2, b"{}"), 1003),
    ],
    ids=[
        "a terabyte",
        "a negative size",
        "a large message",
        "two halves too large",
        "no utf-8",
        "an unknown kind",
        "compressed",
        "reserved bits",
        "nothing to continue",
        "two messages in one",
        "a large ping",
        "half a ping",
        "a wrong farewell",
        "binary",
    ],
)
def test_frames_that_break_the_protocol_end_it(sent, code, tmp_path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, PATIENT) as (at, hub), upgraded(at.port) as line:
            line.writer.write(sent)
            assert await line.close_code() == code
            await until(lambda: hub.clients == 0 and at.running.gate.open == 0)

    asyncio.run(scenario())


def test_compression_is_never_agreed_on(tmp_path) -> None:
    """A kilobyte on the wire cannot become a megabyte here."""

    async def scenario() -> None:
        async with (
            pushing(tmp_path) as (at, _),
            upgraded(at.port, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits") as line,
        ):
            assert " 101 " in line.head
            assert "sec-websocket-extensions" not in line.head

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "chunk",
    [
        frame(CONTINUED, last=False) * 4000,
        frame(CONTINUED, b"x", last=False) * 4000,
        frame(PONG, b"p" * 125) * 200,
        frame(PING, b"p" * 125) * 200,
        frame(TEXT, b'{"action": "ping"}') * 1000,
    ],
    ids=["empty fragments", "fragments", "pongs", "pings", "messages"],
)
def test_a_flood_of_frames_is_cut(chunk, tmp_path) -> None:
    """Fragments that make no message, and pings and pongs, which are none, as well as messages."""

    async def scenario() -> None:
        async with pushing(tmp_path, PATIENT) as (at, hub), upgraded(at.port) as line:
            assert " 101 " in line.head
            line.writer.write(frame(TEXT, last=False) if chunk[0] & 0x0F == CONTINUED else b"")
            await asyncio.gather(line.flood(chunk), line.close_code())
            await until(lambda: hub.clients == 0 and at.running.gate.open == 0)
            assert (hub.clients, at.running.gate.open) == (0, 0)

    asyncio.run(scenario())


def test_who_pings_and_never_reads_is_cut(tmp_path) -> None:
    """It wants no events, so that nothing but the answers to its pings is ever written to it."""

    async def scenario() -> None:
        push = PushLimits(deadline_s=0.2, heartbeat_s=SAFETY_S)
        async with pushing(tmp_path, push, limits=PLENTY) as (at, hub), upgraded(at.port) as line:
            assert " 101 " in line.head
            line.writer.write(frame(PING, b"p" * 125) * 7900)  # within what a listener may say in a minute
            await until(lambda: hub.clients == 0 and at.running.gate.open == 0)
            assert (hub.clients, at.running.gate.open) == (0, 0)

    asyncio.run(scenario())


@pytest.mark.parametrize("sent", [b"", b"\x81\xfe\x10", frame(TEXT, b"{", last=False)], ids=["silent", "cut", "begun"])
def test_who_answers_no_ping_is_ended(sent, tmp_path) -> None:
    """Silent, in the middle of a frame, or in the middle of a message."""

    async def scenario() -> None:
        async with pushing(tmp_path, PushLimits(heartbeat_s=0.1)) as (at, hub), upgraded(at.port) as line:
            assert " 101 " in line.head
            line.writer.write(sent)
            await line.close_code()
            await until(lambda: hub.clients == 0 and at.running.gate.open == 0)
            assert (hub.clients, at.running.gate.open) == (0, 0)

    asyncio.run(scenario())


@pytest.mark.parametrize("said", ["x" * 7000, "' OR 1=1--", "\u00e9\u00ff", "../../etc/passwd", "0-0", "ffffffff-9e9"])
def test_a_stream_with_a_garbled_id_that_nobody_reads_is_cut(said, tmp_path) -> None:
    async def scenario() -> None:
        push = PushLimits(ring=64, deadline_s=0.1)
        async with (
            pushing(tmp_path, push) as (at, hub),
            listening(at.port, f"?symbols={SYMBOLS[0]}", f"Last-Event-ID: {said}", room=4096) as ear,
        ):
            assert ear.status == 200
            async with asyncio.timeout(SAFETY_S):
                while hub.clients:
                    events.tell(hub, [feed("x" * 4000) for _ in range(16)])
                    await asyncio.sleep(0.001)
            await until(lambda: at.running.gate.open == 0)

    asyncio.run(scenario())


def test_a_stream_hears_nothing_more_from_its_client(tmp_path) -> None:
    """Requests behind one that does not end are never served, and do not disturb it."""

    async def scenario() -> None:
        async with pushing(tmp_path, PushLimits(heartbeat_s=0.1), auth=AuthSettings(open_loopback=True)) as (at, hub):
            async with listening(at.port) as ear:
                write = f"POST {PREFIX}/portfolio/rebalance HTTP/1.1\r\nHost: localhost\r\n\r\n"
                ear.writer.write(write.encode() * 200)
                for word in ("first", "second"):
                    events.tell(hub, [feed(word)])
                    assert (await ear.event()).data["reason"] == word
                assert hub.clients == 1
            await until(lambda: hub.clients == 0 and at.running.gate.open == 0)
            assert not at.counter.taken

    asyncio.run(scenario())
