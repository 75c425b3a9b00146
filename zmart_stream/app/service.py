"""The daemon: task group, signals, readiness, watchdog, reload, shutdown order."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import structlog
import uvloop

from zmart_stream.app import compose
from zmart_stream.app.config import Sources, load
from zmart_stream.app.read_model import iso
from zmart_stream.app.system import System
from zmart_stream.domain.errors import ConfigError, FeedError, ZmartError

EXIT_OK, EXIT_FAULT, EXIT_CONFIG = 0, 1, 78
DRAIN_S = 2.0
FEED_STOP_S = 1.0
NOTIFY_STOP_S = 1.0
STEPS = 20
SWITCH_S = 0.001
"""How soon a thread that wants the interpreter gets it: a read of the database asks dozens of times."""
YOUNG = 2_000
"""New objects until garbage is looked for among them: a feed makes next to none, and looking costs a ms a thousand.

With more, refused requests, which keep themselves and their bodies alive until then, hold tens of megabytes."""
ANCHOR_EVERY_S = 60.0
MAX_LAG_S = 1.0
PULSE_S = 1.0
SKEW_TOLD_S = 1.0

log = structlog.get_logger("daemon")


def run_daemon(sources: Sources, *, run_for_s: float | None = None, capture: Path | None = None) -> int:
    """Run until told to stop; returns the exit code. Problems with the configuration go to standard error."""
    try:
        loaded = load(sources)
        compose.set_up_logs(loaded.settings)
        sys.setswitchinterval(SWITCH_S)
        return uvloop.run(_daemon(loaded, sources, run_for_s, capture))
    except ConfigError as error:
        _say(_refusal(error.problems))
        return EXIT_CONFIG
    except ZmartError as error:
        log.error("daemon.failed", reason=str(error), kind=type(error).__name__)
        return EXIT_FAULT


def run_replay(directory: Path, *, verify: bool, say: Callable[[str], object]) -> int:
    """Run the core over a capture; returns the exit code, with `verify` 1 at a difference. Raises ZmartError."""
    if verify:
        result = compose.verify_capture(directory)
        say(str(result))
        return EXIT_OK if result.identical else EXIT_FAULT
    engine, inputs, derived = compose.replay_capture(directory)
    say(f"{inputs} inputs, {derived} derived messages, up to {iso(engine.now)}")
    book = engine.symbols.portfolio
    for holding in book.holdings:
        say(f"{holding.rank:>3} {holding.symbol:<16} {holding.weight:>6.2f} %  score {holding.score:6.2f}")
    say(f"    cash             {book.cash:>6.2f} %")
    return EXIT_OK


def _problems(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [problem for inner in error.exceptions for problem in _problems(inner)]
    return error.problems if isinstance(error, ConfigError) else [str(error)]


def _refusal(problems: Iterable[str]) -> list[str]:
    return ["zmart-stream: the configuration cannot be used:", *(f"  {problem}" for problem in problems)]


def _say(lines: list[str]) -> None:
    sys.stderr.write("\n".join(lines) + "\n")


async def _daemon(loaded: Any, sources: Sources, run_for_s: float | None, capture: Path | None) -> int:
    began = time.monotonic()
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    system = await compose.build(loaded, sources, capture=capture)
    code = EXIT_FAULT
    try:
        await Service(system, stop, reload, began).run(run_for_s)
        code = EXIT_OK
    except* ConfigError as group:  # the port is taken, the token file is open to others: known only now
        _say(_refusal(_problems(group)))
        code = EXIT_CONFIG
    except* ZmartError as group:
        for error in group.exceptions:
            log.error("daemon.failed", reason=str(error), kind=type(error).__name__)
    except* Exception as group:
        for fault in group.exceptions:
            log.error("daemon.crashed", kind=type(fault).__name__, exc_info=fault)
    finally:
        await system.close()
    if code == EXIT_OK:
        log.info("daemon.stopped", after_s=round(time.monotonic() - began, 1))
    return code


class Service:
    """Owns every task of a running daemon."""

    def __init__(self, system: System, stop: asyncio.Event, reload: asyncio.Event, began: float) -> None:
        """`began` is the monotonic time at which the process started its work."""
        self._system = system
        self._stop = stop
        self._reload = reload
        self._began = began
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self, run_for_s: float | None) -> None:
        """Start everything, wait for the stop event, take everything down in order."""
        system = self._system
        async with asyncio.TaskGroup() as self._group:
            self._spawn("writer", system.writer.run())
            self._spawn("runner", system.runner.run())
            server = await system.serve()
            self._spawn("notify", system.notify.run())
            self._spawn("feed", system.feed.run())
            self._spawn("clock", self._keep_clock())
            self._spawn("reload", self._keep_reloading())
            self._spawn("pulse", self._keep_pulse())
            self._spawn("lag", system.lag.watch())
            self._spawn("settle", self._settle())
            if system.recorder is not None:
                self._spawn("capture", self._keep_flushing(system.recorder.flush))
            if system.venue is not None:
                self._spawn("venue", self._watch_venue(system.venue.wait))
            if run_for_s is not None:
                asyncio.get_running_loop().call_later(run_for_s, self._stop.set)
            gc.collect()
            gc.freeze()  # what start-up built stays; only what comes later is looked at
            gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
            system.manager.ready(system.status_line())
            log.info("daemon.ready", port=server.port, start_s=round(time.monotonic() - self._began, 2), **system.facts)
            await self._stop.wait()
            await self._shut_down(server.close)

    def _spawn(self, name: str, body: Coroutine[Any, Any, Any]) -> None:
        if self._group is not None:
            self._tasks[name] = self._group.create_task(body, name=name)

    async def _shut_down(self, close_api: Callable[[], Coroutine[Any, Any, None]] | Callable[[], Any]) -> None:
        system = self._system
        system.manager.stopping()
        log.info("daemon.stopping")
        system.feed.stop()
        await self._end("feed", FEED_STOP_S)
        for name in ("clock", "reload", "pulse", "lag", "settle", "capture", "venue"):
            if name in self._tasks:
                self._tasks[name].cancel()
        system.notify.stop()
        await close_api()
        system.runner.stop()
        await self._end("runner", DRAIN_S)
        await self._end_notify()
        system.checkpoint()
        if not await system.writer.drain(DRAIN_S):
            log.warning("storage.undrained")
        await system.writer.close()
        if system.recorder is not None:
            await asyncio.to_thread(system.recorder.close)
        if system.venue is not None:
            await system.venue.stop()

    async def _end_notify(self) -> None:
        """An attempt that takes longer is cut: it is in the outbox, and is made again by the next start."""
        task = self._tasks["notify"]
        await asyncio.wait([task], timeout=NOTIFY_STOP_S)
        task.cancel()
        await asyncio.wait([task])

    async def _end(self, name: str, within_s: float) -> None:
        task = self._tasks[name]
        for _ in range(STEPS):  # a machine that stands still meanwhile takes one step of the time, not all of it
            if not task.done():
                await asyncio.wait([task], timeout=within_s / STEPS)
        if not task.done():
            log.warning("daemon.task_cut", task=name)
            task.cancel()

    async def _keep_clock(self) -> None:
        """Set market time to the venue's, then keep it there."""
        while True:
            try:
                error = self._system.clock.anchor(await self._system.venue_time())
            except FeedError as failure:
                log.warning("clock.unanchored", reason=str(failure))
                await asyncio.sleep(5.0)
                continue
            if abs(error) > SKEW_TOLD_S * 1e9 * self._system.clock.scale:
                log.info("clock.set", moved_s=round(error / 1e9, 3))
            await asyncio.sleep(ANCHOR_EVERY_S)

    async def _keep_reloading(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._system.manager.reloading()
            try:
                result = await self._system.reload()
                log.info("config.reloaded", **result)
            except ConfigError as error:
                log.error("config.refused", problems=error.problems)
            finally:
                self._system.manager.ready(self._system.status_line())

    async def _keep_pulse(self) -> None:
        """Tell the service manager that the loop turns and the writer lives; market data does not matter here."""
        manager = self._system.manager
        period = min(manager.watchdog_s or PULSE_S, PULSE_S)
        while True:
            due = time.monotonic() + period
            await asyncio.sleep(period)
            lag = time.monotonic() - due
            if lag > MAX_LAG_S:
                log.warning("loop.lagged", lag_s=round(lag, 3))
            healthy = not self._tasks["writer"].done() and not self._tasks["runner"].done()
            if manager.watchdog_s is not None and healthy and lag <= MAX_LAG_S:
                manager.alive(self._system.status_line())

    async def _settle(self) -> None:
        """Once history is loaded it stays: to look for garbage among it takes a tenth of a second, again and again."""
        while not self._system.warmed():  # noqa: ASYNC110 - once a second, for a minute
            await asyncio.sleep(PULSE_S)
        gc.collect()
        gc.freeze()

    async def _keep_flushing(self, flush: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._system.flush_every_s)
            flush()

    async def _watch_venue(self, wait: Callable[[], Coroutine[Any, Any, int]]) -> None:
        code = await wait()
        raise FeedError(f"the sandbox venue ended by itself (exit {code})")
