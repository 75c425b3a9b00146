"""What a daemon needs to be well: each need judged on plain facts, with the way out where it is not met."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "fault"]

LOW, SCARCE = 0.15, 0.05
"""Share of the disk that is free: below the first it is told, below the second it is a fault."""

LATE_S, WRONG_S = 1.0, 5.0
"""Seconds that the machine's clock is off the venue's: above the first it is told, above the second it is a fault."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement. A `fault` is what a daemon cannot live with; `way_out` says what to do about it."""

    name: str
    level: Level
    text: str
    way_out: str = ""


def good(name: str, text: str) -> Check:
    """Nothing to do."""
    return Check(name=name, level="ok", text=text)


def fault(name: str, text: str, way_out: str) -> Check:
    """Something has to be done."""
    return Check(name=name, level="fault", text=text, way_out=way_out)


def warning(name: str, text: str, way_out: str) -> Check:
    """Something will have to be done."""
    return Check(name=name, level="warning", text=text, way_out=way_out)


def is_healthy(checks: list[Check]) -> bool:
    """Whether there is no fault."""
    return all(check.level != "fault" for check in checks)


def disk(free: int, total: int, folder: str) -> Check:
    """`free` of `total` bytes where `folder` is."""
    share = free / total if total else 0.0
    text = f"{free / 1e9:.1f} GB ({share:.0%}) free at {folder}"
    way = "make room, or move state_dir: on a full disk the book holds until there is space"
    if share < SCARCE:
        return fault("disk", text, way)
    return warning("disk", text, way) if share < LOW else good("disk", text)


def clock(skew_s: float) -> Check:
    """The machine's clock less the venue's, in seconds. Market time is the venue's; logs have the machine's."""
    text = f"this machine's clock is {abs(skew_s):.2f} s {'ahead of' if skew_s > 0 else 'behind'} the venue's"
    way = "set the clock by NTP (systemd-timesyncd or chrony): log lines and token ages follow it"
    if abs(skew_s) > WRONG_S:
        return fault("clock", text, way)
    return warning("clock", text, way) if abs(skew_s) > LATE_S else good("clock", text)


def ballast(wanted: int, found: int) -> Check | None:
    """The file that is given up on a full disk, in bytes; None: it lies there, or none is wanted."""
    if found >= wanted:
        return None
    way = "make room: a running daemon lays it down again after the next close"
    return warning("disk", f"{(wanted - found) / 1e6:.0f} MB of the ballast were given up on a full disk", way)


def schema(found: str | None, head: str) -> Check | None:
    """A database's revision, None in one without our tables; a verdict only where it is not `head`."""
    if found == head:
        return None
    if found is None:
        return good("database", "empty: the next start makes its tables")
    if found < head:
        return good(
            "database", f"schema {found or 'none'}: the next start brings it to {head}; not looked into further"
        )
    way = "run the newer release that wrote it, or restore a backup"
    return fault("database", f"schema {found} is newer than this release's {head}", way)


def size(holdings: int, max_symbols: int) -> Check | None:
    """A book larger than the settings say; it shrinks by itself."""
    if holdings <= max_symbols:
        return None
    way = "none: one holding after the other leaves at the next closes"
    return warning("book", f"{holdings} holdings, portfolio.max_symbols is {max_symbols}", way)
