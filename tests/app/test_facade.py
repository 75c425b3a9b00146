"""The guide's methods give the guide's keys, over a warm core."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.api.market import CONTRACTS, Market
from zmart_stream.app.facade import Facade
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.engine.ids import symbol_id

SETTINGS = CoreSettings()
BY_HAND = msgspec.structs.replace(
    SETTINGS, portfolio=msgspec.structs.replace(SETTINGS.portfolio, automatic=False, max_per_sector=50)
)


@pytest.fixture
def market(seed: int) -> Market:
    return Market(seed, hours=0.2, settings=BY_HAND)


@pytest.fixture
def facade(market: Market) -> Facade:
    return Facade(reader=market.reads, commander=market, now=lambda: market.engine.now)


def eligible(facade: Facade) -> list[str]:
    return [row["symbol"] for row in facade.get_symbol_rankings("COMPOSITE") if row["eligible"]]


def test_the_guides_workflow(facade: Facade) -> None:
    async def scenario() -> None:
        assert (await facade.initialize_sample_data())["success"]
        scoring = await facade.calculate_all_scores()
        assert scoring["success"]
        assert scoring["symbols_processed"] == CONTRACTS
        assert scoring["drift"] < 1e-9
        rankings = facade.get_symbol_rankings("COMPOSITE", 5)
        assert len(rankings) == 5
        first = next(row for row in rankings if row["eligible"])
        assert first["score_value"] == first["score"]
        assert facade.get_current_portfolio() == []
        added = await facade.add_symbol_to_portfolio(first["symbol_id"])
        assert added["success"], added
        [held] = facade.get_current_portfolio()
        assert held["symbol_details"]["symbol"] == held["symbol"] == first["symbol"]
        assert (held["position_rank"], held["status"]) == (1, "Active")

    asyncio.run(scenario())


def test_changes_carry_the_users_name_and_refusals_their_reason(facade: Facade) -> None:
    async def scenario() -> None:
        one, two = eligible(facade)[:2]
        added = await facade.add_symbol_to_portfolio(symbol_id=one, reason="High composite score", user="trader_1")
        assert added["changes"][0]["performed_by"] == "trader_1"
        again = await facade.add_symbol_to_portfolio(symbol_id(one))
        assert (again["success"], again["code"]) == (False, "already_in_book")
        assert again["error"]
        nothing = await facade.remove_symbol_from_portfolio("NOPEUSDTM")
        assert (nothing["success"], nothing["code"]) == (False, "not_in_book")
        swapped = await facade.replace_symbol(one, two, user="trader_2")
        assert [(c["symbol_in"], c["symbol_out"]) for c in swapped["changes"][:1]] == [(two, one)]
        assert [holding["symbol"] for holding in swapped["portfolio"]] == [two]
        assert (await facade.remove_symbol_from_portfolio(two))["success"]
        assert facade.get_current_portfolio() == []
        shut = [row["symbol"] for row in facade.get_symbol_rankings() if not row["eligible"]]
        for symbol in shut[:1]:
            refused = await facade.add_symbol_to_portfolio(symbol)
            assert (refused["code"], bool(refused["gates"])) == ("not_eligible", True)

    asyncio.run(scenario())


def test_one_contracts_score_and_the_books_figures(facade: Facade) -> None:
    async def scenario() -> None:
        symbol = eligible(facade)[0]
        one = await facade.calculate_all_scores(symbol_id(symbol))
        assert one["symbols_processed"] == 1
        score = one["scores"][symbol]
        assert 0 <= score["score_value"] <= 100
        assert 0 < score["confidence_level"] <= 1
        assert set(score["supporting_data"]) >= {"TECHNICAL", "RISK"}
        assert (await facade.calculate_all_scores("NOPEUSDTM"))["code"] == "unknown_symbol"
        await facade.add_symbol_to_portfolio(symbol)
        assert facade.get_portfolio_statistics()["holdings"] == 1
        metrics = facade.calculate_portfolio_metrics()
        assert metrics["metrics"]["sharpe"] is None
        assert "are needed" in metrics["reasons"]["sharpe"]
        assert facade.get_portfolio_performance_attribution("1d")["success"]
        proposals = (await facade.optimize_portfolio_weights())["optimisers"]
        assert {symbol} == {name for proposal in proposals for name in proposal["weights"]}
        assert (await facade.rebalance_portfolio(user="trader_1"))["success"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"signal_strength": "strong"}, "signal_strength"),
        ({"signal_strength": 2.0}, "signal_strength"),
        ({"who": "machine"}, "who"),
        ({"signal_data": []}, "signal_data"),
    ],
)
def test_a_wrong_signal_is_refused_by_name(facade: Facade, wrong: dict[str, Any], said: str) -> None:
    good = {"source_name": "Tests", "signal_type": "BREAKOUT", "signal_strength": 0.8, "confidence_level": 0.7}
    told = asyncio.run(facade.process_signal({**good, **wrong}))
    assert told["success"] is False
    assert said in told["error"]


def test_a_signal_is_decided_with_its_opinions(facade: Facade) -> None:
    async def scenario() -> None:
        signal = {
            "source_name": "TechnicalAnalyzer",
            "symbol_id": symbol_id(eligible(facade)[0]),
            "signal_type": "BREAKOUT",
            "signal_strength": 0.85,
            "confidence_level": 0.75,
            "signal_direction": "BUY",
            "signal_data": {"indicator": "RSI_DIVERGENCE"},
        }
        told = await facade.process_signal(signal, user="trader_1")
        assert told["success"], told
        assert told["signal_id"]
        again = await facade.process_signal(signal, user="trader_1")
        assert again["signal_id"] == told["signal_id"]
        assert again["repeated"]

    asyncio.run(scenario())
