"""A real socket against a server that misbehaves: every fault ends the connection in time, with its reason."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tests.feeds.kucoin.parts import NOW, WELCOME, Basket, RawServer, StillClock, text, upgrade
from zmart_stream.domain.errors import FeedError
from zmart_stream.domain.market import Ticker
from zmart_stream.feeds.kucoin.connection import Connection, Wiring, dial
from zmart_stream.feeds.kucoin.sequences import Sequences
from zmart_stream.feeds.kucoin.session import Malformed, Session
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.feeds.kucoin.wire import Wire

SETTINGS = FeedSettings(
    welcome_timeout_s=0.5, dial_timeout_s=0.5, quiet_probe_s=0.3, quiet_drop_s=0.3, pong_timeout_s=1.0, ping_every_s=1.0
)
PATIENT = msgspec.structs.replace(SETTINGS, welcome_timeout_s=60.0, dial_timeout_s=60.0, pong_timeout_s=60.0)
"""Where nothing but the line's silence may end the connection, however slow the machine is."""

UNENDING = msgspec.structs.replace(PATIENT, quiet_probe_s=60.0)
"""Where silence does not end it either."""

GIVEN_UP_S = 20.0
"""Longer than any deadline of these settings, shorter than a server that stalls waits."""

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ticker(sequence: int, padding: int = 0) -> bytes:
    sides = {"bestBidPrice": "1", "bestBidSize": 1, "bestAskPrice": "2", "bestAskSize": 1}
    return msgspec.json.encode(
        {
            "topic": "/contractMarket/tickerV2:A",
            "type": "message",
            "data": {"sequence": sequence, "ts": NOW, **sides, "padding": "x" * padding},
        }
    )


async def connect(
    port: int, basket: Basket, settings: FeedSettings = SETTINGS, *, follow_venue: bool = False
) -> Connection:
    session = Session(
        settings=settings,
        wire=Wire(ahead_ns=10**18, behind_ns=10**18),
        sequences=Sequences(settings.restart_ns),
        at=asyncio.get_running_loop().time(),
        ping_s=18.0,
        pong_s=60.0,
    )
    session.subscriptions.want([("ticker", "A")])
    url = f"ws://127.0.0.1:{port}/?token=t"
    wiring = Wiring(clock=StillClock(), inbox=basket, follow_venue=follow_venue, on_events=lambda _link: None)
    return await dial(
        lambda: Connection(session, url=url, max_frame_bytes=settings.max_frame_bytes, wiring=wiring),
        url,
        context=None,
        timeout_s=settings.dial_timeout_s,
        welcome_s=settings.welcome_timeout_s,
    )


def ends_with(behave: Server, settings: FeedSettings = PATIENT) -> str:
    """Why the connection to a server that welcomes and then behaves like this ends."""

    async def after_welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.write(WELCOME)
        await behave(reader, writer)

    async def scenario() -> str:
        async with RawServer(after_welcome) as server:
            try:
                link = await connect(server.port, Basket(), settings)
            except FeedError as error:
                # the fault came together with the welcome
                return str(error)
            async with asyncio.timeout(GIVEN_UP_S):
                return (await link.closed).reason

    return asyncio.run(scenario())


async def swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass


# --- faults after the welcome


def test_half_open() -> None:
    async def behave(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await swallow(reader)

    assert ends_with(behave) == "silent"


def test_data_but_no_pong() -> None:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for sequence in range(10_000):
            writer.write(text(ticker(sequence)))
            await writer.drain()
            await asyncio.sleep(0.05)

    assert ends_with(behave, msgspec.structs.replace(UNENDING, pong_timeout_s=1.0)) == "no_pong"


def test_a_byte_at_a_time_is_no_frame() -> None:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in text(ticker(1)):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)

    assert ends_with(behave) == "silent"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), "1009"),
        (b"\x81\x7f" + (2 << 20).to_bytes(8, "big") + b"x" * 70_000, "1009"),
        (text(b"x" * 60_000, fin=False) + text(b"x" * 60_000, opcode=0, fin=False) * 20, "1009"),
        (b"\xc1\x02{}", "1002"),
        (b"\x83\x02{}", "1002"),
        (b"\x81\x82abcd{}", "1002"),
        (b"\x89\x7e\x00\x80" + b"x" * 128, "1002"),
    ],
    ids=["huge length", "over the limit", "endless fragments", "reserved bit", "unknown opcode", "masked", "long ping"],
)
def test_frames_that_break_the_protocol_end_the_connection_though_tcp_stays_open(frames: bytes, code: str) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frames)
        await swallow(reader)
        await asyncio.sleep(30)

    assert ends_with(behave).split()[:2] == ["closed", code]


def test_close_frame_with_tcp_left_open() -> None:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text(struct.pack(">H", 1000) + b"Bye", opcode=8))
        await asyncio.sleep(30)

    assert ends_with(behave) == "closed 1000 Bye"


def test_reset() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert ends_with(behave) in ("reset", "eof")


def test_error_401_then_close() -> None:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text({"id": "5f", "type": "error", "code": 401, "data": "token is expired"}))
        writer.write(text(struct.pack(">H", 1000), opcode=8))
        await asyncio.sleep(30)

    assert ends_with(behave) == "token"


# --- before the welcome


async def _mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await swallow(reader)


