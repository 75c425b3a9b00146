"""What book and ledger tell when they are asked: statistics, equity, swaps; `analyses` has the rest.

Built-in values only. Times are ns, money is USDT with two decimals, weights are percent of equity, volatility is a
fraction. A figure that cannot be given is `{"value": None, "reason": why}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from zmart_stream.domain.portfolio import EquityMarked, SwapMeasured
from zmart_stream.domain.standing import Standing
from zmart_stream.portfolio.account import UNIT, Position
from zmart_stream.portfolio.analyses import risk_figures
from zmart_stream.portfolio.manager import PortfolioManager

Standings = Mapping[str, Standing]


class Reports:
    """Answers about one manager's book and ledger."""

    def __init__(self, manager: PortfolioManager) -> None:
        self._manager = manager

    def statistics(self, now: int, standings: Standings) -> dict[str, Any]:
        """The book and its money at a glance.

        Keys: as_of, holdings, places, optimiser, weights_kept (reason, "" while targets hold), tilts
        [{symbol, factor, until}]; weights: total, cash, largest, smallest, by_sector {sector or "none": percent};
        scores: average, highest, lowest; risk (figures): volatility (a year, ahead), effective_holdings,
        diversification_ratio, assumed (symbols); ledger: see `_money`; positions: see `_position`;
        honesty: see `_honesty`.
        """
        manager = self._manager
        book = manager.symbols.portfolio
        weights = [holding.weight for holding in book.holdings]
        scores = [score for h in book.holdings if (s := standings.get(h.symbol)) and (score := s.score) is not None]
        by_sector: dict[str, float] = {}
        for holding in book.holdings:
            standing = standings.get(holding.symbol)
            sector = (standing.sector if standing is not None else None) or "none"
            by_sector[sector] = round(by_sector.get(sector, 0.0) + holding.weight, 2)
        return {
            "as_of": now,
            "holdings": len(book.holdings),
            "places": manager.settings.max_symbols,
            "optimiser": manager.weigher.optimiser,
            "weights_kept": manager.memory.kept,
            "tilts": [
                {"symbol": symbol, "factor": tilt.factor, "until": tilt.until}
                for symbol, tilt in manager.memory.tilts.items()
            ],
            "weights": {
                "total": round(sum(weights), 2),
                "cash": book.cash,
                "largest": max(weights, default=None),
                "smallest": min(weights, default=None),
                "by_sector": by_sector,
            },
            "scores": {
                "average": sum(scores) / len(scores) if scores else None,
                "highest": max(scores, default=None),
                "lowest": min(scores, default=None),
            },
            "risk": self._risk(),
            "ledger": self._money(),
            "positions": list(self.positions().values()),
            "honesty": self._honesty(now),
        }

    def positions(self) -> dict[str, dict[str, Any]]:
        """Each holding's money by symbol: see `_position`."""
        held = self._manager.ledger.state.account.positions
        return {symbol: self._position(symbol, position) for symbol, position in held.items()}

    def equity(self, since: int | None, until: int | None, now: int) -> dict[str, Any]:
        """The ledger's points (hours) whose end lies in [since, until], ns; older ones than 8 days are in storage.

        Keys: as_of, kept_since (end of the oldest point kept here, None before the ledger opened), points [{end,
        equity, cash, price_pnl, funding, costs, traded, first_book (None before it is complete), benchmark}].
        """
        points = self._manager.memory.points
        low, high = since if since is not None else 0, until if until is not None else now
        return {
            "as_of": now,
            "kept_since": points[0].end if points else None,
            "points": [_point(point) for point in points if low <= point.end <= high],
        }

    def swaps(self, now: int) -> dict[str, Any]:
        """What swaps earned against not swapping.

        Keys: as_of, running and final (newest first): [{id, symbol_out, symbol_in, gap, since, until, costs_usdt,
        unswapped_usdt, swapped_usdt, earned_usdt, earned_bps (of the equity before), spread_bps, is_final}];
        earned_usdt of both; slope: {configured, swaps, estimate, low, high (95 % interval), reason} in bps per point.
        """
        ledger = self._manager.ledger
        running = [_swap(run) for run in self._manager.running(now)]
        final = [_swap(message) for message in reversed(self._manager.memory.finals)]
        slope = ledger.slope
        return {
            "as_of": now,
            "running": running,
            "final": final,
            "earned_usdt": {
                "running": round(sum(swap["earned_usdt"] for swap in running), 2),
                "final": round(sum(swap["earned_usdt"] for swap in final), 2),
            },
            "slope": {
                "configured": self._manager.settings.bps_per_point,
                "swaps": slope.swaps,
                "estimate": slope.bps_per_point,
                "low": slope.low,
                "high": slope.high,
                "reason": slope.reason,
            },
        }

    def _risk(self) -> dict[str, Any]:
        """Of the weights as they have drifted."""
        weights = self._manager.ledger.weights()
        if not weights:
            nothing = {"value": None, "reason": "nothing is held"}
            names = ("volatility", "effective_holdings", "diversification_ratio")
            return {**dict.fromkeys(names, nothing), "assumed": []}
        risk = self._manager.weigher.risk(list(weights))
        return {**risk_figures(risk, list(weights.values())), "assumed": list(risk.assumed)}

    def _money(self) -> dict[str, Any]:
        """The ledger since it opened, at the marks of the last bar or trade.

        Keys: opened (ns or None), marked (ns of the last point), start_usdt, equity_usdt, cash_usdt, return,
        price_pnl_usdt, funding_usdt, costs_usdt, traded_usdt (up to the last point), first_book_usdt (or None),
        benchmark_usdt.
        """
        manager = self._manager
        state, totals = manager.ledger.state, manager.memory.totals
        last = manager.memory.points[-1] if manager.memory.points else None
        return {
            "opened": totals.opened or None,
            "marked": state.last,
            "start_usdt": usdt(state.start),
            "equity_usdt": usdt(manager.ledger.equity),
            "cash_usdt": usdt(state.account.cash),
            "return": manager.ledger.equity / state.start - 1.0,
            "price_pnl_usdt": usdt(totals.price_pnl),
            "funding_usdt": usdt(totals.funding),
            "costs_usdt": usdt(totals.costs),
            "traded_usdt": usdt(totals.traded),
            "first_book_usdt": None if state.first_book is None else usdt(state.first_book.equity),
            "benchmark_usdt": None if last is None else usdt(last.benchmark),
        }

    def _position(self, symbol: str, position: Position) -> dict[str, Any]:
        """A holding's money. Keys: symbol, since, quantity (base units), mark, value_usdt, weight (drifted percent),
        price_pnl_usdt, funding_usdt, costs_usdt, earned_usdt, all of this stay.
        """
        equity = self._manager.ledger.equity
        return {
            "symbol": symbol,
            "since": position.since,
            "quantity": position.quantity,
            "mark": position.mark,
            "value_usdt": usdt(position.value),
            "weight": 100.0 * position.value / equity if equity > 0 else 0.0,
            "price_pnl_usdt": usdt(position.price_pnl),
            "funding_usdt": usdt(position.funding),
            "costs_usdt": usdt(position.costs),
            "earned_usdt": usdt(position.price_pnl + position.funding - position.costs),
        }

    def _honesty(self, now: int) -> dict[str, Any]:
        """What the book was worth against doing less, since the ledger opened, USDT: above 0 the book did better.

        Keys: against_benchmark_usdt, against_first_book_usdt (None before it is complete), against_not_swapping_usdt
        (final and running swaps), slope (see `swaps`), is_slope_proven (the interval lies above 0).
        """
        manager = self._manager
        last = manager.memory.points[-1] if manager.memory.points else None
        swaps = self.swaps(now)
        low = swaps["slope"]["low"]
        first = None if last is None else last.first_book
        return {
            "against_benchmark_usdt": None if last is None else usdt(last.equity - last.benchmark),
            "against_first_book_usdt": None if last is None or first is None else usdt(last.equity - first),
            "against_not_swapping_usdt": round(sum(swaps["earned_usdt"].values()), 2),
            "slope": swaps["slope"],
            "is_slope_proven": low is not None and low > 0.0,
        }


def usdt(units: int) -> float:
    """Units of 1e-8 USDT as USDT with two decimals."""
    return round(units / UNIT, 2)


def _point(point: EquityMarked) -> dict[str, Any]:
    names = ("equity", "cash", "price_pnl", "funding", "costs", "traded", "benchmark")
    first = None if point.first_book is None else usdt(point.first_book)
    return {"end": point.end, **{name: usdt(getattr(point, name)) for name in names}, "first_book": first}


def _swap(swap: SwapMeasured) -> dict[str, Any]:
    earned = swap.swapped - swap.unswapped
    return {
        **msgspec.to_builtins(swap.swap),
        "since": swap.since,
        "until": swap.until,
        "costs_usdt": usdt(swap.costs),
        "unswapped_usdt": usdt(swap.unswapped),
        "swapped_usdt": usdt(swap.swapped),
        "earned_usdt": usdt(earned),
        "earned_bps": earned / swap.start * 1e4 if swap.start > 0 else None,
        "spread_bps": swap.spread_bps,
        "is_final": swap.is_final,
    }
