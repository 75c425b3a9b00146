"""The inbox, the one loop, the outlets: used by every mode that runs by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from zmart_stream.app.clock import Clock
from zmart_stream.app.inbox import Inbox
from zmart_stream.domain.bars import BarBlock, RepairWanted, TopicSilent
from zmart_stream.domain.commands import Command, CommandDone, PluginDisabled, Reconfigured
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.market import FeedState, Listing, Tick, Ticker, Trade, VenueStatus
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import (
    BookReady,
    BookTraded,
    EquityMarked,
    FlagsChanged,
    FundingPaid,
    HoldChanged,
    PortfolioChange,
    SwapMeasured,
    WeightsKept,
)
from zmart_stream.domain.scores import Recalculated, ScoreChanged, ScoresClosed
from zmart_stream.domain.signals import (
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SignalRejected,
    SignalRepeated,
    SignalSettled,
)

TICK_S = 0.25
MOST_MESSAGES = 512
MOST_NS = 2_000_000  # a request to the API takes some turns of the loop, and each may hold one of these
LOOK_EVERY = 16

AFTER_COMMIT = (
    PortfolioChange,
    FlagsChanged,
    HoldChanged,
    BookReady,
    BookTraded,
    SwapMeasured,
    FundingPaid,
    EquityMarked,
    SignalReceived,
    SignalRejected,
    SignalRepeated,
    SignalEvaluated,
    SignalDecided,
    SignalEnded,
    SignalSettled,
    Reconfigured,
    CommandDone,
)
"""The book, its money, signals and answers are on disk before anybody is told of them; all else is told at once."""

NEVER_STORED = (ScoreChanged, RepairWanted, TopicSilent, Recalculated, PluginDisabled, WeightsKept)

NOTED = (Command, Listing)
"""Inputs that have a row of their own: what was asked of us, and what is listed."""

HEARD = (FeedState, VenueStatus)
"""Inputs that are told to who listens, as they are."""

_NOTICED = (*NOTED, *HEARD)

Tell = Callable[[Sequence[Message]], None]


class Core(Protocol):
    """The engine as the runner sees it."""

    def process(self, message: Message) -> list[Message]:
        """Everything that follows from `message`, in order."""
        ...

    def snapshot(self, full: bool) -> dict[str, Any]:
        """The state to restore from; `full` with the rings of bars."""
        ...


class Store(Protocol):
    """The storage writer as the runner sees it."""

    def put(self, messages: Sequence[Message], snapshot: dict[str, Any] | None = None) -> None:
        """Queue a cascade, with the state after it at a close; never blocks."""
        ...


class Recorder(Protocol):
    """A capture as the runner sees it."""

    def input(self, message: Message) -> None:
        """Record what the core is about to take."""
        ...

    def derived(self, messages: Sequence[Message]) -> None:
        """Record what followed."""
        ...

    def closed(self) -> None:
        """A bar closed: a segment may end here."""
        ...


class Runner:
    """Feeds the core in order and hands on what it derives."""

    def __init__(
        self, core: Core, clock: Clock, inbox: Inbox, *, store: Store, tell: Tell, recorder: Recorder | None = None
    ) -> None:
        """`tell` gets what may be told: at once, or once the store calls `committed`."""
        self.taken = 0
        self.turns = 0
        self.longest_turn_ns = 0
        self._core = core
        self._clock = clock
        self._inbox = inbox
        self._store = store
        self._tell = tell
        self._recorder = recorder
        self._stopping = False
        self._waiting: dict[str, tuple[asyncio.Future[Sequence[Message]], list[Message]]] = {}

    async def run(self) -> None:
        """Process until `stop`, then drain what is left."""
        inbox = self._inbox
        while not self._stopping or len(inbox):
            if len(inbox):
                self._turn()
                if len(inbox):
                    await asyncio.sleep(0)
            elif not await inbox.wait(TICK_S) and self._clock.ticks:
                inbox.put(Tick(ts=self._clock.now()))

    def stop(self) -> None:
        """Let `run` return once the inbox is drained."""
        self._stopping = True

    async def submit(self, command: Command) -> Sequence[Message]:
        """Queue a command; its cascade once it is on disk. Raises CommandRefusedError."""
        future: asyncio.Future[Sequence[Message]] = asyncio.get_running_loop().create_future()
        self._waiting[command.request_id] = (future, [])
        self._inbox.put(command)
        try:
            cascade = await future
        finally:
            self._waiting.pop(command.request_id, None)
        for message in cascade:
            if isinstance(message, CommandDone) and not message.accepted:
                raise CommandRefusedError(message.code, message.detail, **message.facts)
        return cascade

    def committed(self, messages: Sequence[Message]) -> None:
        """The store has these on disk."""
        told = [message for message in messages if isinstance(message, AFTER_COMMIT)]
        if told:
            self._tell(told)
        for message in told:
            if isinstance(message, CommandDone) and message.request_id in self._waiting:
                future, cascade = self._waiting[message.request_id]
                if not future.done():
                    future.set_result(cascade)

    def _turn(self) -> None:
        batch = self._inbox.take(MOST_MESSAGES)
        began = time.perf_counter_ns()
        done = self._process(batch, began + MOST_NS)
        if done < len(batch):
            self._inbox.put_back(batch[done:])
        self.taken += done
        self.turns += 1
        self.longest_turn_ns = max(self.longest_turn_ns, time.perf_counter_ns() - began)

    def _process(self, batch: list[Message], until: int) -> int:
        process, recorder = self._core.process, self._recorder
        cascade: list[Message] = []
        done = 0
        for message in batch:
            if recorder:
                recorder.input(message)
            derived = process(message)
            done += 1
            kind = type(message)
            # nearly all messages are one of these: a comparison costs a fifth of the look through the classes
            if kind is not Ticker and kind is not Trade and isinstance(message, _NOTICED):
                self._take_note(message, derived)
            if derived:
                cascade += derived
                if any(isinstance(item, BarBlock | ScoresClosed) for item in derived):
                    self._hand_on(cascade, closed=True)
                    cascade = []
            # what moved something may have cost a thousand times what a price does
            if (derived or not done % LOOK_EVERY) and time.perf_counter_ns() > until:
                break
        if cascade:
            self._hand_on(cascade, closed=False)
        return done

    def _take_note(self, message: Message, derived: list[Message]) -> None:
        if isinstance(message, HEARD):
            self._tell([message])
            return
        self._store.put([message])
        if isinstance(message, Command) and message.request_id in self._waiting:
            self._waiting[message.request_id][1].extend(derived)

    def _hand_on(self, cascade: list[Message], *, closed: bool) -> None:
        if self._recorder:
            self._recorder.derived(cascade)
            if closed:
                self._recorder.closed()
        stored = [message for message in cascade if not isinstance(message, NEVER_STORED)]
        if stored:
            self._store.put(stored, self._core.snapshot(full=False) if closed else None)
        now = [message for message in cascade if not isinstance(message, AFTER_COMMIT)]
        if now:
            self._tell(now)
