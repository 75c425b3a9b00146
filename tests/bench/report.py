"""Figures, the table of them, and the page of the documentation that shows it."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.service.harness import CHECKOUT

PAGE = CHECKOUT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
WIDTH = 150


class Figure(NamedTuple):
    """One measured value, and beside it what it is to be compared with."""

    section: str
    what: str
    value: float
    unit: str
    control: float | None = None
    control_name: str = ""
    promise: str = ""

    @property
    def measured(self) -> str:
        """The value as shown."""
        return f"{number(self.value)} {self.unit}".strip()

    @property
    def beside(self) -> str:
        """The control as shown."""
        return "" if self.control is None else f"{number(self.control)} {self.unit}: {self.control_name}"


class Report:
    """What the session measured, in order."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    def add(
        self,
        section: str,
        what: str,
        value: float,
        unit: str,
        *,
        control: tuple[float, str] | None = None,
        promise: str = "",
    ) -> None:
        """One figure; `control` is (value, name) in the same unit."""
        beside, name = control or (None, "")
        self.figures.append(Figure(section, what, value, unit, beside, name, promise))

    def finish(self) -> None:
        """Print the table; write JSON to ZMART_BENCH_OUT and the page with ZMART_BENCH_DOC=1."""
        if not self.figures:
            return
        console = Console(width=WIDTH)
        console.print()
        console.print(self.table())
        if target := os.environ.get("ZMART_BENCH_OUT"):
            content = {"machine": machine(), "figures": [figure._asdict() for figure in self.figures]}
            Path(target).write_text(json.dumps(content, indent=1) + "\n")
        if os.environ.get("ZMART_BENCH_DOC") == "1":
            write_page(PAGE, self.markdown())

    def table(self) -> Table:
        """For people, on a terminal."""
        facts = machine()
        table = Table(title=f"zmart-stream on {', '.join(f'{v}' for v in facts.values())}", title_justify="left")
        for column, justify in (("figure", "left"), ("measured", "right"), ("beside it", "left"), ("promised", "left")):
            table.add_column(column, justify=justify)  # type: ignore[arg-type]  # literals, by the loop's own tuple
        section = ""
        for figure in self.figures:
            if figure.section != section:
                section = figure.section
                table.add_section()
                table.add_row(f"[bold]{section}", "", "", "")
            table.add_row(f"  {figure.what}", figure.measured, figure.beside, figure.promise)
        return table

    def markdown(self) -> str:
        """For the page."""
        lines = ["Measured on: " + "; ".join(f"{name} {value}" for name, value in machine().items()) + ".", ""]
        section = ""
        for figure in self.figures:
            if figure.section != section:
                section = figure.section
                lines += ["", f"| {section} | measured | beside it | promised |", "|---|--:|---|---|"]
            lines.append(f"| {figure.what} | {figure.measured} | {figure.beside} | {figure.promise} |")
        return "\n".join(lines).replace("\n\n\n", "\n\n")


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if value != value:
        return "none"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as facts:
            found = dict(line.split(":", 1) for line in facts if ":" in line)
    except OSError:
        return platform.processor()
    said = {name.strip(): value.strip() for name, value in found.items()}
    return f"{said.get('model name', platform.machine())} {float(said.get('cpu MHz', 0)):.0f} MHz"


def write_page(page: Path, content: str) -> None:
    """Put `content` between the page's markers."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{page.name} has no {BEGIN}"
    assert end, f"{page.name} has no {END}"
    page.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}")
