"""The cache as plain values and back, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.errors import SnapshotError
from zmart_stream.market.contract_state import DUMPED
from zmart_stream.market.series import packed, unpacked

if TYPE_CHECKING:
    from zmart_stream.market.cache import MarketCache

FORMAT = 1


def snapshot(cache: MarketCache, *, full: bool) -> dict[str, Any]:
    """Contracts, slots, recursive states, open interest; with `full` also the rings' bars."""
    count = len(cache.states)
    data: dict[str, Any] = {
        "format": FORMAT,
        "slots": list(DUMPED),
        "windows": [cache.hours.ring.slots, cache.days.ring.slots],
        "hour_start": cache.hour_start,
        "now": cache.now,
        "counts": dict(cache.counts),
        "contracts": [msgspec.to_builtins(state.contract) for state in cache.states],
        "states": [state.dump() for state in cache.states],
        "unswept": cache.freshness.unswept(),
        "hours": cache.hours.snapshot(),
        "days": cache.days.snapshot(),
        "interest": {"head": cache.interest.head, "points": packed(cache.interest.points[:, :count])},
    }
    if full:
        data["hour_bars"] = packed(cache.hours.ring.whole_content())
        data["day_bars"] = packed(cache.days.ring.whole_content())
    return data


def restore(cache: MarketCache, data: dict[str, Any]) -> None:
    """Fill an empty cache; raises SnapshotError for another format, other slots or other windows."""
    if data.get("format") != FORMAT or tuple(data.get("slots", ())) != DUMPED:
        raise SnapshotError("market: another format")
    if data["windows"] != [cache.hours.ring.slots, cache.days.ring.slots]:
        raise SnapshotError(f"market: windows {data['windows']} are not those of the configuration")
    if cache.states:
        raise SnapshotError("market: the cache is not empty")
    cache.hour_start, cache.now = data["hour_start"], data["now"]
    cache.counts.update(data["counts"])
    for contract, values in zip(data["contracts"], data["states"], strict=True):
        cache.add(msgspec.convert(contract, Contract)).fill(values)
    cache.freshness.put_unswept([cache.states[row] for row in data["unswept"]])
    cache.hours.restore(data["hours"])
    cache.days.restore(data["days"])
    points = unpacked(data["interest"]["points"])
    cache.interest.head = data["interest"]["head"]
    cache.interest.points[:, : points.shape[1]] = points
    if "hour_bars" in data:
        cache.hours.ring.replace_content(unpacked(data["hour_bars"]), data["hours"]["end"])
        cache.days.ring.replace_content(unpacked(data["day_bars"]), data["days"]["end"])
