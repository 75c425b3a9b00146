"""The book itself: holdings with contiguous ranks and weights that sum, and one `PortfolioChange` for every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from zmart_stream.domain.errors import BrokenBookError
from zmart_stream.domain.portfolio import ChangeKind, Holding, Portfolio, PortfolioChange
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.targets import Weights, kept_weights
from zmart_stream.portfolio.weights.problem import Limits, WeightProblem


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
    """Raise BrokenBookError if symbols or stays repeat, ranks are not 1..n, there are too many, or weights are wrong:
    each of two decimals and none below 0, with cash 100.00.
    """
    holdings = portfolio.holdings
    if len(holdings) > max_symbols:
        raise BrokenBookError(f"{len(holdings)} holdings, at most {max_symbols} are allowed")
    if len({holding.symbol for holding in holdings}) != len(holdings):
        raise BrokenBookError("a contract is held twice")
    if len({holding.id for holding in holdings}) != len(holdings):
        raise BrokenBookError("two holdings have one id")
    for holding in holdings:
        if not (0.0 <= holding.weight <= 100.0 and round(holding.weight, 2) == holding.weight):
            raise BrokenBookError(f"{holding.symbol} weighs {holding.weight}")
    if sorted(holding.rank for holding in holdings) != list(range(1, len(holdings) + 1)):
        raise BrokenBookError("ranks are not 1..n")
    hundredths = sum(round(holding.weight * 100) for holding in holdings) + round(portfolio.cash * 100)
    if hundredths != 10_000:
        raise BrokenBookError(f"weights and cash sum to {hundredths / 100:.2f}")


class Book:
    """The holdings in rank order. Every method that changes composition, rank, pins or blocks returns the change.

    A change of composition scales the present weights to the holdings (`targets.kept_weights`); better ones come by
    `reweigh`.
    """

    def __init__(self, new_id: Callable[[int], str]) -> None:
        self.portfolio = Portfolio()
        self.revision = 0
        self._new_id = new_id
        self._limits = Limits()
        self._step = 0.0

    def reconfigure(self, settings: PortfolioSettings, publish_step: float, revision: int) -> None:
        """Keep these limits on weights from the next change on; order by scores that differ by `publish_step`."""
        self._limits = Limits(cash=settings.cash, max_weight=settings.max_weight)
        self._step = publish_step
        self.revision = revision

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

    def enter(self, ts: int, standing: Standing, why: Why) -> PortfolioChange:
        """Take a contract in at the rank its score earns."""
        order = self._inserted(list(self.holdings), self._new_holding(ts, standing))
        return self._changed(ts, self._weighted(order), why, (standing.symbol, None))

    def leave(self, ts: int, symbol: str, why: Why) -> PortfolioChange:
        """Let a holding go; the lower ranks move up."""
        order = [holding for holding in self.holdings if holding.symbol != symbol]
        return self._changed(ts, self._weighted(order), why, (None, symbol))

    def swap(self, ts: int, symbol_out: str, standing: Standing, why: Why) -> PortfolioChange:
        """Replace a holding by a contract, in one change."""
        order = [holding for holding in self.holdings if holding.symbol != symbol_out]
        order = self._inserted(order, self._new_holding(ts, standing))
        return self._changed(ts, self._weighted(order), why, (standing.symbol, symbol_out))

    def rerank(self, ts: int, why: Why) -> PortfolioChange | None:
        """Put the ranks in order of score where it differs by the step; weights stay with their contracts."""
        order = order_by_score(self.holdings, self._step)
        if [holding.symbol for holding in order] == self.symbols:
            return None
        return self._changed(ts, self._with(ranked(order)), why, (None, None))

    def reweigh(self, ts: int, weights: Weights, why: Why) -> PortfolioChange | None:
        """Set the weights; None when they are there. Raises BrokenBookError if they are not those of the holdings."""
        if sorted(weights.weights) != sorted(self.symbols):
            raise BrokenBookError(f"weights of {sorted(weights.weights)} for a book of {sorted(self.symbols)}")
        after = self._with(self._at(self.holdings, weights), cash=weights.cash)
        if after == self.portfolio:
            return None
        check_book(after, len(after.holdings))
        return self._changed(ts, after, why, (None, None))

    def pin(self, ts: int, symbol: str, pinned: bool, why: Why) -> PortfolioChange:
        """Set or end the pin of a holding; a pinned one is no replacement candidate."""
        holdings = [
            msgspec.structs.replace(
                holding, pinned=pinned, replacement_candidate=holding.replacement_candidate and not pinned
            )
            if holding.symbol == symbol
            else holding
            for holding in self.holdings
        ]
        return self._changed(ts, self._with(holdings), why, (None, None))

    def block(self, ts: int, symbol: str, why: Why) -> PortfolioChange:
        """Put a contract among those kept out."""
        after = msgspec.structs.replace(self.portfolio, blocked=(*self.portfolio.blocked, symbol))
        return self._changed(ts, after, why, (None, None))

    def unblock(self, ts: int, symbol: str, why: Why) -> PortfolioChange:
        """Take a contract from those kept out."""
        blocked = tuple(kept for kept in self.portfolio.blocked if kept != symbol)
        return self._changed(ts, msgspec.structs.replace(self.portfolio, blocked=blocked), why, (None, None))

    def note_scores(self, standings: Mapping[str, Standing]) -> None:
        """Write down each holding's score at this close."""
        self.portfolio = self._with(
            [
                msgspec.structs.replace(holding, score=standings[holding.symbol].score)
                if holding.symbol in standings
                else msgspec.structs.replace(holding, score=None)
                for holding in self.holdings
            ]
        )

    def note_flags(self, flags: Mapping[str, tuple[bool, tuple[str, ...]]]) -> None:
        """Write down `(replacement_candidate, flags)` of every holding."""
        self.portfolio = self._with(
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

    def _inserted(self, order: list[Holding], new: Holding) -> list[Holding]:
        place = len(order)
        while place > 0 and _outscores(new, order[place - 1], self._step):
            place -= 1
        order.insert(place, new)
        return order

    def _weighted(self, order: Sequence[Holding]) -> Portfolio:
        """The holdings in this order, at the present weights scaled to them."""
        count = len(order)
        problem = WeightProblem(
            symbols=tuple(holding.symbol for holding in order),
            covariance=np.zeros((count, count)),  # what scales the present weights asks for no risk
            scores=(None,) * count,
            sectors=(None,) * count,
            present=tuple(holding.weight for holding in order),
            present_cash=self.portfolio.cash,
            limits=self._limits,
        )
        weights = kept_weights(problem)
        return self._with(self._at(ranked(order), weights), cash=weights.cash)

    @staticmethod
    def _at(holdings: Sequence[Holding], weights: Weights) -> list[Holding]:
        return [msgspec.structs.replace(holding, weight=weights.weights[holding.symbol]) for holding in holdings]

    def _with(self, holdings: Sequence[Holding], *, cash: float | None = None) -> Portfolio:
        kept = self.portfolio.cash if cash is None else cash
        return msgspec.structs.replace(self.portfolio, holdings=tuple(holdings), cash=kept)

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
