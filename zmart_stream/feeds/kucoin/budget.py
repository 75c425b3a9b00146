"""What we may ask of the venue: dials and client messages by sliding window, REST by the venue's weight pool."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from enum import IntEnum


class SlidingWindow:
    """At most `most` events in any `span_s` seconds; times are monotonic seconds handed in."""

    def __init__(self, most: int, span_s: float) -> None:
        """`most` is at least 1."""
        self.most = max(1, most)
        self.span_s = span_s
        self._taken: deque[float] = deque()

    def free(self, at: float) -> int:
        """How many more events are allowed at `at`."""
        while self._taken and self._taken[0] <= at - self.span_s:
            self._taken.popleft()
        return max(0, self.most - len(self._taken))

    def wait(self, at: float) -> float:
        """Seconds until one more event is allowed; 0 if it is now."""
        if self.free(at):
            return 0.0
        return max(0.0, self._taken[len(self._taken) - self.most] + self.span_s - at)

    def take(self, at: float) -> None:
        """Count one event."""
        self._taken.append(at)

    async def turn(self) -> None:
        """Wait until one more event is allowed, and count it."""
        loop = asyncio.get_running_loop()
        while True:
            wait = self.wait(loop.time())
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        self.take(loop.time())


class Priority(IntEnum):
    """Who goes first when weight is short."""

    POLL = 0  # polls and tokens; may use the reserve
    REPAIR = 1
    WARM_UP = 2
    FUNDING = 3
    DEPTH = 4


class WeightPool:
    """The venue's fixed-window weight pool as we know it: our own count, corrected by its headers."""

    def __init__(self, *, limit: float, window_s: float, share: float, reserve: float) -> None:
        """Spend at most `share` of `limit` a window, and leave `reserve` of `limit` to polls. Shares are fractions."""
        self.limit = limit
        self.window_s = window_s
        self.share = share
        self.reserve = reserve
        self.spent = 0.0
        self.in_flight = 0.0
        self._ends: float | None = None
        self._blocked_until = 0.0

    @property
    def remaining(self) -> float:
        """Weight of the pool that is left in this window, our share or not."""
        return max(0.0, self.limit - self.spent)

    def ready_in(self, at: float, weight: float, priority: Priority) -> float:
        """Seconds until `weight` may be spent; 0 if it may be now."""
        if at < self._blocked_until:
            return self._blocked_until - at
        if self._ends is not None and at >= self._ends:
            self._ends, self.spent = None, self.in_flight
        cap = self.limit * (self.share - (self.reserve if priority else 0.0))
        if self.spent + weight <= cap or self.spent == 0:
            return 0.0
        if self._ends is None:
            # only what is in flight counts, and it ends by itself
            return 0.05
        return self._ends - at

    def take(self, at: float, weight: float) -> None:
        """A request of `weight` goes out."""
        if self._ends is None:
            self._ends = at + self.window_s
        self.spent += weight
        self.in_flight += weight

    def settle(self, weight: float) -> None:
        """The request of `weight` was answered, failed or was given up."""
        self.in_flight = max(0.0, self.in_flight - weight)

    def heard(self, at: float, *, limit: float, remaining: float, reset_s: float) -> None:
        """Believe the reply headers: pool size, weight left, seconds until it is whole again."""
        if limit <= 0 or not 0 <= remaining <= limit:
            return
        self.limit = limit
        ends = at + min(max(reset_s, 0.05), 2 * self.window_s)
        if self._ends is not None and ends > self._ends + self.window_s / 2:
            # the venue's window turned before ours did (replies take time): what we counted belongs to the last one
            self.spent = self.in_flight
        self.spent = max(self.spent, limit - remaining)
        self._ends = ends

    def block(self, at: float, seconds: float) -> None:
        """Ask nothing for `seconds`."""
        self._blocked_until = max(self._blocked_until, at + seconds)


class Gate:
    """Lets requests through in order of priority as the pool and the number in parallel allow."""

    def __init__(self, pool: WeightPool, parallel: int) -> None:
        """At most `parallel` requests at once, polls not counted."""
        self.pool = pool
        self.parallel = parallel
        self._running = 0
        self._order = 0
        self._waiting: list[tuple[Priority, int, float, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        """Requests that wait for weight."""
        return len(self._waiting)

    async def enter(self, weight: float, priority: Priority) -> None:
        """Wait for the turn; every return must be followed by `leave`."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._waiting, (priority, self._order, weight, turn))
        self._pump()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(weight, priority)
            raise

    def leave(self, weight: float, priority: Priority) -> None:
        """The request is over."""
        self.pool.settle(weight)
        if priority:
            self._running -= 1
        self._pump()

    def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            priority, _, weight, turn = self._waiting[0]
            if turn.done():
                heapq.heappop(self._waiting)
                continue
            if priority and self._running >= self.parallel:
                return
            wait = self.pool.ready_in(loop.time(), weight, priority)
            if wait > 0:
                self._timer = loop.call_later(wait + 0.005, self._pump)
                return
            heapq.heappop(self._waiting)
            self.pool.take(loop.time(), weight)
            if priority:
                self._running += 1
            turn.set_result(None)
