"""The shipped unit under a real service manager: started, reloaded, killed, hung, misconfigured, stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.service.box import Box, why_not
from tests.service.harness import CHECKOUT, FULL_BOOK, Json, until

pytestmark = pytest.mark.torture

UNIT = CHECKOUT / "config" / "systemd" / "zmart-stream.service"
HUNG_AFTER = "WatchdogSec=5s"  # the shipped one is longer than a test should wait
VENUE = """
[venue]
rest_url = "http://127.0.0.1:9100"
allowed_hosts = ["127.0.0.1"]
speed = 60
quota_factor = 10
[api]
open_loopback = true
"""


def settings(places: int) -> str:
    """zmart.toml of a small market."""
    tables: dict[str, list[str]] = {"portfolio": [f"max_symbols = {places}"]}
    for line in FULL_BOOK:
        key, value = line.split("=")
        table, name = key.split(".")
        tables.setdefault(table, []).append(f"{name} = {value}")
    return VENUE + "".join(f"[{table}]\n" + "\n".join(lines) + "\n" for table, lines in tables.items())


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    missing = why_not()
    if missing:
        pytest.skip(missing)
    unit = UNIT.read_text()
    shortened = unit.replace("WatchdogSec=30s", HUNG_AFTER)
    assert shortened != unit
    box = Box(tmp_path_factory.mktemp("box"), shortened, settings(5))
    try:
        assert box.run("systemctl", "start", "venue").returncode == 0
        until("the venue", lambda: "listening" in box.run("journalctl", "-u", "venue", "-o", "cat").stdout)
        yield box
    finally:
        box.close()


def program(box: Box, *arguments: str) -> Json:
    """What a verb of the command line prints."""
    done = box.run("/opt/zmart-stream/.venv/bin/zmart-stream", *arguments, "--json")
    found: Json = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def full(box: Box, places: int = 5) -> list[str]:
    """Wait for a book of so many."""
    rows = until("a full book", lambda: (r := program(box, "portfolio").get("holdings", [])) and len(r) == places and r)
    return sorted(row["symbol"] for row in rows)


def test_it_starts_in_a_folder_of_its_own(box: Box) -> None:
    started = box.run("systemctl", "start", "zmart-stream")
    assert started.returncode == 0, box.journal()
    assert box.show("ActiveState") == "active"
    assert "contracts live" in box.show("StatusText")
    assert full(box)
    assert box.run("stat", "-L", "-c", "%a", "/var/lib/zmart").stdout.strip() == "700"
    assert "zmart.db" in box.run("ls", "/var/lib/zmart/").stdout
    assert '"event": "book.ready"' in box.journal()


def test_reload_keeps_the_process(box: Box) -> None:
    process = box.show("MainPID")
    box.write("/etc/zmart/zmart.toml", settings(6))
    assert box.run("systemctl", "reload", "zmart-stream").returncode == 0
    until("the reload", lambda: program(box, "portfolio").get("max_symbols") == 6)
    box.write("/etc/zmart/zmart.toml", "[portfolio]\nmax_symbols = 600\n")
    box.run("systemctl", "reload", "zmart-stream")
    until("the refusal", lambda: "config.refused" in box.journal())
    assert program(box, "portfolio")["max_symbols"] == 6
    assert (box.show("MainPID"), box.show("ActiveState")) == (process, "active")
    box.write("/etc/zmart/zmart.toml", settings(6))


def restarted(box: Box, before: str) -> str:
    """Wait for another process that is ready; its id."""
    return until(
        "a restart",
        lambda: (now := box.show("MainPID")) not in (before, "0") and box.show("ActiveState") == "active" and now,
    )


def test_a_kill_is_answered_with_a_start_on_the_same_book(box: Box) -> None:
    book, process = full(box), box.show("MainPID")
    began = time.monotonic()
    assert box.run("systemctl", "kill", "-s", "KILL", "zmart-stream").returncode == 0
    restarted(box, process)
    print(f"back after {time.monotonic() - began:.1f} s")
    assert box.show("NRestarts") == "1"
    assert full(box) == book


def test_a_hung_process_is_restarted(box: Box) -> None:
    process = box.show("MainPID")
    assert int(process) > 1  # 0 would stop whoever asks
    assert box.run("kill", "-STOP", process).returncode == 0
    restarted(box, process)
    assert box.show("NRestarts") == "2"


def test_wrong_settings_end_it_without_another_try(box: Box) -> None:
    box.write("/etc/zmart/zmart.toml", "[portfolio]\nmax_symbols = 600\n")
    assert box.run("systemctl", "restart", "zmart-stream").returncode != 0
    assert box.show("ExecMainStatus") == "78"
    assert box.show("ActiveState") == "failed"
    assert "portfolio.max_symbols" in box.journal()
    time.sleep(3.0)  # RestartSec is over
    assert box.show("ActiveState") == "failed"
    box.write("/etc/zmart/zmart.toml", settings(6))
    assert box.run("systemctl", "start", "zmart-stream").returncode == 0


def test_a_stop_is_clean(box: Box) -> None:
    began = time.monotonic()
    assert box.run("systemctl", "stop", "zmart-stream").returncode == 0
    assert time.monotonic() - began < 5.0
    assert (box.show("Result"), box.show("ExecMainStatus")) == ("success", "0")
    assert "daemon.stopped" in box.journal()
