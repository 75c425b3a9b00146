"""The cache as plain values and back, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.errors import SnapshotError
from zmart_stream.market.contract_state import COUNTS, DUMPED, FIGURES, FLAGS, LOOSE, ContractState, Moves
from zmart_stream.market.series import packed, unpacked

if TYPE_CHECKING:
    from zmart_stream.market.cache import MarketCache

FORMAT = 2
_figures, _counts, _loose = attrgetter(*FIGURES), attrgetter(*COUNTS), attrgetter(*LOOSE)


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
        "contracts": msgspec.msgpack.encode([state.contract for state in cache.states]),
        "states": _states(cache.states),
        "unswept": cache.freshness.unswept(),
        "hours": cache.hours.snapshot(),
        "days": cache.days.snapshot(),
        "interest": {"head": cache.interest.head, "points": packed(cache.interest.points[:, :count])},
        "close_of_day": cache.day_closed(),
    }
    if full:
        data["hour_bars"] = packed(cache.hours.ring.whole_content())
        data["day_bars"] = packed(cache.days.ring.whole_content())
    return data


def _states(states: Sequence[ContractState]) -> dict[str, Any]:
    """The slots by columns: one call reads all of a contract's, and nothing is built a contract."""
    figures = np.fromiter(chain.from_iterable(map(_figures, states)), np.float64, len(FIGURES) * len(states))
    counts = np.fromiter(chain.from_iterable(map(_counts, states)), np.int64, len(COUNTS) * len(states))
    fresh = np.fromiter(chain.from_iterable([state.fresh for state in states]), np.float64, len(Moves) * len(states))
    return {
        "figures": packed(figures.reshape(-1, len(FIGURES))),
        "counts": packed(counts.reshape(-1, len(COUNTS))),
        "fresh": packed(fresh.reshape(-1, len(Moves))),
        "loose": list(map(_loose, states)),
    }


def _fill(states: Sequence[ContractState], data: dict[str, Any]) -> None:
    """Inverse of `_states`."""
    columns = (unpacked(data[name]).tolist() for name in ("figures", "counts", "fresh"))
    for state, figures, counts, fresh, loose in zip(states, *columns, data["loose"], strict=True):
        for name, value in zip((*FIGURES, *COUNTS, *LOOSE), (*figures, *counts, *loose), strict=True):
            setattr(state, name, value)
        for name in FLAGS:
            setattr(state, name, bool(getattr(state, name)))
        state.fresh = fresh
        state.bids = tuple((float(price), int(lots)) for price, lots in state.bids)
        state.asks = tuple((float(price), int(lots)) for price, lots in state.asks)
        state.settlements = [(int(at), float(rate), float(hours)) for at, rate, hours in state.settlements]


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
    for contract in msgspec.msgpack.decode(data["contracts"], type=list[Contract]):
        cache.add(contract)
    _fill(cache.states, data["states"])
    cache.freshness.put_unswept([cache.states[row] for row in data["unswept"]])
    cache.hours.restore(data["hours"])
    cache.days.restore(data["days"])
    points = unpacked(data["interest"]["points"])
    cache.interest.head = data["interest"]["head"]
    cache.interest.points[:, : points.shape[1]] = points
    if "hour_bars" in data:
        cache.hours.ring.replace_content(unpacked(data["hour_bars"]), data["hours"]["end"])
        cache.days.ring.replace_content(unpacked(data["day_bars"]), data["days"]["end"])
    cache.take_day_closed(data["close_of_day"])
