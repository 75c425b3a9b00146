"""What a line claims to have brought, when this machine's clock and the venue's do not agree, or it stood still."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest

from tests.feeds.kucoin.parts import NOW, WELCOME, Basket, RawServer, StillClock, text, upgrade
from zmart_stream.domain.market import Coverage
from zmart_stream.feeds.kucoin.budget import SlidingWindow
from zmart_stream.feeds.kucoin.line import Line, Shared
from zmart_stream.feeds.kucoin.report import Report
from zmart_stream.feeds.kucoin.rest import Token
from zmart_stream.feeds.kucoin.sequences import Sequences
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.feeds.kucoin.wire import Wire

SECOND = 1_000_000_000


def trade(ts_event: int) -> bytes:
    said = {"sequence": 7, "side": "buy", "size": 1, "price": "2", "ts": ts_event}
    return text({"topic": "/contractMarket/execution:A", "type": "message", "subject": "match", "data": said})


async def next_request(reader: asyncio.StreamReader) -> dict[str, str]:
    """The next frame of a client, unmasked."""
    head = await reader.readexactly(2)
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(await reader.readexactly(size)))
    found: dict[str, str] = json.loads(body)
    return found


def told(settings: FeedSettings, *frames: bytes) -> list[Coverage]:
    """The coverage of a subscription that is confirmed, brings `frames` and is cut."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.write(WELCOME)
        request = await next_request(reader)
        writer.write(text({"id": request["id"], "type": "ack"}))
        writer.write(b"".join(frames))
        await writer.drain()

    class Tokens:
        def __init__(self, port: int) -> None:
            self.port = port

        async def token(self) -> Token:
            return Token(f"ws://127.0.0.1:{self.port}/?token=t", 18.0, 60.0)

    async def scenario() -> list[Coverage]:
        basket = Basket()
        async with RawServer(behave) as server:
            shared = Shared(
                settings=lambda: settings,
                rest=Tokens(server.port),  # type: ignore[arg-type]  # the one call that is made
                clock=StillClock(),
                inbox=basket,
                wire=Wire(ahead_ns=10**18, behind_ns=10**18),
                sequences=Sequences(settings.restart_ns),
                dials=SlidingWindow(100, 60.0),
                context=ssl.create_default_context(),
                report=Report(lambda: 0.0),
                overfull=lambda _line, _event: None,
            )
            line = Line("ws-1", shared)
            line.want([("execution", "A")])
            running = asyncio.create_task(line.run())
            await basket.until(lambda: len(basket.of(Coverage)) >= 2)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        return basket.of(Coverage)

    return asyncio.run(scenario())[:2]


@pytest.mark.parametrize(("speed", "slack_s"), [(1.0, 2), (60.0, 120)])
def test_coverage_begins_when_the_venues_clock_surely_shows_it(speed: float, slack_s: int) -> None:
    """Ours may be behind: what it calls this hour's last second may be the next hour's first."""
    won, lost = told(FeedSettings(speed=speed))
    assert (won.ts, won.since) == (NOW, NOW + slack_s * SECOND)
    assert lost.since is None
    assert lost.heard is not None
    assert lost.heard <= NOW - slack_s * SECOND


def test_what_was_read_late_proves_no_more_than_the_time_it_speaks_of() -> None:
    """A machine that stood still reads at once what came meanwhile, and then that the line was cut long ago."""
    behind = 3600 * SECOND
    _, lost = told(FeedSettings(), trade(NOW - behind))
    assert lost.heard == NOW - behind - 2 * SECOND
