"""Signals as canned values: one that acted, as its sender, its readers and the record have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zmart_stream.domain.commands import CommandDone
from zmart_stream.domain.message import Message
from zmart_stream.domain.ports import SignalsAsked
from zmart_stream.domain.signals import (
    Decision,
    Opinion,
    Plan,
    Reason,
    Signal,
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SubmitSignal,
)
from zmart_stream.engine.ids import symbol_id

NOW = 1_795_356_630_544_053_956
AS_OF = "2026-11-22T14:10:30.544Z"
SIGNAL_ID = "019a0000-0000-7000-8000-00000000000a"
OTHER_ID = "019a0000-0000-7000-8000-00000000000b"
PLAN = Plan(action="ADD", symbol="ETHUSDTM")
OPINIONS = (
    Opinion(agent="technical", p=0.7, stance="approve", reasons=(Reason(code="score", numbers={"score": 71.5}),)),
    Opinion(agent="record", p=0.5, stance="abstain", reasons=(Reason(code="no_outcomes"),)),
)
ROW: dict[str, Any] = {
    "id": SIGNAL_ID,
    "source_name": "Tests",
    "signal_type": "BREAKOUT",
    "signal_strength": 0.8,
    "confidence_level": 0.7,
    "signal_direction": "BUY",
    "symbol": "ETHUSDTM",
    "symbol_id": symbol_id("ETHUSDTM"),
    "signal_data": {"indicator": "RSI"},
    "status": "acted",
    "reason": "add",
    "detail": "",
    "problems": None,
    "submitted_by": "anna",
    "idempotency_key": None,
    "created_at": AS_OF,
    "processed_at": AS_OF,
    "expires_at": AS_OF,
    "due_at": AS_OF,
    "p": 0.61,
    "approved": True,
    "spoke": 5,
    "quorum": 3,
    "dissent": 0.08,
    "veto": None,
    "action": "ADD",
    "target_symbol": "ETHUSDTM",
    "decision": {"approved": True, "approve_at": 0.55},
    "change_id": OTHER_ID,
}
TOLD_OPINIONS = [
    {
        "agent": opinion.agent,
        "p": opinion.p,
        "stance": opinion.stance,
        "veto": False,
        "reasons": [{"code": reason.code, "numbers": reason.numbers} for reason in opinion.reasons],
        "ages": {},
    }
    for opinion in OPINIONS
]


def cascade(command: SubmitSignal) -> Sequence[Message]:
    """What an approved signal brings; another one's turn came with it."""
    signal = Signal(
        id=SIGNAL_ID,
        source=command.source_name,
        owner=command.owner,
        who=command.who,
        signal_type=command.signal_type,
        strength=command.signal_strength,
        confidence=command.confidence_level,
        direction="BUY",
        symbol="ETHUSDTM",
        received=NOW,
        expires=NOW,
    )
    decision = Decision(
        approved=True, reason="approved", p=0.61, approve_at=0.55, prior=0.5, confidence=0.7, is_calibrated=False,
        spoke=5, quorum=3, veto=None, dissent=0.08, weights={"technical": 1.0}, plan=PLAN,
    )  # fmt: skip
    return [
        SignalEnded(ts=NOW, signal_id=OTHER_ID, status="expired", reason="paused"),
        SignalReceived(ts=NOW, signal=signal, request_id=command.request_id),
        SignalEvaluated(ts=NOW, signal=signal, plan=PLAN, opinions=OPINIONS),
        SignalDecided(ts=NOW, signal=signal, decision=decision, price=1.0, cost=0.0, due=NOW),
        SignalEnded(ts=NOW, signal_id=SIGNAL_ID, status="acted", reason="add", change_id=OTHER_ID),
        CommandDone(ts=NOW, request_id=command.request_id, accepted=True, detail=SIGNAL_ID),
    ]


class SignalReads:
    """What the core tells of signals."""

    def signal_statistics(self) -> dict[str, Any]:
        return {
            "as_of": AS_OF,
            "total": {"received": 1, "acted": 1},
            "by_source": [{"source": "Tests", "owner": "t", "received": 1, "acted": 1}],
            "by_type": {"BREAKOUT": {"received": 1, "acted": 1}},
            "reasons": {"approved": 1},
            "latency": {"received_to_evaluated": {"count": 1, "mean_s": 0.0, "longest_s": 0.0}},
            "waiting": 0,
            "waits_for": None,
            "outcomes": {"awaited": 1, "unmeasured": 0},
            "detectors": {"in_force": ["breakout"], "crowded_out": 0},
            "agents": ["technical", "record"],
            "scorecards": {"sources": [], "agents": [], "consensus": {"outcomes": 0}},
        }


class SignalPaper:
    """What is on disk of signals: one, which is through, whoever asks for what."""

    signals_asked: SignalsAsked | None = None

    async def signals(self, wanted: SignalsAsked, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        self.signals_asked = wanted
        rows = [ROW] if wanted.state == "processed" else []
        return rows[offset : offset + limit], len(rows)

    async def signal(self, which: str) -> dict[str, Any] | None:
        steps = [{"status": "received", "ts": AS_OF, "reason": "", "detail": ""}]
        return {**ROW, "steps": steps, "opinions": TOLD_OPINIONS, "outcome": None} if which == SIGNAL_ID else None
