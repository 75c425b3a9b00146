"""Tables of the paper ledger. Money is whole units of 1e-8 USDT, so that sums are exact.

That each point's equity is the one before + price P&L + funding - costs spans two rows, which no CHECK can see: the
ledger computes it in whole units, `storage.integrity` verifies it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Double, ForeignKey, Index, String, Table, Uuid

from zmart_stream.storage.columns import DOCUMENT, METADATA, UtcTime, identifier

FLOWS = ("price_pnl", "funding", "costs", "traded")
"""What a point sums since the one before it."""

equity_points = Table(
    "equity_points",
    METADATA,
    Column("end_ns", BigInteger, primary_key=True, autoincrement=False),  # of the bar
    Column("marked_at", UtcTime, nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("equity", BigInteger, nullable=False),
    Column("cash", BigInteger, nullable=False),
    Column("price_pnl", BigInteger, nullable=False),  # this and the next three: since the point before
    Column("funding", BigInteger, nullable=False),
    Column("costs", BigInteger, nullable=False),
    Column("traded", BigInteger, nullable=False),
    Column("first_book", BigInteger),
    Column("benchmark", BigInteger, nullable=False),
    CheckConstraint("costs >= 0", name="costs"),
    CheckConstraint("traded >= 0", name="traded"),
)

swap_ledger = Table(
    "swap_ledger",
    METADATA,
    Column("id", Uuid(as_uuid=False), ForeignKey("portfolio_history.id"), primary_key=True),  # the change's
    Column("symbol_out", String(50), nullable=False),
    Column("symbol_in", String(50), nullable=False),
    Column("gap", Double, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
    Column("ts_ns", BigInteger, nullable=False),  # when it was measured last
    Column("start_equity", BigInteger, nullable=False),
    Column("costs", BigInteger, nullable=False),
    Column("unswapped", BigInteger, nullable=False),
    Column("swapped", BigInteger, nullable=False),
    Column("spread_bps", Double),
    Column("is_final", Boolean, nullable=False),
    CheckConstraint("until_ns > since_ns", name="horizon"),
    CheckConstraint("costs >= 0", name="costs"),
    CheckConstraint("symbol_out <> symbol_in", name="symbols"),
    Index("ix_swap_ledger_since_ns", "since_ns"),
)

funding_payments = Table(
    "funding_payments",
    METADATA,
    Column("symbol_id", Uuid(as_uuid=False), ForeignKey("symbols.id"), primary_key=True),
    Column("settled_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("ts_ns", BigInteger, nullable=False),
    Column("settled_at", UtcTime, nullable=False),
    Column("symbol", String(50), nullable=False),
    Column("rate", Double, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),  # above 0: received
    CheckConstraint("value >= 0", name="value"),
    Index("ix_funding_payments_settled_ns", "settled_ns"),
)

paper_trades = Table(
    "paper_trades",
    METADATA,
    identifier(),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("ts_ns", BigInteger, nullable=False),
    Column("traded_at", UtcTime, nullable=False),
    Column("costs", BigInteger, nullable=False),
    Column("weights", DOCUMENT, nullable=False),  # symbol -> percent after it
    Column("quotes", DOCUMENT, nullable=False),  # symbol -> price and cost in bps
    Column("swap_id", Uuid(as_uuid=False), ForeignKey("portfolio_history.id")),
    Column("swap", DOCUMENT),
    Column("completes_first_fill", Boolean, nullable=False),
    CheckConstraint("costs >= 0", name="costs"),
    CheckConstraint("(swap_id IS NULL) = (swap IS NULL)", name="swap"),
)
