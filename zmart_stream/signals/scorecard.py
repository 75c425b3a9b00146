"""How good each source and each agent has been: hits and misses that fade, Brier score, calibration by decile."""

from __future__ import annotations

from math import exp
from typing import Any

import msgspec

from zmart_stream.domain.settings import SignalSettings
from zmart_stream.domain.signals import SignalSettled
from zmart_stream.market.views import SourceRecord

NS = 1_000_000_000
DECILES = 10
LEARNING_RATE = 0.2
LEAST_WEIGHT, MOST_WEIGHT = 0.5, 2.0


class Card(msgspec.Struct, kw_only=True, gc=False):
    """One forecaster. All sums but `outcomes` halve with every half-life.

    `deciles[i]` holds [count, Σ p, Σ hit] of forecasts in [i/10, (i+1)/10).
    """

    at: int = 0  # ns to which the sums have faded
    outcomes: int = 0
    hits: float = 0.0
    misses: float = 0.0
    brier: float = 0.0
    net: float = 0.0
    deciles: list[list[float]] = msgspec.field(default_factory=lambda: [[0.0, 0.0, 0.0] for _ in range(DECILES)])

    def add(self, ts: int, p: float, *, hit: bool, net: float, half_life_s: float) -> None:
        """One more outcome at `ts` (ns) of a forecast `p`; `net` is the fraction earned after cost."""
        self._fade(ts, half_life_s)
        self.outcomes += 1
        self.hits += hit
        self.misses += not hit
        self.brier += (p - hit) ** 2
        self.net += net
        cell = self.deciles[min(DECILES - 1, int(p * DECILES))]
        cell[0] += 1.0
        cell[1] += p
        cell[2] += hit

    def faded(self, ts: int, half_life_s: float) -> Card:
        """A copy with its sums as of `ts`."""
        card = msgspec.convert(msgspec.to_builtins(self), Card)
        card._fade(ts, half_life_s)
        return card

    def shown(self) -> dict[str, Any]:
        """As built-in values; None where there is nothing to divide by."""
        known = self.hits + self.misses
        return {
            "outcomes": self.outcomes,
            "hits": round(self.hits, 6),
            "misses": round(self.misses, 6),
            "hit_rate": round((1.0 + self.hits) / (2.0 + known), 6),
            "brier": round(self.brier / known, 6) if known > 0.0 else None,
            "mean_net": round(self.net / known, 9) if known > 0.0 else None,
            "calibration": [
                {
                    "from": i / DECILES,
                    "to": (i + 1) / DECILES,
                    "count": round(count, 6),
                    "forecast": round(p / count, 6) if count > 0.0 else None,
                    "hit_rate": round(hit / count, 6) if count > 0.0 else None,
                }
                for i, (count, p, hit) in enumerate(self.deciles)
            ],
        }

    def _fade(self, ts: int, half_life_s: float) -> None:
        if ts <= self.at:
            return
        if self.at:
            left = 2.0 ** -((ts - self.at) / (half_life_s * NS))
            self.hits *= left
            self.misses *= left
            self.brier *= left
            self.net *= left
            self.deciles = [[value * left for value in cell] for cell in self.deciles]
        self.at = ts


class Scorecards:
    """Cards of sources, of agents and of the consensus, and the agents' learned weights."""

    def __init__(self, settings: SignalSettings) -> None:
        self.reconfigure(settings)
        self._sources: dict[tuple[str, str], Card] = {}
        self._agents: dict[str, Card] = {}
        self._consensus = Card()
        self._learned: dict[str, float] = {}

    def reconfigure(self, settings: SignalSettings) -> None:
        """Use this half-life and learning from now on."""
        self._half_life_s = settings.half_life_s
        self._learn = settings.learn_weights

    def settle(self, outcome: SignalSettled) -> None:
        """Count an outcome for the source, for each agent that spoke, and for the consensus."""
        ts, hit, net, half_life = outcome.ts, outcome.hit, outcome.net, self._half_life_s
        source = self._sources.setdefault((outcome.owner, outcome.source), Card())
        source.add(ts, outcome.confidence, hit=hit, net=net, half_life_s=half_life)
        for told in outcome.agents:
            card = self._agents.setdefault(told.agent, Card())
            card.add(ts, told.p, hit=hit, net=net, half_life_s=half_life)
        self._consensus.add(ts, outcome.p, hit=hit, net=net, half_life_s=half_life)
        if self._learn:
            self._adapt(outcome)

    def source(self, owner: str, source: str, now: int) -> SourceRecord:
        """The record of a source at `now` (ns)."""
        card = self._sources.get((owner, source))
        if card is None:
            return SourceRecord()
        left = 2.0 ** -(max(0, now - card.at) / (self._half_life_s * NS))
        known = card.hits + card.misses
        return SourceRecord(
            outcomes=card.outcomes,
            hits=card.hits * left,
            misses=card.misses * left,
            mean_net=card.net / known if known > 0.0 else None,
        )

    def weight(self, agent: str) -> float:
        """The learned factor on an agent's weight, 1 unless `learn_weights` is on."""
        return self._learned.get(agent, 1.0) if self._learn else 1.0

    def shown(self, now: int) -> dict[str, Any]:
        """All cards as of `now` (ns), as built-in values."""
        half_life = self._half_life_s
        return {
            "sources": [
                {"source": source, "owner": owner, **card.faded(now, half_life).shown()}
                for (owner, source), card in self._sources.items()
            ],
            "agents": [
                {"agent": agent, "learned_weight": self.weight(agent), **card.faded(now, half_life).shown()}
                for agent, card in self._agents.items()
            ],
            "consensus": self._consensus.faded(now, half_life).shown(),
        }

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {
            "sources": [[*key, msgspec.to_builtins(card)] for key, card in self._sources.items()],
            "agents": {agent: msgspec.to_builtins(card) for agent, card in self._agents.items()},
            "consensus": msgspec.to_builtins(self._consensus),
            "learned": dict(self._learned),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self._sources = {(owner, source): msgspec.convert(card, Card) for owner, source, card in state["sources"]}
        self._agents = {agent: msgspec.convert(card, Card) for agent, card in state["agents"].items()}
        self._consensus = msgspec.convert(state["consensus"], Card)
        self._learned = dict(state["learned"])

    def _adapt(self, outcome: SignalSettled) -> None:
        """Multiplicative weights: who was nearer to the truth than the mean of those that spoke gains."""
        told = outcome.agents
        if len(told) < 2:
            return
        mean = sum(each.brier for each in told) / len(told)
        for each in told:
            weight = self._learned.get(each.agent, 1.0) * exp(-LEARNING_RATE * (each.brier - mean))
            self._learned[each.agent] = min(MOST_WEIGHT, max(LEAST_WEIGHT, weight))
