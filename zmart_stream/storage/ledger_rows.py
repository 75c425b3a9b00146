"""Messages of the paper ledger as table rows, and rows as messages again."""

from __future__ import annotations

from typing import Any

import msgspec

from zmart_stream.domain.portfolio import BookTraded, EquityMarked, FundingPaid, SwapAccount, SwapMeasured
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage.rows import Row, document


def equity_row(marked: EquityMarked) -> Row:
    """A row of `equity_points`."""
    return {
        "end_ns": marked.end,
        "marked_at": marked.end,
        "ts_ns": marked.ts,
        "equity": marked.equity,
        "cash": marked.cash,
        "price_pnl": marked.price_pnl,
        "funding": marked.funding,
        "costs": marked.costs,
        "traded": marked.traded,
        "first_book": marked.first_book,
        "benchmark": marked.benchmark,
    }


def marked_of(row: Any) -> EquityMarked:
    """The mark that `equity_row` stored."""
    return EquityMarked(
        ts=row.ts_ns,
        end=row.end_ns,
        equity=row.equity,
        cash=row.cash,
        price_pnl=int(row.price_pnl),
        funding=int(row.funding),
        costs=int(row.costs),
        traded=int(row.traded),
        first_book=row.first_book,
        benchmark=row.benchmark,
    )


def swap_row(measured: SwapMeasured) -> Row:
    """A row of `swap_ledger`."""
    return {
        "id": measured.swap.id,
        "symbol_out": measured.swap.symbol_out,
        "symbol_in": measured.swap.symbol_in,
        "gap": measured.swap.gap,
        "since_ns": measured.since,
        "until_ns": measured.until,
        "ts_ns": measured.ts,
        "start_equity": measured.start,
        "costs": measured.costs,
        "unswapped": measured.unswapped,
        "swapped": measured.swapped,
        "spread_bps": measured.spread_bps,
        "is_final": measured.is_final,
    }


def measured_of(row: Any) -> SwapMeasured:
    """The result that `swap_row` stored last."""
    return SwapMeasured(
        ts=row.ts_ns,
        swap=SwapAccount(id=row.id, symbol_out=row.symbol_out, symbol_in=row.symbol_in, gap=row.gap),
        since=row.since_ns,
        until=row.until_ns,
        start=row.start_equity,
        costs=row.costs,
        unswapped=row.unswapped,
        swapped=row.swapped,
        spread_bps=row.spread_bps,
        is_final=row.is_final,
    )


def funding_row(paid: FundingPaid, sequence: int) -> Row:
    """A row of `funding_payments`."""
    return {
        "symbol_id": symbol_id(paid.symbol),
        "settled_ns": paid.settled,
        "sequence": sequence,
        "ts_ns": paid.ts,
        "settled_at": paid.settled,
        "symbol": paid.symbol,
        "rate": paid.rate,
        "value": paid.value,
        "amount": paid.amount,
    }


def paid_of(row: Any) -> FundingPaid:
    """The payment that `funding_row` stored."""
    return FundingPaid(
        ts=row.ts_ns, symbol=row.symbol, settled=row.settled_ns, rate=row.rate, value=row.value, amount=row.amount
    )


def trade_row(traded: BookTraded, sequence: int) -> Row:
    """A row of `paper_trades`."""
    return {
        "id": traded.id,
        "sequence": sequence,
        "ts_ns": traded.ts,
        "traded_at": traded.ts,
        "costs": traded.costs,
        "weights": document(traded.weights),
        "quotes": document(traded.quotes),
        "swap_id": traded.swap.id if traded.swap else None,
        "swap": document(traded.swap) if traded.swap else None,
        "completes_first_fill": traded.completes_first_fill,
    }


def traded_of(row: Any) -> BookTraded:
    """The trade that `trade_row` stored."""
    return msgspec.convert(
        {
            "ts": row.ts_ns,
            "id": row.id,
            "weights": row.weights,
            "quotes": row.quotes,
            "costs": row.costs,
            "swap": row.swap,
            "completes_first_fill": row.completes_first_fill,
            "type": "BookTraded",
        },
        BookTraded,
    )
