"""A small market as canned values: what the API is handed instead of a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from tests.api.judged import AS_OF, NOW, SignalPaper, SignalReads, cascade
from zmart_stream.domain.commands import Command, CommandDone, Recalculate, RemoveHolding
from zmart_stream.domain.errors import CommandRefusedError, ConfigError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import EquityMarked, Holding, Portfolio, PortfolioChange
from zmart_stream.domain.ports import ChangesAsked
from zmart_stream.domain.scores import Recalculated
from zmart_stream.domain.signals import SubmitSignal
from zmart_stream.engine.ids import symbol_id

SYMBOLS = ("XBTUSDTM", "ETHUSDTM", "SOLUSDTM")


VENUE = {"name": "sandbox", "url": "http://127.0.0.1:9", "speed": 60.0, "sandbox": True}


class Shelf:
    """The reads: three contracts, one of them held, one not eligible."""

    def __init__(self) -> None:
        self.fault: Exception | None = None

    def status(self) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        return {
            "version": "0.1.0",
            "as_of": AS_OF,
            "venue": {**VENUE, "status": "open", "reachable": True},
            "feed": {
                "connections": [{"name": "ws-1", "state": "up"}, {"name": "ws-2", "state": "down"}],
                "topics": {"wanted": 9, "covered": 8},
                "rest": {"state": "up", "remaining": 1990.0, "limit": 2000},
            },
            "warm_up": {"done": 412, "of": 700, "ended": False, "text": "warming up 412/700"},
            "contracts": {"known": 3, "universe": 3, "live": 3, "scored": 3},
            "book": {"size": 1, "max": 10, "ready": True, "hold": True, "hold_reason": "paused", "last_change": None},
            "storage": {"pending": 0, "degraded": None},
            "notify": {"pending": 0, "sent": 0, "died": 0, "endpoints": []},
            "config": {"revision": 4, "profile": "balanced"},
            "loop": {"lag_p50_ms": 0.4, "lag_p99_ms": 3.1, "lag_max_ms": 12.5, "window_s": 60.0},
            "uptime_s": 61.5,
        }

    def rankings(self, kind: str = "COMPOSITE") -> list[dict[str, Any]]:
        column = {"COMPOSITE": 0, "RISK": 1}[kind]
        scores = {"XBTUSDTM": (74.1, 94.2), "ETHUSDTM": (73.4, 90.0), "SOLUSDTM": (41.0, float("nan"))}
        return [self._row(rank, symbol, scores[symbol][column]) for rank, symbol in enumerate(SYMBOLS, 1)]

    def ranking_steps(self, kind: str = "COMPOSITE") -> Generator[None, None, list[dict[str, Any]]]:
        rows = self.rankings(kind)
        yield
        return rows

    def portfolio(self) -> dict[str, Any]:
        holding = {
            "id": "019a0000-0000-7000-8000-000000000001",
            "rank": 1,
            "symbol": "XBTUSDTM",
            "symbol_id": symbol_id("XBTUSDTM"),
            "sector": "layer1",
            "weight": 25.0,
            "score": 74.1,
            "score_now": 74.6,
            "since": AS_OF,
            "age_s": 7300.0,
            "pinned": True,
            "replacement_candidate": False,
            "flags": [],
            "value_usdt": 25_100.0,
            "price_pnl_usdt": 130.0,
            "funding_usdt": -10.0,
            "costs_usdt": 20.0,
            "earned_usdt": 100.0,
            "drifted_weight": 25.08,
        }
        return {
            "holdings": [holding],
            "cash": 75.0,
            "cash_reason": ["max_weight 25 leaves 75 % with 1 holding"],
            "blocked": [],
            "hold": True,
            "hold_reason": "paused",
            "size": 1,
            "max_symbols": 10,
            "notice": "warming up 412/700: scores are not complete yet",
            "as_of": AS_OF,
        }

    def explain(self, symbol: str) -> dict[str, Any]:
        if symbol not in SYMBOLS:
            raise KeyError(symbol)
        part = {
            "name": "volatility",
            "value": 42.3,
            "unit": "% a year",
            "percentile": 98.0,
            "weight": 1.0,
            "contribution": 24.1,
            "age_s": 0.4,
            "freshness": 1.0,
            "maturity": 1.0,
            "words": "less volatile than 98 % of contracts",
        }
        risk = {"name": "risk", "weight": 0.4, "score": 98.0, "confidence": 1.0, "contribution": 24.1, "parts": [part]}
        return {
            "symbol": symbol,
            "symbol_id": symbol_id(symbol),
            "score": 74.1,
            "confidence": 0.9,
            "rank": 1,
            "in_book": True,
            "as_of": AS_OF,
            "components": [risk],
            "sum": {"base": 50.0, "contributions": 24.1, "composite": 74.1, "published": 74.1},
            "gates": [{"name": "spread_bps", "value": 0.6, "limit": 15.0, "ok": True}],
            "change": {"moves": "out", "rule": "exit_score", "target": None, "text": "it is pinned", "part": "none"},
        }

    def symbol_steps(self) -> Generator[None, None, list[dict[str, Any]]]:
        yield
        return [self.symbol(symbol) for symbol in SYMBOLS]

    def symbol(self, symbol: str) -> dict[str, Any]:
        return {"symbol": symbol, "symbol_id": symbol_id(symbol), "status": "Open", "live": True, "age_s": 0.4}

    def listed(self) -> dict[str, str]:
        return {symbol: symbol_id(symbol) for symbol in SYMBOLS}

    @staticmethod
    def _row(rank: int, symbol: str, score: float) -> dict[str, Any]:
        shut = symbol == "SOLUSDTM"
        return {
            "rank": None if shut else rank,
            "symbol": symbol,
            "symbol_id": symbol_id(symbol),
            "score": score,
            "confidence": 0.9,
            "sector": None if shut else "layer1",
            "turnover_24h": 1.5e9,
            "spread_bps": 0.6,
            "age_s": 0.4,
            "eligible": not shut,
            "failed_gates": ["spread_bps"] if shut else [],
            "in_book": symbol == "XBTUSDTM",
            "components": {"RISK": 94.2, "TECHNICAL": None},
        }


FIGURE = {"value": 0.42, "reason": None}
SLOPE = {"configured": 2.0, "swaps": 1, "estimate": None, "low": None, "high": None, "reason": "1 swaps, 10 are needed"}
SWAP = {
    "id": "019a0000-0000-7000-8000-000000000009",
    "symbol_out": "ETHUSDTM",
    "symbol_in": "XBTUSDTM",
    "gap": 13.5,
    "since": AS_OF,
    "until": AS_OF,
    "costs_usdt": 12.5,
    "unswapped_usdt": 100_020.0,
    "swapped_usdt": 100_100.0,
    "earned_usdt": 80.0,
    "earned_bps": 8.0,
    "spread_bps": 95.0,
    "is_final": True,
}


class Books(SignalReads, Shelf):
    """And what the book did and earned."""

    def statistics(self) -> dict[str, Any]:
        position = {"symbol": "XBTUSDTM", "since": AS_OF, "quantity": 0.25, "mark": 100_400.0, "weight": 25.08}
        money = {"price_pnl_usdt": 130.0, "funding_usdt": -10.0, "costs_usdt": 20.0}
        return {
            "as_of": AS_OF,
            "holdings": 1,
            "places": 10,
            "optimiser": "risk_parity",
            "weights": {"total": 25.0, "cash": 75.0, "largest": 25.0, "smallest": 25.0, "by_sector": {"layer1": 25.0}},
            "scores": {"average": 74.1, "highest": 74.1, "lowest": 74.1},
            "risk": {
                "volatility": FIGURE,
                "effective_holdings": FIGURE,
                "diversification_ratio": FIGURE,
                "assumed": [],
            },
            "ledger": {
                "opened": AS_OF,
                "marked": AS_OF,
                "start_usdt": 100_000.0,
                "equity_usdt": 100_100.0,
                "cash_usdt": 75_000.0,
                "return": 0.001,
                **money,
                "traded_usdt": 25_000.0,
                "first_book_usdt": 100_050.0,
                "benchmark_usdt": 99_900.0,
            },
            "positions": [{**position, **money, "value_usdt": 25_100.0, "earned_usdt": 100.0}],
            "honesty": {
                "against_benchmark_usdt": 200.0,
                "against_first_book_usdt": 50.0,
                "against_not_swapping_usdt": 80.0,
                "slope": SLOPE,
                "is_slope_proven": False,
            },
        }

    def metrics(self, window: str) -> dict[str, Any]:
        figures = {
            "return": {"value": 0.001, "reason": None},
            "sharpe": {"value": None, "reason": "3 returns, 20 are needed"},
        }
        span = {"window": window, "since": AS_OF, "until": AS_OF, "as_of": AS_OF}
        return {**span, "step_s": 3600.0, "observations": 3, "figures": figures}

    def attribution(self, window: str) -> dict[str, Any]:
        effect = {"sector": "layer1", "allocation": 0.001, "selection": 0.0015, "interaction": 0.0, "total": 0.0025}
        return {
            "as_of": AS_OF,
            "window": window,
            "since": AS_OF,
            "until": AS_OF,
            "reason": "",
            "return": 0.001,
            "benchmark": -0.001,
            "active": 0.002,
            "funding": -0.0001,
            "costs": -0.0002,
            "active_funding": -0.0001,
            "active_costs": -0.0002,
            "contributions": [{"symbol": "XBTUSDTM", "sector": "layer1", "contribution": 0.0013}],
            "effects": [effect],
        }

    def optimise(self, name: str) -> dict[str, Any]:
        trade = {"symbol": "XBTUSDTM", "before": 25.08, "after": 25.0, "change": -0.08, "usdt": -80.0}
        risk = {"volatility": FIGURE, "effective_holdings": FIGURE, "diversification_ratio": FIGURE}
        proposal = {"name": name, "reason": "", "weights": {"XBTUSDTM": 25.0}, "cash": 75.0, **risk}
        return {
            "as_of": AS_OF,
            "in_force": "risk_parity",
            "present": {"weights": {"XBTUSDTM": 25.08}, "cash": 74.92, **risk},
            "optimisers": [
                {
                    **proposal,
                    "trades": [{**trade, "cost_bps": 6.3, "cost_usdt": 0.05}],
                    "turnover": 0.0,
                    "cost_usdt": 0.05,
                }
            ],
        }

    def swaps(self) -> dict[str, Any]:
        return {
            "as_of": AS_OF,
            "running": [],
            "final": [SWAP],
            "earned_usdt": {"running": 0.0, "final": 80.0},
            "slope": SLOPE,
        }


class Paper(SignalPaper):
    """What is on disk: one change, two points, one score."""

    async def history(self, wanted: ChangesAsked, limit: int, offset: int) -> tuple[list[PortfolioChange], int]:
        self.wanted = wanted
        removal = Counter._removal(RemoveHolding(ts=NOW, request_id="1", symbol="XBTUSDTM", who="anna"))
        return [removal][offset : offset + limit], 1

    async def equity(self, since: int, until: int, most: int) -> list[EquityMarked]:
        self.span = (since, until, most)
        flows = {"price_pnl": 5, "funding": 0, "costs": 0, "traded": 0, "cash": 0, "benchmark": 10**13}
        ends = (NOW - 3600 * 10**9, NOW)
        return [EquityMarked(ts=e, end=e, equity=10**13, first_book=None, **flows) for e in ends if since <= e <= until]

    async def scores(self, symbol: str, limit: int, offset: int) -> list[dict[str, Any]]:
        row = {"score_type": "COMPOSITE", "score_value": 74.1, "rank": 1, "confidence_level": 0.9}
        return [{**row, "calculation_timestamp": AS_OF, "supporting_data": {}}][offset : offset + limit]


class Dials:
    """The settings: keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Any]] = []

    def settings(self) -> dict[str, Any]:
        row = {
            "key": "portfolio.max_symbols",
            "value": 10,
            "origin": "default",
            "recorded": False,
            "needs_restart": False,
        }
        return {"revision": 4, "settings": [row], "aliases": {"max_portfolio_symbols": "portfolio.max_symbols"}}

    def algorithms(self) -> list[dict[str, Any]]:
        row = {"algorithm_name": "risk", "algorithm_type": "risk", "weight": 0.4, "is_active": True}
        return [{**row, "parameters": {"weights": {"volatility": 0.4}}}]

    async def change(self, values: Mapping[str, Any], *, who: str) -> dict[str, Any]:
        self.given.append((who, dict(values)))
        if "portfolio.nothing" in values:
            raise ConfigError(["unknown key portfolio.nothing", "and another"])
        return {"recorded": sorted(values), "applied": sorted(values), "revision": 5}

    async def weigh(self, name: str, weight: float | None, parts: Mapping[str, float], *, who: str) -> dict[str, Any]:
        if name != "risk":
            raise KeyError(name)
        self.given.append((who, (name, weight, dict(parts))))
        return {"recorded": ["scoring.risk.weight"], "applied": ["scoring.risk.weight"], "revision": 5}

    async def reload(self) -> dict[str, Any]:
        return {"applied": ["scoring.publish_step"], "restart_needed": ["api.port"], "revision": 5}


