"""A venue that only plays: its own process, pre-encoded frames over raw sockets; told by HTTP what to play.

`python -m tests.bench.sender` prints its REST address and serves until its standard input closes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys
import time
from collections import Counter
from itertools import islice
from typing import Any, cast

import msgspec
import uvloop
from aiohttp import web

from tests.bench.market import DAY, EPOCH, HOUR, MS, SEQUENCE, Kind, Market, Template

TOPICS: dict[str, Kind] = {
    "/contractMarket/tickerV2": "ticker",
    "/contractMarket/execution": "execution",
    "/contractMarket/level2Depth5": "depth",
    "/contract/instrument": "mark",
}
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TURN_EVERY = 64


def text_frame(payload: bytes) -> bytes:
    """A whole unmasked text frame."""
    size = len(payload)
    return (b"\x81" + bytes((size,)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")) + payload


class Link(asyncio.Protocol):
    """One websocket, written to past the loop: a write is a system call and a packet of its own."""

    def __init__(self, venue: Sender) -> None:
        self._venue = venue
        self._buffer = b""
        self._open = False
        self._left = b""  # of a write that the socket took in part
        self._fd = -1
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._fd = transport.get_extra_info("socket").fileno()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fd = -1
        self._venue.forget(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            self._upgrade()
        while self._open and (payload := self._next()) is not None:
            self._heard(payload)

    def _upgrade(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        key = next(value for name, value in fields.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        self._open, self._buffer = True, rest
        self.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + text_frame(b'{"id":"1","type":"welcome"}')
        )

    def _next(self) -> bytes | None:
        """The payload of the next whole client frame, which is masked and short; empty for a close."""
        data = self._buffer
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        if len(data) < at + 4 + size:
            return None
        mask, body = data[at : at + 4], data[at + 4 : at + 4 + size]
        self._buffer = data[at + 4 + size :]
        if data[0] & 0x0F == 8:
            if self._transport is not None:
                self._transport.abort()
            return b""
        return bytes(byte ^ mask[k & 3] for k, byte in enumerate(body))

    def _heard(self, payload: bytes) -> None:
        if not payload:
            return
        said = msgspec.json.decode(payload)
        if said["type"] == "ping":
            self.send(text_frame(msgspec.json.encode({"id": said["id"], "type": "pong"})))
            return
        prefix, _, symbols = said["topic"].partition(":")
        self._venue.asked(self, TOPICS.get(prefix), symbols.split(","), is_on=said["type"] == "subscribe")
        self.send(text_frame(msgspec.json.encode({"id": said["id"], "type": "ack"})))

    def send(self, data: bytes) -> bool:
        """Write `data` now; False if the socket is full: then nothing of it was taken."""
        if self._fd < 0:
            return True
        if self._left and not self._write(b""):
            return False
        return self._write(data)

    def _write(self, data: bytes) -> bool:
        waiting = self._left + data if self._left else data
        try:
            done = os.write(self._fd, waiting)
        except BlockingIOError:
            return False
        self._left = waiting[done:]
        return True


class Sender:
    """Subscriptions, the clock, and the player."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.port = 0
        self._offset = EPOCH - time.monotonic_ns()
        self._sequence = SEQUENCE
        self._routes: dict[tuple[Kind, int], Link] = {}
        self._rows = (0, b"")
        self._asked: Counter[str] = Counter()

    def now(self) -> int:
        """Venue time in ns."""
        return time.monotonic_ns() + self._offset

    def asked(self, link: Link, kind: Kind | None, symbols: list[str], *, is_on: bool) -> None:
        """A client subscribes or unsubscribes."""
        if kind is None:
            return
        for symbol in symbols:
            key = (kind, self.market.index[symbol])
            if is_on:
                self._routes[key] = link
            elif self._routes.get(key) is link:
                del self._routes[key]

    def forget(self, link: Link) -> None:
        """A client is gone."""
        self._routes = {key: other for key, other in self._routes.items() if other is not link}

    # -- playing

    async def play(self, frames: int, rate: float | None, batch: int) -> dict[str, Any]:
        """Send so many frames, each in one write or `batch` together; paced at `rate` a second, or as they go."""
        tier = [n for n in range(len(self.market.symbols)) if {("depth", n), ("mark", n)} <= self._routes.keys()]
        chosen = list(islice(self.market.tape(tier), frames)) if tier else []
        missing = {(t.kind, t.contract) for t in chosen} - self._routes.keys()
        if missing or not chosen:
            raise web.HTTPConflict(text=f"{len(missing) or 'all'} topics have no subscriber")
        began = time.monotonic_ns()
        if batch == 1:
            late = await self._singly(chosen, None if rate is None else 1e9 / rate)
        else:
            late = await self._together(chosen, batch)
        sending = (time.monotonic_ns() - began) / 1e9
        return {
            "sent": Counter(t.kind for t in chosen),
            "sending_s": sending,
            "late_p99_us": sorted(late)[len(late) * 99 // 100] / 1e3 if late else 0.0,
        }

    async def _singly(self, chosen: list[Template], gap_ns: float | None) -> list[int]:
        routes, late, due = self._routes, [], float(time.monotonic_ns())
        for k, template in enumerate(chosen):
            if gap_ns is not None:
                due += gap_ns
                while (early := due - time.monotonic_ns()) > 0:  # noqa: ASYNC110 - no timer is as fine as that
                    await asyncio.sleep(0)
                late.append(-int(early))
            elif not k % _TURN_EVERY:
                await asyncio.sleep(0)
            self._sequence += 1
            link = routes[template.kind, template.contract]
            await _deliver(link, text_frame(template.frame(self._sequence, self.now())))
        return late

    async def _together(self, chosen: list[Template], batch: int) -> list[int]:
        links = len(dict.fromkeys(self._routes.values()))
        step = batch * links
        for at in range(0, len(chosen), step):
            parts: dict[Link, list[bytes]] = {}
            for template in chosen[at : at + step]:
                self._sequence += 1
                frame = text_frame(template.frame(self._sequence, self.now()))
                parts.setdefault(self._routes[template.kind, template.contract], []).append(frame)
            for link, frames in parts.items():
                await _deliver(link, b"".join(frames))
            await asyncio.sleep(0)
        return []

    # -- HTTP

    def routes(self) -> list[web.RouteDef]:
        """What it answers: the venue's REST as far as the daemon needs it, and the bench's own."""
        return [
            web.get("/api/v1/timestamp", self._timestamp),
            web.get("/api/v1/status", self._status),
            web.get("/api/v1/contracts/active", self._active),
            web.get("/api/v1/kline/query", self._klines),
            web.get("/api/v1/contract/funding-rates", self._funding),
            web.get("/api/v1/level2/depth20", self._depth),
            web.post("/api/v1/bullet-public", self._token),
            web.get("/_bench/state", self._state),
            web.post("/_bench/clock", self._set_clock),
            web.post("/_bench/play", self._play),
        ]

    async def _timestamp(self, _request: web.Request) -> web.Response:
        return _reply(self.now() // MS)

    async def _status(self, _request: web.Request) -> web.Response:
        return _reply({"status": "open", "msg": ""})

    async def _active(self, _request: web.Request) -> web.Response:
        minute = self.now() // (60_000 * MS)
        if self._rows[0] != minute:
            self._rows = (minute, self.market.rows(self.now()))
        return web.Response(body=b'{"code":"200000","data":' + self._rows[1] + b"}", content_type="application/json")

    async def _klines(self, request: web.Request) -> web.Response:
        self._asked["klines"] += 1
        query = request.query
        interval = {"60": HOUR, "1440": DAY}[query["granularity"]]
        since, until = int(query["from"]) * MS, int(query["to"]) * MS
        return _reply(self.market.klines(self.market.index[query["symbol"]], interval, since, until))

    async def _funding(self, request: web.Request) -> web.Response:
        self._asked["funding"] += 1
        query = request.query
        since, until = int(query["from"]) * MS, int(query["to"]) * MS
        return _reply(self.market.settlements(self.market.index[query["symbol"]], since, until))

    async def _depth(self, request: web.Request) -> web.Response:
        return _reply(self.market.book(self.market.index[request.query["symbol"]], self.now(), self._sequence))

    async def _token(self, _request: web.Request) -> web.Response:
        endpoint = f"ws://127.0.0.1:{self.port}/"
        server = {"endpoint": endpoint, "pingInterval": 18_000, "pingTimeout": 10_000}
        return _reply({"token": "bench", "instanceServers": [server]})

    async def _state(self, _request: web.Request) -> web.Response:
        kinds = Counter(kind for kind, _ in self._routes)
        links = len(dict.fromkeys(self._routes.values()))
        return _reply(
            {
                "offset": self._offset,
                "now": self.now(),
                "subscribed": kinds,
                "connections": links,
                "asked": self._asked,
            }
        )

    async def _set_clock(self, request: web.Request) -> web.Response:
        self._offset = (await request.json())["to"] - time.monotonic_ns()
        return _reply(self._offset)

    async def _play(self, request: web.Request) -> web.Response:
        asked = await request.json()
        return _reply(await self.play(asked["frames"], asked["rate"], asked["batch"]))


async def _deliver(link: Link, data: bytes) -> None:
    while not link.send(data):  # noqa: ASYNC110 - full socket: the daemon is behind, and tells by that
        await asyncio.sleep(0.0005)


def _reply(data: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode({"code": "200000", "data": data}), content_type="application/json")


async def main() -> None:
    loop = asyncio.get_running_loop()
    sender = Sender(Market())
    server = await loop.create_server(lambda: Link(sender), "127.0.0.1", 0)
    sender.port = server.sockets[0].getsockname()[1]
    app = web.Application()
    app.add_routes(sender.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
