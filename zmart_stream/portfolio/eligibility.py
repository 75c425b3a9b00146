"""The gates a contract must pass to be in the book (numbers.md §1 and §5), each with its value and its limit."""

from __future__ import annotations

import msgspec

from zmart_stream.domain.settings import MarketSettings, PortfolioSettings
from zmart_stream.domain.standing import Standing

Figure = float | str | bool | None
BLOCKED = "blocked"
"""The gate that an operator shuts."""


class Gate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One condition: `value` is what the contract has, `limit` what it needs."""

    name: str
    ok: bool
    value: Figure
    limit: Figure

    def __str__(self) -> str:
        if self.name in _SHUT:
            return _SHUT[self.name]
        value = "not known" if self.value is None else _figure(self.value)
        return f"{self.name} is {value}, {_WANTED.get(self.name, 'wanted is')} {_figure(self.limit)}"


_SHUT = {
    "usdt_linear_crypto": "it is no USDT-linear crypto contract",
    "no_expiry": "it expires, or is to be delisted",
    "both_sides": "one side of its book is empty",
    "feed_live": "its feed is stale",
    "composite": "it has no composite",
    BLOCKED: "an operator blocked it",
}
"""What it means that a gate without figures is shut."""

_WANTED = {"listed_days": "at least", "turnover_usdt": "at least", "spread_bps": "at most"}


def _figure(value: Figure) -> str:
    """Two decimals at most: a gate is shut by more than its last digits, or the value reads as the limit does."""
    return f"{value:,.2f}".replace(",", " ").removesuffix(".00") if isinstance(value, float) else str(value)


class Eligibility:
    """Judges standings; a holding gets 0.7 × the turnover minimum and 1.5 × the spread maximum."""

    def __init__(self, market: MarketSettings, portfolio: PortfolioSettings) -> None:
        self.blocked: frozenset[str] = frozenset()  # what operators keep out
        self._listed_days = market.min_listed_days
        self._turnover = (market.min_turnover_usdt, market.min_turnover_usdt * portfolio.held_turnover_factor)
        self._spread = (portfolio.max_spread_bps, portfolio.max_spread_bps * portfolio.held_spread_factor)

    def candidate(self, standing: Standing) -> bool:
        """Whether a contract outside the book passes every gate."""
        return self._passes(standing, self._turnover[0], self._spread[0])

    def holding(self, standing: Standing) -> bool:
        """Whether a holding passes every gate at a holding's limits."""
        return self._passes(standing, self._turnover[1], self._spread[1])

    def _passes(self, s: Standing, turnover: float, spread: float) -> bool:
        # the same conditions as `gates`, without building them: this runs for every contract at every close
        return (
            s.score is not None
            and s.is_linear_usdt_crypto
            and s.status == "Open"
            and s.stage == "NORMAL"
            and not s.expires
            and s.turnover is not None
            and s.turnover >= turnover
            and s.listed_days is not None
            and s.listed_days >= self._listed_days
            and s.spread_bps is not None
            and s.spread_bps <= spread
            and s.sides_filled
            and s.live
            and s.symbol not in self.blocked
        )

    def candidate_gates(self, standing: Standing) -> tuple[Gate, ...]:
        """Every gate of a contract outside the book."""
        return self._gates(standing, self._turnover[0], self._spread[0])

    def holding_gates(self, standing: Standing) -> tuple[Gate, ...]:
        """Every gate of a holding."""
        return self._gates(standing, self._turnover[1], self._spread[1])

    def _gates(self, s: Standing, turnover: float, spread: float) -> tuple[Gate, ...]:
        days = s.listed_days
        return (
            Gate(name="usdt_linear_crypto", ok=s.is_linear_usdt_crypto, value=s.is_linear_usdt_crypto, limit=True),
            Gate(name="status", ok=s.status == "Open", value=s.status, limit="Open"),
            Gate(name="market_stage", ok=s.stage == "NORMAL", value=s.stage, limit="NORMAL"),
            Gate(name="no_expiry", ok=not s.expires, value=not s.expires, limit=True),
            Gate(name="listed_days", ok=_at_least(days, self._listed_days), value=days, limit=self._listed_days),
            Gate(name="turnover_usdt", ok=_at_least(s.turnover, turnover), value=s.turnover, limit=turnover),
            Gate(
                name="spread_bps",
                ok=s.spread_bps is not None and s.spread_bps <= spread,
                value=s.spread_bps,
                limit=spread,
            ),
            Gate(name="both_sides", ok=s.sides_filled, value=s.sides_filled, limit=True),
            Gate(name="feed_live", ok=s.live, value=s.live, limit=True),
            Gate(name="composite", ok=s.score is not None, value=s.score, limit="present"),
            Gate(name=BLOCKED, ok=s.symbol not in self.blocked, value=s.symbol in self.blocked, limit=False),
        )


def _at_least(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit


def failing(gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
    """The gates that are shut."""
    return tuple(gate for gate in gates if not gate.ok)
