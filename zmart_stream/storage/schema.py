"""Bringing a database to this release's schema: built at once when new, migrated when old, left alone when current."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    column,
    inspect,
    select,
    table,
)

from zmart_stream.domain.errors import StorageError
from zmart_stream.storage import migrations
from zmart_stream.storage.tables import HEAD, METADATA

VERSION_TABLE = "alembic_version"
BASE = ""
"""The revision before the first."""


def stored_revision(connection: Connection) -> str | None:
    """The schema revision written in the database; None in one without our tables.

    Raises StorageError when tables of ours are there without a revision: somebody else's database.
    """
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE in names:
        versions = table(VERSION_TABLE, column("version_num"))
        return connection.execute(select(versions.c.version_num)).scalar() or BASE
    strangers = sorted(names & set(METADATA.tables))
    if strangers:
        raise StorageError(
            f"the database has tables named like ours ({', '.join(strangers)}) but no schema revision: "
            "it is not ours, or half restored. Point storage.url at another database, or restore a backup"
        )
    return None


def ensure_schema(connection: Connection) -> str | None:
    """Bring the schema to HEAD inside the caller's transaction; returns the revision found. Raises StorageError."""
    found = stored_revision(connection)
    if found == HEAD:
        return found
    if found is None:
        create(connection)
    else:
        migrate(connection)
    return found


def create(connection: Connection) -> None:
    """Build every table at once and stamp HEAD; a test holds the result equal to the migrations'."""
    METADATA.create_all(connection)
    stamp = Table(
        VERSION_TABLE,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
    )
    stamp.create(connection)
    connection.execute(stamp.insert(), {"version_num": HEAD})


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run the packaged migrations up to `revision` on `connection`. Raises StorageError."""
    # Alembic costs a quarter second and is needed once a release: off the start path
    from alembic import command  # noqa: PLC0415 - keeps Alembic off the start path
    from alembic.config import Config  # noqa: PLC0415 - keeps Alembic off the start path
    from alembic.util import CommandError  # noqa: PLC0415 - keeps Alembic off the start path

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise StorageError(
            f"the database's schema cannot be brought to revision {HEAD}: {error}. "
            "A newer release may have written it: run that release, or restore a backup"
        ) from error
