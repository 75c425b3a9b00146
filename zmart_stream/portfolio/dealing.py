"""The ledger's dealings: what the book trades, at what price and cost, and how all of it is told and played again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import floor

from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import (
    BookTraded,
    EquityMarked,
    FundingPaid,
    PaperQuote,
    PortfolioChange,
    SwapAccount,
    SwapMeasured,
)
from zmart_stream.domain.settings import PortfolioSettings
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.account import UNIT, Account, Quote
from zmart_stream.portfolio.ledger import EquityPoint, Ledger
from zmart_stream.portfolio.swaps import SwapNote, SwapResult
from zmart_stream.portfolio.weighing import Market

DUST = 0.005
"""Percent of equity below which no weight is traded."""

_FINE = 100_000_000
_HOUR = 3600 * 1_000_000_000
_MINUTE = 60 * 1_000_000_000
_NS = 1_000_000_000


class Dealer:
    """Trades for the paper book. `new_id(ts)` makes ids from market time.

    The ledger opens with the book's first holding: a point at its start, then the first trade. `last_trade` is the id
    of the newest one it knows; a trade up to that is not made again.
    """

    def __init__(self, settings: PortfolioSettings, market: Market, *, new_id: Callable[[int], str]) -> None:
        self.ledger = Ledger(start_usdt=settings.start_usdt, swap_horizon_ns=int(settings.swap_horizon_s * _NS))
        self.last_trade = ""
        self._market = market
        self._new_id = new_id

    def reconfigure(self, settings: PortfolioSettings) -> None:
        """Swaps from now on run the new horizon; what the ledger started with stays."""
        self.ledger.horizon_ns = int(settings.swap_horizon_s * _NS)

    @property
    def is_open(self) -> bool:
        """Whether the ledger has begun."""
        return self.ledger.state.last is not None

    def open(self, ts: int, held: Mapping[str, float]) -> list[Message]:
        """Begin the ledger, with `held` (percent by symbol) in it without costs: a book older than its ledger."""
        told = self.mark(ts, ts, first=True)
        if held:
            told += self.trade(ts, held, completes=True, free=True)
        return told

    def resume(self, point: EquityMarked) -> None:
        """Let a ledger that is not open yet begin at the equity and the benchmark of `point`."""
        state = self.ledger.state
        state.account = Account.opened(point.equity)
        state.benchmark.level = state.benchmark.opening = point.benchmark / state.start

    def mark(self, end: int, ts: int, *, first: bool = False) -> list[Message]:
        """A bar ended at `end` (ns): the equity, and the swaps that are final. Nothing before the ledger is open."""
        last = self.ledger.state.last
        if (last is None and not first) or (last is not None and end <= last):
            return []
        market = self._market
        closed = self.ledger.mark(end, market.marks(), market.universe(), market.sectors())
        held = self.ledger.state.account.positions
        for symbol in self.ledger.symbols:
            if symbol not in held and market.is_gone(symbol):
                self.ledger.settle(end, symbol)
        return [_marked(ts, closed.point), *(measured(ts, final) for final in closed.finals)]

    def swap(self, ts: int, change: PortfolioChange, standings: Mapping[str, Standing]) -> list[Message]:
        """Trade what a replacement exchanges, and nothing else: the newcomer takes what the other was worth.

        Both trade at once, so that the un-swapped book tells what the swap did; other weights follow later. Nothing
        when the one is not held or the other has no price.
        """
        into, out = change.symbol_in, change.symbol_out
        present = self.ledger.weights()
        if into is None or out is None or out not in present or self._quote(into) is None:
            return []
        weights = {symbol: floor(weight * _FINE) / _FINE for symbol, weight in present.items()}
        weights[into] = weights.pop(out)
        swap = SwapAccount(id=change.id, symbol_out=out, symbol_in=into, gap=_gap(standings, out, into))
        return self.trade(ts, weights, swap=swap)

    def trade(
        self,
        ts: int,
        weights: Mapping[str, float],
        *,
        swap: SwapAccount | None = None,
        completes: bool = False,
        free: bool = False,
    ) -> list[Message]:
        """Bring the ledger to `weights` (percent); nothing when it is there within `DUST`.

        A contract that is gone, or has no price yet, is not bought; one that is gone is settled at its last mark
        without costs. `free`: no costs at all. `completes`: the first book is complete with it.
        """
        present = self.ledger.weights()
        quotes = {
            symbol: quote
            for symbol in dict.fromkeys((*present, *weights))
            if (quote := self._quote(symbol, free=free)) is not None
        }
        wanted = {
            symbol: weight
            for symbol, weight in weights.items()
            if symbol in quotes and weight > 0.0 and not self._market.is_gone(symbol)
        }
        moves = (abs(wanted.get(symbol, 0.0) - present.get(symbol, 0.0)) for symbol in quotes)
        if swap is None and not completes and max(moves, default=0.0) < DUST:
            return []
        traded = BookTraded(
            ts=ts,
            id=self._new_id(ts),
            weights=wanted,
            quotes=quotes,
            costs=self._book(ts, wanted, quotes, swap),
            swap=swap,
            completes_first_fill=completes,
        )
        self._noted(traded)
        return [traded] if swap is None else [traded, measured(ts, self.ledger.swaps(ts)[-1])]

    def fund(self, ts: int, symbol: str, settlements: Iterable[tuple[int, float]], *, live: bool) -> list[Message]:
        """Settlements `(time ns, rate)`, ascending: each is paid once, by whoever held the contract then.

        `live`: on the mark of now; else, for what was missed, on the price at which that hour closed.
        """
        if symbol not in self.ledger.symbols:
            return []
        told: list[Message] = []
        for at, rate in settlements:
            settled = (at + _MINUTE // 2) // _MINUTE * _MINUTE  # announcement and history differ by milliseconds
            price = self._market.mark(symbol) if live else self._market.price_at(symbol, settled)
            paid = self.ledger.fund(symbol, rate, settled, mark=price)
            if paid is not None:
                told.append(
                    FundingPaid(ts=ts, symbol=symbol, settled=settled, rate=rate, value=paid.value, amount=paid.amount)
                )
        return told

    def replay(self, messages: Iterable[Message]) -> None:
        """Make the trades and payments again that were stored after a snapshot, oldest first."""
        for message in messages:
            if isinstance(message, BookTraded) and message.id > self.last_trade:
                if not self.is_open:
                    self.mark(message.ts, message.ts, first=True)
                self._book(message.ts, message.weights, message.quotes, message.swap)
                self._noted(message)
            elif isinstance(message, FundingPaid):
                position = self.ledger.state.account.positions.get(message.symbol)
                price = None if position is None else message.value / UNIT / position.quantity
                self.ledger.fund(message.symbol, message.rate, message.settled, mark=price)

    def _book(
        self, ts: int, weights: Mapping[str, float], quotes: Mapping[str, PaperQuote], swap: SwapAccount | None
    ) -> int:
        note = None
        if swap is not None:
            note = SwapNote(id=swap.id, symbol_out=swap.symbol_out, symbol_in=swap.symbol_in, gap=swap.gap)
        priced = {symbol: Quote(price=quote.price, cost_bps=quote.cost_bps) for symbol, quote in quotes.items()}
        return self.ledger.trade(ts, weights, priced, swap=note)

    def _noted(self, traded: BookTraded) -> None:
        self.last_trade = traded.id
        if traded.completes_first_fill:
            self.ledger.hold_first_book()

    def _quote(self, symbol: str, *, free: bool = False) -> PaperQuote | None:
        """Price and cost of a trade; the last mark of what is held and has no other; None without any price."""
        price = self._market.mark(symbol)
        if price is None:
            position = self.ledger.state.account.positions.get(symbol)
            if position is None:
                return None
            price = position.mark
        is_free = free or self._market.is_gone(symbol)
        return PaperQuote(price=price, cost_bps=0.0 if is_free else self._market.leg(symbol).paid_bps)


def _gap(standings: Mapping[str, Standing], out: str, into: str) -> float:
    """Points by which the one outscores the other; 0 when a score is not known."""
    left, came = (standings[symbol].score if symbol in standings else None for symbol in (out, into))
    return 0.0 if left is None or came is None else came - left


def _marked(ts: int, point: EquityPoint) -> EquityMarked:
    return EquityMarked(
        ts=ts,
        end=point.ts,
        equity=point.equity,
        cash=point.cash,
        price_pnl=point.price_pnl,
        funding=point.funding,
        costs=point.costs,
        traded=point.traded,
        first_book=point.first_book,
        benchmark=point.benchmark,
    )


def measured(ts: int, result: SwapResult) -> SwapMeasured:
    """A swap's result as a message of `ts` (ns)."""
    note = result.note
    return SwapMeasured(
        ts=ts,
        swap=SwapAccount(id=note.id, symbol_out=note.symbol_out, symbol_in=note.symbol_in, gap=note.gap),
        since=result.since,
        until=result.until,
        start=result.start,
        costs=result.costs,
        unswapped=result.unswapped,
        swapped=result.swapped,
        spread_bps=result.spread_bps,
        is_final=result.is_final,
    )
