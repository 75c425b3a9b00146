"""The API beside the feed of the sandbox: what a request waits at 200 a second, and what a thousand listeners cost."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import Size
from tests.bench.measure import Stolen, percentile, rss_mb
from tests.bench.processes import Child, Json, free_port, until
from tests.bench.report import Report
from tests.service.harness import PREFIX, Sandbox, venue_sets

pytestmark = pytest.mark.bench

RATE = 200.0
LINES = 32
PATHS = tuple(f"{PREFIX}/{path}" for path in ("portfolio", "scoring/rankings", "signals/processed"))
SIGNALS, PAGE = 150, 100
READERS, DEAF = 900, 100
WARM_S = 240.0

SPEEDS = (1.0, 60.0)
"""The venue's own pace, and that of `run --sandbox`, whose market trades sixty times as much."""

BARE = "aiohttp giving the same bytes"
ALONE = "without clients"
CROWDED = "a bare process tells 900 clients instead"

ROOM = (
    "api.requests_per_minute=1000000",
    "api.max_connections=4096",
    "api.max_connections_per_address=4096",
    "api.push_clients=2048",
    "api.push_clients_per_caller=2048",
)


class World:
    """The venue, the daemon with its probe, and callers."""

    def __init__(self, folder: Path, stack: ExitStack, speed: float) -> None:
        self.folder = folder
        self.speed = speed
        self.asked = f"API at {RATE:.0f} requests/s: the daemon on the sandbox, 700 contracts, market speed {speed:g}"
        self.heard = f"{READERS + DEAF} SSE clients, {DEAF} of which never read, market speed {speed:g}"
        self.venue = Sandbox(folder, contracts=700, speed=speed, quota_factor=10.0)
        stack.callback(self.venue.stop)
        self.port = free_port()
        sets = (*venue_sets(self.venue), f"state_dir={folder / 'state'}", f"api.port={self.port}", *ROOM)
        self.daemon = Child("tests.bench.whole", *sets, "log.format=json", log=folder / "daemon.log")
        stack.callback(self.daemon.end)
        assert self.daemon.line() == "ready"
        self.callers = Child("tests.bench.caller", log=folder / "callers.log")
        stack.callback(self.callers.end)
        assert self.callers.line() == "ready"

    def warm(self) -> None:
        """Wait for history and a book, and have some signals judged."""
        until("warm-up and a book", self._is_warm, seconds=WARM_S)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._signal, range(SIGNALS)))
        until("a page of signals", lambda: json.loads(self.get(PATHS[-1]))["total"] >= PAGE, seconds=WARM_S)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60.0) as reply:
            found: bytes = reply.read()
            return found

    def status(self) -> Json:
        found: Json = json.loads(self.get(f"{PREFIX}/status"))
        return found

    def ask(self, port: int, seconds: float) -> Json:
        """What callers measured."""
        found = self.callers.order(
            "ask", host="127.0.0.1", port=port, paths=PATHS, rate=RATE, seconds=seconds, lines=LINES
        )
        assert (found["bad"], found["lost"]) == (0, 0), found
        return found

    def probed(self, act: Callable[[], Json | None]) -> tuple[Json, Json | None]:
        """What the daemon's probe saw while `act` went on, `wall_s` for so many seconds; and what it came to."""
        self.daemon.order("begin", offset=0)
        began = time.monotonic()
        done = act()
        seconds = time.monotonic() - began
        return {**self.daemon.order("end", expect=0), "wall_s": seconds}, done

    def settle(self, size: Size) -> None:
        """Let the hour end in which the daemon began: it is not whole, and has to be repaired for every contract."""
        time.sleep(5.0)  # the market goes on after it stood still
        if self.speed > 1.0:
            until("the end of the first hour", self._saw_close, seconds=WARM_S)
            time.sleep(size.requests_s)

    def fed(self, seconds: float) -> Json:
        """What the daemon's probe saw in that time, with the gaps there were."""
        gaps = self.status()["feed"]["gaps"]
        found, _ = self.probed(lambda: time.sleep(seconds))
        found["gaps"] = self.status()["feed"]["gaps"] - gaps
        found["scale"] = 1e3 * self.speed  # the daemon's clock is the market's
        return found

    @contextmanager
    def listening(self, port: int, path: str, *, deaf: int) -> Iterator[Child]:
        """The listeners, of which so many never read."""
        ears = Child("tests.bench.listeners", log=self.folder / "listeners.log")
        try:
            assert ears.line() == "ready"
            opened = ears.order("open", host="127.0.0.1", port=port, path=path, readers=READERS, deaf=deaf)
            assert (opened["listening"], opened["open"]) == (READERS, deaf)
            yield ears
        finally:
            ears.end()

    def _saw_close(self) -> bool:
        return bool(self.probed(lambda: time.sleep(5.0))[0]["closes"])

    def _is_warm(self) -> bool:
        try:
            status = self.status()
        except OSError:  # it does not listen yet
            return False
        return bool(status["warm_up"]["ended"] and status["book"]["ready"])

    def _signal(self, number: int) -> None:
        content: dict[str, Any] = {
            "source_name": "bench",
            "signal_type": f"T{number}",
            "signal_strength": 0.8,
            "confidence_level": 0.7,
            "symbol": "XBTUSDTM",
            "signal_direction": "BUY",
        }
        url, head = f"http://127.0.0.1:{self.port}{PREFIX}/signals", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(content).encode(), head)
        # 503 on a busy machine: it is judged, and will be on disk
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=60.0) as reply:
            assert reply.status == 200


