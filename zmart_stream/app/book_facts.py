"""What goes with the book, of the moment of the book that is shown: why there is cash, the hold, what holdings earn."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import msgspec

from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import (
    BookTraded,
    EquityMarked,
    FlagsChanged,
    FundingPaid,
    HoldChanged,
    PortfolioChange,
)
from zmart_stream.engine.engine import Engine

_OF_THE_BOOK = (PortfolioChange, FlagsChanged, HoldChanged, BookTraded, FundingPaid, EquityMarked)


class BookFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Beside the holdings of one moment."""

    as_of: int
    """ns."""
    why_cash: list[dict[str, Any]]
    hold: str | None
    money: Mapping[str, Mapping[str, Any]]
    """By symbol, see `Reads.positions`."""
    composites: Mapping[str, float]
    """Of the holdings at that time, nan where there is none."""
    weights_kept: str


class ToldFacts:
    """The core's facts as of now, but while a change of the book is on its way to the disk: then as of the last told.

    `made` comes with every unit that goes to storage, `told` with what is on disk, in the same order.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shown = self._now()
        self._waiting: deque[tuple[Message, BookFacts]] = deque()

    @property
    def facts(self) -> BookFacts:
        """Those that belong to the book that was told last."""
        return self._shown if self._waiting else self._now()

    @property
    def hold(self) -> str | None:
        """Why the book holds. A storage that takes nothing cannot take this either: that is told as it is."""
        live = self._engine.symbols.hold
        told = self._shown.hold if self._waiting else live.reason
        return told or live.words("storage") or None

    def made(self, messages: Sequence[Message]) -> None:
        """The core changed the book, and the change goes to storage."""
        last = next((message for message in reversed(messages) if isinstance(message, _OF_THE_BOOK)), None)
        if last is not None:
            self._waiting.append((last, self._now()))

    def told(self, messages: Sequence[Message]) -> None:
        """These are on disk."""
        ids = {id(message) for message in messages if isinstance(message, _OF_THE_BOOK)}
        while self._waiting and id(self._waiting[0][0]) in ids:
            self._shown = self._waiting.popleft()[1]

    def composite(self, symbol: str) -> float:
        """The core's composite of now, nan without one."""
        state = self._engine.market.by_symbol.get(symbol)
        return nan if state is None else self._engine.scoring.composite(state.row)

    def _now(self) -> BookFacts:
        core = self._engine.portfolio()
        held = [holding.symbol for holding in self._engine.symbols.portfolio.holdings]
        return BookFacts(
            as_of=core["as_of"],
            why_cash=core["why_cash"],
            hold=core["hold"],
            money=self._engine.positions(),
            composites={symbol: self.composite(symbol) for symbol in held},
            weights_kept=self._engine.weights_kept,
        )
