"""The paper ledger, the life of a signal, what is sent out, who may ask, and blocks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON()
STATES = "'received', 'rejected', 'evaluated', 'approved', 'declined', 'acted', 'no_action', 'expired'"
KEYED = sa.text("idempotency_key IS NOT NULL AND status <> 'rejected'")
IN_FORCE = sa.text("revoked_at IS NULL")


def upgrade() -> None:
    _book()
    _ledger()
    _trades()
    _signals()
    _life_of_signals()
    _outcomes()
    _outbox()
    _users()


def _book() -> None:
    op.add_column("symbols", sa.Column("blocked_place", sa.Integer(), nullable=True))
    with op.batch_alter_table("portfolio_composition") as table:
        table.add_column(sa.Column("scored_end_ns", sa.BigInteger(), nullable=True))
        table.create_check_constraint(op.f("ck_portfolio_composition_score"), "current_score BETWEEN 0 AND 100")
        table.create_check_constraint(
            op.f("ck_portfolio_composition_removed"),
            "status = 'Active' AND removal_date IS NULL OR "
            "status = 'Removed' AND position_rank IS NULL AND weight_percentage = 0 AND removal_date IS NOT NULL",
        )


def _ledger() -> None:
    op.create_table(
        "equity_points",
        sa.Column("end_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("marked_at", TIME, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        *[
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("equity", "cash", "price_pnl", "funding", "costs", "traded")
        ],
        sa.Column("first_book", sa.BigInteger(), nullable=True),
        sa.Column("benchmark", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("costs >= 0", name=op.f("ck_equity_points_costs")),
        sa.CheckConstraint("traded >= 0", name=op.f("ck_equity_points_traded")),
        sa.PrimaryKeyConstraint("end_ns", name=op.f("pk_equity_points")),
    )
    op.create_table(
        "swap_ledger",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("symbol_out", sa.String(length=50), nullable=False),
        sa.Column("symbol_in", sa.String(length=50), nullable=False),
        sa.Column("gap", sa.Double(), nullable=False),
        *[
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("since_ns", "until_ns", "ts_ns", "start_equity", "costs", "unswapped", "swapped")
        ],
        sa.Column("spread_bps", sa.Double(), nullable=True),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.CheckConstraint("until_ns > since_ns", name=op.f("ck_swap_ledger_horizon")),
        sa.CheckConstraint("costs >= 0", name=op.f("ck_swap_ledger_costs")),
        sa.CheckConstraint("symbol_out <> symbol_in", name=op.f("ck_swap_ledger_symbols")),
        sa.ForeignKeyConstraint(["id"], ["portfolio_history.id"], name=op.f("fk_swap_ledger_id_portfolio_history")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_swap_ledger")),
    )
    op.create_index("ix_swap_ledger_since_ns", "swap_ledger", ["since_ns"], unique=False)


def _trades() -> None:
    op.create_table(
        "funding_payments",
        sa.Column("symbol_id", sa.Uuid(), nullable=False),
        sa.Column("settled_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", TIME, nullable=False),
        sa.Column("symbol", sa.String(length=50), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("value >= 0", name=op.f("ck_funding_payments_value")),
        sa.ForeignKeyConstraint(["symbol_id"], ["symbols.id"], name=op.f("fk_funding_payments_symbol_id_symbols")),
        sa.PrimaryKeyConstraint("symbol_id", "settled_ns", name=op.f("pk_funding_payments")),
        sa.UniqueConstraint("sequence", name=op.f("uq_funding_payments_sequence")),
    )
    op.create_index("ix_funding_payments_settled_ns", "funding_payments", ["settled_ns"], unique=False)
    op.create_table(
        "paper_trades",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("traded_at", TIME, nullable=False),
        sa.Column("costs", sa.BigInteger(), nullable=False),
        sa.Column("weights", DOCUMENT, nullable=False),
        sa.Column("quotes", DOCUMENT, nullable=False),
        sa.Column("swap_id", sa.Uuid(), nullable=True),
        sa.Column("swap", DOCUMENT, nullable=True),
        sa.Column("completes_first_fill", sa.Boolean(), nullable=False),
        sa.CheckConstraint("costs >= 0", name=op.f("ck_paper_trades_costs")),
        sa.CheckConstraint("(swap_id IS NULL) = (swap IS NULL)", name=op.f("ck_paper_trades_swap")),
        sa.ForeignKeyConstraint(
            ["swap_id"], ["portfolio_history.id"], name=op.f("fk_paper_trades_swap_id_portfolio_history")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_trades")),
        sa.UniqueConstraint("sequence", name=op.f("uq_paper_trades_sequence")),
    )


def _signals() -> None:
    """Rows of the former shape keep what they say, in the order they came; their other new columns are null."""
    with op.batch_alter_table("signals") as table:
        table.alter_column("signal_strength", existing_type=sa.Numeric(precision=7, scale=6), nullable=True)
        table.alter_column("confidence_level", existing_type=sa.Numeric(precision=7, scale=6), nullable=True)
        columns: tuple[sa.Column[Any], ...] = (
            sa.Column("sequence", sa.BigInteger()),
            *[sa.Column(name, sa.Text()) for name in ("owner", "submitted_by", "idempotency_key")],
            sa.Column("symbol", sa.String(length=50)),
            *[sa.Column(name, sa.BigInteger()) for name in ("received_ns", "expires_ns")],
            *[sa.Column(name, sa.Text()) for name in ("reason", "detail")],
            sa.Column("problems", DOCUMENT),
            sa.Column("p", sa.Double()),
            sa.Column("approved", sa.Boolean()),
            *[sa.Column(name, sa.Integer()) for name in ("quorum", "spoke")],
            sa.Column("dissent", sa.Double()),
            sa.Column("veto", sa.Text()),
            sa.Column("action", sa.String(length=20)),
            sa.Column("target_symbol", sa.String(length=50)),
            sa.Column("plan", DOCUMENT),
            sa.Column("decision", DOCUMENT),
            *[sa.Column(name, sa.Double()) for name in ("price", "cost")],
            sa.Column("due_ns", sa.BigInteger()),
            sa.Column("change_id", sa.Uuid()),
        )
        for column in columns:
            table.add_column(column)
        table.create_check_constraint(
            op.f("ck_signals_complete"),
            "status = 'rejected' OR signal_strength IS NOT NULL AND confidence_level IS NOT NULL",
        )
        table.create_check_constraint(op.f("ck_signals_status"), f"status IN ({STATES})")
        table.create_check_constraint(op.f("ck_signals_p"), "p BETWEEN 0 AND 1")
        table.create_check_constraint(op.f("ck_signals_change"), "change_id IS NULL OR status = 'acted'")
        table.create_unique_constraint(op.f("uq_signals_sequence"), ["sequence"])
        table.create_foreign_key(
            op.f("fk_signals_change_id_portfolio_history"), "portfolio_history", ["change_id"], ["id"]
        )
    op.execute(
        "UPDATE signals SET sequence = -1 - (SELECT count(*) FROM signals AS later WHERE "
        "later.created_at > signals.created_at OR later.created_at = signals.created_at AND later.id > signals.id)"
    )
    op.create_index("ix_signals_status_sequence", "signals", ["status", "sequence"], unique=False)
    op.create_index("ix_signals_source_name_sequence", "signals", ["source_name", "sequence"], unique=False)
    op.create_index(
        "uq_signals_owner_idempotency_key",
        "signals",
        ["owner", "idempotency_key"],
        unique=True,
        sqlite_where=KEYED,
        postgresql_where=KEYED,
    )


def _of_signal(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_signal_id_signals")
    return sa.ForeignKeyConstraint(["signal_id"], ["signals.id"], name=name, ondelete="CASCADE")


def _life_of_signals() -> None:
    op.create_table(
        "signal_steps",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signal_id", sa.Uuid(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.CheckConstraint(f"status IN ({STATES})", name=op.f("ck_signal_steps_status")),
        _of_signal("signal_steps"),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_signal_steps")),
    )
    op.create_index("uq_signal_steps_signal_id_status", "signal_steps", ["signal_id", "status"], unique=True)
    op.create_table(
        "signal_evaluations",
        sa.Column("signal_id", sa.Uuid(), nullable=False),
        sa.Column("agent", sa.String(length=100), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("p", sa.Double(), nullable=False),
        sa.Column("stance", sa.String(length=10), nullable=False),
        sa.Column("veto", sa.Boolean(), nullable=False),
        sa.Column("reasons", DOCUMENT, nullable=False),
        sa.Column("ages", DOCUMENT, nullable=False),
        sa.CheckConstraint("p BETWEEN 0 AND 1", name=op.f("ck_signal_evaluations_p")),
        sa.CheckConstraint("stance IN ('approve', 'reject', 'abstain')", name=op.f("ck_signal_evaluations_stance")),
        _of_signal("signal_evaluations"),
        sa.PrimaryKeyConstraint("signal_id", "agent", name=op.f("pk_signal_evaluations")),
    )


def _outcomes() -> None:
    op.create_table(
        "signal_outcomes",
        sa.Column("signal_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("source_name", sa.String(length=100), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("signal_type", sa.String(length=50), nullable=False),
        sa.Column("symbol", sa.String(length=50), nullable=False),
        sa.Column("direction", sa.String(length=10), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in ("since_ns", "until_ns")],
        *[sa.Column(name, sa.Double(), nullable=False) for name in ("price_then", "price_now", "gross", "cost", "net")],
        sa.Column("hit", sa.Boolean(), nullable=False),
        *[sa.Column(name, sa.Double(), nullable=False) for name in ("confidence", "p", "brier")],
        sa.Column("agents", DOCUMENT, nullable=False),
        sa.CheckConstraint("until_ns >= since_ns", name=op.f("ck_signal_outcomes_horizon")),
        _of_signal("signal_outcomes"),
        sa.PrimaryKeyConstraint("signal_id", name=op.f("pk_signal_outcomes")),
        sa.UniqueConstraint("sequence", name=op.f("uq_signal_outcomes_sequence")),
    )
    op.create_index("ix_signal_outcomes_source_name", "signal_outcomes", ["source_name"], unique=False)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.String(length=100), nullable=False),
        sa.Column("event_type", sa.String(length=50), nullable=False),
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("done_ns", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'dead')", name=op.f("ck_outbox_state")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_outbox_attempts")),
        sa.CheckConstraint("(state = 'pending') = (done_ns IS NULL)", name=op.f("ck_outbox_done")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("uq_outbox_endpoint_event_id", "outbox", ["endpoint", "event_id"], unique=True)
    op.create_index("ix_outbox_state_next_attempt_ns", "outbox", ["state", "next_attempt_ns"], unique=False)


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("scopes", DOCUMENT, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_users_token_hash")),
    )
    op.create_index(
        "uq_users_name_in_force", "users", ["name"], unique=True, sqlite_where=IN_FORCE, postgresql_where=IN_FORCE
    )


def downgrade() -> None:
    for name in (
        "users",
        "outbox",
        "signal_outcomes",
        "signal_evaluations",
        "signal_steps",
        "paper_trades",
        "funding_payments",
        "swap_ledger",
        "equity_points",
    ):
        op.drop_table(name)
    _without_life_of_signals()
    with op.batch_alter_table("portfolio_composition") as table:
        table.drop_constraint(op.f("ck_portfolio_composition_removed"), type_="check")
        table.drop_constraint(op.f("ck_portfolio_composition_score"), type_="check")
        table.drop_column("scored_end_ns")
    op.drop_column("symbols", "blocked_place")


def _without_life_of_signals() -> None:
    op.execute("DELETE FROM signals WHERE signal_strength IS NULL OR confidence_level IS NULL")
    for name in ("uq_signals_owner_idempotency_key", "ix_signals_source_name_sequence", "ix_signals_status_sequence"):
        op.drop_index(name, table_name="signals")
    with op.batch_alter_table("signals") as table:
        for name in ("change", "p", "status", "complete"):
            table.drop_constraint(op.f(f"ck_signals_{name}"), type_="check")
        table.drop_constraint(op.f("fk_signals_change_id_portfolio_history"), type_="foreignkey")
        table.drop_constraint(op.f("uq_signals_sequence"), type_="unique")
        for name in (
            "sequence owner submitted_by idempotency_key symbol received_ns expires_ns reason detail problems p "
            "approved quorum spoke dissent veto action target_symbol plan decision price cost due_ns change_id"
        ).split():
            table.drop_column(name)
        table.alter_column("signal_strength", existing_type=sa.Numeric(precision=7, scale=6), nullable=False)
        table.alter_column("confidence_level", existing_type=sa.Numeric(precision=7, scale=6), nullable=False)
