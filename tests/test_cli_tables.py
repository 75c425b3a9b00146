"""Tables on terminals of several widths: symbols, figures and times are never broken."""

from __future__ import annotations

import os
import re
import shutil
import sys

import pytest

from zmart_stream.cli import tables
from zmart_stream.cli.tables import Column, show

COLUMNS = [Column("rank", right=True), Column("symbol"), Column("since"), Column("in words")]
SYMBOL, SINCE, WORDS = "1000BONKUSDTM", "2026-11-22T14:00:00.000Z", "stronger by RSI than 83 % of contracts " * 3


@pytest.mark.parametrize("width", [20, 60, 82, 84, 100, 300])
def test_no_symbol_or_time_is_broken_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((width, 24)))
    rows = [["1", SYMBOL, SINCE, WORDS]]
    show(COLUMNS, rows)
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert SYMBOL in out
    assert SINCE in out
    drawn = tables.least_width(COLUMNS, rows) <= width
    assert ("─" in out) == drawn
    assert not drawn or max(map(len, out.splitlines())) <= width
