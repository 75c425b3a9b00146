"""A venue that does not answer at the start: the daemon waits, and the database keeps its venue all the same."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from tests.service import stored
from tests.service.harness import FULL_BOOK, Daemon, Json, Sandbox, ask, ending, free_port

SEED = 3


def sets(port: int) -> list[str]:
    return [
        f"venue.rest_url=http://127.0.0.1:{port}",
        'venue.allowed_hosts=["127.0.0.1"]',
        "venue.speed=60",
        "venue.quota_factor=10",
        *FULL_BOOK,
    ]


def sandbox(folder: Path, port: int, *, seed: int = SEED, name: str = "venue") -> Sandbox:
    return Sandbox(folder, name=name, port=port, seed=seed, contracts=16, speed=60, quota_factor=10)


def market_s(daemon: Daemon) -> float:
    return datetime.fromisoformat(daemon.status()["as_of"]).timestamp()


def symbols(book: Json) -> list[str]:
    return [row["symbol"] for row in book["holdings"]]


def goes_on(daemon: Daemon, known: int) -> bool:
    """Whether the book shown is that of the last of `known` rows of history, or of one that came after it."""
    shown = symbols(daemon.portfolio())
    return shown in [symbols(row["after"]) for row in stored.history(daemon.state)[known - 1 :]]


def test_started_before_its_venue_and_again_with_and_without_it(tmp_path: Path) -> None:
    port = free_port()
    early = Daemon(tmp_path, sets=sets(port), name="early")
    with ending(early):
        assert early.status()["contracts"]["known"] == 0
        assert early.status()["venue"]["sandbox"] is False
        venue = sandbox(tmp_path, port)
        with ending(venue):
            early.book_ready()
            assert early.status()["venue"]["name"] == f"sandbox synthetic seed {SEED}"
            assert early.status()["venue"]["sandbox"] is True
            ahead_s = market_s(early) - venue.state()["venue_time"] / 1e9
            assert ahead_s < 60 * 10, "market time ran ahead while nobody answered"
            early.kill()
            known = len(stored.history(tmp_path / "state"))
            again = Daemon(tmp_path, sets=sets(port), name="again")
            with ending(again):
                assert goes_on(again, known)
                again.kill()
    known = len(stored.history(tmp_path / "state"))
    alone = Daemon(tmp_path, sets=sets(port), name="alone")
    with ending(alone):
        assert alone.status()["venue"]["name"] == f"sandbox synthetic seed {SEED}"
        assert goes_on(alone, known)
        alone.until("what was known to grow old", lambda: alone.status()["contracts"]["live"] == 0)
        assert alone.status()["feed"]["rest"]["state"] != "up"
        assert ask(f"{alone.url}/readyz")[0] == 503
        assert alone.stop() == 0
    assert [row["identity"] for row in stored.rows(tmp_path / "state", "select identity from venue")] == [
        f"sandbox synthetic seed {SEED}"
    ]


def test_another_venue_at_the_same_address_ends_the_wait(tmp_path: Path) -> None:
    port = free_port()
    venue = sandbox(tmp_path, port)
    with ending(venue):
        first = Daemon(tmp_path, venue=venue, sets=FULL_BOOK, name="first")
        with ending(first):
            first.book_ready()
            assert first.stop() == 0
    waiting = Daemon(tmp_path, sets=sets(port), name="waiting")
    with ending(waiting):
        other = sandbox(tmp_path, port, seed=SEED + 1, name="other")
        with ending(other):
            assert waiting.wait() == 78
    assert "belongs to venue" in waiting.err
