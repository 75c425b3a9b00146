"""The daemon as a process on the sandbox: how soon it answers, how soon there is a book, what memory it takes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.bench.measure import rss_mb
from tests.bench.processes import free_port, until
from tests.bench.report import Report
from tests.service.harness import Daemon, Sandbox, ending, environment

pytestmark = pytest.mark.bench

START = "Start and memory: the daemon on the sandbox, 700 contracts, market speed 60, quota × 10"
STEP_S = 0.01
SETTLE_S = 15.0
IMPORTS = "import zmart_stream.app.service"


def answers(url: str) -> bool:
    """Whether /livez says yes."""
    try:
        with urllib.request.urlopen(f"{url}/livez", timeout=5.0) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def started(folder: Path, venue: Sandbox, name: str) -> tuple[Daemon, float, float]:
    """A daemon, the monotonic time of its start, and seconds until its API answered."""
    port = free_port()
    began = time.monotonic()
    daemon = Daemon(folder, venue=venue, sets=[f"api.port={port}"], name=name, ready=False)
    daemon.url = f"http://127.0.0.1:{port}"
    until("/livez", lambda: answers(daemon.url), step_s=STEP_S)
    return daemon, began, time.monotonic() - began


def seconds(*arguments: str) -> float:
    """How long a Python process takes."""
    began = time.monotonic()
    subprocess.run([sys.executable, *arguments], check=True, env=environment())
    return time.monotonic() - began


def imported_mb() -> float:
    """Memory of a process that has imported the daemon and done nothing."""
    code = f"{IMPORTS}\nfrom tests.bench.measure import rss_mb\nprint(rss_mb())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment())
    return float(done.stdout)


def test_start_memory_and_restart(tmp_path: Path, report: Report) -> None:
    began = time.monotonic()
    venue = Sandbox(tmp_path, contracts=700, speed=60.0, quota_factor=10.0)
    listening = time.monotonic() - began
    with ending(venue):
        first, began, live = started(tmp_path, venue, "first")
        with ending(first):
            first.event("book.ready")
            book = time.monotonic() - began
            until("warm-up", lambda: first.status()["warm_up"]["ended"])
            time.sleep(SETTLE_S)
            memory, at_venue = rss_mb(first.process.pid), rss_mb(venue.process.pid)
            scored = first.status()["contracts"]["scored"]
            held = [holding["symbol"] for holding in first.portfolio()["holdings"]]
            first.send(signal.SIGKILL)
            first.wait()
        second, began, back = started(tmp_path, venue, "second")
        with ending(second):
            found = [holding["symbol"] for holding in second.portfolio()["holdings"]]
            book_back = time.monotonic() - began
    assert held
    assert found == held
    nothing, imports = seconds("-c", "pass"), seconds("-c", IMPORTS)
    report.add(START, "process start to /livez", live, "s", control=(imports, "importing it"))
    report.add(START, "process start to book.ready", book, "s", promise="45 s with its venue")
    report.add(START, "kill -9, restart: process start to /livez", back, "s", control=(nothing, "an empty Python"))
    report.add(START, "kill -9, restart: to the same book over the API", book_back, "s", promise="≤ 2 s")
    report.add(START, "the sandbox's process start to its first reply", listening, "s")
    report.add(
        START,
        f"memory, {scored} contracts scored, 240 h + 60 d",
        memory,
        "MB",
        control=(imported_mb(), "imports alone"),
        promise="< 300 MB",
    )
    report.add(START, "memory of the sandbox", at_venue, "MB")
