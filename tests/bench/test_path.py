"""The whole live path, from a sender's sockets to published scores, beside a bare receive-and-decode loop."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.bench.conftest import Size
from tests.bench.core import SECOND, TIER
from tests.bench.market import EPOCH
from tests.bench.measure import percentile
from tests.bench.processes import Child, Json, SenderProcess, free_port, measured, until
from tests.bench.report import Report
from tests.service.harness import PREFIX

pytestmark = pytest.mark.bench

RATES = (5_000, 20_000)
BATCH = 16
FLAT_OUT = "As fast as it goes: sender, sockets, decode, state, score, outlets; 700 contracts, {links} connections"
PACED = "Paced, each frame a packet of its own"
API = "API beside 20 000 messages/s, 50 requests/s"
PATHS = ("portfolio", "scoring/rankings", "status")
CALLERS = 16  # a request that finds them all busy waits, and its wait counts
BARE = "bare loop"
QUARTER = 900 * SECOND


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("path")


@pytest.fixture(scope="module")
def sender(folder: Path) -> Iterator[SenderProcess]:
    process = SenderProcess(folder)
    yield process
    process.end()


@pytest.fixture(scope="module")
def bare(folder: Path, sender: SenderProcess, size: Size) -> dict[str, Json]:
    """The control's figures by phase; it is gone afterwards."""
    asked = json.dumps({"url": sender.url, "connections": 15, "tier": TIER})
    listener = Child("tests.bench.bare", asked, log=folder / "bare.log")
    try:
        assert listener.line() == "ready"
        return phases(listener, sender, size)
    finally:
        listener.end()


