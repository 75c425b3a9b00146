"""The composition root: the one place that names concrete edges and plugs them into the core."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
import structlog

from zmart_stream import __version__
from zmart_stream.api.app import Running, create_app, serve, tls_context
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import Services
from zmart_stream.api.limits import Limits
from zmart_stream.api.tokens import TokenFile
from zmart_stream.app.announce import announce
from zmart_stream.app.clock import make_clock
from zmart_stream.app.commander import RunnerCommander
from zmart_stream.app.config import Loaded, Sources
from zmart_stream.app.core_settings import core_settings
from zmart_stream.app.inbox import Inbox
from zmart_stream.app.read_model import ReadModel
from zmart_stream.app.recording import Recorder, head_of
from zmart_stream.app.reload import Reload
from zmart_stream.app.runner import Runner
from zmart_stream.app.settings import ApiTable, Settings
from zmart_stream.app.state import lock, state_folder
from zmart_stream.app.system import System
from zmart_stream.app.venue import Venue, find_venue, sandbox_values
from zmart_stream.app.venue_process import VenueProcess
from zmart_stream.capture.format import SegmentHead
from zmart_stream.capture.reader import CaptureReader
from zmart_stream.domain.bars import RepairWanted, TopicSilent
from zmart_stream.domain.commands import StorageDegraded, StorageRecovered
from zmart_stream.domain.errors import CaptureError, SnapshotError
from zmart_stream.domain.market import HOUR_S
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import CoreSettings, ScoringSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.feeds.kucoin.feed import KucoinFeed
from zmart_stream.feeds.kucoin.rest import KucoinRest
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.feeds.replay import ReplayFeed, VerifyResult, verify
from zmart_stream.ops import logging as logs
from zmart_stream.ops.health import not_ready
from zmart_stream.ops.systemd import Notifier
from zmart_stream.scoring.base import Scorer
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.storage.database import Database
from zmart_stream.storage.integrity import check_book
from zmart_stream.storage.items import SnapshotTaken
from zmart_stream.storage.reader import StorageReader, StoredState
from zmart_stream.storage.settings import StorageSettings
from zmart_stream.storage.venue import check_venue
from zmart_stream.storage.writer import StorageWriter

HOUR_NS = HOUR_S * 1_000_000_000

log = structlog.get_logger("daemon")


def set_up_logs(settings: Settings) -> None:
    """Configure structured logging."""
    table = settings.log
    logs.configure(level=table.level, form=table.format, repeat_every_s=table.repeat_every, sql=table.sql)


def scorers_of(settings: ScoringSettings) -> tuple[Scorer, ...]:
    """The scorers of the settings, entry points included. Raises ConfigError."""
    extra = {}
    if any(component.path is None for component in settings.components):
        names = {component.name for component in settings.components}
        extra = {
            point.name: point.load() for point in entry_points(group="zmart_stream.scorers") if point.name in names
        }
    return build_scorers(settings, extra)


def engine_of(head: SegmentHead) -> Engine:
    """An engine with the settings of a capture's segment; its state is restored by the caller."""
    return Engine(
        head.settings,
        scorers_of(head.settings.scoring),
        session=head.session,
        revision=head.revision,
        build_scorers=scorers_of,
    )


def verify_capture(directory: Path) -> VerifyResult:
    """Whether the core still derives from a capture what is recorded in it. Raises CaptureError and SnapshotError."""
    return verify(directory, engine_of)


def replay_capture(directory: Path) -> tuple[Engine, int, int]:
    """The core after all inputs of a capture, how many they were, and how many messages followed.

    Raises CaptureError and SnapshotError.
    """
    feed = ReplayFeed(CaptureReader(directory))
    if feed.head is None:
        raise CaptureError(f"{directory}: no segment with a whole head")
    engine, inputs, derived = engine_of(feed.head), 0, 0
    engine.restore(feed.head.snapshot)
    for message in feed:
        inputs += 1
        derived += len(engine.process(message))
    return engine, inputs, derived


async def build(loaded: Loaded, sources: Sources, *, capture: Path | None) -> System:
    """Open everything but the sockets: state folder, database, venue, engine with its past. Raises ZmartError."""
    async with contextlib.AsyncExitStack() as stack:
        settings = loaded.settings
        folder = state_folder(settings.state_dir, sandbox=sources.sandbox)
        stack.callback(lock(folder).close)
        database = Database(settings.storage.url or f"sqlite:///{folder / 'zmart.db'}", _storage_settings(settings))
        await database.open()
        stack.push_async_callback(database.close)
        for notice in database.notices:
            log.warning("storage.notice", reason=notice)
        reader = StorageReader(database)
        child = None
        if sources.sandbox:
            child = VenueProcess(sandbox_values(settings, folder, await reader.last_ts()))
            stack.push_async_callback(child.stop)
            await child.start()
        venue = await find_venue(settings, child)
        await check_venue(database, venue.identity)
        await check_book(database)
        system = await _assemble(loaded, sources, venue, _Opened(folder, database, reader, child), capture)
        closing = stack.pop_all()
        system.close = closing.aclose
        return system


