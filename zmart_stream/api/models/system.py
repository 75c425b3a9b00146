"""Bodies and replies on the daemon as a whole."""

from __future__ import annotations

from typing import Literal

from zmart_stream.api.models import Document, Reply, Row, Time


class VenueFacts(Row):
    """The venue that is listened to."""

    name: str | None
    url: str
    speed: float | str
    status: str
    reachable: bool


class WarmUpFacts(Row):
    """How far the loading of history is, in contracts."""

    done: int
    of: int
    ended: bool
    text: str


class ContractFacts(Row):
    """How many contracts are known, traded enough, heard live, and scored."""

    known: int
    universe: int
    live: int
    scored: int


class ChangeFacts(Row):
    """The newest change of the book."""

    at: Time
    kind: str
    reason: str
    symbol_in: str | None
    symbol_out: str | None
    who: str


class BookFacts(Row):
    """The book in figures."""

    size: int
    max: int
    hold: bool
    hold_reason: str | None
    last_change: ChangeFacts | None


class LoopFacts(Row):
    """How late the event loop woke a sleeper, over the newest `window_s` seconds of real time."""

    lag_p50_ms: float | None
    lag_p99_ms: float | None
    lag_max_ms: float | None
    window_s: float


class StatusReply(Reply):
    """The daemon as a whole."""

    version: str
    uptime_s: float
    venue: VenueFacts
    feed: Document
    warm_up: WarmUpFacts
    contracts: ContractFacts
    book: BookFacts
    storage: Document
    notify: Document
    config: Document
    loop: LoopFacts


class HealthReply(Reply):
    """Whether fresh data is served, and what stands in the way."""

    status: Literal["healthy", "degraded"]
    reasons: list[str]


class PauseReply(Reply):
    """Whether an operator lets the book hold."""

    paused: bool


class SampleDataReply(Reply):
    """What the sandbox brought."""

    symbols: int


class ReloadReply(Reply):
    """What reading the configuration again changed: dotted keys, and the revision in force."""

    applied: list[str]
    restart_needed: list[str]
    revision: int
