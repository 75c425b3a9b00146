"""Tables of signals and their life, of what is sent out, and of those who may ask."""

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
    String,
    Table,
    Text,
    Uuid,
    text,
)

from zmart_stream.storage.columns import DOCUMENT, METADATA, UtcTime, identifier, number

_STATES = "'received', 'rejected', 'evaluated', 'approved', 'declined', 'acted', 'no_action', 'expired'"


def _signal() -> Column[str]:
    return Column("signal_id", Uuid(as_uuid=False), ForeignKey("signals.id", ondelete="CASCADE"), nullable=False)


signals = Table(
    "signals",
    METADATA,
    identifier(),
    Column("symbol_id", Uuid(as_uuid=False), ForeignKey("symbols.id"), index=True),
    Column("source_name", String(100), nullable=False),
    Column("signal_type", String(50), nullable=False),
    Column("signal_strength", number(7, 6)),  # this and the next: null only in a rejected signal, out of range there
    Column("confidence_level", number(7, 6)),
    Column("signal_direction", String(10)),
    Column("signal_data", DOCUMENT),
    Column("status", String(20), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("processed_at", UtcTime),
    Column("expires_at", UtcTime),
    Column("sequence", BigInteger, unique=True),  # order of arrival; below 0: of an earlier release
    Column("owner", Text),  # id of the token it came with
    Column("submitted_by", Text),  # that token's name
    Column("idempotency_key", Text),
    Column("symbol", String(50)),  # as asked; null: a market signal
    Column("received_ns", BigInteger),
    Column("expires_ns", BigInteger),
    Column("reason", Text),  # of the last step
    Column("detail", Text),
    Column("problems", DOCUMENT),  # of a rejected one: field, value, rule
    Column("p", Double),
    Column("approved", Boolean),
    Column("quorum", Integer),
    Column("spoke", Integer),
    Column("dissent", Double),
    Column("veto", Text),
    Column("action", String(20)),
    Column("target_symbol", String(50)),  # that the action is about: asked, or chosen for a market signal
    Column("plan", DOCUMENT),
    Column("decision", DOCUMENT),
    Column("price", Double),  # of the target at the decision, from which the outcome is measured; null: not known
    Column("cost", Double),
    Column("due_ns", BigInteger),  # when the outcome is measured
    Column("change_id", Uuid(as_uuid=False), ForeignKey("portfolio_history.id")),
    CheckConstraint("signal_strength BETWEEN 0 AND 1", name="strength"),
    CheckConstraint("confidence_level BETWEEN 0 AND 1", name="confidence"),
    CheckConstraint(
        "status = 'rejected' OR signal_strength IS NOT NULL AND confidence_level IS NOT NULL", name="complete"
    ),
    CheckConstraint(f"status IN ({_STATES})", name="status"),
    CheckConstraint("p BETWEEN 0 AND 1", name="p"),
    CheckConstraint("change_id IS NULL OR status = 'acted'", name="change"),
    Index("ix_signals_status_sequence", "status", "sequence"),
    Index("ix_signals_source_name_sequence", "source_name", "sequence"),
)
IS_KEYED = text("idempotency_key IS NOT NULL AND status <> 'rejected'")
Index(
    "uq_signals_owner_source_name_idempotency_key",
    signals.c.owner,
    signals.c.source_name,
    signals.c.idempotency_key,
    unique=True,
    sqlite_where=IS_KEYED,
    postgresql_where=IS_KEYED,
)

signal_steps = Table(
    "signal_steps",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _signal(),
    Column("ts_ns", BigInteger, nullable=False),
    Column("status", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    CheckConstraint(f"status IN ({_STATES})", name="status"),
    Index("uq_signal_steps_signal_id_status", "signal_id", "status", unique=True),
)

signal_evaluations = Table(
    "signal_evaluations",
    METADATA,
    Column("signal_id", Uuid(as_uuid=False), ForeignKey("signals.id", ondelete="CASCADE"), primary_key=True),
    Column("agent", String(100), primary_key=True),
    Column("place", Integer, nullable=False),  # order in which the agents spoke
    Column("ts_ns", BigInteger, nullable=False),
    Column("p", Double, nullable=False),
    Column("stance", String(10), nullable=False),
    Column("veto", Boolean, nullable=False),
    Column("reasons", DOCUMENT, nullable=False),
    Column("ages", DOCUMENT, nullable=False),  # seconds since each input spoke
    CheckConstraint("p BETWEEN 0 AND 1", name="p"),
    CheckConstraint("stance IN ('approve', 'reject', 'abstain')", name="stance"),
)

signal_outcomes = Table(
    "signal_outcomes",
    METADATA,
    Column("signal_id", Uuid(as_uuid=False), ForeignKey("signals.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("ts_ns", BigInteger, nullable=False),
    Column("source_name", String(100), nullable=False),
    Column("owner", Text, nullable=False),
    Column("signal_type", String(50), nullable=False),
    Column("symbol", String(50), nullable=False),
    Column("direction", String(10), nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
    Column("price_then", Double, nullable=False),
    Column("price_now", Double, nullable=False),
    Column("gross", Double, nullable=False),
    Column("cost", Double, nullable=False),
    Column("net", Double, nullable=False),
    Column("hit", Boolean, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("p", Double, nullable=False),
    Column("brier", Double, nullable=False),
    Column("agents", DOCUMENT, nullable=False),
    CheckConstraint("until_ns >= since_ns", name="horizon"),
    Index("ix_signal_outcomes_source_name", "source_name"),
)

outbox = Table(
    "outbox",
    METADATA,
    identifier(),
    Column("event_id", String(100), nullable=False),  # the receiver's key against doubles: the same at every attempt
    Column("event_type", String(50), nullable=False),
    Column("endpoint", String(100), nullable=False),
    Column("payload", Text, nullable=False),  # the body, as it is signed and sent
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_ns", BigInteger, nullable=False),  # this and the next two: real time, ns UTC
    Column("created_ns", BigInteger, nullable=False),
    Column("done_ns", BigInteger),
    Column("last_error", Text, nullable=False, server_default=text("''")),
    CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
    CheckConstraint("attempts >= 0", name="attempts"),
    CheckConstraint("(state = 'pending') = (done_ns IS NULL)", name="done"),
    Index("uq_outbox_endpoint_event_id", "endpoint", "event_id", unique=True),
    Index("ix_outbox_state_next_attempt_ns", "state", "next_attempt_ns"),
)

users = Table(
    "users",
    METADATA,
    Column("id", String(64), primary_key=True),  # the token's
    Column("name", String(64), nullable=False),
    Column("scopes", DOCUMENT, nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),  # hex SHA-256
    Column("created_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
)
IS_IN_FORCE = text("revoked_at IS NULL")
Index(  # a revoked name may be given anew, an id never
    "uq_users_name_in_force",
    users.c.name,
    unique=True,
    sqlite_where=IS_IN_FORCE,
    postgresql_where=IS_IN_FORCE,
)
