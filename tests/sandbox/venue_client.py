"""A venue in this process and the plainest client for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import aiohttp
import msgspec

from zmart_stream.sandbox import faults, floor, gateway
from zmart_stream.sandbox.market import Market
from zmart_stream.sandbox.server import SandboxServer
from zmart_stream.sandbox.settings import settings_from
from zmart_stream.sandbox.synthetic import synthetic_market

START = "2026-11-20T10:07:30+00:00"
WAIT_S = 180.0
HOUR_S = 3600.0
"""A duration that ends when a test lets it end (`Bench.later`), however long the machine stands still."""
_CLOSE = aiohttp.ClientWSTimeout(ws_close=1.0)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `condition` holds; the venue tells nobody when it changes by itself."""
    async with asyncio.timeout(WAIT_S):
        while not await condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


class Socket:
    """One websocket connection that reads JSON frames."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.close_reason = ""

    async def frame(self) -> dict[str, Any]:
        """The next text frame; an empty dict when the connection ends."""
        message = await asyncio.wait_for(self.ws.receive(), WAIT_S)
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.close_reason = str(message.extra)
        return msgspec.json.decode(message.data) if message.type is aiohttp.WSMsgType.TEXT else {}

    async def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The next frame that is `wanted`."""
        while True:
            frame = await self.frame()
            assert frame, "the connection ended"
            if wanted(frame):
                return frame

    async def push(self, topic: str, subject: str | None = None) -> dict[str, Any]:
        """The next push of a topic."""
        return await self.until(lambda f: f.get("topic") == topic and subject in (None, f.get("subject")))

    async def send(self, **frame: Any) -> None:
        await self.ws.send_str(msgspec.json.encode(frame).decode())

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a control frame and return the answer that carries its id."""
        await self.send(**frame)
        return await self.until(lambda f: f.get("id") == frame["id"])

    async def subscribe(self, topic: str, number: str = "s") -> dict[str, Any]:
        return await self.ask(id=number, type="subscribe", topic=topic, privateChannel=False, response=True)

    async def drained(self) -> list[dict[str, Any]]:
        """Every frame up to the end of the connection."""
        frames = []
        while frame := await self.frame():
            frames.append(frame)
        return frames


class Bench:
    """The running venue and a REST client."""

    def __init__(self, server: SandboxServer, http: aiohttp.ClientSession, said: list[str]) -> None:
        self.server = server
        self.http = http
        self.said = said
        self.opened = 0
        self.ahead_s = 0.0
        self.sockets: list[Socket] = []

    async def get(self, path: str, **query: Any) -> Any:
        """`data` of a REST reply that succeeded."""
        async with self.http.get(f"{self.server.url}/api/v1/{path}", params=query) as reply:
            body = await reply.json()
            assert body["code"] == "200000", body
            return body["data"]

    async def reply(self, path: str, **query: Any) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of a REST reply."""
        async with self.http.get(f"{self.server.url}/api/v1/{path}", params=query) as reply:
            return reply.status, dict(reply.headers), await reply.text()

    async def state(self) -> dict[str, Any]:
        async with self.http.get(f"{self.server.url}/_sandbox/state") as reply:
            return dict(await reply.json())

    def later(self, seconds: float = 2 * HOUR_S) -> None:
        """Let so much of the time pass by which faults and tokens end."""
        self.ahead_s += seconds

    async def calm(self) -> None:
        """Let the faults in force end."""
        self.later()

        async def none() -> bool:
            return not (await self.state())["faults"]

        await eventually(none)

    async def ended(self) -> bool:
        return bool((await self.state())["ended"])

    async def listed(self) -> list[str]:
        return [row["symbol"] for row in await self.get("contracts/active")]

    async def fault(self, **fault: Any) -> None:
        async with self.http.post(f"{self.server.url}/_sandbox/fault", json=fault) as reply:
            assert reply.status == 200, await reply.text()

    async def token(self) -> dict[str, Any]:
        async with self.http.post(f"{self.server.url}/api/v1/bullet-public") as reply:
            return dict((await reply.json())["data"])

    async def dial(self, token: str | None = None, **options: Any) -> Socket:
        """Open a connection without waiting for the welcome."""
        fresh = await self.token() if token is None else {}
        url = fresh["instanceServers"][0]["endpoint"] if fresh else self.server.url.replace("http", "ws") + "/"
        self.opened += 1
        query = {"token": token or fresh["token"], "connectId": f"c{self.opened}"}
        socket = Socket(await self.http.ws_connect(url, params=query, autoclose=False, timeout=_CLOSE, **options))
        self.sockets.append(socket)
        return socket

    async def connect(self, *topics: str, **options: Any) -> Socket:
        """Open a connection, take the welcome, subscribe to `topics`."""
        socket = await self.dial(**options)
        welcome = await socket.frame()
        assert welcome == {"id": f"c{self.opened}", "type": "welcome"}
        for number, topic in enumerate(topics):
            answer = await socket.subscribe(topic, f"topic{number}")
            assert answer["type"] == "ack", answer
        return socket


@asynccontextmanager
async def venue(market: Market | None = None, *, held: bool = False, **values: Any) -> AsyncIterator[Bench]:
    """A venue on a free loopback port with six synthetic contracts, unless the settings say otherwise.

    `held`: its time stands from the first moment on.
    """
    settings = settings_from({"start": START, "contracts": 6, **values})
    start = settings.start_ns()
    assert start is not None
    market = market or synthetic_market(seed=settings.seed, contracts=settings.contracts, start=start)
    said: list[str] = []
    server = SandboxServer(settings, market, said.append)
    if held:
        server.clock.hold(True)
    async with aiohttp.ClientSession() as http:
        bench = Bench(server, http, said)
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + bench.ahead_s)
        with ExitStack() as moved:
            for module in (faults, floor, gateway):
                moved.enter_context(patch.object(module, "time", clock))
            await server.start()
            try:
                yield bench
                await asyncio.gather(*(socket.ws.close() for socket in bench.sockets))
            finally:
                await server.stop()
