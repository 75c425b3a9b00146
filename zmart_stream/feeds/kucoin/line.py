"""One place for a connection: keeps a socket up, subscribed and young; tells what is covered and what is lost."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from zmart_stream.domain.errors import FeedError
from zmart_stream.domain.market import Coverage, FeedState, Topic
from zmart_stream.domain.ports import Inbox, MarketClock
from zmart_stream.feeds.kucoin.budget import SlidingWindow
from zmart_stream.feeds.kucoin.connection import Connection, Wiring, dial
from zmart_stream.feeds.kucoin.report import Report
from zmart_stream.feeds.kucoin.rest import KucoinRest
from zmart_stream.feeds.kucoin.sequences import Sequences
from zmart_stream.feeds.kucoin.session import SLOW, Fate, Malformed, Overfull, Refused, Session
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.feeds.kucoin.subscriptions import Key
from zmart_stream.feeds.kucoin.wire import Wire

HEALTHY_S = 60.0
"""A connection that lived so long makes the next failure the first one again."""

SLOW_S = 5.0
OVERLAP_RETRY_S = 60.0
CHECK_S = 0.05


@dataclass(slots=True, kw_only=True)
class Shared:
    """What all lines share."""

    settings: Callable[[], FeedSettings]
    rest: KucoinRest
    clock: MarketClock
    inbox: Inbox
    wire: Wire
    sequences: Sequences
    dials: SlidingWindow
    context: ssl.SSLContext
    report: Report
    overfull: Callable[[Line, Overfull], None]


def backoff(failures: int, settings: FeedSettings, *, slow: bool = False) -> float:
    """Full-jitter pause in seconds after `failures` failures in a row."""
    first, most = settings.backoff_first_s, settings.backoff_most_s
    pause = random.uniform(first / 2, max(first, min(most, first * 2.0 ** min(failures, 20))))
    return min(most + SLOW_S, pause + random.uniform(SLOW_S / 2, SLOW_S)) if slow else pause


class Line:
    """Carries the subscriptions in `keys` over one connection at a time, two during a planned overlap."""

    def __init__(self, name: str, shared: Shared) -> None:
        """`name` is told in FeedState and in the log."""
        self.name = name
        self.keys: dict[Key, None] = {}
        self.covered: dict[Key, None] = {}
        self.state = "idle"
        self.connects = 0
        self._shared = shared
        self._link: Connection | None = None
        self._fresh: Connection | None = None
        self._wake = asyncio.Event()
        self._failures = 0
        self._told_down = False

    @property
    def received(self) -> int:
        """Frames received by the present connection."""
        return self._link.received if self._link is not None else 0

    @property
    def since(self) -> float | None:
        """Monotonic seconds since when the present connection exists."""
        return self._link.started_at if self._link is not None else None

    # --- what it carries

    def want(self, keys: Iterable[Key]) -> None:
        """Carry `keys` too."""
        new = [key for key in keys if key not in self.keys]
        self.keys.update(dict.fromkeys(new))
        self._each_link(lambda link: link.session.subscriptions.want(new))
        self._wake.set()

    def unwant(self, keys: Iterable[Key]) -> None:
        """Carry `keys` no more."""
        gone = [key for key in keys if key in self.keys]
        for key in gone:
            del self.keys[key]
        self._uncover(gone, "unsubscribed")
        self._each_link(lambda link: link.session.subscriptions.unwant(gone))
        if not self.keys and self._link is not None:
            self._link.close("unused")

    def renew(self, keys: Iterable[Key]) -> None:
        """Subscribe `keys` again: nothing came although something happened."""
        silent = [key for key in keys if key in self.keys]
        self._uncover(silent, "silent")
        self._each_link(lambda link: link.session.subscriptions.renew(silent))

    def _each_link(self, act: Callable[[Connection], None]) -> None:
        for link in (self._link, self._fresh):
            if link is not None and not link.closed.done():
                act(link)
                link.kick()

    # --- life

    async def run(self) -> None:
        """Keep the connection for ever; ends only by cancellation."""
        try:
            while True:
                if not self.keys:
                    self.state = "idle"
                    self._wake.clear()
                    await self._wake.wait()
                fate = await self._one_life()
                if self.keys:
                    await asyncio.sleep(backoff(self._failures, self._shared.settings(), slow=fate.advice == "slow"))
        finally:
            for link in (self._link, self._fresh):
                if link is not None:
                    link.close("stopped")

    async def _one_life(self) -> Fate:
        """Dial, attend until the end, tell the loss; returns why it ended."""
        self.state = "dialling"
        try:
            link = await self._dial(hold=False)
        except FeedError as error:
            self._failures += 1
            self._down(str(error), dialled=False)
            return Fate(str(error), "slow" if str(error) in SLOW else "redial")
        self._link = link
        self.state = "up"
        self._told_down = False
        shared = self._shared
        shared.inbox.put(FeedState(ts=shared.clock.now(), connection=self.name, state="up"))
        shared.report.log.info("feed.connected", connection=self.name, topics=len(self.keys))
        self._take_events(link)
        fate = await self._attend()
        age = asyncio.get_running_loop().time() - self._link.started_at
        self._failures = 0 if age > HEALTHY_S else self._failures + 1
        self._take_events(self._link)
        heard, self._link = self._heard(self._link), None
        self._down(fate.reason, dialled=True, heard=heard)
        return fate

    def _heard(self, link: Connection) -> int:
        """Venue time (ns) up to which `link` surely brought everything.

        What was read late, because this machine stood still, was said earlier: the venue's own time in it counts too.
        """
        clock, silence_s = self._shared.clock, asyncio.get_running_loop().time() - link.session.heard_at
        settings, last = self._shared.settings(), link.session.spoke_of
        heard = clock.now() - (int(silence_s * 1e9 * settings.speed) if settings.speed < float("inf") else 0)
        return min(heard, getattr(last, "ts_event", heard)) - settings.slack_ns

    async def _dial(self, *, hold: bool) -> Connection:
        shared, settings = self._shared, self._shared.settings()
        loop = asyncio.get_running_loop()
        await shared.dials.turn()
        token = await shared.rest.token()
        session = Session(
            settings=settings,
            wire=shared.wire,
            sequences=shared.sequences,
            at=loop.time(),
            ping_s=token.ping_s,
            pong_s=token.pong_s,
        )
        if hold:
            session.hold_trades()
        wiring = Wiring(
            clock=shared.clock,
            inbox=shared.inbox,
            follow_venue=settings.speed == float("inf"),
            on_events=self._take_events,
        )
        link = await dial(
            lambda: Connection(session, url=token.url, max_frame_bytes=settings.max_frame_bytes, wiring=wiring),
            token.url,
            context=shared.context,
            timeout_s=settings.dial_timeout_s,
            welcome_s=settings.welcome_timeout_s,
        )
        self.connects += 1
        session.subscriptions.want(self.keys)
        link.kick()
        return link

    async def _attend(self) -> Fate:
        """Until the connection ends; before the venue's cut at 24 h a younger one takes over."""
        loop = asyncio.get_running_loop()
        link = self._link
        assert link is not None  # noqa: S101 - set by the caller
        # spread, so that connections opened together do not overlap together
        due = link.started_at + self._shared.settings().life_s * random.uniform(0.94, 1.0)
        while True:
            await asyncio.wait([link.closed], timeout=max(0.0, due - loop.time()))
            if link.closed.done():
                return link.closed.result()
            try:
                successor = await self._overlap(link)
            except FeedError as error:
                self._shared.report.limited("feed.overlap_failed", str(error)[:80], connection=self.name)
                due = loop.time() + OVERLAP_RETRY_S * random.uniform(0.5, 1.0)
                continue
            link = self._link = successor
            due = link.started_at + self._shared.settings().life_s * random.uniform(0.94, 1.0)

    # --- planned overlap

    async def _overlap(self, old: Connection) -> Connection:
        """A second connection with the same subscriptions takes over. Raises FeedError; then the old one goes on."""
        fresh = self._fresh = await self._dial(hold=True)
        try:
            await self._until_complete(fresh, old)
            if not old.closed.done():
                await asyncio.wait(
                    [fresh.closed, old.closed],
                    timeout=self._shared.settings().overlap_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            if fresh.closed.done():
                raise FeedError(fresh.closed.result().reason)
        except BaseException:
            fresh.abort("overlap")
            raise
        finally:
            self._fresh = None
        # from here to the end nothing awaits: no frame of either connection can slip in between
        old_ended = old.closed.done()
        fresh.put(fresh.session.release_trades())
        if old_ended:
            self._uncover(list(self.covered), old.closed.result().reason, heard=self._heard(old))
        else:
            old.close("overlap")
        carried = dict.fromkeys(fresh.session.subscriptions.acknowledged)
        self._uncover([key for key in self.covered if key not in carried], "overlap")
        self._cover([key for key in carried if key not in self.covered])
        self._shared.report.log.info("feed.overlapped", connection=self.name, topics=len(carried))
        return fresh

    async def _until_complete(self, fresh: Connection, old: Connection) -> None:
        settings = self._shared.settings()
        try:
            async with asyncio.timeout(settings.ack_timeout_s * (settings.ack_tries + 1)):
                while not fresh.session.subscriptions.complete and not old.closed.done():
                    if fresh.closed.done():
                        raise FeedError(fresh.closed.result().reason)
                    await asyncio.sleep(CHECK_S)
        except TimeoutError:
            raise FeedError("no_ack") from None

    # --- what it tells

    def _take_events(self, link: Connection) -> None:
        events = link.session.events
        report = self._shared.report
        while events:
            event = events.popleft()
            if isinstance(event, Malformed):
                report.bad(event.reason, event.detail, event.sample, source=self.name)
            elif isinstance(event, Refused):
                report.limited("feed.refused", f"{event.code} {event.detail}", topic=event.topic, symbols=event.symbols)
            elif isinstance(event, Overfull):
                for key in event.keys:
                    self.keys.pop(key, None)
                self._shared.overfull(self, event)
            elif link is not self._fresh:
                self._cover([(event.topic, symbol) for symbol in event.symbols if (event.topic, symbol) in self.keys])
                report.log.debug("feed.subscribed", connection=self.name, topic=event.topic, symbols=len(event.symbols))

    def _cover(self, keys: Iterable[Key]) -> None:
        now = self._shared.clock.now()
        since = now + self._shared.settings().slack_ns  # what the venue's clock may show already
        for topic, symbols in _by_topic(keys):
            self.covered.update(dict.fromkeys((topic, symbol) for symbol in symbols))
            self._shared.inbox.put(Coverage(ts=now, topic=topic, symbols=_named(symbols), since=since))

    def _uncover(self, keys: Iterable[Key], reason: str, heard: int | None = None) -> None:
        now = self._shared.clock.now()
        for topic, symbols in _by_topic(key for key in keys if key in self.covered):
            for symbol in symbols:
                del self.covered[topic, symbol]
            self._shared.inbox.put(
                Coverage(ts=now, topic=topic, symbols=_named(symbols), since=None, reason=reason, heard=heard)
            )

    def _down(self, reason: str, *, dialled: bool, heard: int | None = None) -> None:
        shared = self._shared
        self.state = "down"
        self._uncover(list(self.covered), reason, heard)
        shared.report.reconnects[reason] += 1
        if not self._told_down:
            self._told_down = True
            shared.inbox.put(FeedState(ts=shared.clock.now(), connection=self.name, state="down", reason=reason))
        event = "feed.disconnected" if dialled else "feed.dial_failed"
        shared.report.limited(event, reason, connection=self.name)


def _by_topic(keys: Iterable[Key]) -> list[tuple[Topic, list[str]]]:
    groups: dict[Topic, list[str]] = {}
    for topic, symbol in list(keys):
        groups.setdefault(topic, []).append(symbol)
    return list(groups.items())


def _named(symbols: Iterable[str]) -> tuple[str, ...]:
    """The announcement topic covers every contract and names none."""
    return tuple(symbol for symbol in symbols if symbol)
