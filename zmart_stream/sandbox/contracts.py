"""Contract facts and the `contracts/active` row: all 86 fields of protocol §1.5, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log, sqrt
from typing import Any

import numpy as np

from zmart_stream.sandbox.keyed import FloatArray, HashArray, IntArray

MS = 1_000_000  # ns
MINUTE_NS = 60_000 * MS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
HOUR_MS = 3_600_000

_USD_PER_LEVEL = 900.0  # at 1 M USD a day

_SOURCES = ("okex", "binance", "kucoin", "bybit", "bitget", "gateio", "mexc")


@dataclass(frozen=True, eq=False)
class Contract:
    """What never changes about one contract, and what the price model needs to know of it."""

    symbol: str
    key: int  # of all its noise
    base: str
    quote: str
    settle: str
    step: int  # tick size = step × 10^-digits
    digits: int
    multiplier: float  # base coins per lot; −1.0 on inverse contracts (1 USD per lot)
    price: float  # typical price
    turnover: float  # typical turnover of a day, USD
    spread_bps: float  # typical spread
    listed: int  # ns
    delisted: int | None = None  # ns
    announced: int | None = None  # ns: from here on the row shows the delisting
    interval_ms: int = 8 * HOUR_MS  # funding
    grid_ms: int = 0  # offset of the settlement grid from midnight
    granularity_known: bool = True  # False: currentFundingRateGranularity is null
    dated: bool = False
    max_leverage: int = 50
    stage: str = "NORMAL"
    market_type: str = "CRYPTO"
    asset_class: str = "CRYPTO"
    sub_market_type: str | None = None
    sector: str | None = None

    @cached_property
    def scale(self) -> float:
        """10^digits, exact."""
        return float(10**self.digits)

    @cached_property
    def tick(self) -> float:
        """Price step."""
        return self.step / self.scale

    @cached_property
    def inverse(self) -> bool:
        """Coin-margined: a lot is 1 USD."""
        return self.multiplier < 0

    @cached_property
    def lot_usd(self) -> float:
        """Notional of one lot at the typical price."""
        return 1.0 if self.inverse else self.price * self.multiplier

    @cached_property
    def activity(self) -> float:
        """Share of minutes in which the contract trades."""
        return min(1.0, max(0.15, sqrt(self.turnover / 2e6)))

    @cached_property
    def level_lots(self) -> float:
        """Typical lots of one book level near the touch."""
        return _USD_PER_LEVEL * exp(0.65 * log(self.turnover / 1e6)) / self.lot_usd

    @cached_property
    def level_gap(self) -> int:
        """Typical distance of two book levels in ticks."""
        return max(1, round(self.spread_bps * 1e-4 * self.price / self.tick / 3.0))

    @cached_property
    def cap(self) -> float:
        """Bound of the funding rate of one interval, fraction."""
        return 0.003 if self.max_leverage >= 100 else 0.0075 if self.max_leverage >= 50 else 0.02

    def price_of(self, ticks: int) -> float:
        """The double nearest to the exact decimal price."""
        return ticks * self.step / self.scale

    def prices_of(self, ticks: IntArray) -> FloatArray:
        """`price_of` for an array: whole number / power of ten is correctly rounded."""
        return np.asarray(ticks * self.step / self.scale, dtype=np.float64)

    @cached_property
    def static_row(self) -> dict[str, Any]:
        """The row with every key in order and the fields that never move filled in."""
        return {**_identity(self), **_limits(self), **_symbols(self), **_DYNAMIC, **_tail(self)}


def keys_of(contracts: Sequence[Contract], salt: int = 0) -> HashArray:
    """The keys of contracts, salted, (K,)."""
    return np.array([contract.key ^ salt for contract in contracts], dtype=np.uint64)


def figures_of(contracts: Sequence[Contract], name: str) -> FloatArray:
    """One numeric attribute of contracts, (K,)."""
    return np.array([getattr(contract, name) for contract in contracts], dtype=np.float64)


def contract_row(contract: Contract, now: int, moving: Mapping[str, Any]) -> dict[str, Any]:
    """The row at `now` (ns): the static part, the lifecycle, and the `moving` figures."""
    row = contract.static_row.copy()
    row.update(moving)
    expires = contract.delisted if contract.announced is not None and now >= contract.announced else None
    if expires is not None:
        row["expireDate"] = row["settleDate"] = expires // MS
    return row


def _identity(c: Contract) -> dict[str, Any]:
    return {
        "symbol": c.symbol,
        "displaySymbol": f"{_public(c.base)}{c.quote}" + ("" if not c.dated else f" {c.symbol[-3:]}"),
        "rootSymbol": c.settle,
        "type": "FFICSX" if c.dated else "FFWCSX",
        "firstOpenDate": c.listed // MS,
        "expireDate": None,
        "settleDate": None,
        "baseCurrency": c.base,
        "displayBaseCurrency": _public(c.base),
        "quoteCurrency": c.quote,
        "settleCurrency": c.settle,
    }


def _public(base: str) -> str:
    return "BTC" if base == "XBT" else base


def _limits(c: Contract) -> dict[str, Any]:
    largest = max(1000, int(5e6 / c.lot_usd))
    risk = 100_000 if c.max_leverage >= 100 else 25_000
    return {
        "maxOrderQty": largest,
        "marketMaxOrderQty": max(100, largest // 10),
        "maxPrice": 1_000_000.0,
        "lotSize": 1,
        "tickSize": c.tick,
        "indexPriceTickSize": 10.0 ** -(c.digits + 1),
        "multiplier": c.multiplier,
        "initialMargin": round(1.0 / c.max_leverage, 6),
        "maintainMargin": round(0.5 / c.max_leverage, 6),
        "maxRiskLimit": risk,
        "minRiskLimit": risk,
        "riskStep": risk // 2,
        "makerFeeRate": 2.0e-4,
        "takerFeeRate": 6.0e-4,
        "makerFixFee": 0.0,
        "takerFixFee": 0.0,
        "settlementFee": None,
        "isDeleverage": True,
        "isQuanto": c.symbol == "XBTUSDTM",
        "isInverse": c.inverse,
        "markMethod": "FairPrice",
        "fairMethod": None if c.dated else "FundingRate",
    }


def _symbols(c: Contract) -> dict[str, Any]:
    funded = not c.dated
    return {
        "fundingBaseSymbol": f".{c.base}INT8H" if funded else None,
        "fundingQuoteSymbol": f".{c.quote}INT8H" if funded else None,
        "fundingBaseSymbol1M": f".{c.base}INT" if funded else None,
        "fundingQuoteSymbol1M": f".{c.quote}INT" if funded else None,
        "fundingRateSymbol": f".{c.symbol}FPI8H" if funded else None,
        "premiumsSymbol1M": f".{c.symbol}PI",
        "premiumsSymbol8H": f".{c.symbol}PI8H",
        "indexSymbol": f".B{c.base}" if c.inverse else f".K{c.base}{c.quote}",
        "settlementSymbol": f".B{c.base}30M" if c.dated else "" if c.key % 3 else None,
        "sourceExchanges": [name for at, name in enumerate(_SOURCES) if c.key >> at & 1 or name == "kucoin"],
        "status": "Open",
    }


_DYNAMIC: dict[str, Any] = dict.fromkeys(
    (
        "fundingFeeRate",
        "predictedFundingFeeRate",
        "lastTimeFundingRate",
        "dailyInterestRate",
        "fundingRateGranularity",
        "currentFundingRateGranularity",
        "effectiveFundingRateCycleStartTime",
        "fundingRateCap",
        "fundingRateFloor",
        "period",
        "nextFundingRateTime",
        "nextFundingRateDateTime",
        "openInterest",
        "volumeOf24h",
        "turnoverOf24h",
        "markPrice",
        "indexPrice",
        "lastTradePrice",
        "lowPrice",
        "highPrice",
        "priceChg",
        "priceChgPct",
    )
)


def _tail(c: Contract) -> dict[str, Any]:
    return {
        "maxLeverage": c.max_leverage,
        "buyLimit": None,
        "sellLimit": None,
        "orderPriceRange": 0.05 if c.max_leverage >= 75 else 0.1,
        "supportCross": c.stage == "NORMAL",
        "k": 490.0,
        "m": 300.0,
        "f": 1.3,
        "mmrLimit": 0.3,
        "mmrLevConstant": float(c.max_leverage),
        "adjustK": None,
        "adjustM": None,
        "adjustMmrLevConstant": None,
        "adjustActiveTime": None,
        "crossRiskLimit": 1_000_000.0 if c.max_leverage >= 75 else 200_000.0,
        "marketStage": c.stage,
        "preMarketToPerpDate": (c.listed // MS + 30 * 24 * HOUR_MS) if c.stage == "PRE_MARKET" else None,
        "marketType": c.market_type,
        "assetClass": c.asset_class,
        "subMarketType": c.sub_market_type,
    }
