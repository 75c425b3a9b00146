"""The methods that the customer's own code calls, with the names and result keys of its guide, over a running system.

Results are dictionaries with `success`; what is refused says why in `error` and `code` and raises nothing. Weights are
percent, money is USDT, times are ISO 8601.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from zmart_stream.domain.commands import AddHolding, Command, Rebalance, Recalculate, RemoveHolding, ReplaceHolding
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.ports import Commander, Reader
from zmart_stream.domain.scores import Recalculated
from zmart_stream.domain.signals import SubmitSignal
from zmart_stream.portfolio import OPTIMISERS
from zmart_stream.signals.answer import answer_to

Result = dict[str, Any]
C = TypeVar("C", bound=Command)

OWNER = "facade"
"""Owner of the sources of signals that this process's own code sends."""

_SIGNAL: dict[str, type | tuple[type, ...]] = {
    "source_name": str,
    "signal_type": str,
    "signal_strength": (int, float),
    "confidence_level": (int, float),
    "symbol": str,
    "symbol_id": str,
    "signal_direction": str,
    "signal_data": dict,
    "idempotency_key": str,
    "expires_in_s": (int, float),
    "expires_at": int,
}
"""What a signal may say; the rules of its values are the core's."""

_DEFAULTS: Result = {"signal_strength": 0.0, "confidence_level": 0.0, "source_name": "", "signal_type": ""}


