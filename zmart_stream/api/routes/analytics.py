"""The book's money: statistics, metrics, attribution, equity, optimisers, swaps, and the history of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

from zmart_stream.api.calls import PREFIX, Call, Handler, Route
from zmart_stream.api.models import NoQuery, Query, Reply
from zmart_stream.api.models.analytics import (
    AttributionReply,
    EquityQuery,
    EquityReply,
    HistoryQuery,
    HistoryReply,
    MetricsReply,
    Optimiser,
    OptimizeQuery,
    OptimizeReply,
    StatisticsReply,
    SwapsReply,
    WindowQuery,
)
from zmart_stream.domain.events import change_told, iso
from zmart_stream.domain.portfolio import EquityMarked
from zmart_stream.domain.ports import ChangesAsked
from zmart_stream.portfolio.account import UNIT
from zmart_stream.portfolio.weights import hrp


async def statistics(call: Call) -> dict[str, Any]:
    """Weights, scores, risk, the ledger, and what the book was worth against doing less."""
    return call.services.reader.statistics()


async def metrics(call: Call) -> dict[str, Any]:
    """Return, volatility, Sharpe, drawdown, VaR and their kin; null with a reason where history is too short."""
    found = dict(call.services.reader.metrics(call.asked(WindowQuery).window))
    figures: dict[str, dict[str, Any]] = found.pop("figures")
    return {
        **found,
        "metrics": {name: figure["value"] for name, figure in figures.items()},
        "reasons": {name: figure["reason"] or "" for name, figure in figures.items() if figure["value"] is None},
    }


async def attribution(call: Call) -> dict[str, Any]:
    """Contributions of the holdings, funding and costs, and Brinson and Fachler's effects by sector."""
    return call.services.reader.attribution(call.asked(WindowQuery).window)


async def equity(call: Call) -> dict[str, Any]:
    """The paper equity over time."""
    asked = call.asked(EquityQuery)
    until = asked.until if asked.until is not None else call.services.now()
    points = await call.services.archive.equity(asked.since or 0, until, asked.points)
    return {"points": [_point(point) for point in points], "balance": _balance(points)}


async def optimize(call: Call) -> dict[str, Any]:
    """Present weights, and what each optimiser would make of them; changes nothing."""
    asked = call.asked(OptimizeQuery).optimiser
    names: tuple[str, ...] = get_args(Optimiser) if asked is None else (asked,)
    if "hrp" in names:
        await asyncio.to_thread(hrp.trees)
    found: dict[str, Any] = {}
    proposals = []
    for name in names:
        found = call.services.reader.optimise(name)
        proposals += found["optimisers"]
        await asyncio.sleep(0)  # each solves a problem: the feed gets its turn in between
    return {**found, "optimisers": proposals}


async def swaps(call: Call) -> dict[str, Any]:
    """What each swap earned against not swapping, and the slope that is paid for beside its estimate."""
    return call.services.reader.swaps()


async def history(call: Call) -> dict[str, Any]:
    """Every change of the book with before, after, reason, numbers, and who."""
    asked = call.asked(HistoryQuery)
    symbol = None if asked.symbol is None else call.symbol(asked.symbol)
    wanted = ChangesAsked(symbol, asked.kind, asked.since)
    changes, total = await call.services.archive.history(wanted, asked.limit, asked.offset)
    page = {"total": total, "limit": asked.limit, "offset": asked.offset}
    return {"changes": [change_told(change) for change in changes], **page}


def _point(point: EquityMarked) -> dict[str, Any]:
    names = ("equity", "cash", "price_pnl", "funding", "costs", "traded", "first_book", "benchmark")
    money = {name: getattr(point, name) for name in names}
    shown = {name: None if units is None else round(units / UNIT, 2) for name, units in money.items()}
    return {"at": iso(point.end), **shown}


def _balance(points: Sequence[EquityMarked]) -> dict[str, Any]:
    """Whether each point's equity is the one before and what flowed in between, to the last unit."""
    gaps = [
        then.equity - (first.equity + then.price_pnl + then.funding - then.costs) for first, then in pairwise(points)
    ]
    off = sum(map(abs, gaps))
    return {"steps": len(gaps), "difference_usdt": off / UNIT, "is_balanced": off == 0}


def _read(
    name: str, handler: Handler, reply: type[Reply], summary: str, query: type[Query] = NoQuery, *errors: str
) -> Route:
    path = f"{PREFIX}/portfolio/{name}"
    return Route(method="GET", path=path, handler=handler, reply=reply, summary=summary, query=query, errors=errors)


ROUTES = (
    _read("statistics", statistics, StatisticsReply, "The book and its money at a glance"),
    _read("metrics", metrics, MetricsReply, "Risk and performance", WindowQuery),
    _read("attribution", attribution, AttributionReply, "Where the return came from", WindowQuery),
    _read("equity", equity, EquityReply, "The paper equity over time", EquityQuery),
    _read("optimize", optimize, OptimizeReply, "What each optimiser would do now", OptimizeQuery),
    _read("swaps", swaps, SwapsReply, "What swaps earned against not swapping"),
    _read("history", history, HistoryReply, "Every change of the book", HistoryQuery, "bad_symbol", "unknown_symbol"),
)
