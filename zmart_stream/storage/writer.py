"""The one writer: takes messages without blocking, commits them in batches, tells of them after the commit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select, update

from zmart_stream.domain.bars import BarBlock, BarsAmended
from zmart_stream.domain.errors import StorageError
from zmart_stream.domain.market import Listing
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxMoved
from zmart_stream.domain.portfolio import EquityMarked, FlagsChanged, FundingPaid, SwapMeasured
from zmart_stream.domain.scores import ScoresClosed
from zmart_stream.domain.signals import SignalSettled
from zmart_stream.storage import retention, tables
from zmart_stream.storage.batch import Batch
from zmart_stream.storage.database import Database
from zmart_stream.storage.faults import ERRORS, Fault, fault_of
from zmart_stream.storage.items import SnapshotTaken, SymbolsJudged
from zmart_stream.storage.queue import Unit, WriterQueue
from zmart_stream.storage.settings import StorageSettings
from zmart_stream.storage.statements import Statements

_UNHURRIED = (
    BarBlock,
    BarsAmended,
    Listing,
    SymbolsJudged,
    ScoresClosed,
    FlagsChanged,
    SnapshotTaken,
    EquityMarked,
    SwapMeasured,
    FundingPaid,
    SignalSettled,
    OutboxMoved,
)
"""Nobody waits to be told of these: they may wait for company. Anything else waits for the pause at most."""

BACKLOG = 10
"""Batches that are committed as one when so much waits: a commit takes as long as hundreds of rows."""

TELL_S = 0.001
"""Of one turn of the loop, for telling what is committed; those who are woken by it take some more."""

_SEQUENCED = (
    tables.portfolio_history,
    tables.operator_actions,
    tables.holds,
    tables.snapshots,
    tables.funding_payments,
    tables.paper_trades,
    tables.signals,
    tables.signal_steps,
    tables.signal_outcomes,
)


class StorageWriter:
    """Owns the writing connection. `put` from the loop, `run` as a task, `drain` and `close` at the end.

    Everything of one `put` is committed in one transaction and handed to `on_committed` in one call, in order, after
    the commit and without its snapshots; messages that no table holds pass through. A book change is applied once,
    however often it is delivered.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_committed: Callable[[Sequence[Message]], None],
        on_degraded: Callable[[str], None],
        on_recovered: Callable[[], None],
        settings: StorageSettings | None = None,
    ) -> None:
        """The callbacks are called on the loop; `settings` default to the database's."""
        self._database = database
        self._settings = settings or database.settings
        self._on_committed = on_committed
        self._on_degraded = on_degraded
        self._on_recovered = on_recovered
        self._queue = WriterQueue(self._settings.queue_size)
        self._statements = Statements(database.url.get_backend_name())
        self._packer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage-pack")
        self._known: set[str] = set()
        self._sequence = 0
        self._last_ts = 0
        self._rested_at = 0.0  # loop time from which the next commit may be made
        self._failing = False
        self._closing = False
        self._put = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = asyncio.Event()
        self._running = False
        self.degraded = ""
        self.counts: Counter[str] = Counter()

    @property
    def pending(self) -> int:
        """Rows that wait for a commit."""
        return self._queue.rows

    @property
    def dropped(self) -> Counter[str]:
        """Rows dropped by the queue's rule, by kind: scores, snapshots, bars."""
        return self._queue.dropped

    def put(self, messages: Sequence[Message]) -> None:
        """Take `messages` as one unit; never blocks. Raises StorageError once closed."""
        if self._closing:
            raise StorageError("the writer is closed")
        self._queue.put(messages)
        self._last_ts = max(self._last_ts, max((message.ts for message in messages), default=0))
        if len(self._queue):
            self._idle.clear()
            self._put.set()
        self._judge()

    async def run(self) -> None:
        """Commit what comes until `close`. Raises StorageError on a fault that neither space nor time mends."""
        self._running = True
        try:
            await self._load()
            while await self._wait_for_units():
                await self._write(self._queue.take(BACKLOG * self._settings.batch_rows))
                if not len(self._queue):
                    self._idle.set()
        finally:
            self._ended.set()
            self._packer.shutdown(wait=False)

    async def drain(self, deadline_s: float) -> bool:
        """Wait until all is committed, at most `deadline_s` real seconds; True when it is."""
        try:
            await asyncio.wait_for(self._idle.wait(), deadline_s)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Take nothing more, let `run` finish its transaction, note the clean end. What is queued still is lost."""
        self._closing = True
        self._put.set()
        if self._running:
            await self._ended.wait()
        if not self._failing and self._last_ts:
            await self._note_end()

    async def _load(self) -> None:
        """Where the sequence stands, and which contracts have a row."""
        async with self._database.reading(at_start=True) as connection:
            for table in _SEQUENCED:
                newest = (await connection.execute(select(func.max(table.c.sequence)))).scalar()
                self._sequence = max(self._sequence, newest or 0)
            self._known = {row.symbol for row in await connection.execute(select(tables.symbols.c.symbol))}

    async def _wait_for_units(self) -> bool:
        """Wait for something to write, and for company unless somebody waits for it; False when closing."""
        while not len(self._queue) and not self._closing:
            self._put.clear()
            await self._put.wait()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.batch_s
        while not self._closing and not self._is_urgent() and loop.time() < until:
            self._put.clear()
            try:
                await asyncio.wait_for(self._put.wait(), until - loop.time())
            except TimeoutError:
                break
        if not self._closing and self._queue.rows < self._settings.batch_rows:
            await asyncio.sleep(max(0.0, self._rested_at - loop.time()))
        return not self._closing

    def _is_urgent(self) -> bool:
        full = self._queue.rows >= self._settings.batch_rows
        return full or any(not isinstance(message, _UNHURRIED) for unit in self._queue.units for message in unit)

    async def _write(self, units: list[Unit]) -> None:
        batch = await self._prepare(units)
        await self._commit(batch)
        self._sequence = batch.sequence
        self._known |= batch.symbols
        self._queue.done(units)
        self._rested_at = asyncio.get_running_loop().time() + self._settings.pause_s
        self.counts["commits"] += 1
        await self._tell(units)
        self._judge()
        if batch.has_snapshot and not self.degraded:
            await self._prune()

    async def _prepare(self, units: list[Unit]) -> Batch:
        messages = [message for unit in units for message in unit]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._packer, lambda: Batch(messages, sequence=self._sequence, known=self._known)
        )

    async def _commit(self, batch: Batch) -> None:
        """Commit, for as long as it takes on a full disk; other faults have `give_up_s`."""
        loop = asyncio.get_running_loop()
        pause, deadline = self._settings.retry_s, loop.time() + self._settings.give_up_s
        while True:
            try:
                await self._database.write(lambda connection: batch.execute(connection, self._statements))
            except ERRORS as error:
                fault = fault_of(error)
                self.counts["failures"] += 1
                if fault in {Fault.CORRUPT, Fault.FATAL} or (fault is Fault.PASSING and loop.time() > deadline):
                    self._failing = True
                    raise StorageError(f"{fault.value}: {error}") from error
                freed = await self._make_room(fault, batch)
                self._degrade(f"{fault.value}: {getattr(error, 'orig', error)}")
            else:
                self._failing = False
                return
            self._failing = True
            if self._closing:
                raise StorageError(f"{fault.value}: closed before the last changes could be committed")
            if not freed:
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._settings.retry_max_s)

    async def _make_room(self, fault: Fault, batch: Batch) -> bool:
        if fault is not Fault.FULL:
            return False
        self._queue.dropped["scores"] += batch.shed_scores()
        ballast = self._database.ballast
        return ballast is not None and await asyncio.to_thread(ballast.free)

    async def _tell(self, units: list[Unit]) -> None:
        """In order, a little in each turn of the loop: who is told has work of its own, and so has everybody else."""
        until = time.perf_counter() + TELL_S
        for unit in units:
            told = [message for message in unit if not isinstance(message, SnapshotTaken)]
            self.counts["messages"] += len(told)
            if told:
                self._on_committed(told)
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + TELL_S

    def _judge(self) -> None:
        """Degrade when the queue is crowded; recover when commits succeed and it is calm again."""
        if not self.degraded and self._queue.crowded:
            self._degrade(f"the writer's queue holds {self._queue.rows} of {self._settings.queue_size} rows")
        elif self.degraded and not self._failing and self._queue.calm:
            self.degraded = ""
            self._queue.keep()
            self._on_recovered()

    def _degrade(self, reason: str) -> None:
        if self.degraded:
            return
        self.degraded = reason
        self._queue.shed()
        self._on_degraded(reason)

    async def _prune(self) -> None:
        """Thin and delete; what fails for space or for now is left to the next close. Lay the ballast down again."""
        try:
            now, settings = self._last_ts, self._settings
            self.counts["pruned"] += await self._database.write(lambda to: retention.prune(to, now, settings))
        except ERRORS as error:
            self._judge_side_work(error)
        if self._database.ballast is not None:
            await asyncio.to_thread(self._database.ballast.make)

    def _judge_side_work(self, error: Exception) -> None:
        """Work that nobody waits for may fail for space or for now; a fault must not be passed over."""
        fault = fault_of(error)
        if fault in {Fault.CORRUPT, Fault.FATAL}:
            raise StorageError(f"{fault.value}: {error}") from error
        self.counts["failures"] += 1

    async def _note_end(self) -> None:
        """The market time of a clean end goes to the newest session."""
        newest = select(func.max(tables.sessions.c.number)).scalar_subquery()
        note = update(tables.sessions).where(tables.sessions.c.number == newest).values(ended_ts_ns=self._last_ts)
        try:
            await self._database.write(lambda connection: connection.execute(note))
            await self._database.checkpoint()
        except ERRORS as error:
            self._judge_side_work(error)
