"""The measured processes, started and ended, and what is asked of them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.service.harness import CHECKOUT, environment

WAIT_S = 60.0
Json = dict[str, Any]


class Child:
    """A Python module of the bench as a process: one JSON line in, one out; it ends when its input closes."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=CHECKOUT,
                env=environment(),
            )
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def line(self) -> str:
        """The next line it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._process.args} ended: {self._log.read_text(errors='replace')[-3000:]}"
        return line.strip()

    def order(self, do: str, **more: Any) -> Json:
        """Its answer to one order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        found: Json = json.loads(self.line())
        return found

    def end(self) -> None:
        """Close its input and wait; by force if that is not enough."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class SenderProcess(Child):
    """The sender."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tests.bench.sender", log=folder / "sender.log")
        self.url = self.line().removeprefix("listening on ")

    def state(self) -> Json:
        """Who is subscribed, and the offset of venue time to the monotonic clock."""
        return _ask(f"{self.url}/_bench/state")

    def set_clock(self, to: int) -> None:
        """Make venue time `to` (ns) now."""
        _ask(f"{self.url}/_bench/clock", {"to": to})

    def play(self, frames: int, *, rate: float | None = None, batch: int = 1) -> Json:
        """Send `frames`; returns what was sent once it was."""
        return _ask(f"{self.url}/_bench/play", {"frames": frames, "rate": rate, "batch": batch})


def measured(listener: Child, sender: SenderProcess, frames: int, *, rate: float | None, batch: int = 1) -> Json:
    """What `listener` measured while `sender` played, with what was sent."""
    listener.order("begin", offset=sender.state()["offset"])
    played = sender.play(frames, rate=rate, batch=batch)
    return {**listener.order("end", expect=frames), **played}


def until(what: str, look: Callable[[], Any], *, seconds: float = WAIT_S, step_s: float = 0.1) -> Any:
    """The first truthy answer of `look`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(step_s)
    return found


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ask(url: str, body: Json | None = None) -> Json:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=120.0) as reply:
        found: Json = json.load(reply)["data"]
        return found
