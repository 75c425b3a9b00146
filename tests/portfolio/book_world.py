"""A small market around a book, driven by plain inputs: what the state machine of a book tells it, and a replay."""

from __future__ import annotations

from itertools import count
from math import nan
from typing import Any

import msgspec

from tests.portfolio.builders import HOUR, T0, standing
from zmart_stream.domain.commands import (
    AddHolding,
    BlockSymbol,
    PinHolding,
    RemoveHolding,
    ReplaceHolding,
    UnblockSymbol,
    UnpinHolding,
)
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.settings import CoreSettings, PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.book import Why
from zmart_stream.portfolio.economics import Leg, price_leg
from zmart_stream.portfolio.symbols import SymbolManager
from zmart_stream.portfolio.targets import Weights

MINUTE = 60 * 1_000_000_000
NAMES = tuple(f"S{i:02d}" for i in range(14))
SECTORS = ("L1", "L1", "L1", None, "AI", "AI", None)
PLACES, PER_SECTOR, SWAPS, CORRELATION = 5, 2, 3, 0.9
MIN_HOLD, REENTRY = 3 * HOUR, 5 * HOUR
FEE, IMPACT = 6e-4, 4.0

COMMANDS = {
    "add": AddHolding,
    "remove": RemoveHolding,
    "pin": PinHolding,
    "unpin": UnpinHolding,
    "block": BlockSymbol,
    "unblock": UnblockSymbol,
}


def correlation(a: str, b: str) -> float:
    """Every contract moves with the one seven places on."""
    return 0.97 if abs(int(a[1:]) - int(b[1:])) in (0, 7) else 0.1


class World:
    """Standings, prices and settings that inputs move, and the book among them. Every method is an input."""

    def __init__(self) -> None:
        self.now = T0
        self.ids = count(1)
        self.revision = 1
        self.settings = CoreSettings(
            portfolio=PortfolioSettings(
                max_symbols=PLACES,
                max_per_sector=PER_SECTOR,
                max_swaps_per_day=SWAPS,
                min_hold_s=MIN_HOLD / 1e9,
                reentry_s=REENTRY / 1e9,
                confirm=2,
                exit_confirm=2,
            )
        )
        self.field: dict[str, Standing] = {
            name: standing(name, None, sector=SECTORS[n % len(SECTORS)]) for n, name in enumerate(NAMES)
        }
        self.told: list[Message] = []
        self.book = self._fresh()
        self.saved: tuple[bytes, int] | None = None

    @property
    def changes(self) -> list[PortfolioChange]:
        return [message for message in self.told if isinstance(message, PortfolioChange)]

    def cost_bps(self, symbol: str) -> float:
        """By hand: fee, half spread, impact beyond the touch."""
        spread = self.field[symbol].spread_bps
        return nan if spread is None else FEE * 1e4 + spread / 2 + max(0.0, IMPACT - spread / 2)

    def market(self, changed: dict[str, dict[str, Any]]) -> str:
        for symbol, facts in changed.items():
            self.field[symbol] = msgspec.structs.replace(self.field[symbol], **facts)
        return "ok"

    def first_fill(self) -> str:
        if self.book.wants_first_fill:
            self.told += self.book.first_fill(self.now, self.field)
        return "ok"

    def close(self) -> str:
        self.now = (self.now // HOUR + 1) * HOUR
        self.told += self.book.close(self.now, self.field)
        self.saved = (msgspec.msgpack.encode(self.book.snapshot()), len(self.changes))
        return "ok"

    def gone(self, symbol: str) -> str:
        self.told += self.book.gone(self.now, symbol, self.field)
        return "ok"

    def command(self, kind: str, symbol: str, other: str) -> str:
        self.now += MINUTE
        base: dict[str, Any] = {"ts": self.now, "request_id": "r", "who": "anna", "note": kind}
        if kind == "replace":
            return self._asked(ReplaceHolding(symbol_out=symbol, symbol_in=other, **base))
        return self._asked(COMMANDS[kind](symbol=symbol, **base))

    def act(self, action: Any, symbol: str, other: str) -> str:
        self.now += MINUTE
        out = other if action == "REPLACE" else None
        try:
            self.told += self.book.act(self.now, action, symbol, out, signal_id="s1", standings=self.field)
        except CommandRefusedError as refusal:
            return refusal.code
        return "ok"

    def hold(self, cause: Any, on: bool) -> str:
        if on:
            self.book.hold.begin(cause)
        else:
            self.book.hold.end(cause)
        return "ok"

    def configure(self, settings: dict[str, Any]) -> str:
        self.revision += 1
        portfolio = msgspec.structs.replace(self.settings.portfolio, **settings)
        self.settings = msgspec.structs.replace(self.settings, portfolio=portfolio)
        self.book.reconfigure(self.settings, revision=self.revision)
        return "ok"

    def reweigh(self, shares: list[int]) -> str:
        """What a weighing might bring: proportions of `shares` under the largest weight, in hundredths."""
        held = [holding.symbol for holding in self.book.portfolio.holdings]
        parts = shares[: len(held)]
        most = self.settings.portfolio.max_weight
        found = {s: round(min(most, int(9_000 * p / sum(parts)) / 100), 2) for s, p in zip(held, parts, strict=True)}
        weights = Weights(weights=found, cash=round(100.0 - sum(found.values()), 2))
        why = Why(kind="reweight", reason="composition", numbers={"optimiser": "by hand"})
        change = self.book.reweighed(self.now, weights, why)
        self.told += [] if change is None else [change]
        return "ok"

    def reopen(self) -> str:
        """A snapshot restored at once."""
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(self.book.snapshot()))
        self.book = self._fresh()
        self.book.restore(state)
        return "ok"

    def crash(self, uses_snapshot: bool) -> str:
        """The last close's snapshot, if any, and over it the stored book and the changes since."""
        portfolio, paused = self.book.portfolio, self.book.hold
        self.book, since = self._fresh(), 0
        if uses_snapshot and self.saved is not None:
            state, since = msgspec.msgpack.decode(self.saved[0]), self.saved[1]
            self.book.restore(state)
        stored = msgspec.json.decode(msgspec.json.encode(self.changes[since:]), type=list[PortfolioChange])
        self.book.adopt(portfolio, stored)
        self.book.reconfigure(self.settings, revision=self.revision)
        self.book.hold = paused
        return "ok"

    def _asked(self, command: Any) -> str:
        try:
            self.told += self.book.command(command, self.field)
        except CommandRefusedError as refusal:
            msgspec.json.encode(refusal.facts)
            return refusal.code
        return "ok"

    def _fresh(self) -> SymbolManager:
        book = SymbolManager(
            self.settings, new_id=lambda ts: f"{ts}-{next(self.ids):06}", correlation=correlation, price=self._price
        )
        book.reconfigure(self.settings, revision=self.revision)
        return book

    def _price(self, symbol: str) -> Leg:
        spread = self.field[symbol].spread_bps
        return price_leg(symbol, taker_fee=FEE, spread_bps=nan if spread is None else spread, impact_bps=IMPACT)
