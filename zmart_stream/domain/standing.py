"""What the book's rules may know of one contract at one moment."""

from __future__ import annotations

import msgspec

GONE = frozenset({"BeingSettled", "Settled", "Closed"})
"""The venue's words for a contract that is settled or past it; "Delisted" is ours for one that left the list."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A contract as eligibility, rank and replacement see it. None = not known, which never counts as good."""

    symbol: str
    score: float | None  # composite 0..100, rounded to 1e-6; None below the minimum confidence
    confidence: float  # 0..1
    in_universe: bool
    is_linear_usdt_crypto: bool
    status: str  # the venue's word; "Delisted" once it left the venue's list
    stage: str
    expires: bool  # dated, or a scheduled delisting
    listed_days: float | None
    turnover: float | None  # quote currency, 24 h, as the contract row says
    spread_bps: float | None  # of the mid; None one-sided or crossed
    sides_filled: bool
    live: bool
    sector: str | None = None

    @property
    def is_gone(self) -> bool:
        """Delisted or settled: nothing to wait for."""
        return self.status == "Delisted" or self.status in GONE
