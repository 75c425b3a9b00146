"""A venue that was silent at the start: the feed waits until it says what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from zmart_stream.app.system import Stoppable
from zmart_stream.app.venue import Venue, ask_venue
from zmart_stream.domain.errors import FeedError
from zmart_stream.storage.database import Database
from zmart_stream.storage.venue import check_venue, stored_venue

ASK_EVERY_S = 1.0

log = structlog.get_logger("daemon")


async def known_to(database: Database, venue: Venue) -> Venue:
    """The venue by its name, or, while it is silent, by the database's. Raises WrongVenueError."""
    if not venue.is_known:
        return venue.named(await stored_venue(database))
    await check_venue(database, venue.identity)
    return venue


class Door:
    """The feed behind the question which venue this is: nothing of another one may reach the database."""

    def __init__(
        self, feed: Stoppable, venue: Venue, database: Database, set_clock: Callable[[], Awaitable[Any]]
    ) -> None:
        """`set_clock` takes the venue's time once it answers; may raise FeedError."""
        self.venue = venue
        self._feed, self._database, self._set_clock = feed, database, set_clock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Ask until somebody answers, then follow the venue until `stop`. Raises WrongVenueError."""
        if self.venue.is_known or await self._opened():
            await self._feed.run()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()
        self._feed.stop()

    async def _opened(self) -> bool:
        while not self._stopping.is_set():
            venue = await ask_venue(self.venue)
            if venue.is_known:
                self.venue = await known_to(self._database, venue)
                try:
                    await self._set_clock()
                except FeedError as error:
                    log.warning("clock.unanchored", reason=str(error))
                else:
                    return True
            try:
                async with asyncio.timeout(ASK_EVERY_S):
                    await self._stopping.wait()
            except TimeoutError:
                continue
        return False

    def facts(self) -> dict[str, Any]:
        """The venue as `status` shows it."""
        venue = self.venue
        return {"name": venue.identity, "url": venue.rest_url, "speed": venue.speed, "sandbox": venue.is_sandbox}
