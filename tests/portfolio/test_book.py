"""What makes a book whole: ranks, weights, cash, and no contract or stay twice."""

from __future__ import annotations

import pytest

from tests.portfolio.builders import T0
from zmart_stream.domain.errors import BrokenBookError
from zmart_stream.domain.portfolio import Holding, Portfolio
from zmart_stream.portfolio.book import check_book


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
