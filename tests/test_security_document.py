"""docs/security.md and the tests of abuse say the same: every row has tests that exist, every such test has its row."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TEXT = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith(("| abuse", "| | threat"))]


@cache
def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def test_each_row_names_tests_that_exist() -> None:
    missing = []
    for row in ROWS:
        named, proof = NAMED.findall(row), row.strip("| ").split(" | ")[-1]
        if not named and proof != "–" and not proof.startswith("["):
            missing.append(f"without a test: {row}")
        for file, test in named:
            if not (TESTS / file).is_file() or test not in names_in(TESTS / file):
                missing.append(f"{file} has no {test}")
    assert not missing


def test_each_test_of_abuse_has_a_row() -> None:
    files = sorted(TESTS.rglob("test_abuse*.py"))
    assert len(files) >= 7
    told = set(NAMED.findall("\n".join(ROWS)))
    found = {
        (str(file.relative_to(TESTS)), name) for file in files for name in names_in(file) if name.startswith("test_")
    }
    assert not found - told


def test_a_row_without_a_test_concerns_what_comes_later() -> None:
    without = [row for row in ROWS if not NAMED.search(row) and row.strip("| ").endswith("–")]
    assert all("come later" in row for row in without), without
