"""The contracts of detectors and agents: a detector finds, an agent judges; neither acts, both say why.

Both read through the views of `market.views` alone and keep nothing between two calls: the same view and the same
case give the same answer, also after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec

from zmart_stream.domain.signals import LEAST_P, MOST_P, Direction, Figure, Opinion, Plan, Reason, Signal
from zmart_stream.market.contract_state import Moves
from zmart_stream.market.views import BookView, MarketView


class Case(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an agent is asked: does acting on `signal` pay, net of cost, within the horizon?"""

    signal: Signal
    symbol: str
    """The contract it is about: the one named, or the one chosen for a market signal."""
    plan: Plan
    """What the book would do."""

    @property
    def direction(self) -> Direction:
        """BUY or SELL."""
        return self.signal.direction

    @property
    def sign(self) -> float:
        """+1 for BUY, -1 for SELL: a figure that speaks for holding long, times this, speaks for the signal."""
        return 1.0 if self.signal.direction == "BUY" else -1.0


class Finding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a detector saw. Strength and confidence in [0, 1]; `data` holds the numbers behind it, JSON-ready."""

    signal_type: str
    symbol: str
    direction: Direction
    strength: float
    confidence: float
    data: dict[str, Any] = {}
    expires_in_s: float | None = None


class Agent(Protocol):
    """Judges signals. An optional attribute `may_veto = True` lets its opinion carry a veto."""

    name: str

    def judge(self, case: Case, view: BookView) -> Opinion:
        """Its opinion: `opinion(...)`, or `abstain(...)` when its inputs are not fresh or not there."""
        ...


class Detector(Protocol):
    """Raises signals at closes, and within a bar if it is a `ScoreDetector`.

    How often it may repeat itself about a contract and direction (`cooldown`) is not its business.
    """

    name: str

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        """What the close just now shows, over all contracts; the strongest first if there are many."""
        ...


@runtime_checkable
class ScoreDetector(Detector, Protocol):
    """A detector that also looks at each composite that moved by the publish step within a bar."""

    def at_score(self, symbol: str, view: MarketView) -> Iterable[Finding]:
        """What the move of `symbol` just now shows."""
        ...


def opinion(
    agent: str, p: float, *reasons: Reason, ages: Mapping[str, float | None] | None = None, veto: bool = False
) -> Opinion:
    """An opinion with `p` brought into [0.02, 0.98], the stance that follows, and the ages (s) that are known."""
    within = min(MOST_P, max(LEAST_P, p))
    known = {name: age for name, age in (ages or {}).items() if age is not None}
    stance: Any = "approve" if within >= 0.5 else "reject"
    return Opinion(agent=agent, p=within, stance=stance, reasons=reasons, ages=known, veto=veto)


def ages_of(view: MarketView, symbol: str, *inputs: Moves) -> dict[str, float | None]:
    """Seconds since each of the `inputs` of a contract spoke, by name; None for one that never did."""
    return {moves.name.lower(): view.age_s(symbol, moves) for moves in inputs}


def reason(code: str, **numbers: Figure) -> Reason:
    """A code and the numbers behind it; None for one that is not known."""
    return Reason(code=code, numbers=numbers)


def abstain(agent: str, code: str, **numbers: Figure) -> Opinion:
    """No opinion, and why not."""
    return Opinion(agent=agent, p=0.5, stance="abstain", reasons=(Reason(code=code, numbers=numbers),))
