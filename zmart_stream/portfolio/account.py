"""A paper account: cash and positions that balance to the last unit, whatever happens.

Money is whole units of 1e-8 USDT, so that sums are exact. A position's value moves with its mark, and every move is
booked once: price P&L of the position, funding and costs against cash, a trade from one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

UNIT = 100_000_000
"""Money units in 1 USDT."""

_PASSES = 5
_FINE = 100_000_000
_WHOLE = 100 * _FINE
"""Weights count in steps of 1e-8 percent: finer than a cent of any book."""


class Quote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """At what price a contract trades and what that costs, in bps of the amount."""

    price: float
    cost_bps: float


class Flow(msgspec.Struct, kw_only=True, gc=False):
    """What one contract did within a bar."""

    base: int = 0
    """What was invested: its value at the bar's start after the trades made there, and what was bought later."""
    price_pnl: int = 0
    funding: int = 0
    costs: int = 0


class Position(msgspec.Struct, kw_only=True, gc=False):
    """A held contract, long."""

    since: int
    """ns."""
    quantity: float
    """Base units."""
    mark: float
    value: int
    price_pnl: int = 0
    funding: int = 0
    costs: int = 0
    """Of this stay, its entry included."""


class Stay(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A position from entry to exit. Money in units."""

    symbol: str
    since: int
    until: int
    price_pnl: int
    funding: int
    costs: int

    @property
    def earned(self) -> int:
        """P&L net of funding and costs."""
        return self.price_pnl + self.funding - self.costs


class BarFlows(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything between two closes: after = before + price_pnl + funding − costs, in units."""

    before: int
    after: int
    price_pnl: int
    funding: int
    costs: int
    traded: int
    """Bought and sold, together."""
    flows: dict[str, Flow]


class Account(msgspec.Struct, kw_only=True, gc=False):
    """One book's money. `cash` may fall below zero by what the last trade cost more than foreseen: dust."""

    cash: int
    positions: dict[str, Position] = {}
    flows: dict[str, Flow] = {}
    before: int = 0
    """Equity at the bar's start."""
    traded: int = 0
    stays: list[Stay] = []
    """Finished since they were last taken."""

    @classmethod
    def opened(cls, equity: int) -> Account:
        """An account with nothing but cash."""
        return cls(cash=equity, before=equity)

    def copy(self) -> Account:
        """The same book, to go its own way: an empty bar and stays that begin now."""
        positions = {
            symbol: Position(since=p.since, quantity=p.quantity, mark=p.mark, value=p.value)
            for symbol, p in self.positions.items()
        }
        return Account(cash=self.cash, positions=positions, before=self.equity)

    @property
    def equity(self) -> int:
        """Cash and what is held at its marks."""
        return self.cash + sum(position.value for position in self.positions.values())

    def weights(self) -> dict[str, float]:
        """Percent of equity of each position at its mark."""
        equity = self.equity
        return {symbol: 100.0 * p.value / equity for symbol, p in self.positions.items()} if equity > 0 else {}

    def mark(self, symbol: str, price: float) -> None:
        """A new mark price; contracts that are not held and prices that are none change nothing."""
        position = self.positions.get(symbol)
        if position is None or not 0.0 < price < 1e300:
            return
        flow = self._flow(symbol, position)
        value = round(position.quantity * price * UNIT)
        moved = value - position.value
        position.mark, position.value = price, value
        position.price_pnl += moved
        flow.price_pnl += moved

    def fund(self, symbol: str, rate: float, settled: int) -> int | None:
        """Pay (or get) a settlement's `rate` on the held value; the payment, or None if not held at `settled` (ns)."""
        position = self.positions.get(symbol)
        if position is None or position.since >= settled:
            return None
        payment = -round(position.value * rate)
        self.cash += payment
        position.funding += payment
        self._flow(symbol, position).funding += payment
        return payment

    def settle(self, symbol: str, ts: int) -> None:
        """A contract is gone: its position becomes cash at the last mark, without costs."""
        position = self.positions.pop(symbol, None)
        if position is not None:
            self._flow(symbol, position)
            self.cash += position.value
            self._finish(symbol, position, ts)

    def rebalance(self, ts: int, weights: Mapping[str, float], quotes: Mapping[str, Quote]) -> int:
        """Trade to `weights` (percent) of the equity that is left after costs; returns the costs.

        Everything traded has to have a quote; positions without a weight are sold. Marks move to the quotes first.
        """
        for symbol, quote in quotes.items():
            self.mark(symbol, quote.price)
        wanted = self._wanted(weights, quotes)
        costs = 0
        for symbol, value in wanted.items():
            costs += self._trade(ts, symbol, value, quotes)
        return costs

    def close_bar(self) -> BarFlows:
        """Everything since the last call; a new bar begins."""
        for symbol, position in self.positions.items():
            self._flow(symbol, position)
        flows, self.flows = self.flows, {}
        bar = BarFlows(
            before=self.before,
            after=self.equity,
            price_pnl=sum(flow.price_pnl for flow in flows.values()),
            funding=sum(flow.funding for flow in flows.values()),
            costs=sum(flow.costs for flow in flows.values()),
            traded=self.traded,
            flows=flows,
        )
        self.before, self.traded = bar.after, 0
        return bar

    def take_stays(self) -> list[Stay]:
        """Stays that ended since the last call."""
        found, self.stays = self.stays, []
        return found

    def _wanted(self, weights: Mapping[str, float], quotes: Mapping[str, Quote]) -> dict[str, int]:
        """Target values; costs depend on the trades and the trades on what costs leave, so a few passes."""
        equity, costs = self.equity, 0
        held = {symbol: position.value for symbol, position in self.positions.items()}
        wanted: dict[str, int] = {}
        for _ in range(_PASSES):
            whole = max(0, equity - costs)
            wanted = dict.fromkeys(held, 0)
            wanted.update({symbol: whole * round(weight * _FINE) // _WHOLE for symbol, weight in weights.items()})
            costs = sum(
                _cost(value - held.get(symbol, 0), quotes[symbol])
                for symbol, value in wanted.items()
                if value != held.get(symbol, 0)
            )
        return wanted

    def _trade(self, ts: int, symbol: str, value: int, quotes: Mapping[str, Quote]) -> int:
        position = self.positions.get(symbol)
        change = value - (position.value if position is not None else 0)
        if change == 0:
            return 0
        quote = quotes[symbol]
        if position is None:
            position = self.positions[symbol] = Position(since=ts, quantity=0.0, mark=quote.price, value=0)
        flow = self._flow(symbol, position)
        flow.base += change if flow.price_pnl == 0 else max(0, change)
        cost = _cost(change, quote)
        position.value = value
        position.quantity = value / UNIT / quote.price
        position.costs += cost
        flow.costs += cost
        self.cash -= change + cost
        self.traded += abs(change)
        if value == 0:
            self._finish(symbol, self.positions.pop(symbol), ts)
        return cost

    def _finish(self, symbol: str, position: Position, ts: int) -> None:
        self.stays.append(
            Stay(
                symbol=symbol,
                since=position.since,
                until=ts,
                price_pnl=position.price_pnl,
                funding=position.funding,
                costs=position.costs,
            )
        )

    def _flow(self, symbol: str, position: Position) -> Flow:
        """The bar's flow of a position; its first mention in a bar comes before anything moved."""
        flow = self.flows.get(symbol)
        if flow is None:
            flow = self.flows[symbol] = Flow(base=position.value)
        return flow


def _cost(change: int, quote: Quote) -> int:
    return round(abs(change) * quote.cost_bps / 1e4)
