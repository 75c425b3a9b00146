"""What makes a book whole: ranks, weights, cash, and no contract or stay twice."""

from __future__ import annotations

import pytest

from tests.portfolio.builders import T0, manager, standings
from zmart_stream.domain.errors import BrokenBookError
from zmart_stream.domain.portfolio import Holding, Portfolio
from zmart_stream.portfolio.book import Why, check_book
from zmart_stream.portfolio.targets import Weights


@pytest.mark.parametrize(
    ("ranks", "weights", "cash", "fault"),
    [
        ((1, 3), (50.0, 50.0), 0.0, "ranks"),
        ((1, 2), (50.0, 50.01), 0.0, "sum"),
        ((1, 2), (50.005, 49.995), 0.0, "S0 weighs 50.005"),
        ((1, 2), (-1.0, 50.0), 51.0, "S0 weighs -1.0"),
        ((1, 2, 3), (30.0, 30.0, 30.0), 10.0, "at most 2"),
    ],
)
def test_a_broken_book_is_noticed(ranks: tuple[int, ...], weights: tuple[float, ...], cash: float, fault: str) -> None:
    holdings = tuple(
        Holding(id=f"{n}", symbol=f"S{n}", rank=rank, weight=weight, since=T0, score=None)
        for n, (rank, weight) in enumerate(zip(ranks, weights, strict=True))
    )
    with pytest.raises(BrokenBookError, match=fault):
        check_book(Portfolio(holdings=holdings, cash=cash), 2)


def test_a_contract_or_a_stay_twice_is_noticed() -> None:
    stays = [("a", "S0"), ("a", "S1"), ("b", "S0")]
    one, same_stay, same_contract = (
        Holding(id=stay, symbol=symbol, rank=rank, weight=25.0, since=T0, score=None)
        for rank, (stay, symbol) in zip((1, 2, 2), stays, strict=True)
    )
    for second, fault in ((same_stay, "one id"), (same_contract, "held twice")):
        with pytest.raises(BrokenBookError, match=fault):
            check_book(Portfolio(holdings=(one, second), cash=50.0), 2)


def test_weights_are_written_whole_or_not_at_all() -> None:
    book = manager()
    book.first_fill(T0, standings({"A": 80.0, "B": 70.0}))
    why, before = Why(kind="reweight", reason="daily", numbers={"optimiser": "equal"}), book.portfolio
    assert book.reweighed(T0, Weights(weights={"B": 25.0, "A": 25.0}, cash=50.0), why) is None
    for weights, cash in (({"A": 25.0, "C": 25.0}, 50.0), ({"A": 50.0}, 50.0), ({"A": 25.0, "B": 24.0}, 50.0)):
        with pytest.raises(BrokenBookError):
            book.reweighed(T0, Weights(weights=weights, cash=cash), why)
        assert book.portfolio == before
    change = book.reweighed(T0 + 1, Weights(weights={"B": 30.5, "A": 20.0}, cash=49.5), why)
    assert change is not None
    assert (change.kind, change.reason, change.before, change.after) == ("reweight", "daily", before, book.portfolio)
    assert [(h.symbol, h.weight) for h in book.portfolio.holdings] == [("A", 20.0), ("B", 30.5)]
