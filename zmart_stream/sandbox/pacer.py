"""The beat of the venue: a real one at a fixed speed, the readers' own at speed max."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from zmart_stream.sandbox.clock import SECOND, VenueClock
from zmart_stream.sandbox.publisher import Publisher
from zmart_stream.sandbox.session import Session
from zmart_stream.sandbox.settings import Cadence

_STUCK_S = 10.0  # a reader that does not answer for so long no longer holds the others
_MS = 1_000_000


class Pacer:
    """Steps the publisher and flushes the sessions.

    At speed max venue time goes on only while every subscribed connection has read to within `max_spread_s`
    of it, which the client's library confirms by answering protocol pings; without a reader it stands.
    """

    def __init__(
        self, clock: VenueClock, publisher: Publisher, sessions: Callable[[], Iterable[Session]], cadence: Cadence
    ) -> None:
        """Nothing runs until `run`."""
        self._clock = clock
        self._publisher = publisher
        self._sessions = sessions
        self._tick_s = cadence.tick_ms / 1000
        self._step = int(cadence.max_step_s * SECOND)
        self._spread = int(cadence.max_spread_s * SECOND)
        self._read = asyncio.Event()
        self._answered: dict[int, float] = {}

    def confirmed(self, session: Session, payload: bytes) -> None:
        """A client answered a pacing ping: it has read what was sent before."""
        if len(payload) == 8:
            session.acked = int.from_bytes(payload, "big")
            self._answered[session.index] = time.monotonic()
            self._read.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            if self._clock.stepped:
                await self._beat_max()
            else:
                await self._beat()

    async def _beat(self) -> None:
        begun = time.monotonic()
        self._publish(self._clock.now())
        self._publisher.prefetch(int(self._tick_s * SECOND * float(self._clock.speed)))
        await asyncio.sleep(max(0.001, self._tick_s - (time.monotonic() - begun)))

    async def _beat_max(self) -> None:
        now = self._clock.now()
        readers = [session for session in self._sessions() if session.channels and not session.frozen]
        wanted = now + self._step
        if not readers or self._clock.held or self._clock.ended or self._behind(readers, now, wanted):
            self._publish(now)
            self._read.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._read.wait(), self._tick_s)
            return
        now = self._clock.advance(self._step)
        self._publish(now)
        for session in readers:
            session.pace(now)
        await asyncio.sleep(0)

    def _behind(self, readers: list[Session], now: int, wanted: int) -> bool:
        real = time.monotonic()
        for session in readers:
            if session.acked is None:
                session.acked = now
                self._answered[session.index] = real
            if wanted - session.acked > self._spread and real - self._answered[session.index] < _STUCK_S:
                return True
        return False

    def _publish(self, now: int) -> None:
        self._publisher.step(now, time.monotonic())
        for session in self._sessions():
            session.flush()
