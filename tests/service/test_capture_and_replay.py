"""A session recorded and run again is the same session, bit for bit; whatever is different is found."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.service.harness import FULL_BOOK, Daemon, cli, ending
from zmart_stream.capture.format import DERIVED, END, HEAD, MAGIC, frame, unframe
from zmart_stream.cli import main
from zmart_stream.domain.messages import Derived
from zmart_stream.domain.scores import ScoreChanged

SANDBOX = ("sandbox.contracts=24", "sandbox.speed=600", *FULL_BOOK, "portfolio.replace_margin=0", "portfolio.confirm=1")
IDENTICAL = re.compile(r"^identical: (\d+) derived messages( \((\d+) at the tail not recorded\))?$")


def verify(folder: Path) -> Any:
    return cli("replay", str(folder), "--verify", seconds=180.0)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of a short session that ended in order."""
    folder = tmp_path_factory.mktemp("capture")
    daemon = Daemon(folder, "--sandbox", "--capture", str(folder / "kept"), sets=SANDBOX)
    with ending(daemon):
        daemon.book_ready(10)
        known = len(segments(folder / "kept"))
        daemon.until("a close on record", lambda: len(segments(folder / "kept")) > max(known, 1))
        assert daemon.stop() == 0
    return folder / "kept"


def segments(folder: Path) -> list[Path]:
    """The files of a capture, oldest first."""
    return sorted(folder.glob("*.zcap"))


def test_a_session_replays_identically(recorded: Path) -> None:
    assert len(segments(recorded)) >= 2
    done = verify(recorded)
    assert done.returncode == 0, done.stdout + done.stderr
    found = IDENTICAL.match(done.stdout.strip())
    assert found, done.stdout
    assert int(found[1]) > 500
    assert found[2] is None


def test_replay_without_verify_shows_where_it_leads(recorded: Path) -> None:
    done = cli("replay", str(recorded), seconds=180.0)
    assert done.returncode == 0, done.stderr
    assert "derived messages" in done.stdout
    assert done.stdout.count("USDTM") == 10


def test_after_a_kill_the_capture_is_whole_up_to_its_tail(tmp_path: Path, seed: int) -> None:
    daemon = Daemon(tmp_path, "--sandbox", "--capture", str(tmp_path / "kept"), sets=SANDBOX)
    with ending(daemon):
        daemon.book_ready()
        time.sleep(random.Random(seed).uniform(1.0, 8.0))
        daemon.kill()
    done = verify(tmp_path / "kept")
    assert done.returncode == 0, done.stdout + done.stderr
    assert IDENTICAL.match(done.stdout.strip()), done.stdout


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    data, at = memoryview(path.read_bytes()), len(MAGIC)
    while (found := unframe(data, at)) is not None:
        block, at = found
        yield block.kind, block.content


def rewritten(source: Path, target: Path, change: Any) -> None:
    """A copy of a segment in which `change` has altered what was derived, with check sums that are right."""
    out = bytearray(MAGIC)
    for kind, content in blocks(source):
        out += frame(kind, change(content) if kind == DERIVED else content)
    target.write_bytes(out)


def test_a_derived_record_that_was_tampered_with_is_found(recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tampered"
    shutil.copytree(recorded, folder)
    changed = []

    def by_a_hair(content: bytes) -> bytes:
        messages = msgspec.msgpack.decode(content, type=list[Derived])
        for at, message in enumerate(messages):
            if isinstance(message, ScoreChanged) and not changed:
                messages[at] = msgspec.structs.replace(message, score=(message.score or 0.0) + 1e-9)
                changed.append(message.symbol)
        return msgspec.msgpack.encode(messages)

    for place in reversed(segments(recorded)):
        touched = folder / place.name
        rewritten(place, touched, by_a_hair)
        if changed:
            break
    assert changed
    done = verify(folder)
    assert done.returncode == 1
    assert done.stdout.startswith("different after ")
    assert changed[0] in done.stdout
    assert touched.name in done.stdout


def test_a_core_that_computes_differently_is_found(recorded: Path, tmp_path: Path) -> None:
    """One constant of one part, changed in a copy of the code."""
    checkout = Path(__file__).resolve().parents[2]
    shutil.copytree(checkout / "zmart_stream", tmp_path / "zmart_stream", ignore=shutil.ignore_patterns("__pycache__"))
    part = tmp_path / "zmart_stream" / "scoring" / "risk.py"
    source = part.read_text()
    altered = source.replace("8760", "8761")
    assert altered != source
    part.write_text(altered)
    done = cli("replay", str(recorded), "--verify", seconds=180.0, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("different after ")


def test_what_is_no_capture_is_said(tmp_path: Path, recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "000001.zcap").write_bytes(b"not a capture at all, whatever its name may say")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    first = next(content for kind, content in blocks(sorted(recorded.glob("*.zcap"))[0]) if kind == HEAD)
    (damaged / "000001.zcap").write_bytes(MAGIC + frame(HEAD, first[: len(first) // 2]) + frame(END, b""))
    for name in ("empty", "other", "damaged", "missing"):
        assert main(["replay", str(tmp_path / name), "--verify"]) == 1, name
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1, said
        assert name in said or "000001.zcap" in said
