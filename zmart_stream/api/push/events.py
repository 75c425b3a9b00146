"""From what the core derived to events: which messages are told, and with which fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from zmart_stream.api.calls import iso
from zmart_stream.api.changes import told
from zmart_stream.api.push.hub import Hub
from zmart_stream.domain.commands import Reconfigured
from zmart_stream.domain.market import FeedState, VenueStatus
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import HoldChanged, PortfolioChange
from zmart_stream.domain.scores import ScoreChanged
from zmart_stream.domain.signals import Signal, SignalDecided, SignalEnded, SignalReceived, SignalRejected

Content = tuple[str, tuple[str, ...], dict[str, Any]]
"""Type, contracts, and fields but for the timestamp."""


def tell(hub: Hub, messages: Sequence[Message]) -> None:
    """Publish what is for clients; the rest is passed over."""
    for message in messages:
        describe = _EVENTS.get(type(message))
        if describe is not None:
            kind, symbols, content = describe(message)
            content["timestamp"] = iso(message.ts)
            hub.publish(kind, symbols, content)


def _score(message: ScoreChanged) -> Content:
    new, old = message.score, message.previous
    change = None if new is None or old is None else new - old
    fields = {"new_score": new, "old_score": old, "change": change, "confidence": message.confidence}
    return "score_update", (message.symbol,), {"symbol": message.symbol, **fields}


def _change(message: PortfolioChange) -> Content:
    symbols = tuple(symbol for symbol in (message.symbol_in, message.symbol_out) if symbol is not None)
    about = symbols[0] if symbols else None
    return "portfolio_change", symbols, {"type": message.kind, "symbol": about, "details": told(message)}


def _signal(signal: Signal, status: str, facts: dict[str, Any]) -> Content:
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


def _received(message: SignalReceived) -> Content:
    signal = message.signal
    facts = {"strength": signal.strength, "confidence": signal.confidence, "expires": iso(signal.expires)}
    return _signal(signal, "received", facts)


def _rejected(message: SignalRejected) -> Content:
    return _signal(message.signal, "rejected", {"problems": msgspec.to_builtins(message.problems)})


def _ended(message: SignalEnded) -> Content:
    facts = {"reason": message.reason, "detail": message.detail, "change_id": message.change_id}
    empty = dict.fromkeys(("source", "signal_type", "direction"))
    told = {"signal_id": message.signal_id, "status": message.status, "symbol": message.symbol}
    return "signal", (message.symbol,) if message.symbol else (), {**told, **empty, "details": facts}


def _decided(message: SignalDecided) -> Content:
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


def _feed(message: FeedState) -> Content:
    return "feed_state", (), {"connection": message.connection, "state": message.state, "reason": message.reason}


def _venue(message: VenueStatus) -> Content:
    return "feed_state", (), {"connection": "venue", "state": message.status, "reason": message.reason}


def _hold(message: HoldChanged) -> Content:
    return "hold", (), {"on": message.on, "reason": message.reason}


def _config(message: Reconfigured) -> Content:
    return "config", (), {"revision": message.revision, "changed": list(message.changed)}


_EVENTS: dict[type[Message], Callable[..., Content]] = {
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
