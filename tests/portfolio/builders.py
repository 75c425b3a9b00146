"""Standings and managers for the book's tests."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import msgspec

from zmart_stream.domain.settings import CoreSettings, PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.economics import Leg, price_leg
from zmart_stream.portfolio.symbols import SymbolManager

HOUR = 3600 * 1_000_000_000
DAY = 24 * HOUR
T0 = 20_000 * DAY


def standing(symbol: str, score: float | None, **other: Any) -> Standing:
    good = Standing(
        symbol=symbol,
        score=score,
        confidence=0.9,
        in_universe=True,
        is_linear_usdt_crypto=True,
        status="Open",
        stage="NORMAL",
        expires=False,
        listed_days=100.0,
        turnover=1e7,
        spread_bps=3.0,
        sides_filled=True,
        live=True,
    )
    return msgspec.structs.replace(good, **other)


def standings(scores: Mapping[str, float | None], **other: Any) -> dict[str, Standing]:
    return {symbol: standing(symbol, score, **other) for symbol, score in scores.items()}


def uncorrelated(a: str, b: str) -> float:
    return 1.0 if a == b else 0.0


def cheap(symbol: str) -> Leg:
    return price_leg(symbol, taker_fee=0.0, spread_bps=0.0, impact_bps=0.0)


def manager(correlation: Any = uncorrelated, price: Any = cheap, **settings: Any) -> SymbolManager:
    numbers = count(1)
    return SymbolManager(
        CoreSettings(portfolio=PortfolioSettings(**settings)),
        new_id=lambda ts: f"{ts}-{next(numbers)}",
        correlation=correlation,
        price=price,
    )
