"""One listed futures contract and its arithmetic."""

from __future__ import annotations

import msgspec


class Contract(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Static facts of a contract, from the venue's contract row."""

    symbol: str
    base: str
    quote: str
    settle: str
    root_symbol: str
    kind: str  # FFWCSX perpetual, FFICSX dated
    multiplier: float  # linear: base coins per lot; inverse: -1, 1 USD per lot
    lot_size: float = 1.0  # order step in lots
    tick_size: float
    max_leverage: int = 1
    is_inverse: bool = False
    status: str  # the venue's word: Init, Open, BeingSettled, Settled, Paused, Closed, CancelOnly
    market_type: str = "CRYPTO"
    market_stage: str = "NORMAL"
    taker_fee: float = 6e-4  # fraction of notional
    maker_fee: float = 2e-4
    listed_at: int | None = None  # ns
    expires_at: int | None = None  # ns; on a perpetual: a scheduled delisting
    funding_interval_s: int | None = None
    sector: str | None = None

    @property
    def is_linear_usdt_crypto(self) -> bool:
        """True for the market that the feed follows: USDT-margined linear crypto perpetuals of any status."""
        return (
            self.quote == "USDT"
            and self.settle == "USDT"
            and not self.is_inverse
            and self.market_type == "CRYPTO"
            and self.kind == "FFWCSX"
        )

    def base_units(self, lots: float, price: float) -> float:
        """Base-coin amount of `lots` at `price`."""
        return lots / price if self.is_inverse else lots * self.multiplier

    def notional(self, lots: float, price: float) -> float:
        """Quote-currency value of `lots` at `price`."""
        return float(lots) if self.is_inverse else lots * self.multiplier * price
