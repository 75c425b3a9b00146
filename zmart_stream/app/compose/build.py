"""From settings to a system: every part made once, and handed to those that need it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from zmart_stream import __version__
from zmart_stream.api.calls import Services
from zmart_stream.api.push import events as push
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.tokens import TokenRecord
from zmart_stream.app.announce import announce
from zmart_stream.app.archive import StoredArchive
from zmart_stream.app.clock import Clock, make_clock
from zmart_stream.app.commander import RunnerCommander
from zmart_stream.app.compose.door import Door, known_to
from zmart_stream.app.compose.edges import (
    debug_facts,
    feed_settings,
    open_api,
    push_limits,
    set_up_logs,
    storage_settings,
)
from zmart_stream.app.compose.judging import Judge
from zmart_stream.app.compose.notifying import last_hold, make_outbox, notify_settings, secrets_of
from zmart_stream.app.compose.past import judges_of, restored_engine, scorers_of
from zmart_stream.app.compose.users import users_recorded
from zmart_stream.app.config import Loaded, Sources
from zmart_stream.app.configuration import RunningSettings, with_recorded
from zmart_stream.app.core_settings import core_settings
from zmart_stream.app.facade import Facade
from zmart_stream.app.inbox import Inbox
from zmart_stream.app.loop_lag import LoopLag
from zmart_stream.app.metering import Kind, Meter
from zmart_stream.app.read_model import ReadModel
from zmart_stream.app.recording import Recorder
from zmart_stream.app.reload import Reload
from zmart_stream.app.runner import Runner
from zmart_stream.app.settings import Settings
from zmart_stream.app.settings_sectors import sizes_of
from zmart_stream.app.state import lock, state_folder
from zmart_stream.app.system import System
from zmart_stream.app.venue import Venue, find_venue, sandbox_values
from zmart_stream.app.venue_process import VenueProcess
from zmart_stream.domain.bars import RepairWanted, TopicSilent
from zmart_stream.domain.commands import DisablePlugin, StorageDegraded, StorageRecovered
from zmart_stream.domain.errors import FeedError, RequestError
from zmart_stream.domain.market import HOUR_S
from zmart_stream.domain.message import Message
from zmart_stream.feeds.kucoin.feed import KucoinFeed
from zmart_stream.feeds.kucoin.rest import KucoinRest
from zmart_stream.notify.routing import LastHold, Router
from zmart_stream.notify.settings import NotifySettings
from zmart_stream.ops.health import not_ready
from zmart_stream.ops.logging import masker
from zmart_stream.ops.systemd import Notifier
from zmart_stream.storage.database import Database
from zmart_stream.storage.integrity import check_book
from zmart_stream.storage.items import OverridesRecorded, SnapshotTaken
from zmart_stream.storage.reader import StorageReader, StoredState
from zmart_stream.storage.writer import StorageWriter

RECORD_S = 10.0
"""Longest wait for recorded settings to be on disk."""

HOUR_NS = HOUR_S * 1_000_000_000
ANCHOR_S = 3.0
"""Longest wait of a start for the venue's time."""

log = structlog.get_logger("daemon")


class _Time(msgspec.Struct, frozen=True):
    rest: KucoinRest
    clock: Clock


class Opened(msgspec.Struct, frozen=True):
    """What a start has opened before the core is made."""

    folder: Path
    database: Database
    stored: StoredState
    venue: Venue
    child: VenueProcess | None
    notify: NotifySettings
    last_hold: LastHold | None  # that endpoints heard of


async def build(loaded: Loaded, sources: Sources, *, capture: Path | None) -> System:
    """Open everything but the sockets: state folder, database, venue, engine with its past. Raises ZmartError."""
    async with contextlib.AsyncExitStack() as stack:
        opened = await _open(loaded.settings, sources, stack)
        loaded, sources, problems = with_recorded(sources, opened.stored.overrides)
        if problems:
            log.error("config.record_unused", problems=problems)
        rest = KucoinRest(feed_settings(loaded.settings, opened.venue))
        stack.push_async_callback(rest.close)
        clock = await _set_clock(opened, rest)
        parts = _Assembly(loaded, sources, opened, _Time(rest, clock), capture)
        return parts.system(stack.pop_all())


async def _set_clock(opened: Opened, rest: KucoinRest) -> Clock:
    """Market time before anything is stamped with it; a venue that does not answer now is asked again later."""
    clock = make_clock(opened.venue.speed, opened.stored.last_ts)
    try:
        async with asyncio.timeout(ANCHOR_S):
            clock.anchor(await rest.server_time())
    except (FeedError, TimeoutError) as error:
        log.warning("clock.unanchored", reason=str(error) or "the venue does not answer")
    return clock


