"""What the service manager is told, and the unit that it is given."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.service.harness import CHECKOUT, FULL_BOOK, STOP_S, WAIT_S, Daemon, Sandbox, ending

UNIT = CHECKOUT / "config" / "systemd" / "zmart-stream.service"
MOST_EXPOSURE = 15  # tenths


class Listener:
    """The other end of `$NOTIFY_SOCKET`."""

    def __init__(self, address: str, socket_: socket.socket) -> None:
        self.address = address
        self._socket = socket_
        self.heard: list[dict[str, str]] = []

    def until(self, name: str) -> dict[str, str]:
        """The next message that carries `name`."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            fields = dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())
            self.heard.append(fields)
            if name in fields:
                return fields
        raise AssertionError(f"{name} did not come")


@contextmanager
def listening() -> Iterator[Listener]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        address = f"{folder}/notify"
        bound.bind(address)
        bound.settimeout(WAIT_S)
        yield Listener(address, bound)


def test_each_step_of_a_life_is_told(tmp_path: Path) -> None:
    venue = Sandbox(tmp_path, contracts=8, speed=60, quota_factor=10)
    file = tmp_path / "zmart.toml"
    file.write_text("[portfolio]\nmax_symbols = 3\n")
    with listening() as manager:
        env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
        daemon = Daemon(tmp_path, "--config", str(file), venue=venue, sets=FULL_BOOK, env=env)
        with ending(venue, daemon):
            assert "contracts live" in manager.until("READY")["STATUS"]
            beats = []
            for _ in range(4):
                assert manager.until("WATCHDOG")["STATUS"]
                beats.append(time.monotonic())
            # a busy machine delays a beat; beats at a wrong pace are all too late
            assert min(b - a for a, b in pairwise(beats)) < 2.0, "the watchdog would have bitten"

            daemon.send(signal.SIGHUP)
            before = time.monotonic_ns() // 1000
            reloading = manager.until("RELOADING")
            assert abs(int(reloading["MONOTONIC_USEC"]) - before) < 60_000_000
            assert manager.until("READY")["READY"] == "1"
            file.write_text("nonsense\n")
            daemon.send(signal.SIGHUP)
            manager.until("RELOADING")
            manager.until("READY")

            daemon.send(signal.SIGTERM)
            manager.until("STOPPING")
            assert daemon.wait(STOP_S) == 0
            assert not any("READY" in fields for fields in manager.heard[-1:])


def test_a_watchdog_of_another_process_is_not_ours(tmp_path: Path) -> None:
    with listening() as manager:
        env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}
        daemon = Daemon(tmp_path, "--sandbox", "--for", "2s", sets=("sandbox.contracts=4",), env=env)
        with ending(daemon):
            manager.until("STOPPING")
            assert daemon.wait(STOP_S) == 0
        assert not any("WATCHDOG" in fields for fields in manager.heard)


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed: the unit is not verified here")
    return found


def test_the_unit_is_sound(analyze: str, tmp_path: Path) -> None:
    """With a program that exists here, since the manager asks for that too."""
    text = UNIT.read_text()
    program = next(line for line in text.splitlines() if line.startswith("ExecStart=")).split("=", 1)[1].split()[0]
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(program, sys.executable))
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if UNIT.stem in line]
    assert done.returncode == 0, done.stderr
    assert ours == []


def test_the_unit_leaves_little_exposed(analyze: str) -> None:
    command = [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    print(done.stdout.splitlines()[-1] if done.stdout else done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
