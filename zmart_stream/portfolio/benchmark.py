"""The benchmark: the universe in equal weights, set anew at 00:00 UTC, without costs and without funding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum

import msgspec

DAY_NS = 86_400 * 1_000_000_000


class SectorShare(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One sector of the benchmark within a bar, fractions."""

    weight: float
    """Of the benchmark at the bar's start."""
    gain: float
    """Return of the sector within the bar."""


class Member(msgspec.Struct, kw_only=True, gc=False):
    """A contract since the day's setting."""

    base: float
    mark: float


class Benchmark(msgspec.Struct, kw_only=True, gc=False):
    """`level` starts at 1. Sums are exact, so that the order of the universe plays no part."""

    level: float = 1.0
    opening: float = 1.0
    """Level at the day's setting."""
    day: int = -1
    """Days since 1970 of the setting; -1: not begun."""
    members: dict[str, Member] = {}

    def mark(
        self, ts: int, marks: Mapping[str, float], universe: Iterable[str], sectors: Mapping[str, str | None]
    ) -> dict[str | None, SectorShare]:
        """Go on to the marks at `ts` (ns); what each sector did since the last call. At a new day, set `universe` anew.

        A member without a mark stays where it was; a contract without one is not taken in.
        """
        moved = self._move(marks, sectors)
        if self.members:
            total = fsum(member.mark / member.base for member in self.members.values())
            self.level = self.opening * total / len(self.members)
        if ts // DAY_NS != self.day or not self.members:
            self.day, self.opening = ts // DAY_NS, self.level
            self.members = {
                symbol: Member(base=price, mark=price)
                for symbol in universe
                if 0.0 < (price := marks.get(symbol, 0.0)) < 1e300
            }
        return moved

    def _move(self, marks: Mapping[str, float], sectors: Mapping[str, str | None]) -> dict[str | None, SectorShare]:
        before: dict[str | None, list[float]] = {}
        after: dict[str | None, list[float]] = {}
        for symbol, member in self.members.items():
            sector = sectors.get(symbol)
            before.setdefault(sector, []).append(member.mark / member.base)
            price = marks.get(symbol, 0.0)
            if 0.0 < price < 1e300:
                member.mark = price
            after.setdefault(sector, []).append(member.mark / member.base)
        whole = fsum(value for values in before.values() for value in values)
        return {
            sector: SectorShare(weight=fsum(values) / whole, gain=fsum(after[sector]) / fsum(values) - 1.0)
            for sector, values in before.items()
        }
