"""Replies on contracts."""

from __future__ import annotations

from zmart_stream.api.models import PageReply, Reply, Row


class SymbolRow(Row):
    """One contract: the venue's facts, and how we see it; `age_s` counts since its ticker spoke."""

    symbol: str
    symbol_id: str
    status: str
    live: bool
    age_s: float | None


class SymbolsReply(PageReply):
    """Every known contract."""

    symbols: list[SymbolRow]


class SymbolReply(Reply):
    """One contract."""

    symbol: SymbolRow
