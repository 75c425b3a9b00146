"""An idempotency key is one of a source, not of everybody who sends with the same token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEYED = sa.text("idempotency_key IS NOT NULL AND status <> 'rejected'")
BY_OWNER, BY_SOURCE = "uq_signals_owner_idempotency_key", "uq_signals_owner_source_name_idempotency_key"


def upgrade() -> None:
    op.drop_index(BY_OWNER, table_name="signals")
    _index(BY_SOURCE, ["owner", "source_name", "idempotency_key"])


def downgrade() -> None:
    op.drop_index(BY_SOURCE, table_name="signals")
    # a key that several sources of an owner use stays with the newest signal
    op.execute(
        "UPDATE signals SET idempotency_key = NULL WHERE idempotency_key IS NOT NULL AND EXISTS ("
        "SELECT 1 FROM signals AS later WHERE later.owner = signals.owner "
        "AND later.idempotency_key = signals.idempotency_key AND later.sequence > signals.sequence)"
    )
    _index(BY_OWNER, ["owner", "idempotency_key"])


def _index(name: str, columns: list[str]) -> None:
    op.create_index(name, "signals", columns, unique=True, sqlite_where=KEYED, postgresql_where=KEYED)
