"""What we, not the venue, say of each contract: sector, size class, whether the machine may manage it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from zmart_stream.domain.commands import Reconfigured
from zmart_stream.domain.market import DAY_S
from zmart_stream.domain.message import Message
from zmart_stream.domain.scores import ScoresClosed
from zmart_stream.domain.sectors import placed
from zmart_stream.domain.standing import Standing
from zmart_stream.storage.items import SymbolFacts, SymbolsJudged

MARGIN = "USDTM"
"""What a symbol has behind its base, in the market that is followed."""
DAY_NS = DAY_S * 1_000_000_000
CLASSES = (("large", 10), ("mid", 50), ("small", 200))
"""Size class and the last rank by 24-h turnover that has it: a proxy for market capitalisation, which the venue does
not tell. All others are micro."""


class Known(Protocol):
    """The core as it is asked here."""

    def standings(self) -> Mapping[str, Standing]:
        """Every contract as eligibility sees it now."""
        ...


def judged(
    standings: Iterable[Standing], blocked: Sequence[str], sizes: Mapping[str, str] | None = None
) -> tuple[SymbolFacts, ...]:
    """The facts of every contract; a size class only for those of the market that is followed, and open.

    `sizes` (base -> class) goes before the rank.
    """
    all_of_them = list(standings)
    sized = [s for s in all_of_them if s.is_linear_usdt_crypto and not s.is_gone and s.turnover is not None]
    sized.sort(key=lambda s: (-(s.turnover or 0.0), s.symbol))
    classes = {standing.symbol: _class(rank) for rank, standing in enumerate(sized, start=1)}
    return tuple(
        SymbolFacts(
            symbol=standing.symbol,
            eligible=standing.is_linear_usdt_crypto and not standing.is_gone and standing.symbol not in blocked,
            sector=standing.sector,
            market_cap_category=_said(standing.symbol, classes.get(standing.symbol), sizes or {}),
        )
        for standing in all_of_them
    )


class Judge:
    """Judges at the first close it is told of, at the first of every UTC day and after new settings.

    Hands on what changed.
    """

    def __init__(
        self,
        core: Known,
        blocked: Callable[[], Sequence[str]],
        put: Callable[[Sequence[Message]], None],
        sizes: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`blocked`: contracts that operators keep out; `sizes`: what they say of bases; `put` writes to storage."""
        self._core, self._blocked, self._put, self._sizes = core, blocked, put, sizes
        self._day = -1
        self._facts: dict[str, SymbolFacts] = {}

    def tell(self, messages: Iterable[Message]) -> None:
        """Look for a close."""
        for message in messages:
            if isinstance(message, Reconfigured):
                self._day = -1
            elif isinstance(message, ScoresClosed) and message.end // DAY_NS > self._day:
                self._day = message.end // DAY_NS
                self._judge(message.ts)

    def _judge(self, ts: int) -> None:
        facts = judged(self._core.standings().values(), self._blocked(), self._sizes())
        changed = tuple(fact for fact in facts if self._facts.get(fact.symbol) != fact)
        if changed:
            self._facts |= {fact.symbol: fact for fact in changed}
            self._put([SymbolsJudged(ts=ts, rows=changed)])


def _said(symbol: str, size: str | None, sizes: Mapping[str, str]) -> str | None:
    """A class that was said of the contract's base goes before the one by rank; a contract without any has none."""
    return None if size is None else placed(symbol.removesuffix(MARGIN), size, sizes)


def _class(rank: int) -> str:
    return next((name for name, last in CLASSES if rank <= last), "micro")
