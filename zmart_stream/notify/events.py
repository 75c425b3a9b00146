"""From messages to notices: what they are called, how much they matter, and what a person reads of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from zmart_stream.domain import events
from zmart_stream.domain.commands import PluginDisabled, Reconfigured
from zmart_stream.domain.market import FeedState, VenueStatus
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import HoldChanged, PortfolioChange
from zmart_stream.domain.signals import Signal, SignalDecided, SignalEnded, SignalReceived, SignalRejected
from zmart_stream.notify.settings import Importance

TYPES = ("portfolio_change", "signal", "decision", "feed_state", "hold", "config", "plugin")
"""Every type of notice; scores are too many for it, and are on the stream."""

TEST, DIGEST = "test", "digest"
"""Types of our own: what an operator asks for, and many in one; every endpoint takes them."""

_MOVES = ("fill", "replace", "remove", "add")
_MOST_TEXT = 400


class Notice(NamedTuple):
    """Something to tell."""

    id: str
    """The same however often it is told; without a full stop, which separates the parts that are signed."""
    kind: str
    symbols: tuple[str, ...]
    importance: Importance
    text: str
    timestamp: str
    """ISO 8601, market time."""
    data: dict[str, Any]

    def payload(self) -> str:
        """The body as it is signed and sent."""
        return body(self.kind, self.timestamp, self.data, id=self.id, importance=self.importance, text=self.text)


def body(kind: str, timestamp: str, data: dict[str, Any], **members: str) -> str:
    """A body in the form of Standard Webhooks: type, timestamp, data; `members` stand beside them."""
    return msgspec.json.encode({"type": kind, "timestamp": timestamp, **members, "data": data}).decode()


class _Part(NamedTuple):
    """What a notice adds to what is told of the message anyway."""

    key: str
    importance: Importance
    text: str


def notice(message: Message) -> Notice | None:
    """What to tell of a message; None: nothing."""
    describe = _PARTS.get(type(message))
    if describe is None:
        return None
    key, importance, text = describe(message)
    kind, symbols, data = events.told(message) or _plugin_told(message)
    timestamp = data.pop("timestamp")
    title = f"{kind}_{key}".replace(".", "-").replace(" ", "-")[:100]
    return Notice(title, kind, symbols, importance, text[:_MOST_TEXT], timestamp, data)


def _plugin_told(message: Any) -> events.Told:
    fields = {"plugin": message.kind, "name": message.name, "reason": message.reason}
    return events.Told("plugin", (), {**fields, "timestamp": events.iso(message.ts)})


def _change(change: PortfolioChange) -> _Part:
    return _Part(change.id, "normal" if change.kind in _MOVES else "low", _change_words(change))


def _change_words(change: PortfolioChange) -> str:
    why = change.reason.replace("_", " ")
    by = "" if change.who == "machine" else f", by {change.who}"
    note = f" ({change.note})" if change.note else ""
    place = next((held for held in change.after.holdings if held.symbol == change.symbol_in), None)
    taken = f" at rank {place.rank} with {place.weight:.2f} %" if place is not None else ""
    if change.symbol_in and change.symbol_out:
        text = f"{change.symbol_in} replaces {change.symbol_out}{taken}: {why}"
    elif change.symbol_in and change.kind in _MOVES:
        text = f"{change.symbol_in} joins the book{taken}: {why}"
    elif change.symbol_out and change.kind in _MOVES:
        text = f"{change.symbol_out} leaves the book: {why}"
    else:
        about = change.symbol_in or change.symbol_out
        text = f"The book changes: {change.kind}{f' {about}' if about else ''}, {why}"
    return f"{text}{by}{note}"


def _about(signal: Signal) -> str:
    return f"Signal {signal.signal_type} {signal.direction} of {signal.source} about {signal.symbol or 'the market'}"


def _received(message: SignalReceived) -> _Part:
    return _Part(f"{message.signal.id}_received", "low", f"{_about(message.signal)} came in")


def _rejected(message: SignalRejected) -> _Part:
    why = "; ".join(map(str, message.problems))
    return _Part(f"{message.signal.id}_rejected", "low", f"{_about(message.signal)} breaks a rule: {why}")


def _ended(message: SignalEnded) -> _Part:
    about = f" about {message.symbol}" if message.symbol else ""
    words = {"acted": "led to a change", "no_action": "led to nothing", "expired": "expired"}[message.status]
    why = message.detail or message.reason.replace("_", " ")
    return _Part(f"{message.signal_id}_{message.status}", "low", f"A signal{about} {words}: {why}")


def _decided(message: SignalDecided) -> _Part:
    decision, about = message.decision, _about(message.signal)
    if not decision.approved:
        why = decision.reason.replace("_", " ")
        return _Part(message.signal.id, "low", f"{about} is declined: {why} ({decision.p:.0%})")
    plan = decision.plan
    action = f"{plan.action.lower().replace('_', ' ')} {plan.symbol or ''}".strip()
    return _Part(message.signal.id, "normal", f"{about} is approved ({decision.p:.0%}): {action}")


def _hold(message: HoldChanged) -> _Part:
    words = f"The book holds: {message.reason}" if message.on else f"The book acts again: {message.reason}"
    return _Part(f"{message.ts}_{'on' if message.on else 'off'}_{_code(message.reason)}", "high", words)


def _feed(message: FeedState) -> _Part:
    why = f": {message.reason}" if message.reason else ""
    return _Part(
        f"{message.connection}_{message.ts}", "low", f"Connection {message.connection} is {message.state}{why}"
    )


def _venue(message: VenueStatus) -> _Part:
    why = f": {message.reason}" if message.reason else ""
    return _Part(f"venue_{message.ts}", "high", f"The venue's service is {message.status}{why}")


def _config(message: Reconfigured) -> _Part:
    what = ", ".join(message.changed)
    return _Part(f"{message.revision}_{message.ts}", "low", f"Settings changed (revision {message.revision}): {what}")


def _plugin(message: PluginDisabled) -> _Part:
    text = f"The {message.kind} {message.name} is left out: {message.reason}"
    return _Part(f"{message.name}_{message.ts}", "high", text)


def _code(reason: str) -> str:
    return reason.partition(":")[0]


_PARTS: dict[type[Message], Callable[[Any], _Part]] = {
    PortfolioChange: _change,
    SignalReceived: _received,
    SignalRejected: _rejected,
    SignalEnded: _ended,
    SignalDecided: _decided,
    HoldChanged: _hold,
    FeedState: _feed,
    VenueStatus: _venue,
    Reconfigured: _config,
    PluginDisabled: _plugin,
}

KINDS = frozenset(_PARTS)
"""The messages that are told of."""
