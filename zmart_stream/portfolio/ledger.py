"""Paper equity of the book, and beside it the first book held, the un-swapped books and the benchmark (numbers.md §6).

The caller's order at a close: `mark` at the bar's end, then the rules' changes by `trade`; their costs fall into the
next bar. In between come `fund` and `settle`. At every point equity = equity before + price P&L + funding − costs, to
the last unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from zmart_stream.portfolio.account import UNIT, Account, BarFlows, Quote, Stay
from zmart_stream.portfolio.attribution import Period, bar_period, fold
from zmart_stream.portfolio.benchmark import DAY_NS, Benchmark
from zmart_stream.portfolio.economics import RealisedSlope, SlopeEstimate
from zmart_stream.portfolio.swaps import Shadows, SwapNote, SwapResult

START_USDT = 100_000.0
REFERENCE = "XBTUSDTM"
SWAP_HORIZON_NS = 7 * DAY_NS

_BARS_NS = 7 * DAY_NS
_DAYS_KEPT = 3 * 366
_STAYS_KEPT = 2_000


class EquityPoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The ledger at a close. Money in units of 1e-8 USDT."""

    ts: int
    """ns."""
    equity: int
    cash: int
    price_pnl: int
    funding: int
    """Since the last point, above 0: received."""
    costs: int
    """Since the last point, at least 0."""
    traded: int
    first_book: int | None
    """The first book held ever since; None before it is complete."""
    benchmark: int
    """What the same start would be in the benchmark."""


class FundingPayment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A settlement that the book paid or received."""

    settled: int
    """ns."""
    symbol: str
    rate: float
    value: int
    """Held at the settlement, units of 1e-8 USDT."""
    amount: int
    """Above 0: received."""


class Closed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a close of the ledger tells."""

    point: EquityPoint
    period: Period | None
    """The bar's attribution; None at the first point."""
    finals: tuple[SwapResult, ...]
    """Swaps whose horizon ended."""
    stays: tuple[Stay, ...]
    """Holdings that left since the last point."""


class LedgerState(msgspec.Struct, kw_only=True):
    """All that the ledger remembers."""

    start: int
    account: Account
    benchmark: Benchmark = msgspec.field(default_factory=Benchmark)
    shadows: Shadows = msgspec.field(default_factory=Shadows)
    first_book: Account | None = None
    last: int | None = None
    """ns of the last point."""
    reference: float | None = None
    """Mark of the reference contract at the last point."""
    bars: list[Period] = []
    """Of the last 7 days."""
    days: list[Period] = []
    """Whole UTC days, up to three years of them."""
    stays: list[Stay] = []
    funded: dict[str, int] = {}
    """Last settlement paid by symbol, ns."""


