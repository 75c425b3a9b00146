"""The KuCoin feed: topics over connections, polls, history; everything it learns goes into the inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from zmart_stream.domain.bars import RepairWanted, TopicSilent
from zmart_stream.domain.market import FeedState
from zmart_stream.domain.ports import Inbox, MarketClock
from zmart_stream.feeds.kucoin import plan
from zmart_stream.feeds.kucoin.budget import SlidingWindow
from zmart_stream.feeds.kucoin.history import History
from zmart_stream.feeds.kucoin.line import Line, Shared
from zmart_stream.feeds.kucoin.polls import Polls
from zmart_stream.feeds.kucoin.report import Report
from zmart_stream.feeds.kucoin.rest import Health, KucoinRest, tls_context
from zmart_stream.feeds.kucoin.sequences import SAME_SETTLEMENT_NS, Sequences
from zmart_stream.feeds.kucoin.session import Overfull
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.feeds.kucoin.subscriptions import Key
from zmart_stream.feeds.kucoin.tiers import Tiers
from zmart_stream.feeds.kucoin.wire import Wire

TIERS_EVERY_S = 2.0

MOST_PACE = 60.0
"""Faster markets get no more patience than this: an hour would be a settlement."""


class KucoinFeed:
    """Public market data of one KuCoin futures venue, real or sandbox.

    `ranking` (best first, read as far as needed), `held` and `known` (symbol to start in ns of its last stored closed
    hour bar) are asked when needed; `run` must be awaited for anything to happen.
    """

    def __init__(
        self,
        settings: FeedSettings,
        *,
        clock: MarketClock,
        inbox: Inbox,
        ranking: Callable[[], Iterable[str]],
        held: Callable[[], Sequence[str]],
        known: Callable[[], Mapping[str, int]],
    ) -> None:
        """Nothing is opened yet. Raises FeedError if `ca_file` cannot be used."""
        self._settings = settings
        self._clock = clock
        self._inbox = inbox
        self._ranking, self._held, self._known = ranking, held, known
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event = asyncio.Event()
        self._report = Report(lambda: self._loop.time() if self._loop is not None else 0.0)
        self._rest = KucoinRest(settings, on_health=self._rest_health)
        self._tiers = Tiers(
            in_rank=settings.depth_in_rank, out_rank=settings.depth_out_rank, out_after_s=settings.depth_out_after_s
        )
        self._polls = Polls(
            self._rest,
            clock=clock,
            inbox=inbox,
            settings=self._in_force,
            report=self._report,
            newest_book=lambda symbol: self._shared.sequences.tickers.get(symbol, (0, 0))[0],
        )
        self._history = History(self._rest, clock=clock, inbox=inbox, settings=self._in_force, report=self._report)
        self._shared = Shared(
            settings=self._in_force,
            rest=self._rest,
            clock=clock,
            inbox=inbox,
            wire=Wire(ahead_ns=settings.ahead_ns, behind_ns=settings.behind_ns),
            sequences=Sequences(settings.restart_ns),
            dials=SlidingWindow(int(settings.dials_per_minute * settings.quota_factor), 60.0),
            context=tls_context(settings.ca_file),
            report=self._report,
            overfull=self._overfull,
        )
        self._lines: list[Line] = []
        self._plan: dict[Key, int] = {}
        self._planned: tuple[list[str], list[str]] = ([], [])  # market and tier that the plan is for
        self._full: dict[int, int] = {}
        self._market: list[str] = []
        self._loaded: dict[str, None] = {}
        self._renewed: dict[Key, float] = {}
        self._told_repeated: dict[str, int] = {}
        self._group: asyncio.TaskGroup | None = None

    @property
    def rest(self) -> KucoinRest:
        """The REST client, inside the same budget."""
        return self._rest

    # --- life

    async def run(self) -> None:
        """Follow the venue until `stop` or cancellation."""
        self._loop = asyncio.get_running_loop()
        async with self._rest, asyncio.TaskGroup() as group:
            body = group.create_task(self._follow(), name="feed")
            await self._stopping.wait()
            body.cancel()

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._polls.status_forever(), name="feed.status")
            await self._polls.first_contracts()
            self._market = self._polls.listings.market()
            self._report.log.info(
                "feed.contracts", listed=len(self._polls.listings.contracts), followed=len(self._market)
            )
            self._replan()
            group.create_task(self._polls.contracts_forever(self._contracts_polled), name="feed.contracts")
            group.create_task(self._polls.depth_forever(self._rotation), name="feed.depth")
            group.create_task(self._history.repair_forever(), name="feed.repair")
            group.create_task(self._load_history(), name="feed.history")
            while True:
                await asyncio.sleep(TIERS_EVERY_S)
                self._replan()
                self._tell_repeated()

    def _tell_repeated(self) -> None:
        """What the venue sent twice or late; two topics bring each settlement, that is no repetition to speak of."""
        for kind, total in self._shared.sequences.repeated.items():
            if kind != "settlement" and total > self._told_repeated.get(kind, 0):
                self._told_repeated[kind] = total
                self._report.limited("feed.repeated", kind, total=total)

    async def _load_history(self) -> None:
        market = list(self._market)
        self._loaded.update(dict.fromkeys(market))
        await self._history.warm_up(market, self._listed_at(market), self._known())
        self._rest.pool.share = self._settings.steady_share
        await self._history.funding(self._by_gate(market))
        while True:
            await asyncio.sleep(self._settings.settlement_wait_s)
            await self._history.funding(self._unsettled())

    def _unsettled(self) -> list[str]:
        """Contracts that have settled, a while ago, without any topic telling: a lost connection, or a mute venue."""
        now = self._clock.now()
        patience = int(self._settings.settlement_wait_s * min(self._settings.pace, MOST_PACE) * 1e9)
        found: list[str] = []
        for symbol in self._market:
            last = self._polls.listings.last_settlement(symbol, now)
            if last is None or now - last < patience:
                continue
            told = max(self._shared.sequences.settled_at(symbol), self._history.funded_until(symbol))
            if told + SAME_SETTLEMENT_NS < last:
                found.append(symbol)
        return self._by_gate(found)

    async def _load_later(self, symbols: list[str]) -> None:
        await self._history.load(symbols, self._listed_at(symbols))
        await self._history.funding(symbols)

    # --- what is followed

    def _contracts_polled(self) -> None:
        market = self._polls.listings.market()
        if market != self._market:
            gone = dict.fromkeys(self._market)
            for symbol in market:
                gone.pop(symbol, None)
            for symbol in gone:
                if symbol not in self._polls.listings.contracts:
                    self._shared.sequences.forget(symbol)
                    self._loaded.pop(symbol, None)
            self._market = market
            self._replan()
        new = [symbol for symbol in market if symbol not in self._loaded]
        if new and self._group is not None and self._loaded:
            self._loaded.update(dict.fromkeys(new))
            self._group.create_task(self._load_later(new), name="feed.listed")

    def _replan(self) -> None:
        """Bring the lines in step with market and ranking."""
        ahead = iter(self._ranking())
        best = next(ahead, None)
        ranking = self._by_gate(self._market) if best is None else chain([best], ahead)
        now = asyncio.get_running_loop().time()
        tier = self._tiers.update(ranking, self._held(), self._market, now)
        if (self._market, tier) == self._planned:
            return
        self._planned = self._market, tier
        wanted = plan.wanted_keys(self._market, tier)
        if len(wanted) == len(self._plan) and all(key in self._plan for key in wanted):
            return
        new = plan.assign(self._plan, wanted, capacity=self._settings.topics_per_connection, full=self._full)
        self._apply(new)

    def _apply(self, new: dict[Key, int]) -> None:
        while len(self._lines) <= max(new.values(), default=-1):
            line = Line(f"ws-{len(self._lines) + 1}", self._shared)
            self._lines.append(line)
            if self._group is not None:
                self._group.create_task(line.run(), name=f"feed.{line.name}")
        lost, won = _changes(self._plan, new)
        self._plan = new
        for index, keys in lost.items():
            self._lines[index].unwant(keys)
        for index, keys in won.items():
            self._lines[index].want(keys)

    def _overfull(self, line: Line, event: Overfull) -> None:
        """The venue calls a connection full: its share of the plan goes elsewhere."""
        index = self._lines.index(line)
        self._full[index] = event.held
        self._report.limited("feed.overfull", line.name, held=event.held, moved=len(event.keys))
        for key in event.keys:
            self._plan.pop(key, None)
        self._planned = [], []
        # not from within the session's own bookkeeping
        asyncio.get_running_loop().call_soon(self._replan)

    def _rotation(self) -> list[str]:
        """Contracts whose depth comes by REST: past the turnover gate and without a depth topic."""
        members = dict.fromkeys(self._tiers.members)
        turnover, gate = self._polls.listings.turnover, self._settings.min_turnover_usdt
        return [s for s in self._market if s not in members and turnover.get(s, 0.0) >= gate]

    def _by_gate(self, symbols: Iterable[str]) -> list[str]:
        """`symbols` with the universe (turnover gate) first, most liquid first."""
        turnover = self._polls.listings.turnover
        return sorted(symbols, key=lambda symbol: -turnover.get(symbol, 0.0))

    def _listed_at(self, symbols: Iterable[str]) -> dict[str, int | None]:
        contracts = self._polls.listings.contracts
        return {symbol: contracts[symbol].listed_at for symbol in symbols if symbol in contracts}

    # --- what others ask of it

    def repair(self, wanted: RepairWanted) -> None:
        """Fetch these bars again."""
        self._history.repair(wanted)

    def resubscribe(self, silent: TopicSilent) -> None:
        """Subscribe a silent topic again, at most once in `resubscribe_every_s`."""
        key: Key = (silent.topic, "" if silent.topic == "announcement" else silent.symbol)
        index = self._plan.get(key)
        now = asyncio.get_running_loop().time()
        if index is None or now - self._renewed.get(key, -1e9) < self._settings.resubscribe_every_s:
            return
        self._renewed[key] = now
        self._report.limited("feed.topic_silent", silent.topic, symbol=silent.symbol)
        self._lines[index].renew([key])

    def reconfigure(self, settings: FeedSettings) -> None:
        """Use `settings` from now on; address, trust, speed and belief need a new feed."""
        self._settings = settings
        self._rest.settings = settings
        self._rest.gate.parallel = settings.parallel_requests
        self._rest.pool.reserve = settings.reserve_share
        warm = self._history.progress.ended
        self._rest.pool.share = settings.steady_share if warm else settings.warmup_share
        self._shared.dials.most = max(1, int(settings.dials_per_minute * settings.quota_factor))
        self._tiers.in_rank, self._tiers.out_rank = settings.depth_in_rank, settings.depth_out_rank
        self._tiers.out_after_s = settings.depth_out_after_s
        if self._group is not None:
            self._replan()

    def stats(self) -> dict[str, Any]:
        """Figures for status and metrics, JSON-ready."""
        progress, pool = self._history.progress, self._rest.pool
        return {
            "venue": self._settings.rest_url,
            "venue_status": self._polls.status,
            "contracts": len(self._polls.listings.contracts),
            "followed": len(self._market),
            "depth_streams": len(self._tiers.members),
            "books_polled": self._polls.books_polled,
            "topics": {"wanted": len(self._plan), "covered": sum(len(line.covered) for line in self._lines)},
            "connections": [self._line_stats(line) for line in self._lines],
            "reconnects": dict(self._report.reconnects),
            "malformed": dict(self._report.malformed),
            "repeated": dict(self._shared.sequences.repeated),
            "gaps": self._report.gaps,
            "repairs_waiting": self._history.repairs_waiting,
            "warm_up": {"done": progress.done, "of": progress.of, "ended": progress.ended, "failed": progress.failed},
            "rest": {
                "state": self._rest.health,
                "limit": pool.limit,
                "remaining": pool.remaining,
                "share": pool.share,
                "queued": self._rest.gate.queued,
                "counts": dict(self._rest.counts),
            },
        }

    def _line_stats(self, line: Line) -> dict[str, Any]:
        now = self._loop.time() if self._loop is not None else 0.0
        return {
            "name": line.name,
            "state": line.state,
            "topics": len(line.keys),
            "covered": len(line.covered),
            "frames": line.received,
            "connects": line.connects,
            "age_s": None if line.since is None else round(now - line.since, 1),
        }

    def _rest_health(self, health: Health, reason: str) -> None:
        self._inbox.put(FeedState(ts=self._clock.now(), connection="rest", state=health, reason=reason))
        if health == "up":
            self._report.log.info("feed.rest_up")
        else:
            self._report.limited("feed.rest_limited", reason, state=health)

    def _in_force(self) -> FeedSettings:
        return self._settings


def _changes(old: Mapping[Key, int], new: Mapping[Key, int]) -> tuple[dict[int, list[Key]], dict[int, list[Key]]]:
    """What each line loses and wins between two plans."""
    lost: dict[int, list[Key]] = {}
    won: dict[int, list[Key]] = {}
    for key, index in old.items():
        if new.get(key) != index:
            lost.setdefault(index, []).append(key)
    for key, index in new.items():
        if old.get(key) != index:
            won.setdefault(index, []).append(key)
    return lost, won
