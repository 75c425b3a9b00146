"""Messages of a signal's life as table rows, and rows as messages again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from zmart_stream.domain.commands import ReleaseSource
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxEntry
from zmart_stream.domain.signals import (
    FINAL,
    Decision,
    Opinion,
    Plan,
    Problem,
    Signal,
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SignalRejected,
    SignalSettled,
    Status,
)
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage.items import UserRecord
from zmart_stream.storage.rows import Row, document, plain

_SOURCE, _TYPE, _DIRECTION, _SYMBOL = 100, 50, 10, 50
"""Widths of the columns; what is longer was refused, and is stored cut."""

_UNDECIDED = dict.fromkeys(
    "detail plan target_symbol p approved quorum spoke dissent veto action decision price cost due_ns change_id".split()
)
"""What later steps fill in."""


def received_row(told: SignalReceived | SignalRejected, sequence: int) -> Row:
    """A new row of `signals`. A refused one names no contract and keeps only figures that are in range."""
    signal, rejected = told.signal, isinstance(told, SignalRejected)
    known = signal.symbol is not None and not rejected
    return {
        "id": signal.id,
        "symbol_id": symbol_id(signal.symbol) if signal.symbol is not None and known else None,
        "source_name": plain(signal.source)[:_SOURCE],
        "signal_type": plain(signal.signal_type)[:_TYPE],
        "signal_strength": _share(signal.strength),
        "confidence_level": _share(signal.confidence),
        "signal_direction": plain(signal.direction)[:_DIRECTION],
        "signal_data": document(signal.data),
        "status": "rejected" if rejected else "received",
        "created_at": signal.received,
        "processed_at": told.ts if rejected else None,
        "expires_at": signal.expires,
        "sequence": sequence,
        "owner": plain(signal.owner),
        "submitted_by": plain(signal.who),
        "idempotency_key": None if signal.idempotency_key is None else plain(signal.idempotency_key),
        "symbol": None if signal.symbol is None else plain(signal.symbol)[:_SYMBOL],
        "received_ns": signal.received,
        "expires_ns": signal.expires,
        "reason": _refusal(told),
        **_UNDECIDED,
        "problems": document(told.problems) if isinstance(told, SignalRejected) else None,
    }


def evaluated_fields(told: SignalEvaluated) -> Row:
    """What an evaluation changes in `signals`."""
    return {"plan": document(told.plan), "target_symbol": told.plan.symbol, "reason": "evaluated"}


def decided_fields(told: SignalDecided) -> Row:
    """What a decision changes in `signals`."""
    decision = told.decision
    return {
        "p": decision.p,
        "approved": decision.approved,
        "quorum": decision.quorum,
        "spoke": decision.spoke,
        "dissent": decision.dissent,
        "veto": decision.veto,
        "action": decision.plan.action,
        "target_symbol": decision.plan.symbol,
        "decision": document(decision),
        "price": told.price,
        "cost": told.cost,
        "due_ns": told.due,
        "reason": decision.reason,
    }


def ended_fields(told: SignalEnded) -> Row:
    """What the end changes in `signals`."""
    return {
        "reason": plain(told.reason),
        "detail": plain(told.detail),
        "change_id": told.change_id if told.status == "acted" else None,
    }


def step_row(signal: str, ts: int, status: Status, words: tuple[str, str], sequence: int) -> Row:
    """A row of `signal_steps`; `words` are reason and detail."""
    return {
        "sequence": sequence,
        "signal_id": signal,
        "ts_ns": ts,
        "status": status,
        "reason": plain(words[0]),
        "detail": plain(words[1]),
    }


def opinion_rows(told: SignalEvaluated) -> Iterator[Row]:
    """Rows of `signal_evaluations`, one an agent."""
    for place, opinion in enumerate(told.opinions):
        yield {
            "signal_id": told.signal.id,
            "agent": opinion.agent,
            "place": place,
            "ts_ns": told.ts,
            "p": opinion.p,
            "stance": opinion.stance,
            "veto": opinion.veto,
            "reasons": document(opinion.reasons),
            "ages": document(opinion.ages),
        }


def outcome_row(told: SignalSettled, sequence: int) -> Row:
    """A row of `signal_outcomes`."""
    same = (
        "signal_id owner signal_type symbol direction approved price_then price_now gross cost net hit confidence p "
        "brier"
    )
    return {
        **{name: getattr(told, name) for name in same.split()},
        "sequence": sequence,
        "ts_ns": told.ts,
        "source_name": told.source,
        "since_ns": told.since,
        "until_ns": told.until,
        "agents": document(told.agents),
    }


def refusal_words(told: SignalRejected) -> str:
    """Field and rule of each problem."""
    return "; ".join(map(str, told.problems))


def is_final(status: Status) -> bool:
    """Whether a signal stays in `status`."""
    return status in FINAL


def signal_of(row: Any) -> Signal:
    """The signal that `received_row` stored; nan stands for a share that was out of range."""
    return Signal(
        id=row.id,
        source=row.source_name,
        owner=row.owner or "",
        who=row.submitted_by or "",
        signal_type=row.signal_type,
        strength=_known(row.signal_strength),
        confidence=_known(row.confidence_level),
        direction=row.signal_direction,
        symbol=row.symbol,
        data=row.signal_data or {},
        idempotency_key=row.idempotency_key,
        received=row.received_ns,
        expires=row.expires_ns,
    )


def told_of(step: Any, row: Any, opinions: Sequence[Any]) -> Message:
    """The message behind a row of `signal_steps`, from its row of `signals` and the rows of `signal_evaluations`."""
    match step.status:
        case "received":
            return SignalReceived(ts=step.ts_ns, signal=signal_of(row))
        case "rejected":
            problems = msgspec.convert(row.problems, tuple[Problem, ...])
            return SignalRejected(ts=step.ts_ns, signal=signal_of(row), problems=problems)
        case "evaluated":
            plan = msgspec.convert(row.plan, Plan)
            spoken = tuple(opinion_of(opinion) for opinion in opinions)
            return SignalEvaluated(ts=step.ts_ns, signal=signal_of(row), plan=plan, opinions=spoken)
        case "approved" | "declined":
            decision = msgspec.convert(row.decision, Decision)
            return SignalDecided(
                ts=step.ts_ns,
                signal=signal_of(row),
                decision=decision,
                price=row.price,
                cost=row.cost,
                due=row.due_ns,
            )
        case _:
            return SignalEnded(
                ts=step.ts_ns,
                signal_id=row.id,
                status=step.status,
                reason=step.reason,
                detail=step.detail,
                symbol=row.target_symbol or row.symbol,
                change_id=row.change_id,
            )


def opinion_of(row: Any) -> Opinion:
    """The opinion that `opinion_rows` stored."""
    stored = {name: getattr(row, name) for name in ("agent", "p", "stance", "veto", "reasons", "ages")}
    return msgspec.convert(stored, Opinion)


def released_of(row: Any) -> ReleaseSource:
    """The command that a row of `operator_actions` keeps."""
    return ReleaseSource(
        ts=row.ts_ns, request_id=row.request_id, who=row.performed_by, source_name=row.arguments["source_name"]
    )


def settled_of(row: Any) -> SignalSettled:
    """The outcome that `outcome_row` stored."""
    stored = {name: getattr(row, name) for name in SignalSettled.__struct_fields__ if hasattr(row, name)}
    return msgspec.convert(
        {
            **stored,
            "ts": row.ts_ns,
            "source": row.source_name,
            "since": row.since_ns,
            "until": row.until_ns,
            "type": "SignalSettled",
        },
        SignalSettled,
    )


def entry_of(row: Any) -> OutboxEntry:
    """An entry of the outbox."""
    same = ("id", "event_id", "event_type", "endpoint", "payload", "attempts", "state", "last_error")
    times = {"created": row.created_ns, "next_attempt": row.next_attempt_ns, "done": row.done_ns}
    return msgspec.convert({**{name: getattr(row, name) for name in same}, **times}, OutboxEntry)


def user_of(row: Any) -> UserRecord:
    """A user."""
    return UserRecord(
        id=row.id,
        name=row.name,
        scopes=tuple(row.scopes),
        token_hash=row.token_hash,
        created=row.created_at,
        revoked=row.revoked_at,
    )


def _refusal(told: SignalReceived | SignalRejected) -> str:
    return refusal_words(told) if isinstance(told, SignalRejected) else "received"


def _known(share: float | None) -> float:
    return float("nan") if share is None else share


def _share(value: float) -> float | None:
    return round(value, 6) if 0.0 <= value <= 1.0 else None
