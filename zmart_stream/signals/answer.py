"""What the sender of a signal is told: where it stands once its cascade is on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from zmart_stream.domain.commands import CommandDone
from zmart_stream.domain.message import Message
from zmart_stream.domain.signals import (
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SignalRepeated,
)

Answer = dict[str, Any]


def answer_to(cascade: Sequence[Message]) -> Answer:
    """The cascade of an accepted SubmitSignal as built-in values: signal_id, status, decision, opinions, end.

    A signal that waits is `received`, without a decision. A repeated one has the first one's answer as it stands by
    now, but for the opinions, which the store has.
    """
    which = next((message.detail for message in cascade if isinstance(message, CommandDone)), "")
    told: Answer = {
        "signal_id": which,
        "status": "received",
        "repeated": False,
        "decision": None,
        "opinions": [],
        "reason": "",
        "detail": "",
        "change_id": None,
    }
    for message in cascade:
        if _about(message) == which:
            told |= _step(message)
    return told


def _about(message: Message) -> str | None:
    """The signal a message is about; a cascade may tell of others, whose turn has come with it."""
    if isinstance(message, SignalReceived | SignalEvaluated | SignalDecided):
        return message.signal.id
    return message.signal_id if isinstance(message, SignalRepeated | SignalEnded) else None


def _step(message: Message) -> Answer:
    """What a message changes in the answer."""
    if isinstance(message, SignalRepeated):
        return _repeated(message)
    if isinstance(message, SignalEvaluated):
        return {"status": "evaluated", "opinions": [msgspec.to_builtins(opinion) for opinion in message.opinions]}
    if isinstance(message, SignalDecided):
        return _decided(message)
    if isinstance(message, SignalEnded):
        words = {"reason": message.reason, "detail": message.detail}
        return {"status": message.status, "change_id": message.change_id, **words}
    return {}


def _decided(message: SignalDecided) -> Answer:
    decision = message.decision
    verdict = {
        "approved": decision.approved,
        "reason": decision.reason,
        "consensus": decision.p,
        "action": decision.plan.action,
        "symbol": decision.plan.symbol,
        "symbol_out": decision.plan.symbol_out,
        "dissent": decision.dissent,
        "spoke": decision.spoke,
        "veto": decision.veto,
    }
    return {
        "status": "approved" if decision.approved else "declined",
        "reason": decision.reason,
        "decision": verdict,
    }


def _repeated(message: SignalRepeated) -> Answer:
    verdict = {
        "approved": message.approved,
        "reason": message.verdict,
        "consensus": message.p,
        "action": message.action,
        "symbol": message.symbol,
        "symbol_out": message.symbol_out,
        "dissent": message.dissent,
        "spoke": message.spoke,
        "veto": message.veto,
    }
    return {
        "status": message.status,
        "repeated": True,
        "decision": None if message.approved is None else verdict,
        "reason": message.reason,
        "detail": message.detail,
        "change_id": message.change_id,
    }
