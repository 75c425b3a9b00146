"""The tables, as SQLAlchemy Core objects; `migrations/` builds the same ones step by step.

Columns that the outside knows as times are UTC TIMESTAMPs (microseconds); where the core needs its own value back,
a `*_ns` column beside it keeps the exact nanoseconds. The ledger's and the signals' tables have modules of their own;
all of them are named here.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    Uuid,
    text,
)

from zmart_stream.storage.columns import DOCUMENT, METADATA, NOW, UtcTime, identifier, number
from zmart_stream.storage.ledger_tables import equity_points, funding_payments, paper_trades, swap_ledger
from zmart_stream.storage.signal_tables import (
    outbox,
    signal_evaluations,
    signal_outcomes,
    signal_steps,
    signals,
    users,
)

__all__ = [
    "METADATA",
    "equity_points",
    "funding_payments",
    "outbox",
    "paper_trades",
    "signal_evaluations",
    "signal_outcomes",
    "signal_steps",
    "signals",
    "swap_ledger",
    "users",
]

HEAD = "0003"
"""The newest revision in `migrations/versions`; kept here so that a start with a current schema needs no Alembic."""

ACTIVE = "Active"
REMOVED = "Removed"

symbols = Table(
    "symbols",
    METADATA,
    identifier(),  # UUIDv5 of the symbol
    Column("symbol", String(50), nullable=False, unique=True),
    Column("root_symbol", String(50), nullable=False),
    Column("base_currency", String(20), nullable=False),
    Column("quote_currency", String(20), nullable=False),
    Column("lot_size", number(30, 15), nullable=False),
    Column("tick_size", number(30, 15), nullable=False),
    Column("max_leverage", Integer, nullable=False),
    Column("is_eligible_for_management", Boolean, nullable=False, server_default=text("true")),
    Column("sector_category", String(100)),
    Column("market_cap_category", String(20)),  # large, mid, small, micro by 24-h turnover rank
    Column("created_at", UtcTime, nullable=False, server_default=NOW),
    Column("updated_at", UtcTime, nullable=False, server_default=NOW),
    Column("status", String(50)),  # the venue's word; null: the venue has not described the contract yet
    Column("contract", DOCUMENT),  # every static fact of `domain.contract.Contract`
    Column("blocked_place", Integer),  # among those that an operator blocked, oldest block 0; null: not blocked
)

portfolio_composition = Table(
    "portfolio_composition",
    METADATA,
    identifier(),  # one stay in the book
    Column("symbol_id", Uuid(as_uuid=False), ForeignKey("symbols.id"), nullable=False),
    Column("position_rank", Integer),
    Column("inclusion_date", UtcTime, nullable=False, server_default=NOW),
    Column("current_score", number(10, 6)),
    Column("weight_percentage", number(5, 2), nullable=False),
    Column("status", String(20), nullable=False, server_default=text(f"'{ACTIVE}'")),
    Column("is_replacement_candidate", Boolean, nullable=False, server_default=text("false")),
    Column("is_pinned", Boolean, nullable=False, server_default=text("false")),
    Column("flags", DOCUMENT, nullable=False),
    Column("removal_date", UtcTime),
    Column("since_ns", BigInteger, nullable=False),
    Column("scored_end_ns", BigInteger),  # the close whose score row current_score came with; null: not from a row
    CheckConstraint("position_rank BETWEEN 1 AND 50", name="rank"),
    CheckConstraint("weight_percentage BETWEEN 0 AND 100", name="weight"),
    CheckConstraint(f"status IN ('{ACTIVE}', '{REMOVED}')", name="status"),
    CheckConstraint("current_score BETWEEN 0 AND 100", name="score"),
    # an active row loses its rank for a moment while ranks swap places: that it has one is checked by integrity
    CheckConstraint(
        f"status = '{ACTIVE}' AND removal_date IS NULL OR "
        f"status = '{REMOVED}' AND position_rank IS NULL AND weight_percentage = 0 AND removal_date IS NOT NULL",
        name="removed",
    ),
)
IS_ACTIVE = text(f"status = '{ACTIVE}'")
Index(
    "uq_portfolio_composition_active_symbol",
    portfolio_composition.c.symbol_id,
    unique=True,
    sqlite_where=IS_ACTIVE,
    postgresql_where=IS_ACTIVE,
)
Index(
    "uq_portfolio_composition_active_rank",
    portfolio_composition.c.position_rank,
    unique=True,
    sqlite_where=IS_ACTIVE,
    postgresql_where=IS_ACTIVE,
)

portfolio_history = Table(
    "portfolio_history",
    METADATA,
    identifier(),
    Column("sequence", BigInteger, nullable=False, unique=True),  # order of decision
    Column("symbol_id", Uuid(as_uuid=False), ForeignKey("symbols.id"), index=True),  # who came, else who left
    Column("replaced_symbol_id", Uuid(as_uuid=False), ForeignKey("symbols.id"), index=True),  # who left for it
    Column("action_type", String(20), nullable=False),
    Column("action_date", UtcTime, nullable=False),
    Column("reason", String(100), nullable=False),
    Column("performed_by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("config_revision", Integer, nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("symbol_in", String(50)),
    Column("symbol_out", String(50)),
    Column("before", DOCUMENT, nullable=False),
    Column("after", DOCUMENT, nullable=False),
    Column("numbers", DOCUMENT, nullable=False),
)

scoring_algorithms = Table(
    "scoring_algorithms",
    METADATA,
    identifier(),
    Column("algorithm_name", String(100), nullable=False, unique=True),
    Column("algorithm_type", String(50), nullable=False),
    Column("version", String(20), nullable=False),
    Column("weight", number(10, 6), nullable=False),
    Column("parameters", DOCUMENT, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", UtcTime, nullable=False, server_default=NOW),
    Column("updated_at", UtcTime, nullable=False, server_default=NOW),
)

symbol_scores = Table(
    "symbol_scores",
    METADATA,
    identifier(),  # UUIDv5 of symbol and close
    Column("symbol_id", Uuid(as_uuid=False), ForeignKey("symbols.id"), nullable=False),
    Column("algorithm_id", Uuid(as_uuid=False), ForeignKey("scoring_algorithms.id")),  # null: the composite
    Column("score_type", String(50), nullable=False),
    Column("score_value", number(10, 6), nullable=False),
    Column("rank", Integer),
    Column("confidence_level", number(7, 6), nullable=False),
    Column("calculation_timestamp", UtcTime, nullable=False),
    Column("end_ns", BigInteger, nullable=False, index=True),  # of the bar that closed
    Column("supporting_data", DOCUMENT, nullable=False),  # components, and each part's raw value, percentile, weight
    CheckConstraint("score_value BETWEEN 0 AND 100", name="score"),
    CheckConstraint("confidence_level BETWEEN 0 AND 1", name="confidence"),
    Index("ix_symbol_scores_symbol_id_end_ns", "symbol_id", "end_ns"),
)

system_configuration = Table(
    "system_configuration",
    METADATA,
    identifier(),
    Column("config_key", Text, nullable=False, unique=True),
    Column("config_value", Text, nullable=False),  # JSON
    Column("description", Text),
    Column("updated_by", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False, server_default=NOW),
    Column("updated_at", UtcTime, nullable=False, server_default=NOW),
)

config_revisions = Table(
    "config_revisions",
    METADATA,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed", DOCUMENT, nullable=False),
    Column("settings", DOCUMENT, nullable=False),
)

operator_actions = Table(
    "operator_actions",
    METADATA,
    Column("request_id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("ts_ns", BigInteger, nullable=False),
    Column("performed_by", Text),
    Column("action", String(50)),
    Column("arguments", DOCUMENT),
    Column("accepted", Boolean),  # null: not answered
    Column("code", Text),
    Column("detail", Text),
)

holds = Table(
    "holds",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("is_on", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
)

bar_blocks = Table(
    "bar_blocks",
    METADATA,
    Column("interval_s", Integer, primary_key=True, autoincrement=False),
    Column("start_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # zstd of msgpack [symbols, columns]
)

bar_amendments = Table(
    "bar_amendments",
    METADATA,
    Column("interval_s", Integer, primary_key=True, autoincrement=False),
    Column("start_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("symbol", String(50), primary_key=True),
    Column("ts_ns", BigInteger, nullable=False),
    Column("open", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("close", Double, nullable=False),
    Column("lots", Double, nullable=False),
    Column("turnover", Double, nullable=False),
)

snapshots = Table(
    "snapshots",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # zstd of msgpack, with checksum
)

sessions = Table(
    "sessions",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("release", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False, server_default=NOW),
    Column("ended_ts_ns", BigInteger),  # market time of a clean end
)

venue = Table(
    "venue",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("identity", Text, nullable=False),
    CheckConstraint("id = 1", name="single"),
)
