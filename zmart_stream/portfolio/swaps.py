"""The un-swapped book of every swap: what the swap earned against not swapping (numbers.md §6).

At a swap the book is copied twice, as it was and as it became. Both copies are held untouched for the horizon, with
marks, funding and settlements but no further trades, so that later changes of the book do not blur what this one did.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from zmart_stream.portfolio.account import Account


class SwapNote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A swap as the book recorded it."""

    id: str
    """Of the PortfolioChange."""
    symbol_out: str
    symbol_in: str
    gap: float
    """Points by which the one outscored the other."""


class SwapResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a swap earned so far, or for good. Money in units of 1e-8 USDT."""

    note: SwapNote
    since: int
    until: int
    """ns; of a running shadow, when it becomes final."""
    start: int
    """Equity before the swap."""
    costs: int
    """All that the swap's trades cost."""
    unswapped: int
    """Equity of the book held as it was."""
    swapped: int
    """Equity of the book held as it became."""
    spread_bps: float | None
    """Return of the contract that came less that of the one that left, with funding, before costs; None: not held."""
    is_final: bool

    @property
    def earned(self) -> int:
        """Net of costs; below 0: not swapping would have been better."""
        return self.swapped - self.unswapped


class SwapRun(msgspec.Struct, kw_only=True, gc=False):
    """A swap whose horizon is not over."""

    note: SwapNote
    since: int
    until: int
    start: int
    costs: int
    unswapped: Account
    swapped: Account
    values: tuple[int, int]
    """Of the contract that left, before; of the one that came, after."""

    @property
    def accounts(self) -> tuple[Account, Account]:
        """Both copies."""
        return self.unswapped, self.swapped

    def result(self, ts: int) -> SwapResult:
        """As of `ts` (ns)."""
        return SwapResult(
            note=self.note,
            since=self.since,
            until=self.until,
            start=self.start,
            costs=self.costs,
            unswapped=self.unswapped.equity,
            swapped=self.swapped.equity,
            spread_bps=self._spread_bps(),
            is_final=ts >= self.until,
        )

    def _spread_bps(self) -> float | None:
        if min(self.values) <= 0:
            return None
        left = _earned(self.unswapped, self.note.symbol_out) / self.values[0]
        came = _earned(self.swapped, self.note.symbol_in) / self.values[1]
        return (came - left) * 1e4


class Shadows(msgspec.Struct, kw_only=True, gc=False):
    """The running swaps, oldest first."""

    runs: list[SwapRun] = []

    def begin(self, note: SwapNote, ts: int, until: int, books: tuple[Account, Account], costs: int) -> None:
        """A swap at `ts` (ns), final at `until`; `books` are copies of the book before and after it, marked alike."""
        unswapped, swapped = books
        out, into = unswapped.positions.get(note.symbol_out), swapped.positions.get(note.symbol_in)
        self.runs.append(
            SwapRun(
                note=note,
                since=ts,
                until=until,
                start=unswapped.equity,
                costs=costs,
                unswapped=unswapped,
                swapped=swapped,
                values=(out.value if out is not None else 0, into.value if into is not None else 0),
            )
        )

    @property
    def accounts(self) -> Iterator[Account]:
        """Every copy, to be marked, funded and settled with the book."""
        for run in self.runs:
            yield from run.accounts

    def finish(self, ts: int) -> list[SwapResult]:
        """Results of the swaps whose horizon is over at `ts` (ns); they run no longer."""
        over = [run.result(ts) for run in self.runs if ts >= run.until]
        self.runs = [run for run in self.runs if ts < run.until]
        return over


def _earned(account: Account, symbol: str) -> int:
    """Price P&L and funding of a contract since the copy was made, settled or not."""
    position = account.positions.get(symbol)
    held = position.price_pnl + position.funding if position is not None else 0
    return held + sum(stay.price_pnl + stay.funding for stay in account.stays if stay.symbol == symbol)
