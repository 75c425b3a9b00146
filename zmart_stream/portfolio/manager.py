"""PortfolioManager: the weights of the holdings, and when they are found anew; the ledger follows every change.

Composition is SymbolManager's. At a close the engine's order is `mark`, the rules, `close`; between closes each change
of composition is followed by `after`. Nothing here acts on the book while it holds; the ledger is marked and funded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from zmart_stream.domain.commands import Rebalance
from zmart_stream.domain.errors import CommandRefusedError, InfeasibleError, SnapshotError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, EquityMarked, PortfolioChange, SwapMeasured, WeightsKept
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.benchmark import DAY_NS
from zmart_stream.portfolio.book import Why
from zmart_stream.portfolio.dealing import Dealer, measured
from zmart_stream.portfolio.ledger import Ledger
from zmart_stream.portfolio.symbols import SymbolManager
from zmart_stream.portfolio.targets import Weights, beyond_buffer
from zmart_stream.portfolio.weighing import Market, Weigher
from zmart_stream.portfolio.weights.problem import WeightProblem

COMPOSITION = frozenset({"fill", "replace", "remove", "add", "resize"})
"""Kinds of change after which weights are found anew."""

POINTS_NS = 8 * DAY_NS
_FINALS_KEPT = 200

Standings = Mapping[str, Standing]
_COMPOSED = Why(kind="reweight", reason="composition")


class Tilt(msgspec.Struct, frozen=True, gc=False):
    """A holding's target is multiplied until a time."""

    factor: float
    until: int
    """ns."""


class Totals(msgspec.Struct, kw_only=True, gc=False):
    """Since the ledger opened, units of 1e-8 USDT."""

    opened: int = 0
    """ns."""
    price_pnl: int = 0
    funding: int = 0
    costs: int = 0
    traded: int = 0


class Memory(msgspec.Struct, kw_only=True):
    """What the manager remembers beside the ledger."""

    day: int = -1
    """Days since 1970 of the last re-weighting."""
    kept: str = ""
    """Why the present weights were kept, as it was told."""
    tilts: dict[str, Tilt] = {}
    totals: Totals = msgspec.field(default_factory=Totals)
    points: list[EquityMarked] = []
    """Of the last 8 days."""
    finals: list[SwapMeasured] = []
    """Newest last."""
    owed: bool = False
    """The composition changed while the book held: weights are to be found anew."""
    last_trade: str = ""


