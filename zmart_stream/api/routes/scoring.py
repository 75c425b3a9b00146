"""Scores: the rankings, one score explained, and computing them anew."""

from __future__ import annotations

from typing import Any

from zmart_stream.api.calls import PREFIX, Call, Route, in_turns
from zmart_stream.api.models.scoring import (
    CalculateBody,
    CalculateReply,
    ExplainReply,
    RankingsQuery,
    RankingsReply,
    ScoresQuery,
    ScoresReply,
)
from zmart_stream.domain.commands import Recalculate
from zmart_stream.domain.errors import RequestError
from zmart_stream.domain.scores import Recalculated


async def rankings(call: Call) -> dict[str, Any]:
    """Every contract with a score of `type`, best first."""
    kind = call.asked(RankingsQuery).type.upper()
    try:
        rows = await in_turns(call.services.reader.ranking_steps(kind))
    except KeyError:
        raise RequestError(
            "unknown_score", f"no score is called {kind}; the components are scores too", score=kind
        ) from None
    shown, page = call.page(rows)
    return {"rankings": shown, "type": kind, **page}


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


async def scores(call: Call) -> dict[str, Any]:
    """One contract's scores: those of now, and those that were stored at closes, newest first."""
    symbol, asked = call.symbol(call.request.match_info["symbol"]), call.asked(ScoresQuery)
    found = call.services.reader.explain(symbol)
    rows = await call.services.archive.scores(symbol, asked.limit + 1, asked.offset)
    return {
        "symbol": symbol,
        "symbol_id": found["symbol_id"],
        "current": {
            "score_value": found["score"],
            "confidence_level": found["confidence"],
            "rank": found["rank"],
            "components": {component["name"].upper(): component["score"] for component in found["components"]},
        },
        "scores": rows[: asked.limit],
        "more": len(rows) > asked.limit,
        "limit": asked.limit,
        "offset": asked.offset,
        "as_of": found["as_of"],
    }


async def explain(call: Call) -> dict[str, Any]:
    """Parts, contributions, gates and the smallest change for one contract."""
    symbol = call.symbol(call.request.match_info["symbol"])
    try:
        return call.services.reader.explain(symbol)
    except KeyError:
        raise call.unknown_symbol(symbol) from None


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/scoring/rankings",
        handler=rankings,
        reply=RankingsReply,
        summary="Every contract with a score, best first",
        query=RankingsQuery,
        errors=("unknown_score",),
        kept_s=0.5,
    ),
    Route(
        method="POST",
        path=f"{PREFIX}/scoring/calculate",
        handler=calculate,
        reply=CalculateReply,
        summary="Compute scores anew",
        scope="operate",
        body=CalculateBody,
        errors=("unknown_symbol",),
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/scoring/symbol/{{symbol}}/scores",
        handler=scores,
        reply=ScoresReply,
        summary="One contract's scores, now and at closes",
        query=ScoresQuery,
        errors=("bad_symbol", "unknown_symbol"),
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/explain/{{symbol}}",
        handler=explain,
        reply=ExplainReply,
        summary="One score as arithmetic that a person can check",
        errors=("bad_symbol", "unknown_symbol"),
    ),
)