async def _no_welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await upgrade(reader, writer)
    await swallow(reader)


async def _http_401(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def _nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x00" * 5000)
    await writer.drain()
    await asyncio.sleep(30)


@pytest.mark.parametrize("behave", [_mute, _no_welcome, _http_401, _nonsense])
def test_a_dial_that_leads_nowhere_fails_in_time(behave: Server) -> None:
    async def scenario() -> None:
        async with RawServer(behave) as server, asyncio.timeout(GIVEN_UP_S):
            with pytest.raises(FeedError):
                await connect(server.port, Basket())

    asyncio.run(scenario())


def test_nobody_listens() -> None:
    async def scenario() -> None:
        with socket.socket() as taken:  # and not listened on: nobody else can come to answer there
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(FeedError, match="dial"):
                await connect(taken.getsockname()[1], Basket(), UNENDING)

    asyncio.run(scenario())


# --- data


def test_frames_survive_any_cutting_and_mixing(seed: int) -> None:
    chance = random.Random(seed)
    stream = bytearray()
    for sequence in range(1, 301):
        payload = ticker(sequence, padding=chance.choice([0, 10, 300]))
        stream += text(payload)
        if chance.random() < 0.1:
            stream += text(b"probe", opcode=9)
        if chance.random() < 0.05:
            stream += text(b"\xff not json")
    # a fragmented and a large message: from here on the library cuts
    half = ticker(301)
    stream += text(half[:40], fin=False) + text(half[40:], opcode=0) + text(ticker(302, padding=70_000))
    stream += b"".join(text(ticker(sequence)) for sequence in range(303, 320))

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        at, whole = 0, WELCOME + bytes(stream)
        while at < len(whole):
            size = chance.choice([1, 2, 3, 7, 100, 1000, 20_000])
            writer.write(whole[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)
            at += size
        await swallow(reader)

    async def scenario() -> tuple[list[int], int]:
        basket = Basket()
        async with RawServer(behave) as server:
            link = await connect(server.port, basket, UNENDING)
            await basket.until(lambda: len(basket.messages) >= 319)
            bad = sum(isinstance(event, Malformed) for event in link.session.events)
            link.close("stop")
            await link.closed
        return [m.sequence for m in basket.of(Ticker)], bad

    got, bad = asyncio.run(scenario())
    assert got == list(range(1, 320))
    assert bad == bytes(stream).count(b"\xff not json")


class _Kept:
    """What would have been written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


@pytest.mark.parametrize("after_head", [-2, 0, 1, 2, 9, len(WELCOME) + 1, len(WELCOME) + 60])
def test_frames_that_come_with_the_upgrade_may_be_cut_anywhere(after_head: int) -> None:
    frames = WELCOME + b"".join(text(ticker(sequence)) for sequence in range(1, 4))

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = _Kept()
        await upgrade(reader, kept)  # type: ignore[arg-type] - it only writes
        whole, cut = kept.data + frames, len(kept.data) + after_head
        writer.write(whole[:cut])
        await writer.drain()
        await asyncio.sleep(0.05)  # so that the rest is a read of its own
        writer.write(whole[cut:])
        await swallow(reader)

    async def scenario() -> None:
        basket = Basket()
        async with RawServer(behave) as server:
            link = await connect(server.port, basket, UNENDING)
            await basket.until(lambda: len(basket.of(Ticker)) == 3)
            link.close("done")
            await link.closed
        assert [message.sequence for message in basket.of(Ticker)] == [1, 2, 3]

    asyncio.run(scenario())


def test_a_crowded_inbox_stops_the_reading_and_nothing_is_lost() -> None:
    total = 30_000

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.write(WELCOME)
        for start in range(1, total + 1, 500):
            writer.write(b"".join(text(ticker(n)) for n in range(start, start + 500)))
            await writer.drain()
        await swallow(reader)

    async def scenario() -> tuple[int, list[int]]:
        basket = Basket()
        basket.crowded = True
        async with RawServer(behave) as server:
            link = await connect(server.port, basket, PATIENT)
            # longer than the silence that ends a connection under these settings
            await asyncio.sleep(1.0)
            early = len(basket.messages)
            assert not link.closed.done()
            basket.crowded = False
            await basket.until(lambda: len(basket.messages) == total)
            link.abort("stop")
            await link.closed
        return early, [m.sequence for m in basket.of(Ticker)]

    early, got = asyncio.run(scenario())
    assert early < total // 4
    assert got == list(range(1, total + 1))


def test_at_speed_max_each_message_moves_the_clock_and_takes_its_time_from_it() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        frames = [ticker(n).replace(str(NOW).encode(), str(NOW + n * 10**9).encode()) for n in (1, 2, 3)]
        writer.write(WELCOME + b"".join(map(text, frames)))
        await swallow(reader)

    async def scenario() -> list[tuple[int, int]]:
        basket = Basket()
        async with RawServer(behave) as server:
            link = await connect(server.port, basket, UNENDING, follow_venue=True)
            await basket.until(lambda: len(basket.messages) == 3)
            link.abort("stop")
            await link.closed
        return [(m.ts, m.ts_event) for m in basket.of(Ticker)]

    assert asyncio.run(scenario()) == [(NOW + n * 10**9, NOW + n * 10**9) for n in (1, 2, 3)]
