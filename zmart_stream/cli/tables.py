"""Tables: drawn by rich on a terminal wide enough, plain aligned columns elsewhere; never a wrapped line in a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Literal, NamedTuple

import typer

FOLDED = 24
"""Characters to which long texts may be folded; figures, symbols and times are never broken."""


class Column(NamedTuple):
    """A column's head, and whether its figures are flush right."""

    head: str
    right: bool = False


def show(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Print a table."""
    if sys.stdout.isatty() and least_width(columns, rows) <= shutil.get_terminal_size().columns:
        _draw(columns, rows, title)
        return
    if title:
        typer.echo(title)
    for line in aligned(columns, rows):
        typer.echo(line)


def least_width(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """Characters that the drawn table needs at least."""
    return sum(min(width, FOLDED) + 3 for width in _widths(columns, rows))


def aligned(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """The table's lines as text: a head and the rows, two blanks between columns."""
    cells = [[column.head for column in columns], *[list(row) for row in rows]]
    widths = _widths(columns, rows)
    return ["  ".join(map(_padded, row, widths, columns)).rstrip() for row in cells]


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(column.head), *(len(row[place]) for row in rows), 0) for place, column in enumerate(columns)]


def _padded(text: str, width: int, column: Column) -> str:
    return text.rjust(width) if column.right else text.ljust(width)


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box, console, table, text  # noqa: PLC0415  loaded only where there is a terminal to draw on

    drawn = table.Table(box=box.SIMPLE_HEAD, title=text.Text(title), title_justify="left", pad_edge=False)
    for column, width in zip(columns, _widths(columns, rows), strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        drawn.add_column(column.head, justify=justify, overflow="fold", no_wrap=width <= FOLDED)
    for row in rows:
        drawn.add_row(*[text.Text(cell) for cell in row])
    console.Console(highlight=False).print(drawn)


def number(value: object, digits: int = 2) -> str:
    """A figure, or a dash where there is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "–"
    text = f"{value:,.{digits}f}".replace(",", " ")
    return text.lstrip("-") if not text.strip("-0. ") else text  # what rounds to nothing has no sign


def signed(value: object, digits: int = 2) -> str:
    """A figure with its sign, or a dash."""
    text = number(value, digits)
    return f"+{text}" if isinstance(value, int | float) and value > 0 and text.strip("0. ") else text


def percent(value: object, digits: int = 2) -> str:
    """A fraction as percent, or a dash."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "–"
    return f"{number(100.0 * value, digits)} %"


def figure(value: object) -> str:
    """A figure of unknown size with six significant digits, or a dash."""
    return f"{value:.6g}" if isinstance(value, int | float) and not isinstance(value, bool) else "–"


def age(seconds: object) -> str:
    """A span in its largest fitting unit, or a dash."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return "–"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"


def word(value: object) -> str:
    """A text, or a dash where there is none."""
    return "–" if value is None or value == "" else str(value)
