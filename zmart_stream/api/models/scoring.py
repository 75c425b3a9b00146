"""Bodies, queries and replies on scores."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from zmart_stream.api.models import (
    FIGURES,
    MAX_LIMIT,
    MAX_OFFSET,
    Body,
    Document,
    PageQuery,
    PageReply,
    Query,
    Reference,
    Reply,
    Row,
    Time,
    not_both,
)


class CalculateBody(Body):
    """Which contract to score again; without one, all."""

    model_config = ConfigDict(json_schema_extra=not_both("symbol", "symbol_id"))

    symbol: Reference | None = None
    symbol_id: Reference | None = None

    @model_validator(mode="after")
    def _one_at_most(self) -> CalculateBody:
        if self.symbol is not None and self.symbol_id is not None:
            raise ValueError("name one contract, as symbol_id or as symbol")
        return self

    @property
    def which(self) -> str | None:
        """The contract asked for."""
        return self.symbol_id or self.symbol


class RankingsQuery(PageQuery):
    """Which score, and which rows."""

    type: str = Field(
        "COMPOSITE",
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,31}$",
        description="COMPOSITE, TECHNICAL, FUNDAMENTAL, MARKET_STRUCTURE, RISK or a custom scorer's name.",
    )


class RankingRow(Row):
    """One contract of the rankings; `rank` is null where it is not eligible, `age_s` counts since its ticker spoke."""

    rank: int | None
    symbol: str
    symbol_id: str
    score: float | None
    confidence: float
    sector: str | None
    turnover_24h: float | None
    spread_bps: float | None
    age_s: float | None
    eligible: bool
    failed_gates: list[str]
    in_book: bool
    components: dict[str, float | None]


class RankingsReply(PageReply):
    """Every contract with a score of the kind, best first."""

    rankings: list[RankingRow]
    type: str


class ScoresQuery(Query):
    """Which of the stored scores."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), FIGURES] = Field(100, description="Rows.")
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET), FIGURES] = Field(0, description="Rows left out before them.")


class PresentScore(Row):
    """A contract's scores of now."""

    score_value: float | None
    confidence_level: float
    rank: int | None
    components: dict[str, float | None]


class StoredScore(Row):
    """A score as it was at a close; `supporting_data` has components and parts."""

    score_type: str
    score_value: float
    rank: int | None
    confidence_level: float
    calculation_timestamp: Time
    supporting_data: Document


class ScoresReply(Reply):
    """One contract's scores, stored ones newest first; `more` tells whether older ones follow."""

    limit: int
    offset: int
    more: bool

    symbol: str
    symbol_id: str
    current: PresentScore
    scores: list[StoredScore]


class CalculateReply(Reply):
    """What computing anew gave; `drift` is the largest relative difference to the state kept event by event."""

    symbols_processed: int
    drift: float
    reanchored: int
    scores: dict[str, float | None]


class PartRow(Row):
    """One part of a component: its value, where it stands among all contracts, what it contributes."""

    name: str
    value: float | None
    unit: str
    percentile: float | None
    weight: float
    contribution: float
    age_s: float | None
    freshness: float
    maturity: float
    words: str


class ComponentRow(Row):
    """One component of the composite; its parts' contributions sum to its own."""

    name: str
    weight: float
    score: float | None
    confidence: float
    contribution: float
    parts: list[PartRow]


class GateRow(Row):
    """One condition: what the contract has against what it needs."""

    name: str
    ok: bool
    value: float | str | bool | None
    limit: float | str | bool | None


class SumRow(Row):
    """50 and the contributions are the composite; `published` is the score last announced."""

    base: float
    contributions: float
    composite: float
    published: float | None


class ExplainReply(Reply):
    """The arithmetic of one score."""

    symbol: str
    score: float | None
    confidence: float
    rank: int | None
    in_book: bool
    components: list[ComponentRow]
    sum: SumRow
    gates: list[GateRow]
    change: Document
