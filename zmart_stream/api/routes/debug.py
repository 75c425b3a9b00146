"""What helps to find a fault; served where `api.debug` is on."""

from __future__ import annotations

from typing import Any

from zmart_stream.api.calls import Call, Route
from zmart_stream.api.models import Document, Reply


class DebugReply(Reply):
    """The book, and how much memory and disk the daemon uses."""

    portfolio: list[Document]
    debug_info: Document


async def portfolio(call: Call) -> dict[str, Any]:
    """The book, contracts, memory, rows and bytes of the database."""
    reader, facts = call.services.reader, call.services.debug
    book = reader.portfolio()
    more = {} if facts is None else await facts()
    return {
        "portfolio": book["holdings"],
        "debug_info": {"total_symbols": len(book["holdings"]), **more},
        "as_of": book["as_of"],
    }


ROUTES = (
    Route(
        method="GET",
        path="/debug/portfolio",
        handler=portfolio,
        reply=DebugReply,
        summary="The book and the daemon's inside",
    ),
)
