"""Bodies, queries and replies on the book and what may be done to it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, model_validator

from zmart_stream.api.models import Document, NoteBody, Reference, Reply, Row, Time

_EITHER: dict[str, Any] = {
    "oneOf": [
        {"required": [one], "properties": {one: {"type": "string"}, other: {"type": "null"}}}
        for one, other in (("symbol_id", "symbol"), ("symbol", "symbol_id"))
    ]
}


class SymbolBody(NoteBody):
    """One contract, as `symbol_id` (a UUID or a symbol) or as `symbol`, and the reason."""

    model_config = ConfigDict(json_schema_extra=_EITHER)

    symbol: Reference | None = None
    symbol_id: Reference | None = None

    @model_validator(mode="after")
    def _one(self) -> SymbolBody:
        if (self.symbol is None) == (self.symbol_id is None):
            raise ValueError("name one contract, as symbol_id or as symbol")
        return self

    @property
    def which(self) -> str:
        """The contract asked for."""
        return self.symbol_id or self.symbol or ""


class ReplaceBody(NoteBody):
    """The contract that leaves, and the one that comes."""

    old_symbol_id: Reference
    new_symbol_id: Reference


class HoldingRow(Row):
    """One contract of the book. Weights are percent; money is that of this stay, null before the ledger traded it."""

    id: str
    rank: int
    symbol: str
    symbol_id: str
    sector: str | None
    weight: float
    score: float | None
    score_now: float | None
    since: Time
    age_s: float
    pinned: bool
    replacement_candidate: bool
    flags: list[str]
    value_usdt: float | None
    price_pnl_usdt: float | None
    funding_usdt: float | None
    costs_usdt: float | None
    earned_usdt: float | None
    drifted_weight: float | None


class PortfolioReply(Reply):
    """The book; weights and cash are percent and sum to 100."""

    holdings: list[HoldingRow]
    cash: float
    cash_reason: list[str]
    blocked: list[str]
    """Symbols that operators keep out."""
    hold: bool
    hold_reason: str | None
    size: int
    max_symbols: int
    notice: str | None


class HeldRow(Row):
    """A holding as a change records it."""

    id: str
    symbol: str
    rank: int
    weight: float
    since: Time
    score: float | None


class BookRow(Row):
    """The whole book at a moment."""

    holdings: list[HeldRow]
    cash: float


class ChangeRow(Row):
    """One change of the book with everything needed to explain it."""

    id: str
    at: Time
    kind: str
    reason: str
    symbol_in: str | None
    symbol_out: str | None
    before: BookRow
    after: BookRow
    numbers: Document
    who: str
    note: str
    revision: int


class ChangeReply(Reply):
    """What a command did: the changes of the book that followed, in order."""

    changes: list[ChangeRow]
    detail: str
