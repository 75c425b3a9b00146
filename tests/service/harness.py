"""The daemon and the venue as real processes: started on free ports, watched through what they serve and log."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from zmart_stream.signals import DETECTORS

CHECKOUT = Path(__file__).resolve().parents[2]
PREFIX = "/api/symbol-mgmt"
WAIT_S = 180.0  # longest wait for anything; a quiet machine needs a small part of it
STOP_S = 45.0  # and for a process to end that was asked to; shorter than any deadline of a venue that is gone
STEP_S = 0.05
LOG_TOLD = 4000  # characters of the log that a failed wait shows
HOUR_NS = 3600 * 1_000_000_000

FULL_BOOK = (
    "portfolio.entry_score=0",
    "portfolio.exit_score=0",
    "portfolio.max_per_sector=50",
    "portfolio.max_correlation=1",
    "portfolio.max_sector_weight=100",
    "market.min_turnover_usdt=0",
)
"""Settings under which a small market fills the book, whatever its scores."""

BY_HAND = ("portfolio.automatic=false", *(f"signals.detectors.{name}.on=false" for name in DETECTORS))
"""Settings under which nobody changes the book but who is asked to: findings of the house would, if approved."""

FIXED_PORTS = (20_000, 32_000)
"""Below those that systems give to the other end of a connection: a port that is to stay free for long."""

STARTED: list[Running] = []
"""Every process of this session; `conftest.py` ends what a failed test left."""

T = TypeVar("T")
Json = dict[str, Any]


def until(
    what: str,
    look: Callable[[], T],
    *,
    seconds: float = WAIT_S,
    beat: Callable[[], None] | None = None,
    told: Callable[[], str] = str,
) -> T:
    """The first truthy answer of `look`; AssertionError naming `what` after `seconds`, with what is `told` then."""
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= deadline
        found = look()
        if found:
            return found
        assert not late, f"waited {seconds:g} s for {what}; last seen: {found!r}\n{told()}".rstrip()
        if beat is not None:
            _beat_or_find(beat, look)
        time.sleep(STEP_S)


def _beat_or_find(beat: Callable[[], None], look: Callable[[], T]) -> None:
    """`beat`, which may fail where `look` finds: a process may say what is waited for, and end, between the two."""
    try:
        beat()
    except AssertionError:
        if not look():
            raise


def ask(url: str, body: Json | None = None, *, timeout_s: float = WAIT_S) -> tuple[int, Any]:
    """Status and decoded JSON of one request; POST when there is a body. Raises OSError if nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


def free_port() -> int:
    """A port that nobody listens on, nor will by chance."""
    while True:
        port = random.randint(*FIXED_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Running:
    """A process of ours, with what it wrote in files; ended by its id."""

    def __init__(self, arguments: Sequence[str], folder: Path, name: str, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.cwd = folder / f"{name}-cwd"
        self.cwd.mkdir(exist_ok=True)
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.cwd,
                env=environment(env),
            )
        STARTED.append(self)

    @property
    def out(self) -> str:
        """Standard output so far."""
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        """Standard error so far."""
        return self._err.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def check_alive(self) -> None:
        assert self.alive, f"{self.name} ended with {self.process.returncode}:\n{self.out[-2000:]}\n{self.err[-6000:]}"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = WAIT_S) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.alive:
            self.send(signal.SIGTERM)
        try:
            return self.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without settings of the daemon, with this checkout's package, compiled once for all who start it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ZMART_")
        and name not in ("DATABASE_URL", "NOTIFY_SOCKET", "STATE_DIRECTORY", "CONFIGURATION_DIRECTORY")
        and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {**kept, "PYTHONPATH": str(CHECKOUT), **(more or {})}


class Sandbox(Running):
    """A venue of its own, apart from the daemon."""

    def __init__(self, folder: Path, *, name: str = "venue", **settings: Any) -> None:
        super().__init__(["-m", "zmart_stream.sandbox", json.dumps(settings)], folder, name)
        self.settings = settings
        self.url = until("the venue", self._address, beat=self.check_alive)

    def _address(self) -> str:
        for line in self.out.splitlines():
            if line.startswith("listening on "):
                return line.removeprefix("listening on ")
        return ""

    def state(self) -> Json:
        """What the venue knows about itself."""
        status, state = ask(f"{self.url}/_sandbox/state")
        assert status == 200
        found: Json = state
        return found

    def fault(self, kind: str, **fields: Any) -> None:
        """Put a fault into force."""
        status, said = ask(f"{self.url}/_sandbox/fault", {"kind": kind, **fields})
        assert status == 200, said

    def hold_clock(self, *, hold: bool) -> int:
        """Stop venue time or let it go on; venue ns."""
        status, said = ask(f"{self.url}/_sandbox/clock", {"hold": hold})
        assert status == 200, said
        return int(said["venue_time"])

    def klines(self, symbol: str, since: int, until_ns: int) -> dict[int, tuple[float, ...]]:
        """Start ns of each hour with trades in [since, until) to its open, high, low, close and lots."""
        path = f"/api/v1/kline/query?symbol={symbol}&granularity=60&from={since // 10**6}&to={until_ns // 10**6 - 1}"
        status, reply = ask(self.url + path)
        assert status == 200, reply
        assert reply["code"] == "200000", reply
        return {int(row[0]) * 10**6: tuple(float(value) for value in row[1:6]) for row in reply["data"]}


