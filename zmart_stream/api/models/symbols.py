"""Replies on contracts."""

from __future__ import annotations

from zmart_stream.api.models import PageReply, Reply, Row


class SymbolRow(Row):
    """One contract: the venue's facts, and how we see it."""

    symbol: str
    symbol_id: str
    status: str


class SymbolsReply(PageReply):
    """Every known contract."""

    symbols: list[SymbolRow]


class SymbolReply(Reply):
    """One contract."""

    symbol: SymbolRow
