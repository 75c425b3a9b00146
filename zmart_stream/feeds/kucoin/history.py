"""History by REST: warm-up, refill after a restart, repair of bars that were not seen whole, funding."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zmart_stream.domain.bars import RepairWanted
from zmart_stream.domain.errors import FeedError, VenueBusyError
from zmart_stream.domain.market import DAY_S, HOUR_S, BarRow, Bars, FundingHistory, WarmUp
from zmart_stream.domain.ports import Inbox, MarketClock
from zmart_stream.feeds.kucoin.budget import Priority
from zmart_stream.feeds.kucoin.klines import SECOND, Span, floor, gaps, newest, wanted_history, without
from zmart_stream.feeds.kucoin.report import Report
from zmart_stream.feeds.kucoin.rest import KucoinRest
from zmart_stream.feeds.kucoin.settings import FeedSettings

PROGRESS_STEPS = 20
"""Warm-up is reported at each 1/20 of the contracts (numbers.md §3 freezes cross-sections at each tenth)."""

BUSY_PAUSE_S = 0.5
REPAIR_SETTLE_S = 2.0
"""The venue's candle of a bar that has just ended may still change."""

MOST_SETTLE_S = 1800.0
"""So long in market seconds, however fast the market."""

REPAIR_PAUSE_MOST_S = 60.0


@dataclass(slots=True)
class Load:
    """One contract's history still to be asked for."""

    symbol: str
    spans: deque[tuple[int, Span]]  # (interval in s, span)
    later: deque[tuple[int, Span]] = field(default_factory=deque)  # what the row cap left open
    tries: int = 0


@dataclass(slots=True)
class _Repair:
    span: Span
    not_before: float
    tries: int = 0


@dataclass(slots=True)
class Progress:
    """How far the warm-up is."""

    of: int = 0
    done: int = 0
    told: int = -1
    ended: bool = False
    failed: list[str] = field(default_factory=list)


