"""The agent that knows the source: how often its signals paid."""

from __future__ import annotations

from zmart_stream.domain.signals import Opinion
from zmart_stream.market.views import BookView
from zmart_stream.signals.base import Case, abstain, opinion, reason


class RecordAgent:
    """p = mean of Beta(1 + hits, 1 + misses) of the source, counts decaying (numbers.md §4).

    Abstains while less than `min_outcomes` (decayed) are known: a guess of one half would speak against the signal.
    """

    name = "record"

    def __init__(self, *, min_outcomes: float = 1.0) -> None:
        if not min_outcomes >= 0.0:
            raise ValueError("min_outcomes is below 0")
        self._least = min_outcomes

    def judge(self, case: Case, view: BookView) -> Opinion:
        """The source's hit rate."""
        past = view.record(case.signal.owner, case.signal.source)
        known = past.hits + past.misses
        if known < self._least or known <= 0.0:
            return abstain(self.name, "no_outcomes", outcomes=past.outcomes, least=self._least)
        told = reason(
            "hit_rate",
            hits=round(past.hits, 6),
            misses=round(past.misses, 6),
            outcomes=past.outcomes,
            mean_net=None if past.mean_net is None else round(past.mean_net, 9),
        )
        return opinion(self.name, past.hit_rate, told)
