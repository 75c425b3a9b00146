"""What the pages say can be followed: links resolve, and the operator's tables are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from zmart_stream.app.core_settings import RESTART_KEYS
from zmart_stream.cli import entry
from zmart_stream.ops.health import not_ready
from zmart_stream.portfolio.hold import Cause
from zmart_stream.sandbox.fault_kinds import KINDS

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])
RUNNING = (CHECKOUT / "docs" / "running.md").read_text()
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """A page without its code, in which brackets mean something else."""
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What its headings can be linked as."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def section(title: str, text: str = RUNNING) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def first_cells(text: str) -> list[str]:
    """The first cell of every table row, as it stands."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [row.strip("| ").split(" | ")[0] for row in rows]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [CHECKOUT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in LINK.findall(prose(page)):
            file = (page.parent / target.partition("#")[0]).resolve()
            waiting += [file] if file.suffix == ".md" and file.is_file() else []
            waiting += sorted(file.glob("*.md")) if file.is_dir() and file.is_relative_to(CHECKOUT / "docs") else []
    assert set(PAGES) <= seen


def test_decisions_are_numbered_without_a_gap_and_have_a_status() -> None:
    records = sorted((CHECKOUT / "docs" / "decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        title, _, status, *_ = record.read_text().splitlines()
        assert title.startswith(f"# {record.name[:4]}: ")
        assert status.startswith("Status: ")


def test_the_runbook_has_every_reason_of_a_hold_in_the_order_they_are_told() -> None:
    assert first_cells(section("When the book holds"))[1:] == [f"`{cause}`" for cause in get_args(Cause)]


def test_the_runbook_has_every_exit_code() -> None:
    codes = {0, entry.EXIT_FAULT, entry.EXIT_USAGE, entry.EXIT_UNREACHABLE, entry.EXIT_CONFIG}
    told = [int(cell) for cell in first_cells(section("When something is wrong")) if cell.isdigit()]
    assert told == sorted(codes)
    unit = (CHECKOUT / "config" / "systemd" / "zmart-stream.service").read_text()
    stays_down = re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    assert stays_down
    assert {int(code) for code in stays_down[1].split()} == {entry.EXIT_USAGE, entry.EXIT_CONFIG}


def test_the_runbook_has_every_key_that_waits_for_a_restart() -> None:
    table = " ".join(first_cells(section("Reload or restart")))
    told = [key.removesuffix("*") for key in re.findall(r"`([\w.*]+)`", table)]
    assert sorted(told) == sorted(RESTART_KEYS)


def test_the_runbook_has_every_reason_why_the_daemon_is_not_ready() -> None:
    told = re.sub(r"\s+", " ", section("Watching it"))
    reasons = [
        *not_ready(universe=0, live=0, live_share=0.6, database_fault=""),
        *not_ready(universe=640, live=12, live_share=0.6, database_fault="..."),
    ]
    assert len(reasons) == 3
    assert [reason for reason in reasons if f"`{reason}`" not in told] == []


def test_the_errors_quoted_in_the_runbook_are_those_of_the_code() -> None:
    quoted = re.findall(r"^\| exit \d+, `([^`]+)`", section("When something is wrong"), re.MULTILINE)
    words = " ".join(
        node.value
        for path in sorted((CHECKOUT / "zmart_stream").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert quoted
    assert [part for text in quoted for part in text.split("...") if part.strip(" ,") not in words] == []


def test_the_changelog_counts_the_faults() -> None:
    assert f"{len(KINDS)} kinds of scripted faults" in (CHECKOUT / "CHANGELOG.md").read_text()


def test_the_tour_names_files_that_exist() -> None:
    text = (CHECKOUT / "docs" / "how-it-works.md").read_text()
    named = [name for name in re.findall(r"`([\w/]+\.py|[\w/]+/)`", text) if "/" in name]
    places = (CHECKOUT, CHECKOUT / "zmart_stream")
    assert named
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
