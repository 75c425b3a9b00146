"""What is wrong with the configuration is said once, clearly, with exit 78; nothing starts half."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.harness import Daemon, Sandbox, cli, ending, venue_sets
from zmart_stream.cli import main

EXIT_CONFIG = 78


def nonsense(path: Path) -> None:
    """A megabyte that looks like anything but settings."""
    path.write_bytes(random.Random(11).randbytes(1 << 20))


def text(content: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(content)

    return write


WRONG = {
    "unknown key": (text("[portfolio]\nmax_symbol = 10\n"), ["portfolio.max_symbol", "portfolio.max_symbols", ":2"]),
    "unknown table": (text("[portfolo]\nmax_symbols = 10\n"), ["portfolo"]),
    "wrong type": (text('[portfolio]\nmax_symbols = "ten"\n'), ["portfolio.max_symbols", "'ten'"]),
    "out of range": (text("[portfolio]\nmax_symbols = 51\n"), ["portfolio.max_symbols", "50", "51"]),
    "contradiction": (text("[portfolio]\nentry_score = 20\nexit_score = 40\n"), ["exit_score 40", "entry_score 20"]),
    "several at once": (
        text('profile = "wild"\n[api]\nport = 99999\n[feed]\ninbox_sise = 5\n'),
        ["wild", "api.port", "feed.inbox_sise", "feed.inbox_size"],
    ),
    "not TOML": (text("portfolio: {max_symbols: 10}\n"), ["not TOML", "line 1"]),
    "empty": (text(""), ["no settings"]),
    "nonsense": (nonsense, ["1048576 bytes"]),
    "not text": (lambda path: path.write_bytes(b"\xff\xfe[\x00a"), ["not UTF-8"]),
    "deep": (text("a = " + "[" * 5000 + "]" * 5000), ["nested"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_gets_one_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    write, expected = WRONG[what]
    file = tmp_path / "zmart.toml"
    write(file)
    code = main(["run", "--sandbox", "--config", str(file), "--set", f"state_dir={tmp_path / 'state'}"])
    said = capsys.readouterr()
    assert code == EXIT_CONFIG, said.err
    assert said.out == ""
    assert len(said.err) < 3000
    for words in expected:
        assert words in said.err
    lines = [line for line in said.err.splitlines() if line.strip()]
    assert len(lines) == len(set(lines)), "a problem is said twice"
    assert not (tmp_path / "state").exists()


def test_a_missing_file_and_a_bad_set_are_reported_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--config", str(tmp_path / "none.toml")], ["--set", "portfolio.max_symbols"]):
        assert main(["run", "--sandbox", *arguments, "--set", f"state_dir={tmp_path / 'state'}"]) == EXIT_CONFIG
        assert arguments[1] in capsys.readouterr().err


def test_a_process_with_a_wrong_file_of_its_working_directory_ends_with_78(tmp_path: Path) -> None:
    (tmp_path / "zmart.toml").write_text("[market]\nwindow_hour = 240\n")
    ended = cli("run", "--sandbox", "--set", f"state_dir={tmp_path / 'state'}", cwd=tmp_path)
    assert ended.returncode == EXIT_CONFIG
    assert ended.stdout == ""
    assert "market.window_hours" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_a_held_state_folder_and_another_venue(tmp_path: Path) -> None:
    """One daemon in its place; whoever cannot have that place is told whose it is."""
    venue = Sandbox(tmp_path, contracts=8, speed=60, quota_factor=10)
    daemon = Daemon(tmp_path, venue=venue)
    with ending(venue, daemon):
        second = cli("run", *sets(venue, tmp_path / "state"))
        assert second.returncode == EXIT_CONFIG
        assert str(daemon.process.pid) in second.stderr
        port = daemon.url.rpartition(":")[2]
        taken = cli("run", "--sandbox", *sets(venue, tmp_path / "other", "sandbox.contracts=4", f"api.port={port}"))
        assert taken.returncode == EXIT_CONFIG
        assert port in taken.stderr
        assert daemon.status()["success"]
        assert daemon.stop() == 0
        other = Sandbox(tmp_path, name="other", contracts=8, speed=60, quota_factor=10, seed=8)
        with ending(other):
            foreign = cli("run", *sets(other, tmp_path / "state"))
        assert foreign.returncode == EXIT_CONFIG
        assert "seed 7" in foreign.stderr
        assert "seed 8" in foreign.stderr
        for report in (second, taken, foreign):
            assert "Traceback" not in report.stderr


def sets(venue: Sandbox, state: Path, *more: str) -> list[str]:
    values = [*venue_sets(venue), f"state_dir={state}", "api.port=0", *more]
    return [part for value in values for part in ("--set", value)]


def test_a_certificate_authority_and_a_market_that_are_not_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--set", f"state_dir={tmp_path}/state", "--set", "api.port=0"]
    missing = tmp_path / "none.pem"
    told = main(["run", *given, "--set", "venue.rest_url=http://127.0.0.1:9", "--set", f"venue.ca_file={missing}"])
    said = capfd.readouterr().err
    assert told == EXIT_CONFIG, said
    assert f"venue.ca_file: {missing} cannot be used" in said
    told = main(["run", "--sandbox", *given, "--set", f"sandbox.market={missing}"])
    said = capfd.readouterr().err
    assert told == EXIT_CONFIG, said
    assert str(missing) in said


def test_postgresql_without_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("zmart_stream.storage.database.find_spec", lambda name: None)
    url = "postgresql://somebody:secret@127.0.0.1:9/zmart"
    assert main(["run", "--set", f"storage.url={url}", "--set", f"state_dir={tmp_path}"]) == EXIT_CONFIG
    told = capsys.readouterr().err
    assert "needs asyncpg" in told
    assert "secret" not in told
