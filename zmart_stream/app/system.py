"""Everything that runs, put together: what `compose` builds and `service` keeps going."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from zmart_stream.app.clock import Clock
from zmart_stream.app.facade import Facade
from zmart_stream.app.inbox import Inbox
from zmart_stream.app.loop_lag import LoopLag
from zmart_stream.app.runner import Runner
from zmart_stream.app.venue_process import VenueProcess


class Stoppable(Protocol):
    """A source of messages."""

    async def run(self) -> None:
        """Work until `stop`."""
        ...

    def stop(self) -> None:
        """Let `run` return."""
        ...


class Closable(Protocol):
    """The HTTP server once it listens."""

    @property
    def port(self) -> int:
        """Where it listens."""
        ...

    async def close(self) -> None:
        """Answer what is under way, then stop."""
        ...


class Writing(Protocol):
    """The storage writer as the service sees it."""

    async def run(self) -> None:
        """Commit what comes until `close`."""
        ...

    async def drain(self, deadline_s: float) -> bool:
        """Wait until all is committed."""
        ...

    async def close(self) -> None:
        """Take nothing more."""
        ...


class Recording(Protocol):
    """A capture as the service sees it."""

    def flush(self) -> None:
        """Send what is packed on its way."""
        ...

    def close(self) -> None:
        """End the segment; blocks."""
        ...


class ServiceManager(Protocol):
    """Whoever started us and watches."""

    watchdog_s: float | None

    def ready(self, status: str) -> None:
        """Start-up or reload is done."""
        ...

    def status(self, text: str) -> None:
        """One line of state."""
        ...

    def alive(self, status: str) -> None:
        """A sign of life."""
        ...

    def reloading(self) -> None:
        """A reload begins."""
        ...

    def stopping(self) -> None:
        """Shutdown begins."""
        ...


@dataclasses.dataclass(slots=True)
class System:
    """The parts of one daemon."""

    folder: Path
    clock: Clock
    inbox: Inbox
    runner: Runner
    feed: Stoppable
    writer: Writing
    notify: Stoppable
    recorder: Recording | None
    venue: VenueProcess | None
    manager: ServiceManager
    lag: LoopLag
    facade: Facade  # for code that embeds the package
    serve: Callable[[], Awaitable[Closable]]
    reload: Callable[[], Awaitable[Mapping[str, Any]]]
    venue_time: Callable[[], Awaitable[int]]
    status_line: Callable[[], str]
    warmed: Callable[[], bool]  # whether the history that was asked for is loaded
    checkpoint: Callable[[], None]  # queue a snapshot of the present state
    close: Callable[[], Awaitable[None]]  # the database and what else is open
    flush_every_s: float
    facts: Mapping[str, Any]  # for the log line daemon.ready
