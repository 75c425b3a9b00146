"""The book itself: holdings with contiguous ranks and weights that sum, and one `PortfolioChange` for every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from zmart_stream.domain.errors import BrokenBookError
from zmart_stream.domain.portfolio import ChangeKind, Holding, Portfolio, PortfolioChange
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.weights.equal import equal_weights


class Why(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The account a change gives of itself: stable reason code, the figures behind it, who, and their words."""

    kind: ChangeKind
    reason: str
    numbers: dict[str, float | str | None] = {}
    who: str = "machine"
    note: str = ""


def order_by_score(holdings: Sequence[Holding], step: float) -> list[Holding]:
    """The holdings re-ordered only where a lower one outscores its upper neighbour by `step` or more.

    Every exchange removes an inversion, so it ends; a holding without a score sinks.
    """
    order = list(holdings)
    moved = True
    while moved:
        moved = False
        for place in range(len(order) - 1):
            if _outscores(order[place + 1], order[place], step):
                order[place], order[place + 1] = order[place + 1], order[place]
                moved = True
    return order


def _outscores(lower: Holding, upper: Holding, step: float) -> bool:
    if lower.score is None:
        return False
    return upper.score is None or lower.score - upper.score >= step


def ranked(holdings: Sequence[Holding]) -> tuple[Holding, ...]:
    """The holdings with ranks 1..n in the order given."""
    return tuple(
        holding if holding.rank == rank else msgspec.structs.replace(holding, rank=rank)
        for rank, holding in enumerate(holdings, start=1)
    )


def check_book(portfolio: Portfolio, max_symbols: int) -> None:
    """Raise BrokenBookError if symbols repeat, ranks are not 1..n, there are too many, or the sum is not 100.00."""
    holdings = portfolio.holdings
    if len(holdings) > max_symbols:
        raise BrokenBookError(f"{len(holdings)} holdings, at most {max_symbols} are allowed")
    if len({holding.symbol for holding in holdings}) != len(holdings):
        raise BrokenBookError("a contract is held twice")
    if sorted(holding.rank for holding in holdings) != list(range(1, len(holdings) + 1)):
        raise BrokenBookError("ranks are not 1..n")
    hundredths = sum(round(holding.weight * 100) for holding in holdings) + round(portfolio.cash * 100)
    if hundredths != 10_000:
        raise BrokenBookError(f"weights and cash sum to {hundredths / 100:.2f}")


