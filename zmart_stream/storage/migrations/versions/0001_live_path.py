"""The tables of the live path, and the guide's seven."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON()
NOW = sa.text("CURRENT_TIMESTAMP")
ACTIVE = sa.text("status = 'Active'")


def upgrade() -> None:
    _bars()
    _operation()
    _state()
    _symbols()
    _book()
    _history()
    _scores()
    _signals()


def _bars() -> None:
    op.create_table(
        "bar_amendments",
        sa.Column("interval_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("symbol", sa.String(length=50), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("lots", sa.Double(), nullable=False),
        sa.Column("turnover", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("interval_s", "start_ns", "symbol", name=op.f("pk_bar_amendments")),
    )
    op.create_table(
        "bar_blocks",
        sa.Column("interval_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("interval_s", "start_ns", name=op.f("pk_bar_blocks")),
    )


def _operation() -> None:
    op.create_table(
        "config_revisions",
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed", DOCUMENT, nullable=False),
        sa.Column("settings", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_config_revisions")),
    )
    op.create_table(
        "holds",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_holds")),
    )
    op.create_table(
        "operator_actions",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("performed_by", sa.Text(), nullable=True),
        sa.Column("action", sa.String(length=50), nullable=True),
        sa.Column("arguments", DOCUMENT, nullable=True),
        sa.Column("accepted", sa.Boolean(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_operator_actions")),
        sa.UniqueConstraint("sequence", name=op.f("uq_operator_actions_sequence")),
    )


def _state() -> None:
    op.create_table(
        "sessions",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, server_default=NOW, nullable=False),
        sa.Column("ended_ts_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_sessions")),
    )
    op.create_table(
        "snapshots",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_snapshots")),
    )
    op.create_table(
        "system_configuration",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("config_key", sa.Text(), nullable=False),
        sa.Column("config_value", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_configuration")),
        sa.UniqueConstraint("config_key", name=op.f("uq_system_configuration_config_key")),
    )
    op.create_table(
        "venue",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_venue_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_venue")),
    )


def _symbols() -> None:
    op.create_table(
        "symbols",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("symbol", sa.String(length=50), nullable=False),
        sa.Column("root_symbol", sa.String(length=50), nullable=False),
        sa.Column("base_currency", sa.String(length=20), nullable=False),
        sa.Column("quote_currency", sa.String(length=20), nullable=False),
        sa.Column("lot_size", sa.Numeric(precision=30, scale=15), nullable=False),
        sa.Column("tick_size", sa.Numeric(precision=30, scale=15), nullable=False),
        sa.Column("max_leverage", sa.Integer(), nullable=False),
        sa.Column("is_eligible_for_management", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("sector_category", sa.String(length=100), nullable=True),
        sa.Column("market_cap_category", sa.String(length=20), nullable=True),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.Column("status", sa.String(length=50), nullable=True),
        sa.Column("contract", DOCUMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_symbols")),
        sa.UniqueConstraint("symbol", name=op.f("uq_symbols_symbol")),
    )


def _book() -> None:
    op.create_table(
        "portfolio_composition",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("symbol_id", sa.Uuid(), nullable=False),
        sa.Column("position_rank", sa.Integer(), nullable=True),
        sa.Column("inclusion_date", TIME, server_default=NOW, nullable=False),
        sa.Column("current_score", sa.Numeric(precision=10, scale=6), nullable=True),
        sa.Column("weight_percentage", sa.Numeric(precision=5, scale=2), nullable=False),
        sa.Column("status", sa.String(length=20), server_default=sa.text("'Active'"), nullable=False),
        sa.Column("is_replacement_candidate", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_pinned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("flags", DOCUMENT, nullable=False),
        sa.Column("removal_date", TIME, nullable=True),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('Active', 'Removed')", name=op.f("ck_portfolio_composition_status")),
        sa.CheckConstraint("position_rank BETWEEN 1 AND 50", name=op.f("ck_portfolio_composition_rank")),
        sa.CheckConstraint("weight_percentage BETWEEN 0 AND 100", name=op.f("ck_portfolio_composition_weight")),
        sa.ForeignKeyConstraint(["symbol_id"], ["symbols.id"], name=op.f("fk_portfolio_composition_symbol_id_symbols")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_portfolio_composition")),
    )
    op.create_index(
        "uq_portfolio_composition_active_rank",
        "portfolio_composition",
        ["position_rank"],
        unique=True,
        sqlite_where=ACTIVE,
        postgresql_where=ACTIVE,
    )
    op.create_index(
        "uq_portfolio_composition_active_symbol",
        "portfolio_composition",
        ["symbol_id"],
        unique=True,
        sqlite_where=ACTIVE,
        postgresql_where=ACTIVE,
    )


def _history() -> None:
    op.create_table(
        "portfolio_history",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("symbol_id", sa.Uuid(), nullable=True),
        sa.Column("replaced_symbol_id", sa.Uuid(), nullable=True),
        sa.Column("action_type", sa.String(length=20), nullable=False),
        sa.Column("action_date", TIME, nullable=False),
        sa.Column("reason", sa.String(length=100), nullable=False),
        sa.Column("performed_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("config_revision", sa.Integer(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("symbol_in", sa.String(length=50), nullable=True),
        sa.Column("symbol_out", sa.String(length=50), nullable=True),
        sa.Column("before", DOCUMENT, nullable=False),
        sa.Column("after", DOCUMENT, nullable=False),
        sa.Column("numbers", DOCUMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["replaced_symbol_id"], ["symbols.id"], name=op.f("fk_portfolio_history_replaced_symbol_id_symbols")
        ),
        sa.ForeignKeyConstraint(["symbol_id"], ["symbols.id"], name=op.f("fk_portfolio_history_symbol_id_symbols")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_portfolio_history")),
        sa.UniqueConstraint("sequence", name=op.f("uq_portfolio_history_sequence")),
    )
    op.create_index(
        op.f("ix_portfolio_history_replaced_symbol_id"), "portfolio_history", ["replaced_symbol_id"], unique=False
    )
    op.create_index(op.f("ix_portfolio_history_symbol_id"), "portfolio_history", ["symbol_id"], unique=False)


def _scores() -> None:
    op.create_table(
        "scoring_algorithms",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("algorithm_name", sa.String(length=100), nullable=False),
        sa.Column("algorithm_type", sa.String(length=50), nullable=False),
        sa.Column("version", sa.String(length=20), nullable=False),
        sa.Column("weight", sa.Numeric(precision=10, scale=6), nullable=False),
        sa.Column("parameters", DOCUMENT, nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", TIME, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scoring_algorithms")),
        sa.UniqueConstraint("algorithm_name", name=op.f("uq_scoring_algorithms_algorithm_name")),
    )
    op.create_table(
        "symbol_scores",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("symbol_id", sa.Uuid(), nullable=False),
        sa.Column("algorithm_id", sa.Uuid(), nullable=True),
        sa.Column("score_type", sa.String(length=50), nullable=False),
        sa.Column("score_value", sa.Numeric(precision=10, scale=6), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("confidence_level", sa.Numeric(precision=7, scale=6), nullable=False),
        sa.Column("calculation_timestamp", TIME, nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("supporting_data", DOCUMENT, nullable=False),
        sa.CheckConstraint("confidence_level BETWEEN 0 AND 1", name=op.f("ck_symbol_scores_confidence")),
        sa.CheckConstraint("score_value BETWEEN 0 AND 100", name=op.f("ck_symbol_scores_score")),
        sa.ForeignKeyConstraint(
            ["algorithm_id"], ["scoring_algorithms.id"], name=op.f("fk_symbol_scores_algorithm_id_scoring_algorithms")
        ),
        sa.ForeignKeyConstraint(["symbol_id"], ["symbols.id"], name=op.f("fk_symbol_scores_symbol_id_symbols")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_symbol_scores")),
    )
    op.create_index(op.f("ix_symbol_scores_end_ns"), "symbol_scores", ["end_ns"], unique=False)
    op.create_index("ix_symbol_scores_symbol_id_end_ns", "symbol_scores", ["symbol_id", "end_ns"], unique=False)


def _signals() -> None:
    op.create_table(
        "signals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("symbol_id", sa.Uuid(), nullable=True),
        sa.Column("source_name", sa.String(length=100), nullable=False),
        sa.Column("signal_type", sa.String(length=50), nullable=False),
        sa.Column("signal_strength", sa.Numeric(precision=7, scale=6), nullable=False),
        sa.Column("confidence_level", sa.Numeric(precision=7, scale=6), nullable=False),
        sa.Column("signal_direction", sa.String(length=10), nullable=True),
        sa.Column("signal_data", DOCUMENT, nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("processed_at", TIME, nullable=True),
        sa.Column("expires_at", TIME, nullable=True),
        sa.CheckConstraint("confidence_level BETWEEN 0 AND 1", name=op.f("ck_signals_confidence")),
        sa.CheckConstraint("signal_strength BETWEEN 0 AND 1", name=op.f("ck_signals_strength")),
        sa.ForeignKeyConstraint(["symbol_id"], ["symbols.id"], name=op.f("fk_signals_symbol_id_symbols")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
    )
    op.create_index(op.f("ix_signals_symbol_id"), "signals", ["symbol_id"], unique=False)


def downgrade() -> None:
    for name in (
        "signals",
        "symbol_scores",
        "scoring_algorithms",
        "portfolio_history",
        "portfolio_composition",
        "symbols",
        "config_revisions",
        "holds",
        "operator_actions",
        "sessions",
        "snapshots",
        "system_configuration",
        "venue",
        "bar_blocks",
        "bar_amendments",
    ):
        op.drop_table(name)
