"""`doctor` and `db check` on databases broken by hand: each finding is named with its way out, a daemon refuses."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.storage.samples import HOUR, START, Books, closed, listing, opened, writing
from tests.storage.test_blocks import blocking
from tests.storage.test_pages import chain, swapped, traded
from zmart_stream.cli.entry import main
from zmart_stream.domain.errors import BrokenBookError
from zmart_stream.storage.integrity import check_book

NAMES = [f"A{index}USDTM" for index in range(4)]
BOOK = "UPDATE portfolio_composition SET "


async def a_past(url: str) -> None:
    """A book of three with a swap behind it, scored at a close, with a ledger and a block."""
    books = Books()
    filled = books.change("fill", NAMES[:3], symbol_in=NAMES[0], reason="first_fill")
    exchanged = books.change("replace", [NAMES[3], *NAMES[:2]], symbol_in=NAMES[3], symbol_out=NAMES[2])
    async with opened(url) as database, writing(database) as writer:
        writer.put([listing(name) for name in NAMES])
        writer.put([filled, traded(books), exchanged, traded(books, exchanged), swapped(exchanged, final=False)])
        writer.put([blocking(books, NAMES[2]), *chain(20, seed=4), closed(START + HOUR, NAMES)])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    asyncio.run(a_past(f"sqlite:///{tmp_path / 'zmart.db'}"))
    (tmp_path / "zmart.toml").write_text(f"state_dir = {str(tmp_path)!r}\n")
    return tmp_path


def break_it(state: Path, *harm: str) -> None:
    with closing(sqlite3.connect(state / "zmart.db")) as connection:
        for statement in harm:
            connection.execute(statement)
        connection.commit()


def doctor(state: Path, capsys: pytest.CaptureFixture[str], *verb: str) -> tuple[int, dict[str, Any]]:
    code = main([*(verb or ("doctor", "--offline")), "--json", "--config", str(state / "zmart.toml")])
    return code, json.loads(capsys.readouterr().out)


def faults(report: dict[str, Any]) -> list[tuple[str, str]]:
    for found in report["checks"]:
        assert bool(found["way_out"]) == (found["level"] != "ok"), found
    return [(found["name"], found["text"]) for found in report["checks"] if found["level"] == "fault"]


def test_a_sound_state_is_healthy(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = doctor(state, capsys)
    assert (code, faults(report), report["healthy"]) == (0, [], True)
    texts = {found["name"]: found["text"] for found in report["checks"]}
    assert texts["book"] == "3 holdings, 0.01 % cash, as its history says"
    assert doctor(state, capsys, "db", "check")[0] == 0
    assert not list(state.glob("*.ballast"))  # looking changes nothing


COUNTED = "WITH RECURSIVE counted(n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM counted WHERE n < 51) SELECT "
MANY_CONTRACTS = (
    "INSERT INTO symbols (id, symbol, root_symbol, base_currency, quote_currency, lot_size, tick_size, max_leverage) "
    + COUNTED
    + "printf('%032x', n), 'Z' || n, '', '', '', 1, 1, 1 FROM counted"
)
MANY_HOLDINGS = (
    "INSERT INTO portfolio_composition (id, symbol_id, position_rank, weight_percentage, flags, since_ns) "
    + COUNTED
    + "printf('%032x', n), printf('%032x', n), CASE WHEN n < 51 THEN n END, 0, '[]', 1 FROM counted"
)
BROKEN = [
    ((BOOK + "position_rank = 7 WHERE position_rank = 2",), "book_rules: ranks are [1, 3, 7]", True),
    ((BOOK + "position_rank = NULL WHERE position_rank = 2",), "book_rules: ranks are [0, 1, 3]", True),
    ((BOOK + "weight_percentage = 90 WHERE position_rank = 1",), "book_rules: weights sum to 156.66 %", True),
    ((BOOK + "weight_percentage = 1 WHERE position_rank = 1",), "book_history: the book is 1 A3USDTM 1 %", True),
    ((BOOK + "is_pinned = 1 WHERE position_rank = 3",), "book_history: the book is 1 A3USDTM 33.33 %", True),
    (("DELETE FROM portfolio_composition WHERE position_rank = 3",), "book_history: the book is", True),
    (("DELETE FROM portfolio_history WHERE action_type = 'block'",), "blocks: the contracts blocked are A2USDTM", True),
    (("DELETE FROM portfolio_history WHERE action_type = 'fill'",), "history: change", True),
    (("UPDATE symbols SET blocked_place = NULL",), "blocks: the contracts blocked are none", True),
    ((BOOK + "current_score = 99 WHERE position_rank = 1",), "scores: A3USDTM scores 99 in the book and 66.1235", True),
    (("UPDATE symbol_scores SET score_value = 1",), "scores: A0USDTM scores 69.1235 in the book and 1 at", True),
    (("DELETE FROM symbols WHERE symbol = 'A1USDTM'",), "references: row", True),
    (("DELETE FROM portfolio_history WHERE action_type = 'replace'",), "swaps: the swap A2USDTM for A3USDTM", True),
    (("UPDATE swap_ledger SET symbol_in = 'A1USDTM'",), "swaps: the swap A2USDTM for A1USDTM", False),
    (
        ("UPDATE equity_points SET equity = equity + 150000000 WHERE end_ns % 7 = 0 OR costs > 0",),
        "equity: equity at",
        False,
    ),
    (("UPDATE equity_points SET funding = funding - 1 WHERE costs > 500000",), "by 0.00000001", False),
    (
        (MANY_CONTRACTS, "PRAGMA ignore_check_constraints = ON", MANY_HOLDINGS),
        "book_size: 51 holdings, at most 50",
        True,
    ),
]


@pytest.mark.parametrize(("harm", "told", "stops"), BROKEN, ids=[told for _, told, _ in BROKEN])
def test_every_broken_state_is_found(
    state: Path, capsys: pytest.CaptureFixture[str], harm: tuple[str, ...], told: str, stops: bool
) -> None:
    break_it(state, *harm)
    code, report = doctor(state, capsys)
    assert code == 1
    assert any(name == "book" and told in text for name, text in faults(report)), faults(report)
    of_database = [found for found in report["checks"] if found["name"] in {"database", "book"}]
    assert doctor(state, capsys, "db", "check") == (1, {"checks": of_database, "healthy": False})
    assert asyncio.run(is_refused(f"sqlite:///{state / 'zmart.db'}")) is stops


async def is_refused(url: str) -> bool:
    """Whether a daemon would refuse to run on it."""
    async with opened(url) as database:
        try:
            await check_book(database)
        except BrokenBookError:
            return True
    return False


@pytest.fixture
def refused() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_daemon_refuses_a_broken_book(state: Path, refused: list[subprocess.Popen[str]]) -> None:
    """Exit 1, before anything else is started, with the rule and the way out in the log."""
    break_it(state, BOOK + "position_rank = 7 WHERE position_rank = 2", "UPDATE symbols SET blocked_place = NULL")
    command = [sys.executable, "-m", "zmart_stream.cli", "run", "--config", str(state / "zmart.toml")]
    command += ["--set", "venue.rest_url=http://127.0.0.1:9", "--set", "api.port=0", "--set", "log.format=json"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=state, env=environ)
    refused.append(process)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 1
    last = json.loads(said.strip().splitlines()[-1])
    assert (last["event"], last["kind"]) == ("daemon.failed", "BrokenBookError")
    for words in ("ranks are [1, 3, 7]", "blocked are none", "restore the last backup", "zmart-stream doctor"):
        assert words in last["reason"]


def test_other_faults_are_found(state: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tokens = state / "tokens.json"
    tokens.write_text("[]")
    tokens.chmod(0o644)
    assert [name for name, _ in faults(doctor(state, capsys)[1])] == ["tokens"]
    tokens.chmod(0o600)
    assert doctor(state, capsys)[0] == 0
    if os.geteuid() == 0:  # root looks at another user's daemon
        os.chown(tokens, 65_534, 65_534)
        assert [name for name, _ in faults(doctor(state, capsys)[1])] == ["tokens"]
        os.chown(state, 65_534, 65_534)
        assert faults(doctor(state, capsys)[1]) == []
    (state / "zmart.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    code, report = doctor(state, capsys)
    assert code == 1
    assert [name for name, _ in faults(report)] == ["database"]


def test_a_database_that_lacks_something_is_told_without_sql(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it(state, "DROP TABLE swap_ledger")
    ((name, told),) = faults(doctor(state, capsys)[1])
    assert (name, told) == ("database", "a read failed: database fault: no such table: swap_ledger")


def test_an_older_and_a_newer_schema(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it(state, "UPDATE alembic_version SET version_num = '0001'")
    code, report = doctor(state, capsys)
    assert code == 0
    assert "the next start brings it to" in report["checks"][-1]["text"]
    break_it(state, "UPDATE alembic_version SET version_num = '9999'")
    code, report = doctor(state, capsys)
    assert (code, "newer" in faults(report)[0][1]) == (1, True)


def test_wrong_settings_are_the_first_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json", "--set", f"state_dir={tmp_path}", "--set", "portfolio.max_symbols=many"])
    report = json.loads(capsys.readouterr().out)
    assert (code, report["healthy"]) == (1, False)
    assert [found["name"] for found in report["checks"]] == ["configuration"]
    assert main(["db", "check", "--set", "portfolio.max_symbols=many"]) == 78


def test_a_silent_venue_is_a_fault(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["doctor", "--json", "--config", str(state / "zmart.toml"), "--set", "venue.rest_url=http://127.0.0.1:9"]
    )
    report = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [name for name, _ in faults(report)] == ["venue"]


def test_the_table_names_the_way_out(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it(state, BOOK + "position_rank = 7 WHERE position_rank = 2")
    assert main(["doctor", "--offline", "--config", str(state / "zmart.toml")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["fault", "book"] for line in lines)
    assert sum("restore the last backup" in line for line in lines) == 1