@pytest.fixture(scope="module", params=SPEEDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        found = World(tmp_path_factory.mktemp("api"), stack, request.param)
        found.warm()
        yield found


def test_requests_beside_the_feed(world: World, report: Report, size: Size) -> None:
    world.ask(world.port, 1.0)
    bodies = {}
    for number, path in enumerate(PATHS):
        file = world.folder / f"body-{number}"
        file.write_bytes(world.get(path))
        bodies[path] = str(file)
    bare = Child("tests.bench.bare_api", json.dumps(bodies), log=world.folder / "bare.log")
    try:
        port = int(bare.line())
        stolen = Stolen()
        probe, fed = world.probed(lambda: world.ask(world.port, size.requests_s))
        assert fed is not None
        taken, stolen = stolen.share(), Stolen()
        bare_fed = world.ask(port, size.requests_s)
        taken_bare = stolen.share()
        world.venue.hold_clock(hold=True)
        time.sleep(1.0)
        quiet = world.ask(world.port, size.requests_s)
        bare_quiet = world.ask(port, size.requests_s)
    finally:
        world.venue.hold_clock(hold=False)
        bare.end()
    messages = sum(probe["received"].values()) / probe["wall_s"]
    report.add(world.asked, "messages/s of the feed meanwhile", messages, "/s")
    for name, told, control in (("beside the feed", fed, bare_fed), ("without a feed", quiet, bare_quiet)):
        for path in PATHS:
            what = f"{path.removeprefix(PREFIX + '/')} ({told['bytes'][path] / 1000:.0f} kB), {name}"
            tell(report, world.asked, what, told["ms"][path], control["ms"][path])
    report.add(world.asked, "loop lag of the daemon, p99", probe["lag_p99_ms"], "ms", promise="< 20 ms")
    report.add(world.asked, "longest turn of the runner", probe["longest_turn_ms"], "ms")
    report.add(world.asked, "callers themselves late, p99", fed["late_p99_ms"], "ms")
    report.add(world.asked, "processors taken by the host, beside the feed", taken, "%", control=(taken_bare, BARE))


def tell(report: Report, table: str, what: str, told: Sequence[float], control: Sequence[float]) -> None:
    """p50, p99 and the worst (ms), beside those of the control in the same minute."""
    for share, label in ((0.5, "p50"), (0.99, "p99"), (1.0, "max")):
        ours, theirs = percentile(told, share), percentile(control, share)
        promise = "< 25 ms" if label == "p99" else ""
        report.add(table, f"{what}, {label}", ours, "ms", control=(theirs, BARE), promise=promise)


def test_a_thousand_listeners_beside_the_feed(world: World, report: Report, size: Size) -> None:
    world.settle(size)
    seconds = 2 * size.requests_s if world.speed == 1.0 else 6 * size.requests_s  # an hour of that market
    alone, memory = world.fed(seconds), rss_mb(world.daemon.pid)
    with world.listening(world.port, f"{PREFIX}/stream", deaf=DEAF) as ears:
        ears.order("begin")
        beside = world.fed(seconds)
        heard = ears.order("end")
        grown = rss_mb(world.daemon.pid) - memory
    assert heard["listening"] == READERS, "whoever reads is served to the end"
    assert beside["dropped"] == 0
    bare = Child("tests.bench.bare_push", log=world.folder / "bare-push.log")
    try:
        port = int(bare.line())
        assert bare.line() == "ready"
        with world.listening(port, "/", deaf=0):
            writes, events = heard["writes"] / READERS, heard["events"] / READERS
            size_b = round(heard["bytes"] / max(1, heard["events"]))
            bare.order("begin", events=round(events / writes), size=size_b, every_s=seconds / writes)
            crowded = world.fed(seconds)
            bare.order("end")
    finally:
        bare.end()
    tell_of_the_feed(report, world.heard, beside, (alone, ALONE), (crowded, CROWDED))
    report.add(world.heard, "writes to one client that reads", heard["writes"] / READERS / seconds, "/s")
    report.add(world.heard, "events/s to one client that reads", heard["events"] / READERS / seconds, "/s")
    report.add(world.heard, "events/s to all of them", heard["events"] / seconds, "/s")
    report.add(world.heard, "events passed over and told to those who read", heard["dropped"], "")
    report.add(world.heard, "memory that they take", grown, "MB")


def tell_of_the_feed(report: Report, table: str, beside: Json, *controls: tuple[Json, str]) -> None:
    """Whether the feed noticed: each figure, and beside it the same in other minutes."""
    promises = {"messages dropped by the inbox": "0", "gaps in sequences": "0"}
    found = [figures(beside), *(figures(control) for control, _ in controls)]
    for what, (value, unit) in found[0].items():
        for number, (_, name) in enumerate(controls):
            shown = what if not number else f"  {what}, once more"
            promise = promises.get(what, "") if not number else ""
            report.add(table, shown, value, unit, control=(found[number + 1][what][0], name), promise=promise)


def figures(fed: Json) -> dict[str, tuple[float, str]]:
    """What is told of one minute, each with its unit."""
    return {
        "messages/s processed": (sum(fed["received"].values()) / fed["wall_s"], "/s"),
        "messages dropped by the inbox": (fed["dropped"], ""),
        "gaps in sequences": (fed["gaps"], ""),
        "receipt to published score, p50": (fed["inside_p50_us"] / fed["scale"], "ms"),
        "receipt to published score, p99": (fed["inside_p99_us"] / fed["scale"], "ms"),
        "loop lag, p99": (fed["lag_p99_ms"], "ms"),
        "share of a core": (100 * fed["cpu_s"] / fed["wall_s"], "%"),
    }
