"""A new database and a migrated one are the same, on both engines, and a current one needs no Alembic."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.storage.conftest import new_server_database
from tests.storage.samples import execute, opened
from zmart_stream.domain.errors import StorageError
from zmart_stream.storage import migrations, schema
from zmart_stream.storage.database import Database
from zmart_stream.storage.tables import HEAD, METADATA


def reflected(connection: Connection) -> dict[str, Any]:
    """Everything the database says of its tables."""
    seen = inspect(connection)
    return {
        name: {
            "columns": [(c["name"], repr(c["type"]), c["nullable"], c["default"]) for c in seen.get_columns(name)],
            "primary": seen.get_pk_constraint(name),
            "unique": sorted(map(repr, seen.get_unique_constraints(name))),
            "indexes": sorted(repr({**i, "dialect_options": where(i)}) for i in seen.get_indexes(name)),
            "checks": sorted((c["name"], " ".join(c["sqltext"].split())) for c in seen.get_check_constraints(name)),
            "foreign": sorted(map(repr, seen.get_foreign_keys(name))),
        }
        for name in sorted(seen.get_table_names())
    }


def where(index: Any) -> list[str]:
    return sorted(f"{option} {value}" for option, value in index.get("dialect_options", {}).items())


async def build(url: str, how: Any) -> dict[str, Any]:
    engine = create_async_engine(Database(url).url)
    async with engine.begin() as connection:
        await connection.run_sync(how)
        found = await connection.run_sync(reflected)
    await engine.dispose()
    return found


def test_migrations_build_what_create_builds(url: str, request: pytest.FixtureRequest) -> None:
    if url.startswith("sqlite"):
        other = url.replace("zmart.db", "other.db")
    else:
        other = new_server_database(request.getfixturevalue("server"))
    created = asyncio.run(build(url, schema.create))
    migrated = asyncio.run(build(other, schema.migrate))
    assert set(METADATA.tables) <= set(created)
    assert created == migrated


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(next(iter(migrations.__path__))))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_migrations_go_down_again(url: str) -> None:
    def down(connection: Connection) -> None:
        schema.migrate(connection)
        config = Config()
        config.set_main_option("script_location", str(next(iter(migrations.__path__))))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    assert list(asyncio.run(build(url, down))) == ["alembic_version"]


def test_an_old_schema_is_migrated_at_open(url: str) -> None:
    """An empty version table is how Alembic writes "before the first revision"."""

    async def scenario() -> None:
        await build(url, lambda c: c.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")))
        async with opened(url) as database, database.reading() as connection:
            names = await connection.run_sync(lambda c: set(inspect(c).get_table_names()))
        assert set(METADATA.tables) <= names

    asyncio.run(scenario())


def test_a_newer_schema_is_refused(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as database:
            await execute(database, text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StorageError, match="newer release"):
            async with opened(url):
                pass

    asyncio.run(scenario())


def test_tables_of_somebody_else_are_left_alone(url: str) -> None:
    async def scenario() -> None:
        await build(url, lambda c: c.execute(text("CREATE TABLE symbols (id INTEGER)")))
        with pytest.raises(StorageError, match="not ours"):
            async with opened(url):
                pass

    asyncio.run(scenario())


def test_start_needs_no_heavy_package(tmp_path: Any) -> None:
    program = (
        "import asyncio, sys\n"
        "from zmart_stream.storage.database import Database\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        database = Database(sys.argv[1]); await database.open(); await database.close()\n"
        "asyncio.run(main())\n"
        "print([name for name in ('alembic', 'scipy', 'pandas', 'asyncpg') if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{tmp_path}/z.db"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