class _Opened(msgspec.Struct, frozen=True):
    folder: Path
    database: Database
    reader: StorageReader
    child: VenueProcess | None


async def _assemble(loaded: Loaded, sources: Sources, venue: Venue, opened: _Opened, capture: Path | None) -> System:
    settings, folder = loaded.settings, opened.folder
    core = core_settings(settings, venue.speed)
    stored = await opened.reader.load_state(__version__)
    engine = restored_engine(core, stored)
    inbox, clock = Inbox(settings.feed.inbox_size), make_clock(venue.speed)

    def committed(messages: Sequence[Message]) -> None:
        runner.committed(messages)

    writer = StorageWriter(
        opened.database,
        on_committed=committed,
        on_degraded=lambda reason: inbox.put(StorageDegraded(ts=clock.now(), reason=reason)),
        on_recovered=lambda: inbox.put(StorageRecovered(ts=clock.now())),
    )
    known = {state.symbol: engine.market.hour_start - HOUR_NS for state in engine.market.states if state.hours_seen > 0}
    feed = KucoinFeed(
        feed_settings(settings, venue),
        clock=clock,
        inbox=inbox,
        ranking=engine.ranked_symbols,
        held=lambda: [holding.symbol for holding in engine.symbols.portfolio.holdings],
        known=lambda: known,
    )
    reads = ReadModel(
        engine,
        venue=lambda: {
            "name": venue.identity,
            "url": venue.rest_url,
            "speed": venue.speed,
            "sandbox": venue.is_sandbox,
        },
        feed=feed.stats,
        storage=lambda: {
            "pending": writer.pending,
            "degraded": writer.degraded or None,
            "dropped": dict(writer.dropped),
        },
        config=lambda: {"profile": reload.loaded.settings.profile, "file": str(loaded.file) if loaded.file else None},
    )
    reads.remember(stored.last_change)
    target = capture or (Path(settings.capture.dir) if settings.capture.dir else None)
    recorder = _recorder(target, engine, settings) if target else None
    runner = Runner(engine, clock, inbox, store=_Store(writer), tell=_teller(reads, feed), recorder=recorder)
    reload = Reload(
        loaded,
        sources,
        runner=runner,
        now=clock.now,
        core=lambda new: core_settings(new, venue.speed),
        apply=lambda new: _apply_edges(new, venue, feed),
    )
    reload.begin(core, stored.revision, stored.settings, inbox)
    rest = KucoinRest(feed_settings(settings, venue))
    services = Services(
        reader=reads,
        commander=RunnerCommander(runner, engine, is_sandbox=venue.is_sandbox),
        now=clock.now,
        reload=reload.run,
        not_ready=lambda: _not_ready(engine, writer.degraded),
    )
    return System(
        folder=folder,
        clock=clock,
        inbox=inbox,
        runner=runner,
        feed=feed,
        writer=writer,
        recorder=recorder,
        venue=opened.child,
        manager=Notifier(),
        serve=lambda: _serve(settings.api, folder, services),
        reload=reload.run,
        venue_time=rest.server_time,
        status_line=lambda: _status_line(engine),
        checkpoint=lambda: _Store(writer).put([], engine.snapshot(full=False)),
        close=rest.close,
        flush_every_s=settings.capture.flush,
        facts={"state_dir": str(folder), "venue": venue.identity, "url": venue.rest_url},
    )


def restored_engine(core: CoreSettings, stored: StoredState) -> Engine:
    """An engine that goes on where the store says the last session was; a snapshot that does not fit is left out."""
    scorers = scorers_of(core.scoring)

    def fresh() -> Engine:
        return Engine(core, scorers, session=stored.session, revision=stored.revision, build_scorers=scorers_of)

    engine = fresh()
    for problem in stored.problems:
        log.warning("storage.notice", reason=problem)
    if stored.snapshot is not None:
        try:
            engine.restore(stored.snapshot)
            for block in stored.blocks:
                engine.market.load_block(block)
            for amended in stored.amendments:
                engine.market.load_amended(amended)
        except SnapshotError as error:
            log.warning("storage.snapshot_unused", reason=str(error))
            engine = fresh()
    if stored.snapshot is not None or stored.book.holdings:
        engine.restore_book(stored.book, stored.changes)
        engine.restart(stored.session)
    hold = engine.symbols.hold
    if stored.paused:
        hold.begin("paused", "as before the restart")
    else:
        hold.end("paused")
    hold.end("storage")  # of the last session: this one's writer says so itself
    return engine


