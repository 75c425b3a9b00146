"""Contracts: their facts and their state."""

from __future__ import annotations

from typing import Any

from zmart_stream.api.calls import PREFIX, Call, Route, in_turns
from zmart_stream.api.models import PageQuery
from zmart_stream.api.models.symbols import SymbolReply, SymbolsReply


async def symbols(call: Call) -> dict[str, Any]:
    """Every known contract."""
    shown, page = call.page(await in_turns(call.services.reader.symbol_steps()))
    return {"symbols": shown, **page}


async def symbol(call: Call) -> dict[str, Any]:
    """One contract, by symbol or id."""
    name = call.symbol(call.request.match_info["symbol"])
    return {"symbol": call.services.reader.symbol(name)}


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/symbols",
        handler=symbols,
        reply=SymbolsReply,
        summary="Every known contract",
        query=PageQuery,
        kept_s=1.0,
    ),
    Route(
        method="GET",
        path=f"{PREFIX}/symbols/{{symbol}}",
        handler=symbol,
        reply=SymbolReply,
        summary="One contract",
        errors=("bad_symbol", "unknown_symbol"),
    ),
)
