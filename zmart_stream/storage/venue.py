"""The venue a database belongs to: named by the first daemon that uses it, kept for ever."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from zmart_stream.domain.errors import WrongVenueError
from zmart_stream.storage import tables
from zmart_stream.storage.database import Database


async def stored_venue(database: Database) -> str | None:
    """The name that the database keeps; None: it has had no venue yet."""
    async with database.reading(at_start=True) as connection:
        found: str | None = (await connection.execute(select(tables.venue.c.identity))).scalar()
    return found


async def check_venue(database: Database, identity: str) -> None:
    """Name the venue of a new database, compare it in a known one.

    `identity` is the host, for a sandbox with its seed and market. Raises WrongVenueError, which names both.
    """
    stored = await database.write(lambda connection: _name_venue(connection, identity))
    if stored != identity:
        raise WrongVenueError(
            f"the database {database.url.render_as_string()} belongs to venue {stored!r}, "
            f"this daemon uses {identity!r}: scores and book of one mean nothing on the other. "
            "Give this venue a state_dir or storage.url of its own, or set venue.rest_url back"
        )


def _name_venue(connection: Connection, identity: str) -> str:
    """The name that is kept: the given one where there was none."""
    stored: str | None = connection.execute(select(tables.venue.c.identity)).scalar()
    if stored is None:
        connection.execute(insert(tables.venue), {"id": 1, "identity": identity})
    return identity if stored is None else stored
