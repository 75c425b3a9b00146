"""The daemon on the sandbox under full feed, and bots that post 200 signals a second for a minute: none is lost."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.bench.conftest import Size
from tests.bench.measure import Stolen, percentile
from tests.bench.poster import AGAIN
from tests.bench.processes import Child
from tests.bench.report import Report
from tests.service.harness import PREFIX, Daemon, Sandbox, ending

pytestmark = pytest.mark.bench

RATE = 200
SPEEDS = (1.0, 60.0)
"""The venue's own pace, and that of `run --sandbox`, whose market trades sixty times as much."""

SETS = ("api.open_loopback=true", "api.requests_per_minute=15000")
FINAL = {"rejected", "declined", "acted", "no_action", "expired"}
PAGE = 1000


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, all its threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def lag_ms(daemon: Daemon) -> dict[str, Any]:
    """How late the loop was in the newest minute, as the daemon says."""
    found: dict[str, Any] = daemon.status()["loop"]
    return found


def processed(daemon: Daemon) -> dict[str, str]:
    """Status by id of everything that `signals/processed` lists."""
    found: dict[str, str] = {}
    while True:
        page = daemon.get(f"signals/processed?limit={PAGE}&offset={len(found)}")
        found |= {row["id"]: row["status"] for row in page["signals"]}
        if not page["signals"]:
            return found


def stored(daemon: Daemon) -> dict[str, str]:
    """The same from the file."""
    with closing(sqlite3.connect(f"file:{daemon.state / 'zmart.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute("select id, status from signals where source_name like 'bot-%'").fetchall()
    return {str(UUID(identity)): status for identity, status in rows}


def posted(daemon: Daemon, bots: Child, seconds: float) -> dict[str, Any]:
    """What the bots say after a minute, and what the daemon took meanwhile."""
    symbols = [row["symbol"] for row in daemon.rankings()]
    host, _, port = daemon.url.removeprefix("http://").partition(":")
    began, cpu = time.monotonic(), cpu_s(daemon.process.pid)
    target = {"host": host, "port": int(port), "path": f"{PREFIX}/signals", "symbols": symbols}
    told = bots.order("post", rate=RATE, seconds=seconds, lines=48, sources=20, **target)
    told["share"] = 100.0 * (cpu_s(daemon.process.pid) - cpu) / (time.monotonic() - began)
    return told


def quiet(daemon: Daemon, seconds: float) -> tuple[float, dict[str, Any]]:
    """Share of a core and lateness without signals."""
    began, cpu = time.monotonic(), cpu_s(daemon.process.pid)
    time.sleep(seconds)
    return 100.0 * (cpu_s(daemon.process.pid) - cpu) / (time.monotonic() - began), lag_ms(daemon)


@pytest.mark.parametrize("speed", SPEEDS)
def test_two_hundred_signals_a_second(tmp_path: Path, report: Report, size: Size, speed: float) -> None:
    table = f"{RATE} signals/s on the daemon: 700 contracts, market speed {speed:g}, 48 connections, one caller"
    venue = Sandbox(tmp_path, contracts=700, speed=speed, quota_factor=10.0)
    bots = Child("tests.bench.poster", log=tmp_path / "bots.log")
    assert bots.line() == "ready"
    with ending(venue):
        daemon = Daemon(tmp_path, venue=venue, sets=SETS)
        with ending(daemon):
            daemon.event("book.ready")
            daemon.until("warm-up", lambda: daemon.status()["warm_up"]["ended"])
            stolen = Stolen()
            alone, lag_alone = quiet(daemon, size.flood_s)
            taken_alone, stolen = stolen.share(), Stolen()
            told = posted(daemon, bots, size.flood_s)
            lag, taken = lag_ms(daemon), stolen.share()
            ids = {identity for each in told["ids"] for identity in each}
            daemon.until("every end", lambda: daemon.get("signals/pending")["total"] == 0)
            listed, kept = processed(daemon), stored(daemon)
            changes = daemon.get("portfolio/history?limit=1000")["changes"]
            bots.end()
    count = int(RATE * size.flood_s)
    assert (told["lost"], told["other"], len(told["ids"])) == (0, [], count)
    assert all(len(set(each)) == 1 for each in told["ids"]), "sent again, a signal has the first one's id"
    assert sum(len(each) for each in told["ids"]) == count + -(-count // AGAIN)
    assert len(ids) == count
    assert set(kept) == ids
    assert {kept[identity] for identity in ids} <= FINAL
    assert {identity: listed[identity] for identity in ids} == kept
    acts = [change["who"] for change in changes if change["who"].startswith("signal:") and change["symbol_in"]]
    assert len(acts) == len(set(acts)), "a signal acts once"
    report.add(table, f"signals posted, {size.flood_s:g} s", count, "")
    report.add(table, "  lost: no final state in signals/processed and in SQLite", count - len(listed.keys() & ids), "")
    report.add(table, "  of them acted", list(kept.values()).count("acted"), "")
    report.add(table, "answer, on disk: p50", percentile(told["ms"], 0.5), "ms")
    report.add(table, "answer, on disk: p99", percentile(told["ms"], 0.99), "ms")
    report.add(table, "loop lag p50", lag["lag_p50_ms"], "ms", control=(lag_alone["lag_p50_ms"], "no signals"))
    name, promise = "loop lag p99, as the daemon says", "< 20 ms"
    report.add(table, name, lag["lag_p99_ms"], "ms", control=(lag_alone["lag_p99_ms"], "no signals"), promise=promise)
    report.add(table, "loop lag, longest", lag["lag_max_ms"], "ms", control=(lag_alone["lag_max_ms"], "no signals"))
    report.add(table, "share of a core, all threads", told["share"], "%", control=(alone, "no signals"))
    report.add(table, "processors taken by the host meanwhile", taken, "%", control=(taken_alone, "no signals"))
    report.add(table, "the bots themselves late, p99", told["late_p99_ms"], "ms")