class Counter:
    """The commands: keeps what it was given; refuses to take what is held; answers at once, or never."""

    def __init__(self) -> None:
        self.taken: list[Command] = []
        self.silent = False

    async def submit(self, command: Command) -> Sequence[Message]:
        self.taken.append(command)
        if self.silent:
            await asyncio.Event().wait()
        if isinstance(command, SubmitSignal):
            return cascade(command)
        symbol = getattr(command, "symbol", None)
        if type(command).__name__ == "AddHolding" and symbol == "XBTUSDTM":
            raise CommandRefusedError("already_in_book", "XBTUSDTM is held")
        done = CommandDone(ts=NOW, request_id=command.request_id, accepted=True)
        if isinstance(command, Recalculate):
            scores = {name: 50.0 for name in SYMBOLS if symbol in (None, name)}
            return [
                Recalculated(
                    ts=NOW,
                    request_id=command.request_id,
                    symbols_processed=len(scores),
                    drift=0.0,
                    reanchored=0,
                    scores=scores,
                ),
                done,
            ]
        return [self._removal(command), done] if isinstance(command, RemoveHolding) else [done]

    async def load_sample_data(self) -> dict[str, Any]:
        return {"symbols": 3}

    @staticmethod
    def _removal(command: RemoveHolding) -> PortfolioChange:
        held = Holding(id="1", symbol=command.symbol, rank=1, weight=25.0, since=NOW, score=70.0)
        return PortfolioChange(
            ts=NOW,
            id="2",
            kind="remove",
            reason="operator",
            symbol_out=command.symbol,
            before=Portfolio(holdings=(held,), cash=75.0),
            after=Portfolio(),
            who=command.who,
            note=command.note,
            revision=1,
        )
