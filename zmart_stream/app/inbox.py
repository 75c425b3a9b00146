"""Where every source puts what it learned, in the order the core will take it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from zmart_stream.domain.market import Depth, Ticker
from zmart_stream.domain.message import Message


class Inbox:
    """A queue that never drops trades, funding, bars or commands.

    When it is full, tickers and depths that a newer one of the same contract supersedes are dropped and
    counted; sources look at `crowded` and stop reading their sockets, which is the back pressure.
    """

    def __init__(self, size: int) -> None:
        """Hold `size` messages before anything is dropped."""
        self.dropped = 0
        self._size = size
        self._compact_at = size
        self._queue: deque[Message] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def crowded(self) -> bool:
        """True from three quarters full on."""
        return len(self._queue) * 4 >= self._size * 3

    def put(self, message: Message) -> None:
        """Append; compacts when full."""
        self._queue.append(message)
        if len(self._queue) >= self._compact_at:
            self._compact()
        if self._waiter is not None:
            self._wake()

    def take(self, most: int) -> list[Message]:
        """Up to `most` messages, oldest first."""
        queue = self._queue
        taken = [queue.popleft() for _ in range(min(most, len(queue)))]
        if not queue:
            self._compact_at = self._size
        return taken

    def put_back(self, messages: Iterable[Message]) -> None:
        """Return what was taken but not processed, to the front."""
        self._queue.extendleft(reversed(list(messages)))
        self._wake()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a message; False if none came in time. For one task at a time.

        A future and a timer: Event and timeout cost three times as much, and on a calm feed each message waits.
        """
        if self._queue:
            return True
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            timer.cancel()
        return bool(self._queue)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _compact(self) -> None:
        newest: set[tuple[type[Message], str]] = set()
        kept: deque[Message] = deque()
        while self._queue:
            message = self._queue.pop()
            if isinstance(message, Ticker | Depth):
                key = (type(message), message.symbol)
                if key in newest:
                    self.dropped += 1
                    continue
                newest.add(key)
            kept.appendleft(message)
        self._queue = kept
        # what is left may not be dropped: wait for another half before looking again
        self._compact_at = max(self._size, len(kept) + self._size // 2)