class History:
    """Fetches bars and settlements, most liquid contracts first, and puts them into the inbox."""

    def __init__(
        self,
        rest: KucoinRest,
        *,
        clock: MarketClock,
        inbox: Inbox,
        settings: Callable[[], FeedSettings],
        report: Report,
    ) -> None:
        """`settings` returns those in force."""
        self.progress = Progress()
        self.cap: int | None = None  # rows a kline reply holds at most, once seen
        self._rest = rest
        self._clock = clock
        self._inbox = inbox
        self._settings = settings
        self._report = report
        self._repairs: dict[tuple[str, int], _Repair] = {}
        self._repair_wanted = asyncio.Event()
        self._funded: dict[str, int] = {}  # contract -> last settlement that REST told

    @property
    def repairs_waiting(self) -> int:
        """Contracts and intervals whose repair is queued."""
        return len(self._repairs)

    # --- warm-up

    async def warm_up(
        self, symbols: Sequence[str], listed_at: Mapping[str, int | None], known: Mapping[str, int]
    ) -> None:
        """Load `symbols` in the given order, the newest first, then what the venue's row cap left open."""
        loads = [
            load for s in symbols if (load := self._load_of(s, listed_at.get(s), known.get(s) or None)) is not None
        ]
        self.progress = Progress(of=len(symbols), done=len(symbols) - len(loads))
        self._tell()
        open_ends = await self._drain(loads, counted=True)
        while open_ends:
            open_ends = await self._drain(open_ends, counted=False)
        self.progress.ended = True
        self._tell(ended=True)
        self._report.log.info(
            "feed.warm_up_done", done=self.progress.done, of=self.progress.of, failed=len(self.progress.failed)
        )

    async def load(self, symbols: Sequence[str], listed_at: Mapping[str, int | None]) -> None:
        """Load contracts that appeared later; no progress is told."""
        loads = [load for s in symbols if (load := self._load_of(s, listed_at.get(s), None)) is not None]
        while loads:
            loads = await self._drain(loads, counted=False)

    def _load_of(self, symbol: str, listed_at: int | None, known: int | None) -> Load | None:
        settings = self._settings()
        wanted = wanted_history(
            self._clock.now(),
            window_hours=settings.window_hours,
            window_days=settings.window_days,
            listed_at=listed_at,
            known=known,
        )
        spans = deque(
            (interval, span) for interval, span in ((HOUR_S, wanted.hours), (DAY_S, wanted.days)) if span is not None
        )
        return Load(symbol, spans) if spans else None

    async def _drain(self, loads: Sequence[Load], *, counted: bool) -> list[Load]:
        """Work off `loads` in order, several at once; returns what the venue's row cap left open."""
        queue, open_ends = deque(loads), list[Load]()

        async def work() -> None:
            while queue:
                load = queue.popleft()
                try:
                    await self._fetch(load)
                except FeedError as error:
                    await self._postpone(load, error, queue)
                    continue
                if load.later:
                    open_ends.append(Load(load.symbol, load.later))
                if counted:
                    self.progress.done += 1
                    self._tell()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(queue), self._settings().parallel_requests)):
                group.create_task(work())
        return open_ends

    async def _postpone(self, load: Load, error: FeedError, queue: deque[Load]) -> None:
        """Later again; a contract that keeps failing by itself is given up, so that it holds up nobody."""
        if isinstance(error, VenueBusyError):
            queue.appendleft(load)
            await asyncio.sleep(BUSY_PAUSE_S)
            return
        load.tries += 1
        self._report.limited("feed.history_failed", str(error)[:80], symbol=load.symbol, tries=load.tries)
        if load.tries < self._settings().history_tries:
            queue.append(load)
        else:
            self.progress.failed.append(load.symbol)

    async def _fetch(self, load: Load) -> None:
        """One call for each span of `load`; what the answers leave open goes to `load.later`."""
        while load.spans:
            interval, span = load.spans[0]
            asked, older = newest(span, interval, self.cap)
            asked_at = self._clock.now()
            page = await self._rest.kline_page(load.symbol, interval, asked, Priority.WARM_UP)
            open_ends = gaps(page, asked, interval)
            rows = page.rows
            if open_ends and rows[-1][0] - rows[0][0] == (len(rows) - 1) * interval * SECOND:
                self.cap = min(self.cap or len(rows), len(rows))
            known = without(asked, open_ends)
            self._put(load.symbol, interval, Span(known.since, min(known.until, floor(asked_at, interval))), rows)
            self._ask_again(load.symbol, interval, asked_at, known)
            load.later.extend((interval, part) for part in (*open_ends, *([older] if older else [])))
            load.spans.popleft()

    def _ask_again(self, symbol: str, interval: int, asked_at: int, known: Span) -> None:
        """A bar that had just ended when it was asked for may have been told before its last trade was in it."""
        end = floor(asked_at, interval)
        settling = min(REPAIR_SETTLE_S * self._settings().pace, MOST_SETTLE_S) * SECOND
        if known.since < end <= known.until and asked_at - end < settling:
            since = end - interval * SECOND
            self.repair(RepairWanted(ts=asked_at, symbol=symbol, interval_s=interval, since=since, until=end))

    def _put(self, symbol: str, interval: int, span: Span, rows: tuple[BarRow, ...]) -> None:
        now = self._clock.now()
        self._inbox.put(
            Bars(ts=now, symbol=symbol, interval_s=interval, since=span.since, until=span.until, as_of=now, rows=rows)
        )

    def _tell(self, *, ended: bool = False) -> None:
        progress = self.progress
        step = progress.done * PROGRESS_STEPS // max(1, progress.of)
        if ended or step > progress.told:
            progress.told = step
            self._inbox.put(WarmUp(ts=self._clock.now(), done=progress.done, of=progress.of, ended=ended))

    # --- funding

    async def funding(self, symbols: Sequence[str]) -> None:
        """Settlements of the funding window of `symbols`, in the given order."""
        queue = deque((symbol, 0) for symbol in symbols)

        async def work() -> None:
            while queue:
                symbol, tries = queue.popleft()
                now = self._clock.now()
                since = now - self._settings().funding_hours * HOUR_S * SECOND
                try:
                    settled = await self._rest.funding_rates(symbol, since, now)
                except VenueBusyError:
                    queue.appendleft((symbol, tries))
                    await asyncio.sleep(BUSY_PAUSE_S)
                except FeedError as error:
                    self._report.limited("feed.history_failed", str(error)[:80], symbol=symbol, tries=tries + 1)
                    if tries + 1 < self._settings().history_tries:
                        queue.append((symbol, tries + 1))
                else:
                    self._funded[symbol] = settled[-1][0] if settled else 0
                    self._inbox.put(FundingHistory(ts=self._clock.now(), symbol=symbol, settlements=settled))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(queue), self._settings().parallel_requests)):
                group.create_task(work())

    def funded_until(self, symbol: str) -> int:
        """Time of the last settlement that REST told; 0 if none."""
        return self._funded.get(symbol, 0)

    # --- repair

    def repair(self, wanted: RepairWanted) -> None:
        """Queue a repair; overlapping ones of a contract become one."""
        key = (wanted.symbol, wanted.interval_s)
        not_before = asyncio.get_running_loop().time() + REPAIR_SETTLE_S
        queued = self._repairs.get(key)
        if queued is None:
            self._repairs[key] = _Repair(Span(wanted.since, wanted.until), not_before)
        else:
            queued.span = Span(min(queued.span.since, wanted.since), max(queued.span.until, wanted.until))
            queued.not_before = max(queued.not_before, not_before)
        self._report.gaps += 1
        self._repair_wanted.set()

    async def repair_forever(self) -> None:
        """Fetch what `repair` queued, several contracts at once."""
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._repair_wanted.wait()
                now = asyncio.get_running_loop().time()
                due = [key for key, repair in self._repairs.items() if repair.not_before <= now]
                room = max(1, self._settings().parallel_requests // 2) - len(running)
                for key in due[:room]:
                    task = group.create_task(self._repair_one(key, self._repairs.pop(key)))
                    running.add(task)
                    task.add_done_callback(running.discard)
                if not self._repairs:
                    self._repair_wanted.clear()
                else:
                    await asyncio.sleep(0.1)

    async def _repair_one(self, key: tuple[str, int], repair: _Repair) -> None:
        symbol, interval = key
        try:
            rows = await self._rest.klines(symbol, interval, *repair.span)
        except FeedError as error:
            self._report.limited("feed.repair_failed", str(error)[:80], symbol=symbol, tries=repair.tries + 1)
            pause = min(REPAIR_PAUSE_MOST_S, 2.0**repair.tries)
            again = _Repair(repair.span, asyncio.get_running_loop().time() + pause, min(repair.tries + 1, 10))
            queued = self._repairs.get(key)
            if queued is not None:
                again.span = Span(min(again.span.since, queued.span.since), max(again.span.until, queued.span.until))
                again.not_before = max(again.not_before, queued.not_before)
            self._repairs[key] = again
            self._repair_wanted.set()
            return
        self._put(symbol, interval, repair.span, rows)
        self._report.log.debug("feed.repair_done", symbol=symbol, interval_s=interval, rows=len(rows))
