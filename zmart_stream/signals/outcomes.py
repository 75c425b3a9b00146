"""What became of the contracts that signals spoke of: forward return in the signal's direction, net of cost."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import nan
from typing import Any

import msgspec

from zmart_stream.domain.signals import AgentOutcome, Direction, Opinion, SignalDecided, SignalSettled
from zmart_stream.signals.packed import joined, opened, packed

MOST = 10_000
"""Outcomes waited for at most."""

MOST_OF_SOURCE = 1000
"""Of one source, so that a talkative one leaves room for others."""

PriceAt = Callable[[str, int], float]
"""(symbol, ns) -> price that held then, or the nearest known; nan if none is."""


class Awaited(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A decided signal whose horizon has not passed."""

    due: int  # ns
    signal_id: str
    source: str
    owner: str
    signal_type: str
    symbol: str
    direction: Direction
    approved: bool
    since: int
    price: float
    cost: float
    confidence: float
    p: float
    agents: tuple[tuple[str, float], ...]


_awaited = msgspec.msgpack.Decoder(Awaited).decode


class Outcomes:
    """Decided signals by the time at which they are settled; each is kept as it goes into a snapshot."""

    def __init__(self) -> None:
        self.unmeasured = 0  # without a price, or beyond the bounds
        self._heap: list[tuple[int, str]] = []
        self._awaited: dict[str, bytes] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._awaited)

    def __contains__(self, signal_id: str) -> bool:
        return signal_id in self._awaited

    @property
    def due(self) -> int | None:
        """When the next outcome is settled (ns), None if there is none."""
        return self._heap[0][0] if self._heap else None

    def put(self, decided: SignalDecided, opinions: tuple[Opinion, ...]) -> None:
        """Wait for a decided signal's outcome, if it can be measured and there is room."""
        signal, symbol, price = decided.signal, decided.decision.plan.symbol, decided.price
        whose = (signal.owner, signal.source)
        is_full = len(self._awaited) >= MOST or self._counts.get(whose, 0) >= MOST_OF_SOURCE
        if symbol is None or price is None or is_full:
            self.unmeasured += 1
            return
        self._counts[whose] = self._counts.get(whose, 0) + 1
        awaited = Awaited(
            due=decided.due,
            signal_id=signal.id,
            source=signal.source,
            owner=signal.owner,
            signal_type=signal.signal_type,
            symbol=symbol,
            direction=signal.direction,
            approved=decided.decision.approved,
            since=decided.ts,
            price=price,
            cost=decided.cost,
            confidence=signal.confidence,
            p=decided.decision.p,
            agents=tuple((each.agent, each.p) for each in opinions if each.stance != "abstain"),
        )
        self._awaited[signal.id] = packed(awaited)
        heappush(self._heap, (decided.due, signal.id))

    def take(self, signal_id: str) -> Awaited | None:
        """Wait no longer for this one."""
        row = self._awaited.pop(signal_id, None)
        if row is None:
            return None
        awaited = _awaited(row)
        whose = (awaited.owner, awaited.source)
        self._counts[whose] -= 1
        if not self._counts[whose]:
            del self._counts[whose]
        self._skip()
        return awaited

    def settle(self, ts: int, price_at: PriceAt) -> SignalSettled | None:
        """The outcome of the earliest signal due at `ts`, None if none is due or its price is not known."""
        if not self._heap or self._heap[0][0] > ts:
            return None
        awaited = self.take(self._heap[0][1])
        now = nan if awaited is None else price_at(awaited.symbol, awaited.due)
        if awaited is None or not now > 0.0:
            self.unmeasured += 1
            return None
        return settled(awaited, ts, now)

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {"unmeasured": self.unmeasured, "awaited": joined(self._awaited.values())}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot. Raises msgspec.ValidationError for rows that are none."""
        self.unmeasured = state["unmeasured"]
        awaited = opened(state["awaited"], Awaited)
        self._awaited = {each.signal_id: packed(each) for each in awaited}
        self._heap = [(each.due, each.signal_id) for each in awaited]
        heapify(self._heap)
        self._counts = {}
        for each in awaited:
            self._counts[each.owner, each.source] = self._counts.get((each.owner, each.source), 0) + 1

    def _skip(self) -> None:
        """Keep the heap's head one that is awaited."""
        while self._heap and self._heap[0][1] not in self._awaited:
            heappop(self._heap)


def settled(awaited: Awaited, ts: int, price_now: float) -> SignalSettled:
    """gross = ±(price now / price then − 1); net = gross − cost; hit = net > 0; Brier = (p − hit)²."""
    sign = 1.0 if awaited.direction == "BUY" else -1.0
    gross = sign * (price_now / awaited.price - 1.0)
    net = gross - awaited.cost
    hit = net > 0.0
    return SignalSettled(
        ts=ts,
        signal_id=awaited.signal_id,
        source=awaited.source,
        owner=awaited.owner,
        signal_type=awaited.signal_type,
        symbol=awaited.symbol,
        direction=awaited.direction,
        approved=awaited.approved,
        since=awaited.since,
        until=awaited.due,
        price_then=awaited.price,
        price_now=price_now,
        gross=gross,
        cost=awaited.cost,
        net=net,
        hit=hit,
        confidence=awaited.confidence,
        p=awaited.p,
        brier=(awaited.p - hit) ** 2,
        agents=tuple(AgentOutcome(agent=agent, p=p, brier=(p - hit) ** 2) for agent, p in awaited.agents),
    )
