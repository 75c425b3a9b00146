"""Scores: what a contract's figures are worth, 0..100."""

from __future__ import annotations

import msgspec

from zmart_stream.domain.message import Message


class ComponentScore(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One component of a composite: `score` 0..100 or None if none of its parts is present; `confidence` 0..1."""

    name: str
    score: float | None
    confidence: float


class ScoreChanged(Message, frozen=True, kw_only=True, gc=False):
    """A composite moved by the publish step, appeared, vanished (None), or its confidence crossed the minimum."""

    symbol: str
    score: float | None
    previous: float | None
    confidence: float
    components: tuple[ComponentScore, ...]


class ScoreRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One contract's score at a close, as it is stored: parts carry raw value, percentile and weight."""

    symbol: str
    rank: int | None
    score: float
    confidence: float
    components: tuple[ComponentScore, ...]
    parts: dict[str, tuple[float | None, float | None, float]]


class ScoresClosed(Message, frozen=True, kw_only=True, gc=False):
    """Scores of book and candidates at the close that ended at `end` (ns)."""

    end: int
    rows: tuple[ScoreRow, ...]


class Recalculated(Message, frozen=True, kw_only=True, gc=False):
    """Answer to `Recalculate`: the largest difference to the incremental state, relative."""

    request_id: str
    symbols_processed: int
    drift: float
    reanchored: int
    scores: dict[str, float | None]
