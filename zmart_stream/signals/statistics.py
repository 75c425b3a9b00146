"""How many signals came, of whom, of what kind, what became of them, and how long each stage took in market time."""

from __future__ import annotations

from typing import Any

import msgspec

from zmart_stream.domain.signals import Signal, SignalSettled, Status
from zmart_stream.signals.validation import TYPE

MOST_TYPES = 200
OTHER = "OTHER"
"""Where further signal types are counted."""

STAGES = ("received_to_evaluated", "evaluated_to_decided", "decided_to_ended", "received_to_expired")
_COUNTED = (
    "received",
    "rejected",
    "repeated",
    "evaluated",
    "approved",
    "declined",
    "acted",
    "no_action",
    "expired",
    "hits",
    "misses",
)


class Latency(msgspec.Struct, kw_only=True, gc=False):
    """Durations of one stage, ns of market time."""

    count: int = 0
    total: int = 0
    longest: int = 0

    def add(self, ns: int) -> None:
        """One more."""
        self.count += 1
        self.total += ns
        self.longest = max(self.longest, ns)

    def shown(self) -> dict[str, Any]:
        """Count, mean and longest in seconds."""
        mean = self.total / self.count / 1e9 if self.count else None
        return {"count": self.count, "mean_s": mean, "longest_s": self.longest / 1e9 if self.count else None}


class Statistics:
    """Counts since the store began."""

    def __init__(self) -> None:
        self._total: dict[str, int] = dict.fromkeys(_COUNTED, 0)
        self._sources: dict[tuple[str, str], dict[str, int]] = {}
        self._types: dict[str, dict[str, int]] = {}
        self._reasons: dict[str, int] = {}
        self._latency = {stage: Latency() for stage in STAGES}

    def count(self, what: Status, signal: Signal) -> None:
        """A signal reached a status."""
        self._add(what, (signal.owner, signal.source), signal.signal_type)

    def repeated(self, whose: tuple[str, str], signal_type: str) -> None:
        """A signal of this owner and source, first sent as this type, came again."""
        self._add("repeated", whose, signal_type)

    def refused(self, signal_type: str) -> None:
        """A rejected signal; neither its source nor a type that is none has a line, as anybody may invent them."""
        self._total["rejected"] += 1
        self._of_type(signal_type if TYPE.fullmatch(signal_type) else OTHER)["rejected"] += 1

    def settled(self, outcome: SignalSettled) -> None:
        """An outcome is known."""
        what = "hits" if outcome.hit else "misses"
        self._add(what, (outcome.owner, outcome.source), outcome.signal_type)

    def because(self, reason: str) -> None:
        """A decision's, an end's or a problem's code."""
        if reason in self._reasons or len(self._reasons) < MOST_TYPES:
            self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def took(self, stage: str, ns: int) -> None:
        """A stage of `STAGES` took so long."""
        self._latency[stage].add(ns)

    def shown(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {
            "total": dict(self._total),
            "by_source": [
                {"source": source, "owner": owner, **counts} for (owner, source), counts in self._sources.items()
            ],
            "by_type": {name: dict(counts) for name, counts in self._types.items()},
            "reasons": dict(self._reasons),
            "latency": {stage: latency.shown() for stage, latency in self._latency.items()},
        }

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {
            "total": dict(self._total),
            "sources": [[*key, dict(counts)] for key, counts in self._sources.items()],
            "types": {name: dict(counts) for name, counts in self._types.items()},
            "reasons": dict(self._reasons),
            "latency": {stage: msgspec.to_builtins(latency) for stage, latency in self._latency.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self._total = dict(state["total"])
        self._sources = {(owner, source): dict(counts) for owner, source, counts in state["sources"]}
        self._types = {name: dict(counts) for name, counts in state["types"].items()}
        self._reasons = dict(state["reasons"])
        self._latency = {stage: msgspec.convert(state["latency"][stage], Latency) for stage in STAGES}

    def _add(self, what: str, whose: tuple[str, str], signal_type: str) -> None:
        self._total[what] += 1
        if whose not in self._sources:
            self._sources[whose] = dict.fromkeys(_COUNTED, 0)
        self._sources[whose][what] += 1
        self._of_type(signal_type)[what] += 1

    def _of_type(self, signal_type: str) -> dict[str, int]:
        name = signal_type if signal_type in self._types or len(self._types) < MOST_TYPES else OTHER
        return self._types.setdefault(name, dict.fromkeys(_COUNTED, 0))
