"""The sandbox venue as a process of its own, and a feed that follows it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.feeds.kucoin.parts import Basket
from zmart_stream.app.clock import SteadyClock
from zmart_stream.domain.market import Coverage, WarmUp
from zmart_stream.feeds.kucoin.feed import KucoinFeed
from zmart_stream.feeds.kucoin.rest import KucoinRest
from zmart_stream.feeds.kucoin.settings import FeedSettings

QUOTA = 100.0
READY_S = 180.0
START = "2026-11-20T10:07:30+00:00"
"""In the middle of an hour: whoever starts at the end of one has a bar more to ask for."""


@dataclass
class Venue:
    """A running sandbox."""

    url: str
    speed: float
    lines: list[str] = field(default_factory=list)

    async def fault(self, kind: str, **more: Any) -> None:
        body = {"kind": kind, **more}
        async with aiohttp.ClientSession() as http, http.post(f"{self.url}/_sandbox/fault", json=body) as reply:
            assert reply.status == 200, await reply.text()

    async def insist(self, seen: Callable[[], bool], kind: str, **more: Any) -> None:
        """Strike until it is seen: a busy machine may ask only when a fault is over."""
        async with asyncio.timeout(READY_S):
            while not seen():
                await self.fault(kind, **more)
                await self.until_well()

    async def state(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/_sandbox/state") as reply:
            found: dict[str, Any] = await reply.json()
            return found

    async def until_well(self) -> None:
        """Wait until no lasting fault is in force; those of an instant have no end."""
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    left = [fault["left_s"] or 0.0 for fault in (await self.state())["faults"]]
                except aiohttp.ClientError:
                    left = [0.2]
                if not any(left):
                    return
                await asyncio.sleep(max(left))


@contextmanager
def venue(**settings: Any) -> Iterator[Venue]:
    """A sandbox with these settings on a free port, ended afterwards."""
    patient = {"ping_timeout_ms": 60_000}  # a venue that stands still for a while with its machine is not gone
    wanted = {"start": START, "contracts": 16, "quota_factor": QUOTA, "transport": patient, **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "zmart_stream.sandbox", json.dumps(wanted), "--end-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    running = Venue("", float(wanted.get("speed", 1.0)))
    try:
        while not running.url:
            line = process.stdout.readline()
            assert line, f"the sandbox ended: {running.lines}"
            running.lines.append(line)
            if "listening on" in line:
                running.url = line.split()[-1]
        yield running
    finally:
        process.terminate()
        process.communicate()


class Follower:
    """A feed, its inbox, and what tests ask of both."""

    def __init__(self, feed: KucoinFeed, basket: Basket) -> None:
        self.feed = feed
        self.basket = basket
        self._covered: set[tuple[str, str]] = set()
        self._folded = 0

    def covered(self) -> set[tuple[str, str]]:
        """(topic, symbol) that are covered now, as the messages tell it."""
        told = self.basket.of(Coverage)
        for coverage in told[self._folded :]:
            keys = {(coverage.topic, symbol) for symbol in coverage.symbols or ("",)}
            self._covered = self._covered | keys if coverage.since is not None else self._covered - keys
        self._folded = len(told)
        return self._covered

    @property
    def followed(self) -> set[str]:
        """The contracts whose tickers are covered."""
        return {symbol for topic, symbol in self.covered() if topic == "ticker"}

    def complete(self) -> bool:
        """Everything that is wanted is covered, by statistics and by messages."""
        topics = self.feed.stats()["topics"]
        return bool(topics["wanted"] and topics["wanted"] == topics["covered"] == len(self.covered()))

    def warm(self) -> bool:
        """The warm-up has ended."""
        return any(message.ended for message in self.basket.of(WarmUp))

    async def until_complete(self) -> None:
        await self.basket.until(self.complete, READY_S)


@asynccontextmanager
async def following(
    place: Venue,
    *,
    known: Mapping[str, int] | None = None,
    held: Sequence[str] = (),
    **changes: Any,
) -> AsyncIterator[Follower]:
    """A feed that follows `place` under `changes` of its settings, stopped afterwards."""
    given: dict[str, Any] = {
        "rest_url": place.url,
        "allowed_hosts": ("127.0.0.1",),
        "speed": place.speed,
        "quota_factor": QUOTA,
        "backoff_most_s": 1.0,
        "contracts_every_s": 0.5,
        "status_every_s": 0.5,
        "quiet_probe_s": 60.0,
        "quiet_drop_s": 60.0,
        "pong_timeout_s": 60.0,
        "depth_in_rank": 5,
        "depth_out_rank": 8,
        **changes,
    }
    settings = FeedSettings(**given)
    async with KucoinRest(settings) as rest:
        clock = SteadyClock(speed=place.speed, start=await rest.server_time())
    basket = Basket()
    feed = KucoinFeed(settings, clock=clock, inbox=basket, ranking=list, held=lambda: held, known=lambda: known or {})
    running = asyncio.create_task(feed.run())
    try:
        yield Follower(feed, basket)
    finally:
        feed.stop()
        await running