class Ledger:
    """The book's money. Quotes cost `economics.Leg.paid_bps`; a missing mark leaves a position where it was."""

    def __init__(self, *, start_usdt: float = START_USDT, swap_horizon_ns: int = SWAP_HORIZON_NS) -> None:
        start = round(start_usdt * UNIT)
        self.state = LedgerState(start=start, account=Account.opened(start))
        self._slope = RealisedSlope()
        self.horizon_ns = swap_horizon_ns

    @property
    def equity(self) -> int:
        """Now, at the last marks; units of 1e-8 USDT."""
        return self.state.account.equity

    @property
    def symbols(self) -> list[str]:
        """Contracts held by the book, the first book or an un-swapped one: all of them need marks and funding."""
        found: dict[str, None] = {}
        for account in self._accounts():
            found.update(dict.fromkeys(account.positions))
        return list(found)

    @property
    def slope(self) -> SlopeEstimate:
        """What a point of score earned, from the swaps that are final."""
        return self._slope.estimate

    @property
    def stays(self) -> Sequence[Stay]:
        """Finished stays in the book, oldest first."""
        return self.state.stays

    def weights(self) -> dict[str, float]:
        """Present percent of equity by symbol, drifted with the market."""
        return self.state.account.weights()

    def swaps(self, ts: int) -> list[SwapResult]:
        """Swaps whose horizon is not over, as of now."""
        return [run.result(ts) for run in self.state.shadows.runs]

    def mark(
        self, ts: int, marks: Mapping[str, float], universe: Iterable[str], sectors: Mapping[str, str | None]
    ) -> Closed:
        """A bar ended at `ts` (ns): everything moves to `marks`. `sectors` of all contracts, None or absent: none."""
        state = self.state
        for account in self._accounts():
            for symbol in account.positions:
                if symbol in marks:
                    account.mark(symbol, marks[symbol])
        moved = state.benchmark.mark(ts, marks, universe, sectors)
        bar = state.account.close_bar()
        period = None
        if state.last is not None:
            period = bar_period((state.last, ts), bar, moved, sectors, reference=self._reference_return(marks))
            self._remember(period)
        state.last, state.reference = ts, marks.get(REFERENCE, state.reference)
        stays = state.account.take_stays()
        state.stays = [*state.stays, *stays][-_STAYS_KEPT:]
        point = self._point(ts, bar)
        return Closed(point=point, period=period, finals=tuple(self._finish(ts)), stays=tuple(stays))

    def trade(
        self, ts: int, weights: Mapping[str, float], quotes: Mapping[str, Quote], *, swap: SwapNote | None = None
    ) -> int:
        """Bring the book to `weights` (percent, the rest is cash); returns the costs in units.

        Everything held or wanted needs a quote. With `swap` the un-swapped book starts.
        """
        account = self.state.account
        for symbol, quote in quotes.items():
            account.mark(symbol, quote.price)
        before = account.copy() if swap is not None else None
        costs = account.rebalance(ts, weights, quotes)
        if swap is not None and before is not None:
            since = ts if self.state.last is None else self.state.last  # so that a swap at a close ends at one
            self.state.shadows.begin(swap, ts, since + self.horizon_ns, (before, account.copy()), costs)
        return costs

    def fund(self, symbol: str, rate: float, settled: int, *, mark: float | None = None) -> FundingPayment | None:
        """A settlement at `settled` (ns): each book pays `rate` of what it held. None if the book did not hold it.

        A settlement that was paid already, or an older one, changes nothing.
        """
        if settled <= self.state.funded.get(symbol, -1):
            return None
        self.state.funded[symbol] = settled
        paid = None
        for account in self._accounts():
            if mark is not None:
                account.mark(symbol, mark)
            amount = account.fund(symbol, rate, settled)
            if account is self.state.account and amount is not None:
                value = account.positions[symbol].value
                paid = FundingPayment(settled=settled, symbol=symbol, rate=rate, value=value, amount=amount)
        return paid

    def settle(self, ts: int, symbol: str) -> None:
        """A contract is delisted: whoever holds it gets its last mark in cash."""
        for account in self._accounts():
            account.settle(symbol, ts)

    def hold_first_book(self) -> None:
        """The first fill is complete: from now on a copy of the book is held as it is. Only the first call counts."""
        if self.state.first_book is None:
            self.state.first_book = self.state.account.copy()

    def periods(self, window_ns: int | None, now: int) -> tuple[list[Period], float]:
        """The periods that end in the `window_ns` before `now` (None: all) and their step in seconds.

        Bars up to 7 days, UTC days beyond, of which the last may be unfinished.
        """
        state = self.state
        if window_ns is not None and window_ns <= _BARS_NS:
            found = [period for period in state.bars if period.end > now - window_ns]
            return found, (found[-1].end - found[-1].start) / 1e9 if found else 3600.0
        whole = fold(_of_day(state.bars, now))
        days = [*state.days, whole] if whole is not None else list(state.days)
        return [day for day in days if window_ns is None or day.end > now - window_ns], DAY_NS / 1e9

    def snapshot(self) -> dict[str, Any]:
        """All of it, the state as one block of bytes."""
        return {"ledger": msgspec.msgpack.encode(self.state), "slope": self._slope.snapshot()}

    def restore(self, data: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self.state = msgspec.msgpack.decode(data["ledger"], type=LedgerState)
        self._slope.restore(data["slope"])

    def _accounts(self) -> list[Account]:
        state = self.state
        first = [] if state.first_book is None else [state.first_book]
        return [state.account, *first, *state.shadows.accounts]

    def _reference_return(self, marks: Mapping[str, float]) -> float | None:
        before, now = self.state.reference, marks.get(REFERENCE)
        return None if before is None or now is None or before <= 0.0 else now / before - 1.0

    def _remember(self, period: Period) -> None:
        """Keep 7 days of bars; a bar that ends a UTC day closes that day."""
        state = self.state
        state.bars = [bar for bar in state.bars if bar.end > period.end - _BARS_NS - DAY_NS]
        state.bars.append(period)
        if period.end // DAY_NS != period.start // DAY_NS:
            day = fold(_of_day(state.bars, period.start))
            if day is not None:
                state.days = [*state.days, day][-_DAYS_KEPT:]

    def _point(self, ts: int, bar: BarFlows) -> EquityPoint:
        state = self.state
        return EquityPoint(
            ts=ts,
            equity=bar.after,
            cash=state.account.cash,
            price_pnl=bar.price_pnl,
            funding=bar.funding,
            costs=bar.costs,
            traded=bar.traded,
            first_book=None if state.first_book is None else state.first_book.equity,
            benchmark=round(state.start * state.benchmark.level),
        )

    def _finish(self, ts: int) -> list[SwapResult]:
        finals = self.state.shadows.finish(ts)
        for final in finals:
            if final.spread_bps is not None:
                self._slope.update(final.note.gap, final.spread_bps)
        return finals


def _of_day(bars: Sequence[Period], ts: int) -> list[Period]:
    """The bars that began on the UTC day of `ts` (ns)."""
    return [bar for bar in bars if bar.start // DAY_NS == ts // DAY_NS]
