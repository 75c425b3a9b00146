"""The daemon as `zmart-stream run` composes it, with a probe between runner and core.

`python -m tests.bench.whole KEY=VALUE ...` takes settings as `--set` does, and orders by standard input.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from tests.bench.measure import Lag, obey, percentile, rss_mb
from zmart_stream.app import compose
from zmart_stream.app.config import Sources, load
from zmart_stream.app.service import SWITCH_S, Service
from zmart_stream.app.system import System
from zmart_stream.domain.market import Depth, MarkIndex, Ticker, Trade
from zmart_stream.domain.message import Message
from zmart_stream.domain.scores import ScoreChanged, ScoresClosed

QUIET_S = 2.0
KINDS = {Ticker: "ticker", Trade: "execution", Depth: "depth", MarkIndex: "mark"}


class Probe:
    """Counts what the core takes, and times what is told of scores: from the sender's stamp and from receipt."""

    def __init__(self, system: System) -> None:
        self._system = system
        runner: Any = system.runner
        self._core, self._tell = runner._core, runner._tell
        runner._core, runner._tell = self, self.told
        self._process = self._core.process
        self.snapshot = self._core.snapshot
        self.lag = Lag()
        self.offset = 0
        self.begin()

    def begin(self) -> None:
        """Count anew."""
        self._seen: dict[type[Message], int] = dict.fromkeys(KINDS, 0)
        self._due: list[tuple[int, int]] = []
        self._delays: list[int] = []
        self._inside: list[int] = []
        self._first = self._closes = 0
        self._dropped = self._system.inbox.dropped
        self._cpu = time.process_time()
        self._turns = self._system.runner.turns
        self._system.runner.longest_turn_ns = 0
        self.lag.late_ms.clear()

    def process(self, message: Message) -> list[Message]:
        """The core's own, watched."""
        found = self._process(message)
        kind = type(message)
        if kind in self._seen and (kind is not Depth or message.source == "stream"):  # type: ignore[attr-defined] # it is one
            self._seen[kind] += 1
            if not self._first:
                self._first, self._cpu = message.ts_event - self.offset, time.process_time()  # type: ignore[attr-defined] # stream messages have it
        for told in found:
            # its own: what a sweep or a close tells of others only comes along with it
            if type(told) is ScoreChanged and (kind is Ticker or kind is Trade) and told.symbol == message.symbol:  # type: ignore[attr-defined] # both have it
                self._due.append((message.ts_event, told.ts))  # type: ignore[attr-defined] # both have it
            elif type(told) is ScoresClosed:
                self._closes += 1
        return found

    def told(self, messages: Sequence[Message]) -> None:
        """The outlets' own, timed at its end."""
        self._tell(messages)
        now, market = time.monotonic_ns() + self.offset, self._system.clock.now()
        for sent, received in self._due:
            self._delays.append(now - sent)
            self._inside.append(market - received)
        self._due.clear()

    async def finish(self, expect: int) -> dict[str, Any]:
        """What was measured since `begin`, once `expect` messages came or none any more."""
        before, quiet_since = -1, time.monotonic()
        while sum(self._seen.values()) < expect and time.monotonic() - quiet_since < QUIET_S:
            if sum(self._seen.values()) != before:
                before, quiet_since = sum(self._seen.values()), time.monotonic()
            await asyncio.sleep(0.005)
        seconds, runner = (time.monotonic_ns() - self._first) / 1e9, self._system.runner
        return {
            "received": {KINDS[kind]: count for kind, count in self._seen.items()},
            "seconds": seconds,
            "cpu_s": time.process_time() - self._cpu,
            "published": len(self._delays),
            "p50_us": percentile(self._delays, 0.5) / 1e3,
            "p99_us": percentile(self._delays, 0.99) / 1e3,
            "inside_p50_us": percentile(self._inside, 0.5) / 1e3,
            "inside_p99_us": percentile(self._inside, 0.99) / 1e3,
            "lag_p99_ms": percentile(self.lag.late_ms, 0.99),
            "longest_turn_ms": runner.longest_turn_ns / 1e6,
            "turns": runner.turns - self._turns,
            "dropped": self._system.inbox.dropped - self._dropped,
            "closes": self._closes,
            "rss_mb": rss_mb(),
        }


async def main(sets: tuple[str, ...]) -> None:
    sources = Sources(sets=sets, environ={})
    loaded = load(sources)
    compose.set_up_logs(loaded.settings)
    system = await compose.build(loaded, sources, capture=None)
    probe, stop = Probe(system), asyncio.Event()

    async def order(said: dict[str, Any]) -> dict[str, Any]:
        if said["do"] == "begin":
            probe.offset = said["offset"]
            probe.begin()
            return {}
        return await probe.finish(said["expect"])

    async with asyncio.TaskGroup() as group:
        group.create_task(Service(system, stop, asyncio.Event(), time.monotonic()).run(None))
        lag = group.create_task(probe.lag.watch())
        await obey(order)
        lag.cancel()
        stop.set()
    await system.close()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(main(tuple(sys.argv[1:])))
