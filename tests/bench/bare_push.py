"""The control of listeners: as many bytes as often to the same clients, from a process that does nothing else.

`python -m tests.bench.bare_push` prints its port, then takes orders by standard input: `begin` with the `events` of a
write, the `size` of one in bytes and how long a round of all clients takes (`every_s`); `end` says how many writes
there were.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import uvloop

from tests.bench.measure import obey

STEP_S = 0.01
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"id: 0-0\ndata: "


class Mouth(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, all_of_them: list[Mouth]) -> None:
        self._all = all_of_them
        self.is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(HEAD)
        self._all.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._all:
            self._all.remove(self)

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False


class Bare:
    """Everybody gets the same bytes, in rounds that are spread evenly."""

    def __init__(self) -> None:
        self.mouths: list[Mouth] = []
        self._writes = 0
        self._telling: asyncio.Task[None] | None = None

    async def order(self, said: dict[str, Any]) -> dict[str, Any]:
        """`begin` with `events`, `size`, `every_s`; `end`."""
        if said["do"] == "begin":
            event = EVENT + b"x" * (said["size"] - len(EVENT) - 2) + b"\n\n"
            data = event * said["events"]
            self._writes = 0
            self._telling = asyncio.create_task(self._tell(b"%x\r\n%b\r\n" % (len(data), data), said["every_s"]))
            return {}
        if self._telling is not None:
            self._telling.cancel()
        return {"writes": self._writes}

    async def _tell(self, data: bytes, every_s: float) -> None:
        began, done = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) / every_s * len(self.mouths))
            for number in range(done, due):
                mouth = self.mouths[number % len(self.mouths)]
                if not mouth.is_paused:
                    mouth.transport.write(data)
                    self._writes += 1
            done = due
            await asyncio.sleep(STEP_S)


async def main() -> None:
    bare = Bare()
    server = await asyncio.get_running_loop().create_server(lambda: Mouth(bare.mouths), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await obey(bare.order)


if __name__ == "__main__":
    uvloop.run(main())
