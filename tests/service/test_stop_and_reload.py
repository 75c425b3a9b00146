"""Signals: a stop within seconds whatever the venue does, and a configuration read again while running."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.harness import FULL_BOOK, STOP_S, Daemon, Sandbox, ask, cli, ending

PATIENT = (*FULL_BOOK, "feed.rest_timeout=60", "feed.receive_deadline=60")
"""Whoever stops only after the venue's answer takes longer than a stop is waited for here."""


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Sandbox]:
    venue = Sandbox(tmp_path, contracts=16, speed=120, quota_factor=10)
    with ending(venue):
        yield venue


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_quick_and_clean(tmp_path: Path, venue: Sandbox, number: signal.Signals) -> None:
    daemon = Daemon(tmp_path, venue=venue, sets=PATIENT)
    with ending(daemon):
        daemon.book_ready()
        began = time.monotonic()
        daemon.send(number)
        assert daemon.wait(STOP_S) == 0
        print(f"stopped by {number.name} in {time.monotonic() - began:.2f} s")
        assert daemon.lines()[-1]["event"] == "daemon.stopped"
        assert len(daemon.logged("daemon.stopping")) == 1
        assert not [line for line in daemon.lines() if line["level"] == "error" or line["event"] == "daemon.task_cut"]


@pytest.mark.parametrize("how", ["killed", "frozen", "before the first contract"])
def test_a_stop_does_not_wait_for_a_venue_that_is_gone(tmp_path: Path, venue: Sandbox, how: str) -> None:
    if how == "before the first contract":
        venue.fault("slow_rest", delay=60.0, paths=["contracts/active"])
    daemon = Daemon(tmp_path, venue=venue, sets=PATIENT)
    with ending(daemon):
        if how != "before the first contract":
            daemon.until("topics", daemon.covered)
        if how == "killed":
            venue.kill()
        elif how == "frozen":
            venue.send(signal.SIGSTOP)
        began = time.monotonic()
        assert daemon.stop() == 0
        print(f"stopped with the venue {how} in {time.monotonic() - began:.2f} s")


def test_for_ends_by_itself(tmp_path: Path, venue: Sandbox) -> None:
    daemon = Daemon(tmp_path, "--for", "2s", venue=venue)
    with ending(daemon):
        assert daemon.wait(STOP_S) == 0
        assert daemon.logged("daemon.stopped")


def test_reload_applies_what_is_valid_and_refuses_the_rest(tmp_path: Path, venue: Sandbox) -> None:
    file = tmp_path / "zmart.toml"
    file.write_text("[portfolio]\nmax_symbols = 4\n")
    daemon = Daemon(tmp_path, "--config", str(file), venue=venue, sets=FULL_BOOK)
    with ending(daemon):
        assert len(daemon.book_ready(4)["holdings"]) == 4
        revision = daemon.status()["config"]["revision"]

        file.write_text("[portfolio]\nmax_symbols = 6\n")
        daemon.send(signal.SIGHUP)
        said = daemon.event("config.reloaded")
        assert said["applied"] == ["portfolio.max_symbols"]
        assert daemon.portfolio()["max_symbols"] == 6
        assert daemon.status()["config"]["revision"] == revision + 1

        for broken in ("[portfolio]\nmax_symbols = 999\n", "[portfolio\n", "nonsense = 1\n"):
            refused = len(daemon.logged("config.refused"))
            file.write_text(broken)
            daemon.send(signal.SIGHUP)
            daemon.until("the refusal", lambda before=refused: len(daemon.logged("config.refused")) > before)
            assert daemon.logged("config.refused")[-1]["problems"]
        assert daemon.portfolio()["max_symbols"] == 6
        assert daemon.status()["config"]["revision"] == revision + 1

        file.write_text("[portfolio]\nmax_symbols = 6\n[market]\nwindow_hours = 300\n")
        shown = cli("reload", "--url", daemon.url, "--json")
        assert shown.returncode == 0, shown.stderr
        assert '"market.window_hours"' in shown.stdout
        file.write_text("[portfolio]\nmax_symbols = 0\n")
        refused_here = cli("reload", "--url", daemon.url)
        assert refused_here.returncode == 1
        assert "portfolio.max_symbols" in refused_here.stderr
        assert ask(f"{daemon.url}/livez")[0] == 200
        assert daemon.stop() == 0


def test_a_hail_of_reloads_harms_nobody(tmp_path: Path, venue: Sandbox) -> None:
    file = tmp_path / "zmart.toml"
    file.write_text("[portfolio]\nmax_symbols = 4\n")
    daemon = Daemon(tmp_path, "--config", str(file), venue=venue, sets=FULL_BOOK)
    with ending(daemon):
        daemon.book_ready()
        for turn in range(30):
            if turn == 20:
                file.unlink()
            else:
                file.write_text(f"[portfolio]\nmax_symbols = {'nonsense' if turn % 3 else 4 + turn % 2}\n")
            daemon.send(signal.SIGHUP)
            time.sleep(0.02)
        file.write_text("[portfolio]\nmax_symbols = 8\n")
        daemon.send(signal.SIGHUP)
        daemon.until("the last file's value", lambda: daemon.portfolio()["max_symbols"] == 8)
        daemon.until("topics", daemon.covered)
        assert daemon.stop() == 0