async def _open(settings: Settings, sources: Sources, stack: contextlib.AsyncExitStack) -> Opened:
    notify = notify_settings(settings.notify)
    masker.learn(secrets_of(notify))
    folder = state_folder(settings.state_dir, sandbox=sources.sandbox)
    stack.callback(lock(folder).close)
    database = Database(settings.storage.url or f"sqlite:///{folder / 'zmart.db'}", storage_settings(settings))
    await database.open()
    stack.push_async_callback(database.close)
    for notice in database.notices:
        log.warning("storage.notice", reason=notice)
    await check_book(database)
    reader = StorageReader(database)
    child = None
    if sources.sandbox:
        child = VenueProcess(sandbox_values(settings, folder, await reader.last_ts()))
        stack.push_async_callback(child.stop)
        await child.start()
    venue = await known_to(database, await find_venue(settings, child))
    stored = await reader.load_state(__version__)
    return Opened(folder, database, stored, venue, child, notify, await last_hold(reader))


class _Assembly:
    """The parts of one daemon while they are put together."""

    def __init__(self, loaded: Loaded, sources: Sources, opened: Opened, time: _Time, capture: Path | None) -> None:
        settings, venue, stored = loaded.settings, opened.venue, opened.stored
        self.settings, self.opened = settings, opened
        core = core_settings(settings, venue.speed)
        self.lag = LoopLag()
        self.hub = Hub(push_limits(settings.api))
        self.inbox, self.clock, self.rest = Inbox(settings.feed.inbox_size), time.clock, time.rest
        budget = settings.signals.plugin_budget
        self.meter = Meter(judges_of, budget, self._too_slow, build_scorers=scorers_of)
        self.engine = restored_engine(core, stored, self.meter.judges, self.meter.scorers)
        self.writer = self._writer()
        self.judge = Judge(self.engine, lambda: self.engine.symbols.portfolio.blocked, self.writer.put, self._sizes)
        self.feed = self._feed()
        self.door = Door(self.feed, venue, opened.database, self._anchor)
        self.outbox = make_outbox(opened.notify, self.writer, StorageReader(opened.database), opened.last_hold)
        self.reads = self._reads()
        self.store = _Store(self.writer, self.reads.made, self.outbox.router)
        self.runner = Runner(
            self.engine,
            self.clock,
            self.inbox,
            store=self.store,
            tell=self._tell,
            recorder=self._recorder(capture),
        )
        self.reload = Reload(
            loaded,
            sources,
            runner=self.runner,
            now=self.clock.now,
            core=lambda new: core_settings(new, venue.speed),
            apply=self._apply,
        )
        self.reload.begin(core, stored.revision, stored.settings, self.inbox)

    def system(self, opened: contextlib.AsyncExitStack) -> System:
        """Everything, ready to run; `opened` is closed at the end."""
        venue, folder = self.opened.venue, self.opened.folder
        stored = StorageReader(self.opened.database)
        commander = RunnerCommander(self.runner, self.engine, is_sandbox=lambda: self.door.venue.is_sandbox)
        services = Services(
            reader=self.reads,
            commander=commander,
            archive=StoredArchive(stored),
            configuration=RunningSettings(self.reload, self._record),
            now=self.clock.now,
            not_ready=self._not_ready,
            told=lambda: self.reads.told,
            push=self.hub,
            notifications=self.outbox,
            debug=debug_facts(stored.statistics) if self.settings.api.debug else None,
        )
        return System(
            folder=folder,
            clock=self.clock,
            inbox=self.inbox,
            runner=self.runner,
            feed=self.door,
            writer=self.writer,
            notify=self.outbox,
            recorder=self.recorder,
            venue=self.opened.child,
            manager=Notifier(),
            lag=self.lag,
            facade=Facade(reader=self.reads, commander=commander, now=self.clock.now),
            serve=lambda: open_api(self.settings.api, folder, services, self._note_users),
            reload=self.reload.run,
            venue_time=self.rest.server_time,
            status_line=self.reads.status_line,
            warmed=lambda: bool(self.engine.status()["warm_up"]["ended"]),
            checkpoint=lambda: self.store.put([], self.engine.snapshot(full=False)),
            close=opened.aclose,
            flush_every_s=self.settings.capture.flush,
            facts={"state_dir": str(folder), "venue": venue.identity, "url": venue.rest_url},
        )

    def _writer(self) -> StorageWriter:
        inbox, clock = self.inbox, self.clock
        return StorageWriter(
            self.opened.database,
            on_committed=self._committed,
            on_degraded=lambda reason: inbox.put(StorageDegraded(ts=clock.now(), reason=reason)),
            on_recovered=lambda: inbox.put(StorageRecovered(ts=clock.now())),
        )

    def _note_users(self, records: Sequence[TokenRecord]) -> None:
        self.writer.put([users_recorded(self.clock.now(), records)])

    async def _record(self, who: str, values: Mapping[str, Any]) -> None:
        """Overrides on disk before they are answered for. Raises RequestError."""
        self.writer.put([OverridesRecorded(ts=self.clock.now(), who=who, values=dict(values))])
        if not await self.writer.drain(RECORD_S):
            raise RequestError("degraded", "the change is in force, and not known to be on disk yet", retry_after_s=5)

    def _committed(self, messages: Sequence[Message]) -> None:
        self.outbox.committed(messages)
        self.runner.committed(messages)

    def _feed(self) -> KucoinFeed:
        engine = self.engine
        last = engine.market.hour_start - HOUR_NS
        known = {state.symbol: last for state in engine.market.states if state.hours_seen > 0}
        return KucoinFeed(
            feed_settings(self.settings, self.opened.venue),
            clock=self.clock,
            inbox=self.inbox,
            ranking=engine.ranked_symbols,
            held=lambda: [holding.symbol for holding in engine.symbols.portfolio.holdings],
            known=lambda: known,
        )

    async def _anchor(self) -> None:
        self.clock.anchor(await self.rest.server_time())

    def _reads(self) -> ReadModel:
        reads = ReadModel(
            self.engine,
            venue=self.door.facts,
            feed=self._feed_facts,
            storage=self._storage_facts,
            config=self._config_facts,
            notify=self.outbox.facts,
        )
        reads.loop = self.lag.facts
        reads.remember(self.opened.stored.last_change)
        return reads

    def _feed_facts(self) -> dict[str, Any]:
        facts = self.feed.stats()
        if not self.door.venue.is_known:
            facts["rest"]["state"] = self.rest.health
        return facts

    def _storage_facts(self) -> dict[str, Any]:
        writer = self.writer
        return {"pending": writer.pending, "degraded": writer.degraded or None, "dropped": dict(writer.dropped)}

    def _config_facts(self) -> dict[str, Any]:
        loaded = self.reload.loaded
        return {"profile": loaded.settings.profile, "file": str(loaded.file) if loaded.file else None}

    def _recorder(self, capture: Path | None) -> Recorder | None:
        table = self.settings.capture
        target = capture or (Path(table.dir) if table.dir else None)
        self.recorder = None
        if target:
            size, keep = table.segment_mb << 20, table.keep_segments
            self.recorder = Recorder(target, self.engine, segment_bytes=size, keep=keep)
        return self.recorder

    def _tell(self, messages: Sequence[Message]) -> None:
        announce(messages)
        self.reads.tell(messages)
        self.judge.tell(messages)
        push.tell(self.hub, messages)
        if filled := self.outbox.router.route(messages, unstored=True):
            self.writer.put(filled)
        for message in messages:
            if isinstance(message, RepairWanted):
                self.feed.repair(message)
            elif isinstance(message, TopicSilent):
                self.feed.resubscribe(message)

    def _sizes(self) -> dict[str, str]:
        return sizes_of(self.reload.loaded.settings.sectors)

    def _apply(self, settings: Settings) -> None:
        set_up_logs(settings)
        self.meter.budget_s = settings.signals.plugin_budget
        self.feed.reconfigure(feed_settings(settings, self.opened.venue))

    def _too_slow(self, kind: Kind, name: str, reason: str) -> None:
        now = self.clock.now()
        self.inbox.put(
            DisablePlugin(
                ts=now, request_id=f"meter:{kind}:{name}:{now}", who="meter", kind=kind, name=name, reason=reason
            )
        )

    def _not_ready(self) -> list[str]:
        status, share = self.engine.status(), self.engine.settings.portfolio.live_share
        return not_ready(
            universe=status["universe"], live=status["live"], live_share=share, database_fault=self.writer.degraded
        )


class _Store:
    """The writer as the runner sees it; `made` hears of what goes to it, and what has to be told goes with it."""

    def __init__(self, writer: StorageWriter, made: Callable[[Sequence[Message]], None], router: Router) -> None:
        self._writer = writer
        self._made = made
        self._router = router

    def put(self, messages: Sequence[Message], snapshot: dict[str, Any] | None = None) -> None:
        self._made(messages)
        unit = [*messages, *self._router.route(messages)]
        if snapshot is not None:
            unit.append(SnapshotTaken(ts=snapshot["now"], state=snapshot))
        self._writer.put(unit)
