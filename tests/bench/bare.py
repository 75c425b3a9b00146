"""The control: receive with `websockets`, decode with `msgspec`, and nothing else, on the same topics and frames.

`python -m tests.bench.bare '{"url": REST address, "connections": N, "tier": [...]}'`
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import aiohttp
import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from tests.bench.market import Market
from tests.bench.measure import Lag, obey, percentile, rss_mb

QUIET_S = 2.0


class Data(msgspec.Struct, gc=False):
    """The figures of a ticker or trade."""

    sequence: int = 0
    ts: int = 0
    bestBidPrice: float = 0.0
    bestAskPrice: float = 0.0
    bestBidSize: int = 0
    bestAskSize: int = 0
    price: float = 0.0
    size: int = 0
    side: str = ""


class Push(msgspec.Struct, gc=False):
    """A push, or with an empty topic a control frame."""

    topic: str = ""
    data: Data | None = None


class Bare:
    """Counts and times what it decodes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._decode = msgspec.json.Decoder(Push, strict=False).decode
        self._offset = 0
        self._lag = Lag()
        self._tasks: list[asyncio.Task[None]] = []
        self._begin()

    def _begin(self) -> None:
        self.received = 0
        self._delays: list[int] = []
        self._first = self._last = 0
        self._cpu = time.process_time()
        self._lag.late_ms.clear()

    async def open(self, topics: list[list[str]]) -> None:
        """One connection for each list of topics."""
        async with aiohttp.ClientSession() as http, http.post(f"{self._url}/api/v1/bullet-public") as reply:
            server = (await reply.json())["data"]["instanceServers"][0]
        for group in topics:
            socket = await connect(
                f"{server['endpoint']}?token=bench", compression=None, max_size=1 << 20, ping_interval=None
            )
            await socket.recv()
            for number, topic in enumerate(group):
                await socket.send(
                    msgspec.json.encode({"id": str(number), "type": "subscribe", "topic": topic}).decode()
                )
            self._tasks.append(asyncio.create_task(self._read(socket)))
        self._tasks.append(asyncio.create_task(self._lag.watch()))

    async def _read(self, socket: ClientConnection) -> None:
        decode, clock = self._decode, time.monotonic_ns
        while True:
            push = decode(await socket.recv(decode=False))
            if not push.topic:
                continue
            now = clock()
            if not self.received:
                self._first, self._cpu = push.data.ts - self._offset if push.data else now, time.process_time()
            self.received += 1
            self._last = now
            data = push.data
            if data is not None and data.ts > 10**18:
                self._delays.append(now + self._offset - data.ts)

    async def order(self, said: dict[str, Any]) -> dict[str, Any]:
        """`begin` with the venue's clock offset; `end` with how many to wait for."""
        if said["do"] == "begin":
            self._offset = said["offset"]
            self._begin()
            return {}
        while self.received < said["expect"] and time.monotonic_ns() - self._last < QUIET_S * 1e9:  # noqa: ASYNC110 - an event would cost each message
            await asyncio.sleep(0.01)
        return {
            "received": self.received,
            "seconds": (self._last - self._first) / 1e9,
            "cpu_s": time.process_time() - self._cpu,
            "p50_us": percentile(self._delays, 0.5) / 1e3,
            "p99_us": percentile(self._delays, 0.99) / 1e3,
            "lag_p99_ms": percentile(self._lag.late_ms, 0.99),
            "rss_mb": rss_mb(),
        }


def spread(connections: int, tier: int) -> list[list[str]]:
    """The daemon's topics over so many connections: ticker and execution of all, depth and instrument of a few."""
    symbols = Market().symbols
    keys = [(prefix, s) for s in symbols for prefix in ("/contractMarket/tickerV2", "/contractMarket/execution")]
    keys += [(prefix, s) for s in symbols[:tier] for prefix in ("/contractMarket/level2Depth5", "/contract/instrument")]
    groups: list[dict[str, list[str]]] = [{} for _ in range(connections)]
    size = -(-len(keys) // connections)
    for place, (prefix, symbol) in enumerate(keys):
        groups[place // size].setdefault(prefix, []).append(symbol)
    return [[f"{prefix}:{','.join(names)}" for prefix, names in group.items()] for group in groups]


async def main(asked: dict[str, Any]) -> None:
    bare = Bare(asked["url"])
    await bare.open(spread(asked["connections"], asked["tier"]))
    await obey(bare.order)


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(sys.argv[1])))
