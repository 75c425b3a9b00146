"""Subscriptions over connections. Pure: what stays keeps its place, what is new goes where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from zmart_stream.feeds.kucoin.subscriptions import Key

ANNOUNCEMENT: Key = ("announcement", "")


def wanted_keys(market: Sequence[str], tier: Sequence[str]) -> list[Key]:
    """Every subscription of the feed, most important first."""
    keys: list[Key] = [ANNOUNCEMENT] if market else []
    for symbol in market:
        keys += [("ticker", symbol), ("execution", symbol)]
    for symbol in tier:
        keys += [("depth", symbol), ("instrument", symbol)]
    return keys


def assign(
    current: Mapping[Key, int], wanted: Iterable[Key], *, capacity: int, full: Mapping[int, int]
) -> dict[Key, int]:
    """Which connection (0, 1, ...) carries which subscription.

    `capacity` subscriptions a connection, fewer on those that the venue called full (`full`: index to what it holds).
    """
    plan = {key: current[key] for key in wanted if key in current}
    load: dict[int, int] = {}
    for index in plan.values():
        load[index] = load.get(index, 0) + 1
    first_free = 0
    for key in wanted:
        if key in plan:
            continue
        while load.get(first_free, 0) >= min(max(1, capacity), full.get(first_free, capacity)):
            first_free += 1
        plan[key] = first_free
        load[first_free] = load.get(first_free, 0) + 1
    return plan