class Daemon(Running):
    """`zmart-stream run`, on a free port and a state folder of its own."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        venue: Sandbox | None = None,
        sets: Sequence[str] = (),
        state: Path | None = None,
        name: str = "daemon",
        env: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> None:
        """Against `venue`, or the one it starts itself with `--sandbox` among the arguments."""
        self.state = state or folder / "state"
        given = [f"state_dir={self.state}", "api.port=0", *(venue_sets(venue) if venue else ()), *sets]
        command = ["-m", "zmart_stream.cli", "run", *arguments, *(part for s in given for part in ("--set", s))]
        super().__init__(command, folder, name, env)
        self.url = ""
        if ready:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait for `daemon.ready`, and learn the API's port from it."""
        said = self.event("daemon.ready")
        self.url = f"http://127.0.0.1:{said['port']}"

    # -- the log

    def lines(self) -> list[Json]:
        """The structured log so far."""
        found = []
        for line in self.err.splitlines():
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue  # the line that is being written
        return found

    def logged(self, event: str, **keys: Any) -> list[Json]:
        """Lines of one event whose keys have these values."""
        return [
            line
            for line in self.lines()
            if line.get("event") == event and all(line.get(key) == value for key, value in keys.items())
        ]

    def event(self, event: str, *, seconds: float = WAIT_S, **keys: Any) -> Json:
        """Wait for a line of this event; the first."""
        return self.until(f"{event} {keys or ''}", lambda: self.logged(event, **keys), seconds=seconds)[0]

    # -- the API

    def get(self, path: str) -> Json:
        """The reply of a reading route; asked again as long as the daemon says that it cannot answer now."""
        deadline = time.monotonic() + WAIT_S
        while True:
            late = time.monotonic() >= deadline
            try:
                status, reply = ask(f"{self.url}{PREFIX}/{path}")
            except OSError:
                self.check_alive()  # says why nobody answers
                raise
            if status != 503 or late:
                break
            time.sleep(STEP_S)
        assert status == 200, (path, status, reply, self.told())
        found: Json = reply
        return found

    def post(self, path: str, **body: Any) -> tuple[int, Json]:
        """Status and reply of a writing route."""
        return ask(f"{self.url}{PREFIX}/{path}", body)

    def status(self) -> Json:
        return self.get("status")

    def portfolio(self) -> Json:
        return self.get("portfolio")

    def rankings(self) -> list[Json]:
        found: list[Json] = self.get("scoring/rankings")["rankings"]
        return found

    def until(self, what: str, look: Callable[[], T], *, seconds: float = WAIT_S) -> T:
        """`until`, as long as the daemon lives."""
        return until(what, look, seconds=seconds, beat=self.check_alive, told=self.told)

    def told(self) -> str:
        """What it says of itself now: for a wait that failed."""
        try:
            status = json.dumps(ask(f"{self.url}{PREFIX}/status", timeout_s=STOP_S)[1]) if self.url else "not ready yet"
        except OSError as error:
            status = f"no answer: {error}"
        return f"{self.name}'s status: {status}\nits log ends with:\n{self.err[-LOG_TOLD:]}\n{_last_rows(self.state)}"

    def covered(self) -> bool:
        """Whether every topic that is wanted is subscribed."""
        topics = self.status()["feed"]["topics"]
        return bool(topics["wanted"] and topics["wanted"] == topics["covered"])

    def repaired(self) -> Json:
        """Wait until no closed bar waits for its repair and all of them are on disk; the status then."""

        def done() -> Json | None:
            status = self.status()
            # the core knows a repair a batch before the database does
            waits = status["contracts"]["unrepaired"] or status["storage"]["pending"]
            return None if waits else status

        found = self.until("repairs on disk", done)
        assert found is not None
        return found

    def book_ready(self, places: int = 1) -> Json:
        """Wait for the first book, and until it fills so many places; the portfolio then."""
        self.until("a book", lambda: self.status()["book"]["ready"])
        return self.until("its places", lambda: (book := self.portfolio())["size"] >= places and book)


def _last_rows(state: Path) -> str:
    """The newest rows of a daemon's database, in words, for a wait that failed."""
    queries = {
        "history": "select sequence, ts_ns, action_type, reason, symbol_in, symbol_out from portfolio_history",
        "holds": "select sequence, ts_ns, is_on, reason from holds",
        "snapshots": "select sequence, ts_ns from snapshots",
    }
    told = []
    try:
        with closing(sqlite3.connect(f"file:{state / 'zmart.db'}?mode=ro", uri=True)) as connection:
            for name, query in queries.items():
                rows = connection.execute(f"{query} order by sequence desc limit 5").fetchall()
                told.append(f"{name}, newest first: {rows}")
    except sqlite3.Error as error:
        told.append(f"database: {error}")
    return "\n".join(told)


def venue_sets(venue: Sandbox) -> list[str]:
    """Settings that point a daemon at `venue`."""
    speed = venue.settings.get("speed", 1.0)
    return [
        f"venue.rest_url={venue.url}",
        'venue.allowed_hosts=["127.0.0.1"]',
        f"venue.speed={speed}",
        f"venue.quota_factor={venue.settings.get('quota_factor', 1.0)}",
        "api.open_loopback=true",
    ]


def cli(*arguments: str, seconds: float = WAIT_S, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Any:
    """One run of the command line to its end: `returncode`, `stdout`, `stderr`."""
    return subprocess.run(
        [sys.executable, "-m", "zmart_stream.cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment(env),
        cwd=cwd,
        check=False,
    )


@contextmanager
def ending(*processes: Running) -> Iterator[None]:
    """End what still runs when the test is over."""
    try:
        yield
    finally:
        for process in processes:
            if process.alive:
                process.kill()
