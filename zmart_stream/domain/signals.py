"""Signals: what a source proposes, each agent's opinion of it, one decision, and what became of it (numbers.md §4)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from zmart_stream.domain.commands import Command
from zmart_stream.domain.message import Message

Direction = Literal["BUY", "SELL"]
Stance = Literal["approve", "reject", "abstain"]
Action = Literal["ADD", "REPLACE", "REMOVE", "WEIGHT_UP", "WEIGHT_DOWN", "NONE"]
Status = Literal["received", "rejected", "evaluated", "approved", "declined", "acted", "no_action", "expired"]
Figure = int | float | str | bool | None

FINAL: tuple[Status, ...] = ("rejected", "declined", "acted", "no_action", "expired")
"""States that a signal does not leave."""

MACHINE = "machine"
"""Owner of the sources that are our own detectors."""

DETECTOR_SOURCE = "detector."
"""How the source name of a detector begins; no other source may begin so."""

LEAST_P, MOST_P = 0.02, 0.98
"""An opinion's probability stays within these."""


class SubmitSignal(Command, frozen=True, kw_only=True, gc=False):
    """Judge a signal and let the book act on it if it is approved.

    `who` is the name of the sender's token, `owner` its id (names may be given anew, ids are not): sources belong to
    owners. Values may break the rules of `signals.validation`; the signal is then stored as rejected. `symbol_id` is
    the contract's UUID or its symbol. Without both it is a market signal. Expiry: `expires_in_s` seconds from `ts`, or
    `expires_at` in market time (ns); neither: the configured default.
    """

    owner: str
    source_name: str
    signal_type: str
    signal_strength: float
    confidence_level: float
    symbol: str | None = None
    symbol_id: str | None = None
    signal_direction: str | None = None
    signal_data: dict[str, Any] = msgspec.field(default_factory=dict)
    idempotency_key: str | None = None
    expires_in_s: float | None = None
    expires_at: int | None = None


class Signal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A signal as it is judged and stored."""

    id: str
    source: str
    owner: str
    who: str
    signal_type: str
    strength: float  # 0..1
    confidence: float  # 0..1, as the source says
    direction: Direction
    symbol: str | None  # as asked; None: a market signal
    data: dict[str, Any] = {}
    idempotency_key: str | None = None
    received: int  # ns
    expires: int  # ns


class Problem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is wrong with a submitted signal: the field, the value it has, the rule it breaks, a stable code."""

    field: str
    value: Figure
    rule: str
    code: str = "invalid"

    def __str__(self) -> str:
        """`rule` says what the value would have to be."""
        return f"{self.field}: {self.rule}" if self.value is None else f"{self.field} ({self.value}): {self.rule}"


class Reason(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why an agent thinks so: a stable code and the numbers behind it."""

    code: str
    numbers: dict[str, Figure] = {}


class Opinion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One agent's view of a signal."""

    agent: str
    p: float  # in [0.02, 0.98]: acting in the signal's direction pays after cost within the horizon; 0.5 if it abstains
    stance: Stance
    reasons: tuple[Reason, ...]
    ages: dict[str, float] = {}  # seconds since each input spoke
    veto: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the book would do about a signal if it were approved now."""

    action: Action
    symbol: str | None = None
    """The contract that the signal is about: the one named, or the one chosen for a market signal."""
    symbol_out: str | None = None
    """REPLACE: the holding that would leave."""
    reason: str = ""
    """NONE: why nothing can be done."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The consensus, with everything it was made of."""

    approved: bool
    reason: str  # approved, below_threshold, no_quorum, veto, no_target
    p: float  # rounded to 1e-6
    approve_at: float
    prior: float
    confidence: float  # the source's own, or its hit rate once it has enough outcomes
    is_calibrated: bool
    spoke: int
    quorum: int
    veto: str | None  # the agent that vetoed
    dissent: float  # weighted standard deviation of the opinions' p
    weights: dict[str, float]  # of the agents that spoke
    plan: Plan


class SignalReceived(Message, frozen=True, kw_only=True, gc=False):
    """A valid signal came in; it is judged at once, or waits while the book holds."""

    signal: Signal
    request_id: str | None = None


class SignalRejected(Message, frozen=True, kw_only=True, gc=False):
    """A signal that breaks rules: stored, and nothing else. Over-long values are cut, too large data left out."""

    signal: Signal
    problems: tuple[Problem, ...]
    request_id: str | None = None


class SignalRepeated(Message, frozen=True, kw_only=True, gc=False):
    """The same key, or the same signal within the window: nothing happens twice; where the first one stands."""

    signal_id: str
    request_id: str | None
    by: Literal["key", "content"]
    first: int  # ns when the first one was received
    status: Status
    approved: bool | None
    p: float | None
    action: Action | None
    symbol: str | None
    symbol_out: str | None = None
    spoke: int | None = None
    veto: str | None = None
    dissent: float | None = None
    verdict: str = ""  # the decision's reason
    reason: str = ""  # of the newest step
    detail: str = ""
    change_id: str | None = None


class SignalEvaluated(Message, frozen=True, kw_only=True, gc=False):
    """Every agent's opinion, and what the book would do."""

    signal: Signal
    plan: Plan
    opinions: tuple[Opinion, ...]


class SignalDecided(Message, frozen=True, kw_only=True, gc=False):
    """Approved or declined, with `reason` in the decision; and what its outcome will be measured from."""

    signal: Signal
    decision: Decision
    price: float | None  # mark of the contract; None: not known, its outcome is not measured
    cost: float  # fraction: of entering and leaving, or of leaving and coming back
    due: int  # ns at which the outcome is measured


class SignalEnded(Message, frozen=True, kw_only=True, gc=False):
    """An approved signal's end: the book acted, or did not and why; or a signal expired before it was decided."""

    signal_id: str
    status: Literal["acted", "no_action", "expired"]
    reason: str  # acted: the action in lower case; no_action: the code of the limit; expired: what it waited for
    detail: str = ""
    symbol: str | None = None  # the contract that it was about: the one chosen for a market signal, once it is decided
    change_id: str | None = None  # of the PortfolioChange


class AgentOutcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How right one agent was."""

    agent: str
    p: float
    brier: float  # (p - hit)^2


class SignalSettled(Message, frozen=True, kw_only=True, gc=False):
    """The horizon passed: what acting on the signal would have earned. Returns are fractions."""

    signal_id: str
    source: str
    owner: str
    signal_type: str
    symbol: str
    direction: Direction
    approved: bool
    since: int  # ns of the decision
    until: int  # ns at which the price below held
    price_then: float
    price_now: float
    gross: float  # forward return in the signal's direction
    cost: float  # of entering and leaving, or of leaving and coming back
    net: float
    hit: bool  # net > 0
    confidence: float  # the source's, as sent
    p: float  # the consensus
    brier: float  # (p - hit)^2
    agents: tuple[AgentOutcome, ...]
