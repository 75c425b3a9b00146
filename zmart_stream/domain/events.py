"""What is told of messages to whoever listens, on a stream or by a webhook: the same type and fields on every way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from zmart_stream.domain.commands import Reconfigured
from zmart_stream.domain.market import FeedState, VenueStatus
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import HoldChanged, PortfolioChange
from zmart_stream.domain.scores import ScoreChanged
from zmart_stream.domain.signals import Signal, SignalDecided, SignalEnded, SignalReceived, SignalRejected


class Told(NamedTuple):
    """An event: its type, the contracts that it is about, and its fields, JSON-ready."""

    kind: str
    symbols: tuple[str, ...]
    fields: dict[str, Any]


def told(message: Message) -> Told | None:
    """What is told of `message`, its `timestamp` among the fields; None: nothing."""
    describe = _EVENTS.get(type(message))
    if describe is None:
        return None
    kind, symbols, fields = describe(message)
    fields["timestamp"] = iso(message.ts)
    return Told(kind, symbols, fields)


def iso(ns: int) -> str:
    """ISO 8601 UTC with milliseconds of a time in ns."""
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns % 1_000_000_000 // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def change_told(change: PortfolioChange) -> dict[str, Any]:
    """A change of the book with times in ISO 8601 and nothing that only the machine needs."""
    shown: dict[str, Any] = msgspec.to_builtins(change)
    shown["at"] = iso(shown.pop("ts"))
    shown.pop("type", None)
    for book in (shown["before"], shown["after"]):
        for holding in book["holdings"]:
            holding["since"] = iso(holding["since"])
    return shown


_Content = tuple[str, tuple[str, ...], dict[str, Any]]


def _score(message: ScoreChanged) -> _Content:
    new, old = message.score, message.previous
    change = None if new is None or old is None else new - old
    fields = {"new_score": new, "old_score": old, "change": change, "confidence": message.confidence}
    return "score_update", (message.symbol,), {"symbol": message.symbol, **fields}


def _change(message: PortfolioChange) -> _Content:
    symbols = tuple(symbol for symbol in (message.symbol_in, message.symbol_out) if symbol is not None)
    about = symbols[0] if symbols else None
    return "portfolio_change", symbols, {"type": message.kind, "symbol": about, "details": change_told(message)}


def _signal(signal: Signal, status: str, facts: dict[str, Any]) -> _Content:
    fields = {
        "signal_id": signal.id,
        "status": status,
        "symbol": signal.symbol,
        "source": signal.source,
        "signal_type": signal.signal_type,
        "direction": signal.direction,
        "details": facts,
    }
    return "signal", (signal.symbol,) if signal.symbol else (), fields


def _received(message: SignalReceived) -> _Content:
    signal = message.signal
    facts = {"strength": signal.strength, "confidence": signal.confidence, "expires": iso(signal.expires)}
    return _signal(signal, "received", facts)


def _rejected(message: SignalRejected) -> _Content:
    return _signal(message.signal, "rejected", {"problems": msgspec.to_builtins(message.problems)})


def _ended(message: SignalEnded) -> _Content:
    facts = {"reason": message.reason, "detail": message.detail, "change_id": message.change_id}
    empty = dict.fromkeys(("source", "signal_type", "direction"))
    known = {"signal_id": message.signal_id, "status": message.status, "symbol": message.symbol}
    return "signal", (message.symbol,) if message.symbol else (), {**known, **empty, "details": facts}


def _decided(message: SignalDecided) -> _Content:
    decision, signal = message.decision, message.signal
    symbol = decision.plan.symbol or signal.symbol
    fields = {
        "signal_id": signal.id,
        "approved": decision.approved,
        "reason": decision.reason,
        "consensus": decision.p,
        "approve_at": decision.approve_at,
        "dissent": decision.dissent,
        "veto": decision.veto,
        "action": decision.plan.action,
        "symbol": symbol,
        "symbol_out": decision.plan.symbol_out,
        "source": signal.source,
    }
    symbols = tuple(name for name in (symbol, decision.plan.symbol_out) if name)
    return "decision", symbols, fields


def _feed(message: FeedState) -> _Content:
    return "feed_state", (), {"connection": message.connection, "state": message.state, "reason": message.reason}


def _venue(message: VenueStatus) -> _Content:
    return "feed_state", (), {"connection": "venue", "state": message.status, "reason": message.reason}


def _hold(message: HoldChanged) -> _Content:
    return "hold", (), {"on": message.on, "reason": message.reason}


def _config(message: Reconfigured) -> _Content:
    return "config", (), {"revision": message.revision, "changed": list(message.changed)}


_EVENTS: dict[type[Message], Callable[..., _Content]] = {
    ScoreChanged: _score,
    PortfolioChange: _change,
    SignalReceived: _received,
    SignalRejected: _rejected,
    SignalEnded: _ended,
    SignalDecided: _decided,
    FeedState: _feed,
    VenueStatus: _venue,
    HoldChanged: _hold,
    Reconfigured: _config,
}
