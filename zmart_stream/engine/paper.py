"""What weights and paper trading ask of the market, answered from the cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zmart_stream.domain.standing import GONE
from zmart_stream.market.bars import HOUR, Field, FloatArray
from zmart_stream.market.cache import MarketCache
from zmart_stream.market.contract_state import ContractState
from zmart_stream.market.trail import Trace
from zmart_stream.portfolio.economics import Leg, price_leg

_USUAL_FEE = 6e-4


class PaperMarket:
    """`weighing.Market` over the cache: marks, sectors, costs, returns, as of the last message."""

    def __init__(self, market: MarketCache) -> None:
        self._market = market

    def marks(self) -> dict[str, float]:
        """Mark price by symbol; the last price where no mark was seen."""
        return {state.symbol: price for state in self._market.states if (price := _mark(state)) is not None}

    def mark(self, symbol: str) -> float | None:
        """Mark price of one contract, None without any price."""
        state = self._market.by_symbol.get(symbol)
        return None if state is None else _mark(state)

    def universe(self) -> list[str]:
        """Contracts of the universe."""
        return [state.symbol for state in self._market.states if state.in_universe]

    def sectors(self) -> dict[str, str | None]:
        """Sector of every contract."""
        return {state.symbol: self._market.sector(state) for state in self._market.states}

    def leg(self, symbol: str) -> Leg:
        """Taker fee, half of the 60 s spread, and impact at the probed size beyond it."""
        state = self._market.by_symbol.get(symbol)
        if state is None:
            return price_leg(symbol, taker_fee=_USUAL_FEE, spread_bps=np.nan, impact_bps=np.nan)
        spread, impact = state.spread_ew_bps, state.impact_bps
        return price_leg(symbol, taker_fee=state.contract.taker_fee, spread_bps=spread, impact_bps=impact)

    def is_gone(self, symbol: str) -> bool:
        """Delisted or settled; a contract that was not listed yet in this session is not."""
        state = self._market.by_symbol.get(symbol)
        return state is not None and (state.delisted or state.status in GONE)

    def returns(self, symbols: Sequence[str]) -> FloatArray:
        """Hour returns (bars, contracts), oldest first."""
        traced = self._market.hours.trail.window(Trace.RETURN)
        found = np.full((len(traced), len(symbols)), np.nan)
        for place, symbol in enumerate(symbols):
            state = self._market.by_symbol.get(symbol)
            if state is not None:
                found[:, place] = traced[:, state.row]
        return found

    def price_at(self, symbol: str, end: int) -> float | None:
        """Close of the hour bar that ended at `end` (ns)."""
        state, ring = self._market.by_symbol.get(symbol), self._market.hours.ring
        slot = ring.slot(end - HOUR)
        if state is None or slot is None:
            return None
        price = float(ring.window(Field.CLOSE)[slot, state.row])
        return price if price > 0.0 else None


def _mark(state: ContractState) -> float | None:
    for price in (state.mark, state.price):
        if 0.0 < price < 1e300:
            return price
    return None