class Book:
    """The holdings in rank order. Every method that changes composition or rank returns the change."""

    def __init__(self, new_id: Callable[[int], str]) -> None:
        self.portfolio = Portfolio()
        self.revision = 0
        self._new_id = new_id

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Holdings, rank 1 first."""
        return self.portfolio.holdings

    @property
    def symbols(self) -> list[str]:
        """Symbols held, rank 1 first."""
        return [holding.symbol for holding in self.portfolio.holdings]

    def get(self, symbol: str) -> Holding | None:
        """The holding of `symbol`, None if it is not held."""
        return next((holding for holding in self.portfolio.holdings if holding.symbol == symbol), None)

    def enter(self, ts: int, standing: Standing, why: Why, *, limits: tuple[float, float]) -> PortfolioChange:
        """Take a contract in at the rank its score earns. `limits`: max_weight (percent), publish_step (points)."""
        order = self._inserted(list(self.holdings), self._new_holding(ts, standing), limits[1])
        return self._composed(ts, order, why, symbols=(standing.symbol, None), max_weight=limits[0])

    def leave(self, ts: int, symbol: str, why: Why, *, max_weight: float) -> PortfolioChange:
        """Let a holding go; the lower ranks move up."""
        order = [holding for holding in self.holdings if holding.symbol != symbol]
        return self._composed(ts, order, why, symbols=(None, symbol), max_weight=max_weight)

    def swap(
        self, ts: int, symbol_out: str, standing: Standing, why: Why, *, limits: tuple[float, float]
    ) -> PortfolioChange:
        """Replace a holding by a contract, in one change."""
        order = [holding for holding in self.holdings if holding.symbol != symbol_out]
        order = self._inserted(order, self._new_holding(ts, standing), limits[1])
        return self._composed(ts, order, why, symbols=(standing.symbol, symbol_out), max_weight=limits[0])

    def rerank(self, ts: int, step: float, why: Why) -> PortfolioChange | None:
        """Put the ranks in order of score where it differs by `step`; weights stay with their contracts."""
        order = order_by_score(self.holdings, step)
        if [holding.symbol for holding in order] == self.symbols:
            return None
        return self._changed(ts, Portfolio(holdings=ranked(order), cash=self.portfolio.cash), why, (None, None))

    def reweigh(self, ts: int, why: Why, *, max_weight: float) -> PortfolioChange | None:
        """Set the weights to their targets; None when they are there."""
        after = self._weighted(self.holdings, max_weight)
        return None if after == self.portfolio else self._changed(ts, after, why, (None, None))

    def note_scores(self, standings: Mapping[str, Standing]) -> None:
        """Write down each holding's score at this close."""
        self._rewrite(
            [
                msgspec.structs.replace(holding, score=standings[holding.symbol].score)
                if holding.symbol in standings
                else msgspec.structs.replace(holding, score=None)
                for holding in self.holdings
            ]
        )

    def note_flags(self, flags: Mapping[str, tuple[bool, tuple[str, ...]]]) -> None:
        """Write down `(replacement_candidate, flags)` of the holdings named."""
        self._rewrite(
            [
                msgspec.structs.replace(
                    holding, replacement_candidate=flags[holding.symbol][0], flags=flags[holding.symbol][1]
                )
                for holding in self.holdings
            ]
        )

    def snapshot(self) -> dict[str, Any]:
        """The portfolio as built-in values."""
        return {"portfolio": msgspec.to_builtins(self.portfolio), "revision": self.revision}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self.portfolio = msgspec.convert(state["portfolio"], Portfolio)
        self.revision = state["revision"]

    def _new_holding(self, ts: int, standing: Standing) -> Holding:
        return Holding(
            id=self._new_id(ts),
            symbol=standing.symbol,
            rank=len(self.holdings) + 1,
            weight=0.0,
            since=ts,
            score=standing.score,
        )

    @staticmethod
    def _inserted(order: list[Holding], new: Holding, step: float) -> list[Holding]:
        place = len(order)
        while place > 0 and _outscores(new, order[place - 1], step):
            place -= 1
        order.insert(place, new)
        return order

    def _composed(
        self, ts: int, order: list[Holding], why: Why, *, symbols: tuple[str | None, str | None], max_weight: float
    ) -> PortfolioChange:
        return self._changed(ts, self._weighted(order, max_weight), why, symbols)

    @staticmethod
    def _weighted(order: Sequence[Holding], max_weight: float) -> Portfolio:
        weights, cash = equal_weights(len(order), max_weight)
        holdings = [
            msgspec.structs.replace(holding, weight=weight)
            for holding, weight in zip(ranked(order), weights, strict=True)
        ]
        return Portfolio(holdings=tuple(holdings), cash=cash)

    def _changed(self, ts: int, after: Portfolio, why: Why, symbols: tuple[str | None, str | None]) -> PortfolioChange:
        before, self.portfolio = self.portfolio, after
        return PortfolioChange(
            ts=ts,
            id=self._new_id(ts),
            kind=why.kind,
            reason=why.reason,
            symbol_in=symbols[0],
            symbol_out=symbols[1],
            before=before,
            after=after,
            numbers=why.numbers,
            who=why.who,
            note=why.note,
            revision=self.revision,
        )

    def _rewrite(self, holdings: list[Holding]) -> None:
        self.portfolio = Portfolio(holdings=tuple(holdings), cash=self.portfolio.cash)
