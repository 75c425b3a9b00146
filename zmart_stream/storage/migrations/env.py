"""Alembic's entry point: migrations run on the connection that `storage.schema` hands in, in its transaction."""

from __future__ import annotations

from alembic import context

from zmart_stream.storage.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters a table by building it anew
)
with context.begin_transaction():
    context.run_migrations()