@dataclass(frozen=True, kw_only=True)
class Facade:
    """Symbol manager, scoring engine, portfolio manager and signal processor as one."""

    reader: Reader
    commander: Commander
    now: Callable[[], int]
    """Market time, ns."""

    # -- the symbol manager ------------------------------------------------------------------------------------------

    def get_current_portfolio(self) -> list[Result]:
        """The holdings, best first, each with the contract's facts in `symbol_details`."""
        return [
            {
                **holding,
                "position_rank": holding["rank"],
                "current_score": holding["score"],
                "weight_percentage": holding["weight"],
                "inclusion_date": holding["since"],
                "is_replacement_candidate": holding["replacement_candidate"],
                "status": "Active",
                "symbol_details": self._details(holding["symbol"]),
            }
            for holding in self.reader.portfolio()["holdings"]
        ]

    def _details(self, symbol: str) -> Result:
        """A contract's facts; its symbol alone while a start has the book and not yet the contracts."""
        return self.reader.symbol(symbol) if symbol in self.reader.listed() else {"symbol": symbol}

    async def add_symbol_to_portfolio(self, symbol_id: str, reason: str = "", user: str = "operator") -> Result:
        """Take a contract in, by its id or symbol."""
        return await self._change(AddHolding, user, symbol=self._symbol(symbol_id), note=reason)

    async def remove_symbol_from_portfolio(self, symbol_id: str, reason: str = "", user: str = "operator") -> Result:
        """Take a contract out, by its id or symbol; only an operator brings it back."""
        return await self._change(RemoveHolding, user, symbol=self._symbol(symbol_id), note=reason)

    async def replace_symbol(
        self, old_symbol_id: str, new_symbol_id: str, reason: str = "", user: str = "operator"
    ) -> Result:
        """Replace one contract by another, by ids or symbols."""
        leaves, comes = self._symbol(old_symbol_id), self._symbol(new_symbol_id)
        return await self._change(ReplaceHolding, user, symbol_out=leaves, symbol_in=comes, note=reason)

    def get_portfolio_statistics(self) -> Result:
        """The book and its money at a glance."""
        return {"success": True, **self.reader.statistics()}

    async def initialize_sample_data(self) -> Result:
        """On the sandbox: wait until contracts and history are there."""
        return await self._answered(self.commander.load_sample_data(), dict)

    # -- the scoring engine ------------------------------------------------------------------------------------------

    async def calculate_all_scores(self, symbol_id: str | None = None) -> Result:
        """Compute scores anew, of one contract or of all; `drift` is how far those kept event by event were off."""
        symbol = None if symbol_id is None else self._symbol(symbol_id)
        return await self._answered(self._submit(Recalculate, "operator", symbol=symbol), self._scores)

    def get_symbol_rankings(self, score_type: str = "COMPOSITE", limit: int | None = None) -> list[Result]:
        """Contracts with a score of that kind, best first. Raises KeyError for an unknown kind."""
        return [
            {
                **row,
                "score_value": row["score"],
                "confidence_level": row["confidence"],
                "score_type": score_type.upper(),
            }
            for row in self.reader.rankings(score_type.upper())[:limit]
        ]

    # -- the portfolio manager ---------------------------------------------------------------------------------------

    def calculate_portfolio_metrics(self, window: str = "all") -> Result:
        """Risk and performance over 1d, 7d, 30d or all: `metrics` by name, `reasons` for those that are None."""
        found = dict(self.reader.metrics(window))
        figures: dict[str, Result] = found.pop("figures")
        metrics = {name: figure["value"] for name, figure in figures.items()}
        reasons = {name: figure["reason"] for name, figure in figures.items() if figure["value"] is None}
        return {"success": True, **found, "metrics": metrics, "reasons": reasons}

    async def optimize_portfolio_weights(self, optimiser: str | None = None) -> Result:
        """What one optimiser, or each, would make of the book now; nothing is changed."""
        found: Result = {}
        proposals: list[Result] = []
        for name in (optimiser,) if optimiser else tuple(OPTIMISERS):
            found = self.reader.optimise(name)
            proposals += found["optimisers"]
            await asyncio.sleep(0)  # each solves a problem: the feed gets its turn in between
        return {"success": True, **found, "optimisers": proposals}

    def get_portfolio_performance_attribution(self, window: str = "all") -> Result:
        """Where the return over 1d, 7d, 30d or all came from."""
        return {"success": True, **self.reader.attribution(window)}

    async def rebalance_portfolio(self, reason: str = "", user: str = "operator") -> Result:
        """Set the weights to their targets now."""
        return await self._change(Rebalance, user, note=reason)

    # -- the signal processor ----------------------------------------------------------------------------------------

    async def process_signal(self, signal_data: Mapping[str, Any], user: str = "operator") -> Result:
        """Judge a signal and let the book act on it if it is approved; `decision` has consensus, opinions, action."""
        fields = {**_DEFAULTS, **{name: value for name, value in signal_data.items() if value is not None}}
        if unknown := sorted(set(fields) - set(_SIGNAL)):
            return _failed("bad_signal", f"a signal has no {', '.join(unknown)}")
        if wrong := [name for name, value in fields.items() if not isinstance(value, _SIGNAL[name])]:
            return _failed("bad_signal", f"{', '.join(wrong)}: another type is wanted")
        return await self._answered(self._submit(SubmitSignal, user, owner=OWNER, **fields), answer_to)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _symbol(self, reference: str) -> str:
        """The symbol meant by an id or a symbol; one that is not listed stays, and the core refuses it."""
        listed = self.reader.listed()
        if reference in listed:
            return reference
        return next((symbol for symbol, known in listed.items() if known == reference.lower()), reference)

    async def _submit(self, command: type[C], user: str, **fields: Any) -> Sequence[Message]:
        order = command(ts=self.now(), request_id=str(uuid4()), who=user, **fields)
        return await self.commander.submit(order)

    async def _change(self, command: type[Command], user: str, **fields: Any) -> Result:
        return await self._answered(self._submit(command, user, **fields), self._changes)

    async def _answered(self, asked: Awaitable[Any], told: Callable[[Any], Result]) -> Result:
        try:
            answer = await asked
        except CommandRefusedError as refusal:
            return _failed(refusal.code, str(refusal), **refusal.facts)
        return {**told(answer), "success": True}

    def _changes(self, cascade: Sequence[Message]) -> Result:
        changes = [message for message in cascade if isinstance(message, PortfolioChange)]
        return {
            "changes": [
                {
                    "id": change.id,
                    "action_type": change.kind,
                    "reason": change.reason,
                    "symbol_in": change.symbol_in,
                    "symbol_out": change.symbol_out,
                    "performed_by": change.who,
                }
                for change in changes
            ],
            "portfolio": self.reader.portfolio()["holdings"],
        }

    def _scores(self, cascade: Sequence[Message]) -> Result:
        told = next(message for message in cascade if isinstance(message, Recalculated))
        rows = {row["symbol"]: row for row in self.reader.rankings()}
        return {
            "symbols_processed": told.symbols_processed,
            "drift": told.drift,
            "scores": {symbol: _score(value, rows.get(symbol)) for symbol, value in told.scores.items()},
        }


def _score(value: float | None, row: Mapping[str, Any] | None) -> Result:
    return {
        "score_value": value,
        "confidence_level": None if row is None else row["confidence"],
        "supporting_data": {} if row is None else row["components"],
    }


def _failed(code: str, text: str, **facts: object) -> Result:
    return {"success": False, "error": text, "code": code, **facts}
