"""How strong and how sure a finding is: by how far its figures pass their thresholds. Both grow, neither reaches 1.

A detector has no evidence that what it sees pays: at its thresholds confidence is one half, which moves no prior.
Once enough of its signals are settled, its hit rate takes the place of it (numbers.md §4).
"""

from __future__ import annotations

from collections.abc import Iterable

from zmart_stream.signals.base import Finding

DIGITS = 6
"""Grades are rounded to so many: a root's or a mean's last bit may differ between machines."""


def strength(value: float, least: float) -> float:
    """1 − least / (2 · value): one half at the threshold `least`, three quarters at twice it. Both above 0."""
    return round(1.0 - 0.5 * min(1.0, least / value), DIGITS)


def confidence(value: float, least: float) -> float:
    """0.75 − least / (4 · value): one half at the threshold `least`, towards three quarters beyond."""
    return round(0.75 - 0.25 * min(1.0, least / value), DIGITS)


def told(**figures: float) -> dict[str, float]:
    """The numbers behind a finding, to nine significant digits: prices may be as small as 1e-8."""
    return {name: float(f"{figure:.9g}") for name, figure in figures.items()}


def strongest_first(findings: Iterable[Finding]) -> list[Finding]:
    """In the order in which they become signals when there are many."""
    return sorted(findings, key=lambda finding: (-finding.strength, finding.symbol))


def check_positive(**options: float) -> None:
    """Raise ValueError for an option that is not above 0."""
    for name, value in options.items():
        if not 0.0 < value < float("inf"):
            raise ValueError(f"{name} is not above 0")


def whole_number(name: str, value: float, *, least: int, most: int) -> int:
    """`value` as a count. Raises ValueError unless it is a whole number from `least` to `most`."""
    if not least <= value <= most or value != int(value):
        raise ValueError(f"{name} is not a whole number from {least} to {most}")
    return int(value)
