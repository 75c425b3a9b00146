"""The bodies that are taken and the replies that are given, as pydantic models.

A reply's model names what clients may rely on; further members may come.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_SYMBOL = re.compile(r"[A-Z0-9]{2,24}", re.ASCII)


def is_symbol(text: str) -> bool:
    """Whether a text has the form of a contract's symbol."""
    return _SYMBOL.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in its usual form."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _reference(text: str) -> str:
    if not is_symbol(text) and not is_uuid(text):
        raise ValueError("a symbol is 2 to 24 capital letters and digits, or a UUID")
    return text


def _printable(text: str) -> str:
    if not all(character.isprintable() or character == "\n" for character in text):
        raise ValueError("only printable characters")
    return text


Reference = Annotated[str, AfterValidator(_reference)]
"""A contract by its symbol or by its id."""

Note = Annotated[str, Field(max_length=500), AfterValidator(_printable)]


class Body(BaseModel):
    """A request's body; what is not asked for is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CalculateBody(Body):
    """Which contract to score again; without one, all."""

    symbol: Reference | None = None
    symbol_id: Reference | None = None

    @property
    def which(self) -> str | None:
        """The contract asked for."""
        return self.symbol_id or self.symbol


class NoteBody(Body):
    """Why a command is given."""

    reason: Note = ""


class SymbolBody(NoteBody):
    """One contract and the reason."""

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


class Reply(BaseModel):
    """What every reply carries; `as_of` is market time, ISO 8601 UTC."""

    model_config = ConfigDict(extra="allow")

    success: bool
    as_of: str


class StatusReply(Reply):
    """The daemon as a whole."""

    version: str
    uptime_s: float
    venue: dict[str, Any]
    feed: dict[str, Any]
    warm_up: dict[str, Any]
    contracts: dict[str, Any]
    book: dict[str, Any]
    storage: dict[str, Any]
    config: dict[str, Any]


class HealthReply(Reply):
    """Whether fresh data is served, and what stands in the way."""

    status: str
    reasons: list[str]


class RankingRow(BaseModel):
    """One contract of the rankings; `rank` is null where it is not eligible."""

    model_config = ConfigDict(extra="allow")

    rank: int | None
    symbol: str
    symbol_id: str
    score: float
    confidence: float
    sector: str | None
    turnover_24h: float | None
    spread_bps: float | None
    eligible: bool
    failed_gates: list[Any]
    in_book: bool
    components: dict[str, float | None]


class RankingsReply(Reply):
    """Every contract with a score of the kind, best first; all of them unless a limit is given."""

    rankings: list[RankingRow]
    type: str
    total: int
    limit: int | None
    offset: int


class CalculateReply(Reply):
    """What computing anew gave; `drift` is the largest relative difference to the state kept event by event."""

    symbols_processed: int
    drift: float
    reanchored: int
    scores: dict[str, float | None]


class HoldingRow(BaseModel):
    """One contract of the book."""

    model_config = ConfigDict(extra="allow")

    rank: int
    symbol: str
    symbol_id: str
    weight: float
    score: float | None
    since: str


class PortfolioReply(Reply):
    """The book; weights and cash are percent and sum to 100."""

    holdings: list[HoldingRow]
    cash: float
    max_symbols: int


class ExplainReply(Reply):
    """The arithmetic of one score."""

    symbol: str
    components: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    change: dict[str, Any]


class SymbolsReply(Reply):
    """Every known contract."""

    symbols: list[dict[str, Any]]
    total: int
    limit: int | None
    offset: int


class SymbolReply(Reply):
    """One contract."""

    symbol: dict[str, Any]


class SampleDataReply(Reply):
    """What the sandbox brought."""

    symbols: int


class ReloadReply(Reply):
    """What reading the configuration again changed: dotted keys, and the revision in force."""

    applied: list[str]
    restart_needed: list[str]
    revision: int


class ChangeReply(Reply):
    """What a command did: the changes of the book that followed, in order."""

    changes: list[dict[str, Any]]
    detail: str


class LiveReply(BaseModel):
    """The loop turns."""

    status: str
