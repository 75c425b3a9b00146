"""Scores: the rankings, one score explained, and computing them anew."""

from __future__ import annotations

import re
from typing import Any

from zmart_stream.api.calls import PREFIX, Call, Route, unknown_symbol
from zmart_stream.api.models import CalculateBody, CalculateReply, ExplainReply, RankingsReply
from zmart_stream.domain.commands import Recalculate
from zmart_stream.domain.errors import RequestError
from zmart_stream.domain.scores import Recalculated

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}", re.ASCII)


async def rankings(call: Call) -> dict[str, Any]:
    """Every contract with a score of `type`, best first."""
    kind = call.request.query.get("type", "COMPOSITE")
    if not _KIND.fullmatch(kind):
        raise RequestError("bad_query", "type is the name of a score, such as COMPOSITE or RISK", parameter="type")
    try:
        rows = call.services.reader.rankings(kind.upper())
    except KeyError:
        raise RequestError("bad_query", f"no score is called {kind.upper()}", parameter="type") from None
    shown, page = call.page(rows)
    return {"rankings": shown, "type": kind.upper(), **page}


async def calculate(call: Call) -> dict[str, Any]:
    """Compute committed state anew for one contract or for all, and say how far it was off."""
    which = call.said(CalculateBody).which
    symbol = call.symbol(which) if which else None
    for message in await call.submit(Recalculate, symbol=symbol):
        if isinstance(message, Recalculated):
            return {
                "symbols_processed": message.symbols_processed,
                "drift": message.drift,
                "reanchored": message.reanchored,
                "scores": message.scores,
            }
    raise RequestError("fault", "the core did not answer with scores")


async def explain(call: Call) -> dict[str, Any]:
    """Parts, contributions, gates and the smallest change for one contract."""
    symbol = call.symbol(call.request.match_info["symbol"])
    try:
        return call.services.reader.explain(symbol)
    except KeyError:
        raise unknown_symbol(symbol) from None


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/scoring/rankings",
        handler=rankings,
        reply=RankingsReply,
        summary="Every contract with a score, best first",
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/scoring/calculate",
        handler=calculate,
        reply=CalculateReply,
        summary="Compute scores anew",
        scope="operate",
        body=CalculateBody,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/explain/{{symbol}}",
        handler=explain,
        reply=ExplainReply,
        summary="One score as arithmetic that a person can check",
    ),
)