def feed_settings(settings: Settings, venue: Venue) -> FeedSettings:
    """The feed's dials from ours."""
    feed = settings.feed
    return FeedSettings(
        rest_url=venue.rest_url,
        allowed_hosts=venue.allowed_hosts,
        ca_file=venue.ca_file,
        speed=float("inf") if venue.speed == "max" else venue.speed,
        quota_factor=venue.quota_factor,
        depth_in_rank=settings.portfolio.depth_candidates,
        depth_out_rank=settings.portfolio.depth_candidates * 3 // 2,
        min_turnover_usdt=settings.market.min_turnover_usdt,
        window_hours=settings.market.window_hours,
        window_days=settings.market.window_days,
        topics_per_connection=feed.subscriptions_per_connection,
        dials_per_minute=feed.dials_per_minute,
        client_messages_per_10s=feed.client_messages_per_10s,
        quiet_probe_s=feed.receive_deadline / 2,
        quiet_drop_s=feed.receive_deadline / 2,
        life_s=feed.connection_life,
        backoff_most_s=feed.backoff_max,
        contracts_every_s=feed.contracts_poll,
        status_every_s=feed.status_poll,
        warmup_share=feed.rest_share_warm_up,
        steady_share=feed.rest_share,
        request_timeout_s=feed.rest_timeout,
    )


class _Store:
    """The writer as the runner sees it."""

    def __init__(self, writer: StorageWriter) -> None:
        self._writer = writer

    def put(self, messages: Sequence[Message], snapshot: dict[str, Any] | None = None) -> None:
        if snapshot is None:
            self._writer.put(messages)
        else:
            self._writer.put([*messages, SnapshotTaken(ts=snapshot["now"], state=snapshot)])


def _teller(reads: ReadModel, feed: KucoinFeed) -> Callable[[Sequence[Message]], None]:
    def tell(messages: Sequence[Message]) -> None:
        announce(messages)
        reads.tell(messages)
        for message in messages:
            if isinstance(message, RepairWanted):
                feed.repair(message)
            elif isinstance(message, TopicSilent):
                feed.resubscribe(message)

    return tell


def _recorder(folder: Path, engine: Engine, settings: Settings) -> Recorder:
    return Recorder(
        folder,
        engine,
        head=lambda: head_of(engine),
        segment_bytes=settings.capture.segment_mb << 20,
    )


def token_path(table: ApiTable, folder: Path) -> Path:
    """Where the bearer tokens of a daemon with this state folder are."""
    return Path(table.token_file).expanduser() if table.token_file else folder / "tokens.json"


async def _serve(table: ApiTable, folder: Path, services: Services) -> Running:
    auth = AuthSettings(
        host=table.host,
        open_loopback=table.open_loopback,
        behind_proxy=table.behind_proxy,
        allowed_hosts=tuple(table.allowed_hosts),
        allowed_origins=tuple(table.allowed_origins),
    )
    limits = Limits(
        max_connections=table.max_connections,
        max_connections_per_address=table.max_connections_per_address,
        max_body_bytes=table.max_body_kb << 10,
        receive_deadline_s=table.receive_deadline,
        requests_per_minute=table.requests_per_minute,
    )
    tokens = TokenFile(token_path(table, folder))
    app = create_app(services, auth=auth, tokens=tokens, limits=limits)
    tls = tls_context(table.tls_cert, table.tls_key) if table.tls_cert else None
    if table.open_loopback:
        log.warning("api.open_loopback", reason="callers on this machine may operate without a token")
    return await serve(app, host=table.host, port=table.port, tls=tls)


def _apply_edges(settings: Settings, venue: Venue, feed: KucoinFeed) -> None:
    set_up_logs(settings)
    feed.reconfigure(feed_settings(settings, venue))


def _not_ready(engine: Engine, degraded: str) -> list[str]:
    status, share = engine.status(), engine.settings.portfolio.live_share
    return not_ready(universe=status["universe"], live=status["live"], live_share=share, database_fault=degraded)


def _status_line(engine: Engine) -> str:
    status = engine.status()
    warm_up = status["warm_up"]
    progress = "" if warm_up["ended"] else f"warming up {warm_up['done']}/{warm_up['of']}, "
    hold = f", holds: {status['hold']['reason']}" if status["hold"]["on"] else ""
    return f"{progress}{status['live']}/{status['universe']} contracts live, book {status['book']['size']}{hold}"


def _storage_settings(settings: Settings) -> StorageSettings:
    table = settings.storage
    return StorageSettings(
        queue_size=table.queue_size,
        batch_rows=table.batch_rows,
        batch_s=table.batch_time,
        ballast_bytes=table.ballast_mb << 20,
        pool_size=table.pool_size,
        pool_recycle_s=table.pool_recycle,
        snapshots_kept=table.snapshots_kept,
        scores_full_s=table.scores_full,
        scores_hourly_s=table.scores_hourly,
        window_hours=settings.market.window_hours,
        window_days=settings.market.window_days,
        sql_log=settings.log.sql,
    )
