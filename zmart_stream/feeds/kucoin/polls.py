"""What is asked by REST again and again: the contract list, the service status, books in rotation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, cast, get_args

from zmart_stream.domain.errors import FeedError, MalformedMessageError, VenueBusyError
from zmart_stream.domain.market import Depth, Listing, VenueStatus
from zmart_stream.domain.ports import Inbox, MarketClock
from zmart_stream.feeds.kucoin.listings import Listings
from zmart_stream.feeds.kucoin.report import Report
from zmart_stream.feeds.kucoin.rest import KucoinRest
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.feeds.kucoin.wire import to_ns

Status = Literal["open", "close", "cancelonly"]
FIRST_RETRY_S = 1.0
LISTINGS_NAMED = 10
"""Contracts that a line of the log names; the rest is counted."""


class Polls:
    """The endless polls; each failure is counted, logged at most once a minute, and tried again at the next turn."""

    def __init__(
        self,
        rest: KucoinRest,
        *,
        clock: MarketClock,
        inbox: Inbox,
        settings: Callable[[], FeedSettings],
        report: Report,
        newest_book: Callable[[str], int],
    ) -> None:
        """`settings` returns those in force, `newest_book` the last book sequence that a stream brought (0: none)."""
        self.listings = Listings()
        self.status: Status | None = None
        self.books_polled = 0
        self._rest = rest
        self._clock = clock
        self._inbox = inbox
        self._settings = settings
        self._report = report
        self._newest_book = newest_book

    # --- contracts

    async def contracts(self) -> bool:
        """One poll of the contract list, into the inbox; False if it failed."""
        is_first = not self.listings.contracts
        try:
            rows, errors = await self._rest.contracts()
            steps = self.listings.update(rows, self._clock.now)
        except FeedError as error:
            self._report.limited("feed.poll_failed", str(error)[:80], poll="contracts")
            return False
        except MalformedMessageError as error:
            self._report.bad(error.reason, error.detail)
            return False
        listings: list[Listing] = []
        for messages, doubtful in steps:
            errors += doubtful
            for message in messages:
                self._inbox.put(message)
            listings += [message for message in messages if isinstance(message, Listing)]
            await asyncio.sleep(0)  # hundreds of rows: who else waits for the loop comes between
        for wrong in errors:
            self._report.bad(wrong.reason, wrong.detail)
        if not is_first:
            self._tell_listings(listings)
        return True

    def _tell_listings(self, listings: Sequence[Listing]) -> None:
        """One line for each kind of change and status."""
        kinds: dict[tuple[str, str], list[str]] = {}
        for listing in listings:
            contract = listing.contract
            status = "expiring" if contract.expires_at is not None else contract.status
            kinds.setdefault((listing.change, status), []).append(contract.symbol)
        for (change, status), symbols in kinds.items():
            self._report.log.info(
                "feed.listing", change=change, status=status, count=len(symbols), symbols=symbols[:LISTINGS_NAMED]
            )

    async def first_contracts(self) -> None:
        """Poll until the list is there: nothing else makes sense before."""
        pause = FIRST_RETRY_S
        while not await self.contracts() or not self.listings.contracts:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, self._settings().contracts_every_s)

    async def contracts_forever(self, changed: Callable[[], None]) -> None:
        """Poll the contract list; `changed` is called after each good poll."""
        while True:
            await asyncio.sleep(self._settings().contracts_every_s)
            if await self.contracts():
                changed()

    # --- status

    async def status_forever(self) -> None:
        """Poll the service status; only changes become messages."""
        while True:
            try:
                reply = await self._rest.status()
            except FeedError as error:
                self._report.limited("feed.poll_failed", str(error)[:80], poll="status")
            else:
                self._heard_status(reply.status, reply.msg or "")
            await asyncio.sleep(self._settings().status_every_s)

    def _heard_status(self, status: str, reason: str) -> None:
        if status not in get_args(Status):
            self._report.bad("unknown_status", status[:40])
            return
        if status != self.status:
            self.status = cast(Status, status)
            self._inbox.put(VenueStatus(ts=self._clock.now(), status=self.status, reason=reason[:200]))
            self._report.log.info("feed.venue_status", status=status, detail=reason[:200])

    # --- depth

    async def depth_forever(self, symbols: Callable[[], Sequence[str]]) -> None:
        """Fetch the books of `symbols()` in turn, all of them once a rotation period if the budget allows."""
        tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                turn = list(symbols())
                due = loop.time()
                step = self._settings().depth_rotation_s / max(1, len(turn))
                for symbol in turn:
                    while len(tasks) >= 4:
                        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    task = group.create_task(self._depth(symbol))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    due += step
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    due = max(due, loop.time() - step)
                if not turn:
                    await asyncio.sleep(1.0)

    async def _depth(self, symbol: str) -> None:
        streamed = self._newest_book(symbol)
        try:
            reply, bids, asks = await self._rest.book(symbol)
        except VenueBusyError:
            return
        except FeedError as error:
            self._report.limited("feed.poll_failed", str(error)[:80], poll="depth", symbol=symbol)
            return
        now, settings = self._clock.now(), self._settings()
        ts_event = to_ns(reply.ts) if reply.ts > 0 else 0
        # a book that stands still keeps its old time: only a time from the future is absurd
        if not 0 < ts_event <= now + settings.ahead_ns:
            self._report.bad("implausible_time", f"{symbol} book {reply.ts}")
            return
        if reply.sequence < streamed:
            self._report.bad(
                "stale_book", f"{symbol} book {reply.sequence}, streamed before it was asked for: {streamed}"
            )
            return
        self.books_polled += 1
        self._inbox.put(
            Depth(
                ts=now, ts_event=ts_event, symbol=symbol, sequence=reply.sequence, bids=bids, asks=asks, source="rest"
            )
        )