class PortfolioManager:
    """Weights by the optimiser in force, within the limits of numbers.md §5, and the paper ledger of §6."""

    def __init__(
        self, settings: CoreSettings, symbols: SymbolManager, market: Market, *, new_id: Callable[[int], str]
    ) -> None:
        self.memory = Memory()
        self.symbols = symbols
        self._market = market
        self._dealer = Dealer(settings.portfolio, market, new_id=new_id)
        self.settings = settings.portfolio
        self.weigher = Weigher(settings.portfolio, market)

    def reconfigure(self, settings: CoreSettings) -> None:
        """Weigh by `settings` from the next occasion on; the ledger goes on with the equity it has."""
        self.settings = settings.portfolio
        self.weigher = Weigher(settings.portfolio, self._market)
        self._dealer.reconfigure(settings.portfolio)

    @property
    def ledger(self) -> Ledger:
        """The book's money."""
        return self._dealer.ledger

    @property
    def is_open(self) -> bool:
        """Whether the ledger has begun: with the first holding."""
        return self._dealer.is_open

    # -- the ledger --------------------------------------------------------------------------------------------------

    def mark(self, ts: int, end: int) -> list[Message]:
        """An hour ended at `end` (ns): the equity at the marks of now, also while the book holds.

        A book that is older than its ledger opens it here, as it stands and without costs, once all of it has a price.
        """
        if not self._dealer.is_open:
            held = {holding.symbol: holding.weight for holding in self.symbols.portfolio.holdings}
            if not held or any(self._market.mark(symbol) is None for symbol in held):
                return []
            return self._noted(self._dealer.open(ts, held))
        return self._noted(self._dealer.mark(end, ts))

    def fund(self, ts: int, symbol: str, settlements: Iterable[tuple[int, float]], *, live: bool) -> list[Message]:
        """Settlements of a contract, `(time ns, rate)` ascending; `live`: announced now, else history.

        Each is paid once, by the books that held the contract at its time.
        """
        return self._dealer.fund(ts, symbol, settlements, live=live)

    def running(self, now: int) -> list[SwapMeasured]:
        """Swaps whose horizon is not over, as of `now` (ns), newest first."""
        return [measured(now, result) for result in reversed(self.ledger.swaps(now))]

    # -- the weights -------------------------------------------------------------------------------------------------

    def after(self, ts: int, told: Sequence[Message], standings: Standings) -> list[Message]:
        """The composition changed by what was `told`: weights are found anew, and the ledger trades.

        While the book holds (an operator's command in a pause) the weights stay those that came with the change.
        """
        changes = [m for m in told if isinstance(m, PortfolioChange) and m.kind in COMPOSITION]
        if not changes:
            return []
        opening = self._open(ts, changes[0])
        swaps: list[Message] = []
        for change in changes:
            if change.kind == "replace":
                swaps += self._dealer.swap(ts, change, standings)
        held = {holding.symbol for holding in self.symbols.portfolio.holdings}
        self.memory.tilts = {symbol: tilt for symbol, tilt in self.memory.tilts.items() if symbol in held}
        self.memory.owed = self.symbols.hold.on
        changed = [] if self.memory.owed else self._reweighed(ts, standings, _COMPOSED)
        return self._noted([*opening, *changed, *swaps, *self._trade(ts, completes=self._is_complete(told))])

    def close(self, ts: int, end: int, told: Sequence[Message], standings: Standings) -> list[Message]:
        """A decision's interval ended at `end` (ns) and the rules have `told`: weights, if there is a reason.

        Reasons: composition; the first close of a UTC day; an expired tilt; a weight that left its buffer.
        """
        if self.symbols.hold.on:
            return []
        if any(isinstance(m, PortfolioChange) and m.kind in COMPOSITION for m in told):
            return self.after(ts, told, standings)
        if self.memory.owed:
            self.memory.owed = False
            return self.reweigh(ts, standings, reason=_COMPOSED.reason)
        if not self.symbols.portfolio.holdings or not self._dealer.is_open:
            return []
        reason = self._occasion(end)
        return self.reweigh(ts, standings, reason=reason) if reason else []

    def reweigh(
        self, ts: int, standings: Standings, *, reason: str, who: str = "machine", note: str = ""
    ) -> list[Message]:
        """Weights anew, and the trades that follow; nothing while the limits conflict."""
        changed = self._reweighed(ts, standings, Why(kind="reweight", reason=reason, who=who, note=note))
        return changed if self.memory.kept else self._noted([*changed, *self._trade(ts)])

    def rebalance(self, command: Rebalance, standings: Standings) -> list[Message]:
        """An operator's wish for weights at their targets; nothing when they are there.

        While the limits conflict the weights stay (`memory.kept` says why); a ledger that opened with it is told still.
        Raises CommandRefusedError: `holding`.
        """
        hold = self.symbols.hold
        if hold.on:
            raise CommandRefusedError("holding", f"the book holds ({hold.reason})")
        if not self.symbols.portfolio.holdings:
            return []
        opening = [] if self._dealer.is_open else self._noted(self._dealer.open(command.ts, self._held()))
        told = self.reweigh(command.ts, standings, reason="operator", who=command.who, note=command.note)
        return [*opening, *told]

    def tilt(self, symbol: str, factor: float, until: int) -> None:
        """Multiply the target of a holding by `factor` until `until` (ns), inside the limits; `reweigh` makes it so.

        A further tilt of the same holding takes the place of the first. Raises CommandRefusedError: `not_in_book`.
        """
        if self.symbols.holding(symbol) is None:
            raise CommandRefusedError("not_in_book", f"{symbol} is not held")
        self.memory.tilts = {**self.memory.tilts, symbol: Tilt(factor, until)}

    def problem(self, standings: Standings) -> WeightProblem:
        """The holdings to share equity among, as they stand."""
        symbols = [holding.symbol for holding in self.symbols.portfolio.holdings]
        return self.weigher.problem(symbols, standings, self.ledger.weights())

    def solve(self, problem: WeightProblem, name: str | None = None) -> Weights:
        """What optimiser `name` (default: the one in force) makes of it, tilts included. Raises InfeasibleError."""
        return self.weigher.solve(problem, {symbol: t.factor for symbol, t in self.memory.tilts.items()}, name)

    # -- state -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Ledger and memory."""
        self.memory.last_trade = self._dealer.last_trade
        return {"ledger": self.ledger.snapshot(), "memory": msgspec.msgpack.encode(self.memory)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot. Raises SnapshotError if it does not fit."""
        try:
            memory = msgspec.msgpack.decode(state["memory"], type=Memory)
            self.ledger.restore(state["ledger"])
        except (KeyError, msgspec.DecodeError) as error:
            raise SnapshotError(f"ledger: {error}") from error
        self.memory = memory
        self._dealer.last_trade = memory.last_trade

    def recover(self, state: dict[str, Any] | None, point: EquityMarked | None) -> bool:
        """Take over a snapshot; False if it does not fit: the ledger then opens anew, with the equity of `point`."""
        try:
            self.restore(state or {})
        except SnapshotError:
            if point is not None:
                self._dealer.resume(point)
            return False
        return True

    def replay(self, messages: Iterable[Message]) -> None:
        """Play what was stored after the snapshot: BookTraded and FundingPaid, oldest first; others are passed over.

        What the snapshot knows already is passed over too, so that the equity goes on without a jump.
        """
        was_open = self._dealer.is_open
        self._dealer.replay(messages)
        if not was_open and self.ledger.state.last is not None:
            self.memory.totals.opened = self.ledger.state.last

    # -- parts -------------------------------------------------------------------------------------------------------

    def _held(self) -> dict[str, float]:
        return {holding.symbol: holding.weight for holding in self.symbols.portfolio.holdings}

    def _open(self, ts: int, first: PortfolioChange) -> list[Message]:
        """The ledger begins with the book as it was before its first change here."""
        if self._dealer.is_open:
            return []
        return self._dealer.open(ts, {holding.symbol: holding.weight for holding in first.before.holdings})

    def _is_complete(self, told: Sequence[Message]) -> bool:
        """Whether the first book is complete now: the first fill is done, or every place was filled by hand."""
        if self.ledger.state.first_book is not None:
            return False
        full = len(self.symbols.portfolio.holdings) >= self.settings.max_symbols
        return full or any(isinstance(message, BookReady) for message in told)

    def _occasion(self, end: int) -> str:
        """Why the weights are to be found anew at the close of `end` (ns); empty: they are not.

        What an approved signal began ends by itself, also in a book that is not kept automatically.
        """
        is_over = any(tilt.until <= end for tilt in self.memory.tilts.values())
        if not self.settings.automatic:
            return "tilt" if is_over else ""
        if end // DAY_NS > self.memory.day:
            return "daily"
        if is_over:
            return "tilt"
        return "buffer" if beyond_buffer(self.ledger.weights(), self._held()) else ""

    def _reweighed(self, ts: int, standings: Standings, why: Why) -> list[Message]:
        """The book's weights set to their targets; the one that is told while the limits conflict, and why, once."""
        memory = self.memory
        memory.day = max(memory.day, ts // DAY_NS)
        memory.tilts = {symbol: tilt for symbol, tilt in memory.tilts.items() if tilt.until > ts}
        if not self.symbols.portfolio.holdings:
            return []
        problem = self.problem(standings)
        try:
            weights = self.solve(problem)
        except InfeasibleError as conflict:
            before, memory.kept = memory.kept, str(conflict)
            return [] if _cause(before) == _cause(memory.kept) else [WeightsKept(ts=ts, reason=memory.kept)]
        memory.kept = ""
        numbers = self._numbers(problem, weights)
        change = self.symbols.reweighed(ts, weights, msgspec.structs.replace(why, numbers=numbers))
        return [] if change is None else [change]

    def _numbers(self, problem: WeightProblem, weights: Weights) -> dict[str, float | str | None]:
        """The figures behind a re-weighting."""
        present = dict(zip(problem.symbols, problem.present, strict=True))
        bought = sum(max(0.0, weight - present[symbol]) for symbol, weight in weights.weights.items())
        numbers: dict[str, float | str | None] = {"optimiser": self.weigher.optimiser, "bought": round(bought, 6)}
        numbers.update({f"tilt_{symbol}": tilt.factor for symbol, tilt in self.memory.tilts.items()})
        return numbers

    def _trade(self, ts: int, *, completes: bool = False) -> list[Message]:
        return self._dealer.trade(ts, self._held(), completes=completes)

    def _noted(self, told: list[Message]) -> list[Message]:
        """Remember what reports read."""
        memory = self.memory
        for message in told:
            if isinstance(message, EquityMarked):
                totals = memory.totals
                totals.opened = totals.opened or message.end
                totals.price_pnl += message.price_pnl
                totals.funding += message.funding
                totals.costs += message.costs
                totals.traded += message.traded
                kept = [point for point in memory.points if point.end > message.end - POINTS_NS]
                memory.points = [*kept, message]
            elif isinstance(message, SwapMeasured) and message.is_final:
                memory.finals = [*memory.finals, message][-_FINALS_KEPT:]
        return told


def _cause(reason: str) -> str:
    """What conflicts, without the figures of the moment."""
    return reason.partition(":")[0]
