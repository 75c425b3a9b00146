"""Who is told of what: messages become entries of the outbox, in the unit that puts the messages themselves on disk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from zmart_stream.domain.commands import PluginDisabled, Reconfigured
from zmart_stream.domain.market import FeedState, VenueStatus
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxEntry, OutboxFilled
from zmart_stream.domain.portfolio import BookReady, HoldChanged, PortfolioChange
from zmart_stream.domain.signals import MACHINE
from zmart_stream.notify.events import KINDS, Notice, notice
from zmart_stream.notify.settings import IMPORTANCE, Rules

UNSTORED = (FeedState, VenueStatus, PluginDisabled)
"""Told at once, with nothing of their own on disk: they are routed when they are told, all others when they are put."""

_ENTRIES = UUID("6a1f7c0d-3b0e-5f53-9a4c-0d9a6a0c5f27")
_NOTED = KINDS | {BookReady}
_OPERATORS = ("paused", "storage")
"""Holds that do not come of a start."""


class LastHold(NamedTuple):
    """What endpoints heard last of a hold."""

    on: bool
    reason: str

    @property
    def code(self) -> str:
        """Why it holds, without details."""
        return self.reason.partition(":")[0]


class StartUp:
    """Keeps to itself what a start brings along: connections, the hold until data is whole, settings as they were.

    Over with the first hold that ends or is not of a start, or as soon as the machine acts on the book. What was told
    before the start is known: a hold that goes on is not told again, and its end is.
    """

    def __init__(self, last: LastHold | None) -> None:
        self._last = last
        self._is_over = False

    def hides(self, message: Message) -> bool:
        """Whether nobody is to hear of it."""
        if isinstance(message, Reconfigured):
            return not message.changed  # what a start takes into force
        if self._is_over:
            return False
        if isinstance(message, HoldChanged):
            return self._hides_hold(message)
        if isinstance(message, BookReady) or (isinstance(message, PortfolioChange) and message.who == MACHINE):
            self._is_over = True
        return isinstance(message, FeedState | VenueStatus)

    def _hides_hold(self, message: HoldChanged) -> bool:
        held = self._last is not None and self._last.on
        if not message.on:
            self._is_over = True
            return not held
        code = message.reason.partition(":")[0]
        if code not in _OPERATORS or (held and self._last is not None and self._last.code == code):
            return True
        self._is_over = True
        return False


class Router:
    """Makes entries; real time in them never runs back, so that their order is that of what they tell of."""

    def __init__(self, rules: dict[str, Rules], last: LastHold | None = None, newest: int = 0) -> None:
        """`rules` by endpoint; `last` is what they know of a hold; `newest` the time (ns) of the newest entry."""
        self._rules = rules
        self._start = StartUp(last)
        self._newest = newest

    def route(self, messages: Iterable[Message], *, unstored: bool = False) -> tuple[OutboxFilled, ...]:
        """What to put on disk with `messages`, of those that are stored or of those that are not; mostly nothing."""
        entries: list[OutboxEntry] = []
        ts = 0
        for message in messages:
            if type(message) not in _NOTED or isinstance(message, UNSTORED) is not unstored:
                continue
            if not self._start.hides(message):
                entries += self._entries(message)
                ts = message.ts
        return (OutboxFilled(ts=ts, entries=tuple(entries)),) if entries else ()

    def made(self, told: Notice, endpoints: Sequence[str]) -> tuple[OutboxEntry, ...]:
        """An entry for each endpoint."""
        payload = told.payload() if endpoints else ""
        return tuple(self.entry(told.id, told.kind, name, payload) for name in endpoints)

    def entry(self, event_id: str, kind: str, endpoint: str, payload: str) -> OutboxEntry:
        """An entry that is due now."""
        self._newest = max(self._newest + 1, time.time_ns())
        return OutboxEntry(
            id=str(uuid5(_ENTRIES, f"{endpoint} {event_id}")),
            event_id=event_id,
            event_type=kind,
            endpoint=endpoint,
            payload=payload,
            created=self._newest,
            next_attempt=self._newest,
        )

    def _entries(self, message: Message) -> tuple[OutboxEntry, ...]:
        told = notice(message) if self._rules else None
        if told is None:
            return ()
        return self.made(told, [name for name, rules in self._rules.items() if wants(rules, told)])


def wants(rules: Rules, told: Notice) -> bool:
    """Whether an endpoint with these rules hears of it."""
    if rules.types and told.kind not in rules.types:
        return False
    if rules.symbols and told.symbols and rules.symbols.isdisjoint(told.symbols):
        return False
    return IMPORTANCE.index(told.importance) >= IMPORTANCE.index(rules.importance)