class Daemon:
    """The daemon with its probe, warmed up, and where its API is."""

    def __init__(self, folder: Path, sender: SenderProcess, size: Size) -> None:
        # a bar of a quarter ends while frames come as fast as they go, so that storage has its part in the figure
        self.quarter = (EPOCH // QUARTER + 1) * QUARTER
        sender.set_clock(self.quarter - int(size.close_after_s * SECOND))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.child = Child(
            "tests.bench.whole",
            f"venue.rest_url={sender.url}",
            'venue.allowed_hosts=["127.0.0.1"]',
            "venue.quota_factor=100",
            "market.bar=15m",
            f"state_dir={folder / 'state'}",
            f"api.port={port}",
            "api.open_loopback=true",
            "log.format=json",
            log=folder / "daemon.log",
        )
        assert self.child.line() == "ready"
        until("all subscriptions", lambda: self._subscribed(sender))
        # history arrives beside a moderate feed, and another contracts poll after that
        measured(self.child, sender, int(2000 * size.settle_s), rate=2000)
        until("warm-up", lambda: self.status()["warm_up"]["ended"])
        until("funding history", lambda: sender.state()["asked"].get("funding", 0) >= 700)

    def _subscribed(self, sender: SenderProcess) -> bool:
        kinds = sender.state()["subscribed"]
        wanted = {"ticker": 700, "execution": 700, "depth": TIER, "mark": TIER}
        return all(kinds.get(kind, 0) >= count for kind, count in wanted.items())

    def status(self) -> Json:
        with urllib.request.urlopen(f"{self.url}{PREFIX}/status", timeout=10.0) as reply:
            found: Json = json.load(reply)
            return found


@pytest.fixture(scope="module")
def daemon(folder: Path, sender: SenderProcess, bare: dict[str, Json], size: Size) -> Iterator[Daemon]:
    """Started once the control is done."""
    process = Daemon(folder, sender, size)
    yield process
    process.child.end()


def phases(listener: Child, sender: SenderProcess, size: Size, *, close_at: int | None = None) -> dict[str, Json]:
    """Every phase of the same frames; the last ones begin just before venue time `close_at` (ns)."""
    found: dict[str, Json] = {}
    for rate in RATES:
        found[str(rate)] = measured(listener, sender, int(rate * size.paced_s), rate=rate)
    if close_at is not None:
        time.sleep(max(0.0, (close_at - sender.state()["now"]) / SECOND - 0.5))
    for name, batch in (("single", 1), ("batched", BATCH)):
        found[name] = measured(listener, sender, size.flat_out, rate=None, batch=batch)
    return found


def test_whole_path(daemon: Daemon, sender: SenderProcess, bare: dict[str, Json], report: Report, size: Size) -> None:
    links = sender.state()["connections"]
    found = phases(daemon.child, sender, size, close_at=daemon.quarter)
    for phase, told in bare.items():
        assert told["received"] == sum(told["sent"].values()), (phase, told)
    for phase, told in found.items():
        assert told["received"] == told["sent"], (phase, told)
        assert told["dropped"] == 0, (phase, told)
    storage = daemon.status()["storage"]
    assert not storage["degraded"]
    tell_flat_out(report, FLAT_OUT.format(links=links), found, bare)
    for rate in RATES:
        tell_paced(report, rate, found[str(rate)], bare[str(rate)])
    report.add(
        PACED, "memory of this process", found["batched"]["rss_mb"], "MB", control=(bare["batched"]["rss_mb"], BARE)
    )


def tell_flat_out(report: Report, section: str, found: dict[str, Json], bare: dict[str, Json]) -> None:
    for name, promise in (("single", "≥ 50 000 /s, none lost"), ("batched", "")):
        ours, theirs = found[name], bare[name]
        sent = sum(ours["sent"].values())
        what = "one frame a write" if name == "single" else f"{BATCH} frames a write"
        control = (sum(theirs["sent"].values()) / theirs["seconds"], BARE)
        report.add(section, f"messages/s, {what}", sent / ours["seconds"], "/s", control=control, promise=promise)
        cpu = (theirs["cpu_s"] / theirs["received"] * 1e6, BARE)
        report.add(section, f"  CPU a message, {what}", ours["cpu_s"] / sent * 1e6, "µs", control=cpu)
        report.add(section, "  messages lost", sent - sum(ours["received"].values()), f"of {sent}", promise="0")
        report.add(section, "  bars closed and stored meanwhile", ours["closes"], "")
        report.add(section, "  longest turn of the runner", ours["longest_turn_ms"], "ms")


def tell_paced(report: Report, rate: int, ours: Json, theirs: Json) -> None:
    heavy = rate == max(RATES)
    share = (100 * theirs["cpu_s"] / theirs["seconds"], BARE)
    text = f"{rate:,} /s: ".replace(",", " ")
    report.add(
        PACED, f"{text}share of a core", 100 * ours["cpu_s"] / ours["seconds"], "%", control=share,
        promise="≤ 80 % (goal 60 %)" if heavy else "",
    )  # fmt: skip
    for name, promise in (("p50", "≤ 150 µs"), ("p99", "≤ 1 ms, goal 3 × bare")):
        report.add(
            PACED, f"{text}send to published score, {name}", ours[f"{name}_us"], "µs",
            control=(theirs[f"{name}_us"], f"{BARE}, send to decoded"), promise=promise if heavy else "",
        )  # fmt: skip
        report.add(PACED, f"{text}receipt to published score, {name}", ours[f"inside_{name}_us"], "µs")
    report.add(PACED, f"{text}scores published", ours["published"], "")
    late = (theirs["lag_p99_ms"], BARE)
    report.add(
        PACED, f"{text}loop lag, p99", ours["lag_p99_ms"], "ms", control=late, promise="< 20 ms" if heavy else ""
    )
    report.add(PACED, f"{text}the sender itself late, p99", ours["late_p99_us"], "µs")


async def ask_for(url: str, seconds: float) -> tuple[dict[str, list[float]], int]:
    """ms of each reply by path at 50 requests/s, and how many were not 200."""
    taken: dict[str, list[float]] = defaultdict(list)
    bad = 0
    loop = asyncio.get_running_loop()

    async def once(http: aiohttp.ClientSession, path: str) -> None:
        nonlocal bad
        began = time.perf_counter()
        async with http.get(f"{url}{PREFIX}/{path}") as reply:
            await reply.read()
            bad += reply.status != 200
        taken[path].append((time.perf_counter() - began) * 1e3)

    connector, timeout = aiohttp.TCPConnector(limit=CALLERS), aiohttp.ClientTimeout(total=30.0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http, asyncio.TaskGroup() as group:
        began = loop.time()
        for k in range(int(seconds * 50)):
            await asyncio.sleep(max(0.0, began + k / 50 - loop.time()))
            group.create_task(once(http, PATHS[k % len(PATHS)]))
    return taken, bad


def test_api_beside_the_feed(daemon: Daemon, sender: SenderProcess, report: Report, size: Size) -> None:
    quiet, bad_quiet = asyncio.run(ask_for(daemon.url, size.requests_s / 2))
    rate, told = max(RATES), dict[str, Any]()
    frames = int(rate * (size.requests_s + 2.0))
    feeding = threading.Thread(target=lambda: told.update(measured(daemon.child, sender, frames, rate=rate)))
    feeding.start()
    time.sleep(1.5)
    busy, bad_busy = asyncio.run(ask_for(daemon.url, size.requests_s))
    feeding.join()
    assert not bad_quiet + bad_busy
    assert told["received"] == told["sent"]
    assert told["dropped"] == 0
    for path in PATHS:
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            control = (percentile(quiet[path], share), "without a feed")
            value = percentile(busy[path], share)
            report.add(API, f"{path}, {name}", value, "ms", control=control, promise="< 25 ms" if name == "p99" else "")
    report.add(API, "loop lag, p99", told["lag_p99_ms"], "ms", promise="< 20 ms")
    report.add(API, "send to published score, p99", told["p99_us"], "µs")
