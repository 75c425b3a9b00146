"""Bodies, queries and replies on signals: what is proposed, who thinks what of it, what became of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from zmart_stream.api.models import (
    FIGURES,
    MAX_LIMIT,
    MAX_OFFSET,
    Body,
    Document,
    Moment,
    Name,
    NoteBody,
    PageReply,
    Query,
    Reference,
    Reply,
    Row,
    Time,
    not_both,
)


def _text(value: object) -> object:
    """A time in a body is text: a bare number would be seconds to one sender and milliseconds to the next."""
    if value is not None and not isinstance(value, str):
        raise ValueError("a time is ISO 8601, such as 2026-11-22T14:00:00Z")
    return value


class ReleaseBody(NoteBody):
    """A source whose name is to belong to whoever uses it next."""

    source_name: Annotated[str, Field(min_length=1, max_length=64)]


class ReleaseReply(Reply):
    """The source that is nobody's now."""

    source_name: str


class SignalBody(Body):
    """A signal. Without a contract it is about the market as a whole.

    Only the form is judged here. Values that break a rule come back as `bad_signal`, with field, value and rule, and
    the signal is stored as rejected.
    """

    model_config = ConfigDict(
        json_schema_extra={"allOf": [not_both("symbol", "symbol_id"), not_both("expires_in_s", "expires_at")]}
    )

    source_name: str = Field(description="Who says so: 1 to 64 printable characters. It is the first sender's own.")
    signal_type: str = Field(description="Such as BREAKOUT or MOMENTUM: upper case letters, digits and _, at most 32.")
    signal_strength: float = Field(description="From 0 to 1.")
    confidence_level: float = Field(description="From 0 to 1.")
    symbol: str | None = Field(None, description="The contract: its symbol.")
    symbol_id: str | None = Field(None, description="The contract: its id, a UUID, or its symbol.")
    signal_direction: str | None = Field(None, description="BUY or SELL; without it BUY.")
    signal_data: Document | None = Field(None, description="What else is to be kept with it, at most 16 KiB of JSON.")
    idempotency_key: str | None = Field(None, description="1 to 128 printable characters; acts once, however often.")
    expires_in_s: float | None = Field(None, description="Seconds of market time, above 0, at most a week.")
    expires_at: Annotated[Moment, BeforeValidator(_text)] | None = Field(
        None, description="In market time, at most a week ahead."
    )

    @model_validator(mode="after")
    def _one_each(self) -> SignalBody:
        if self.symbol is not None and self.symbol_id is not None:
            raise ValueError("name one contract, as symbol_id or as symbol")
        if self.expires_in_s is not None and self.expires_at is not None:
            raise ValueError("say either expires_in_s or expires_at")
        return self


class OpinionRow(Row):
    """One agent's view: `p` that acting pays after cost, and why it thinks so."""

    agent: str
    p: float
    stance: Literal["approve", "reject", "abstain"]
    veto: bool
    reasons: list[Document]
    ages: dict[str, float]


class SignalReply(Reply):
    """Where a signal stands. One that waits is `received`; a repeated one has the first one's answer."""

    signal_id: str
    status: str
    repeated: bool
    decision: Document | None
    opinions: list[OpinionRow]
    reason: str
    detail: str
    change_id: str | None


class SignalsQuery(Query):
    """Which signals."""

    source: Name | None = Field(None, description="Only those of this source.")
    symbol: Reference | None = Field(None, description="Only those about this contract, by symbol or id.")
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), FIGURES] = Field(100, description="Rows.")
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET), FIGURES] = Field(0, description="Rows left out before them.")


class SignalRow(Row):
    """A signal as it is stored; what is not known yet is null."""

    id: str
    source_name: str
    signal_type: str
    signal_strength: float | None
    confidence_level: float | None
    signal_direction: str | None
    symbol: str | None
    symbol_id: str | None
    signal_data: Any
    status: str
    reason: str | None
    detail: str | None
    problems: list[Document] | None
    submitted_by: str | None
    idempotency_key: str | None
    created_at: Time
    processed_at: Time | None
    expires_at: Time | None
    p: float | None
    approved: bool | None
    spoke: int | None
    quorum: int | None
    dissent: float | None
    veto: str | None
    action: str | None
    target_symbol: str | None
    decision: Document | None
    change_id: str | None


class SignalsReply(PageReply):
    """Signals, newest first."""

    signals: list[SignalRow]


class StepRow(Row):
    """A stage of a signal's life."""

    status: str
    ts: Time
    reason: str
    detail: str


class WholeSignal(SignalRow):
    """A signal with all that was said of it; `outcome` is null until its horizon has passed."""

    steps: list[StepRow]
    opinions: list[OpinionRow]
    outcome: Document | None


class OneSignalReply(Reply):
    """One signal."""

    signal: WholeSignal


class SignalStatisticsReply(Reply):
    """Counts in all, by source and by type; durations of each stage in market time; how right everybody was."""

    total: dict[str, int]
    by_source: list[Document]
    by_type: dict[str, dict[str, int]]
    reasons: dict[str, int]
    latency: dict[str, Document]
    waiting: int
    waits_for: str | None
    outcomes: Document
    detectors: Document
    agents: list[str]
    scorecards: Document
