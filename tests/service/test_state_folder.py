"""Where a daemon keeps its state: a venue that goes on after it, a folder of its own, never the checkout."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.service import stored
from tests.service.harness import CHECKOUT, FULL_BOOK, HOUR_NS, Daemon, Json, cli, ending, until

SANDBOX = ("sandbox.contracts=16", "sandbox.speed=600", *FULL_BOOK)


def nanoseconds(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000) * 1_000_000


def held(book: Json) -> set[str]:
    """The symbols of a book."""
    return {row["symbol"] for row in book["holdings"]}


def test_the_sandbox_goes_on_after_the_last_stored_time(tmp_path: Path) -> None:
    """Twice in one state folder: history is joined without a hole, although the venue is another process."""
    first = Daemon(tmp_path, "--sandbox", sets=SANDBOX, name="first")
    with ending(first):
        book = held(first.book_ready())
        began = nanoseconds(first.status()["as_of"])
        first.until("two hours", lambda: nanoseconds(first.status()["as_of"]) > began + 2 * HOUR_NS)
        assert first.stop() == 0
    ended = stored.rows(tmp_path / "state", "select max(ended_ts_ns) as ts from sessions")[0]["ts"]
    assert ended > began
    known = len(stored.history(tmp_path / "state"))
    second = Daemon(tmp_path, "--sandbox", sets=SANDBOX, name="second")
    with ending(second):
        assert nanoseconds(second.status()["as_of"]) >= ended // 1_000_000 * 1_000_000  # told in milliseconds
        shown = held(second.portfolio())
        books = [held(row["after"]) for row in stored.history(tmp_path / "state")]
        assert shown in books[known - 1 :], "another book than the last session's, and no change of it either"
        assert book in books[:known]

        def joined() -> bool:
            starts = {start for _, start in stored.bars(tmp_path / "state", began - 20 * HOUR_NS, 1 << 62)}
            after_both = max(starts) > ended
            return after_both and len(starts) == (max(starts) - min(starts)) // HOUR_NS + 1

        second.until("hours without a hole between the sessions", joined)
        second.until("the gap's repair", lambda: not second.portfolio()["hold"])
        assert second.stop() == 0


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_without_a_state_folder_the_checkout_is_not_written_to(tmp_path: Path) -> None:
    """From a copy of the checkout, with its settings file, as a newcomer would start it."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    shutil.copytree(CHECKOUT / "zmart_stream", copy / "zmart_stream", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "config", copy / "config")
    shutil.copy(CHECKOUT / "zmart.toml", copy / "zmart.toml")
    before = tree(copy)
    home = tmp_path / "home"
    home.mkdir()
    env = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home), "XDG_STATE_HOME": ""}
    sets = [part for s in ("api.port=0", "sandbox.contracts=8") for part in ("--set", s)]
    for _ in range(2):
        done = cli("run", "--sandbox", "--for", "1s", *sets, env=env, cwd=copy)
        assert done.returncode == 0, done.stderr
        assert "state_dir" in done.stderr
    assert tree(copy) == before
    base = "Library/Application Support" if sys.platform == "darwin" else ".local/state"
    folders = sorted((home / base / "zmart-stream" / "sandbox").iterdir())
    assert len(folders) == 2, "each sandbox without a state folder has one of its own"
    for folder in folders:
        assert (folder / "zmart.db").is_file()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert str(folder) in done.stderr or folder == folders[0]


def test_systemds_folder_is_used(tmp_path: Path) -> None:
    state = tmp_path / "var"
    done = cli(
        "run", "--for", "1s", "--set", "api.port=0", "--set", "venue.rest_url=http://127.0.0.1:9",
        env={"STATE_DIRECTORY": str(state), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (state / "zmart.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["var"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")
def test_the_venue_ends_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "--sandbox", sets=("sandbox.contracts=4",))
    with ending(daemon):
        url = daemon.event("daemon.ready")["url"]
        children = [int(line) for line in children_of(daemon.process.pid)]
        assert len(children) == 1
        daemon.kill()
        until(
            f"the end of the venue at {url}",
            lambda: not Path(f"/proc/{children[0]}").exists() or is_zombie(children[0]),
        )


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
