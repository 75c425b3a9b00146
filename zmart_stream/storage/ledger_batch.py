"""The ledger's part of a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection

from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookTraded, EquityMarked, FundingPaid, SwapMeasured
from zmart_stream.storage import ledger_rows
from zmart_stream.storage.rows import Row, many
from zmart_stream.storage.statements import Statements


class LedgerBatch:
    """Rows of marks, swaps, payments and trades; written after the history that swaps refer to."""

    def __init__(self, next_sequence: Callable[[], int], name: Callable[[Iterable[str], int], None]) -> None:
        """`name` makes sure that contracts have a row."""
        self._next = next_sequence
        self._name = name
        self._marks: list[Row] = []
        self._swaps: dict[str, Row] = {}
        self._payments: list[Row] = []
        self._trades: list[Row] = []

    def takers(self) -> tuple[tuple[type[Message], Callable[[Any], None]], ...]:
        """Who takes what."""
        return (
            (EquityMarked, self._marked),
            (SwapMeasured, self._measured),
            (FundingPaid, self._paid),
            (BookTraded, self._traded),
        )

    def execute(self, connection: Connection, to: Statements) -> None:
        """Write it in the caller's transaction."""
        many(connection, to.equity, self._marks)
        many(connection, to.swap, self._swaps.values())
        many(connection, to.funding, self._payments)
        many(connection, to.trade, self._trades)

    def _marked(self, marked: EquityMarked) -> None:
        self._marks.append(ledger_rows.equity_row(marked))

    def _measured(self, measured: SwapMeasured) -> None:
        known = self._swaps.get(measured.swap.id)
        if known is None or not known["is_final"]:
            self._swaps[measured.swap.id] = ledger_rows.swap_row(measured)

    def _paid(self, paid: FundingPaid) -> None:
        self._name((paid.symbol,), paid.ts)
        self._payments.append(ledger_rows.funding_row(paid, self._next()))

    def _traded(self, traded: BookTraded) -> None:
        self._trades.append(ledger_rows.trade_row(traded, self._next()))
