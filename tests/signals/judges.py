"""Agents and detectors for tests, named in settings by dotted path."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from zmart_stream.domain.settings import AgentSettings, DetectorSettings
from zmart_stream.domain.signals import Opinion
from zmart_stream.market.views import BookView, MarketView
from zmart_stream.signals.base import Case, Finding, abstain, opinion, reason

HERE = "tests.signals.judges"


class Fixed:
    """Always the same probability."""

    name = "fixed"

    def __init__(self, *, p: float = 0.8) -> None:
        self.p = p

    def judge(self, case: Case, view: BookView) -> Opinion:
        return opinion(self.name, self.p, reason("fixed", p=self.p), ages={"none": 0.0})


class Score:
    """Likes what the composite likes, and stays silent where there is none."""

    name = "score"

    def __init__(self, *, gain: float = 1.0) -> None:
        self.gain = gain

    def judge(self, case: Case, view: BookView) -> Opinion:
        score = view.composite(case.symbol)
        if score is None:
            return abstain(self.name, "no_composite")
        p = 0.5 + case.sign * self.gain * (score - 50.0) / 100.0
        return opinion(self.name, p, reason("composite", score=score))


class Guard:
    """Vetoes BUYs of volatile contracts."""

    name = "guard"
    may_veto = True

    def __init__(self, *, limit: float = 1.0) -> None:
        self.limit = limit

    def judge(self, case: Case, view: BookView) -> Opinion:
        volatility = view.volatility(case.symbol)
        return opinion(
            self.name, 0.6, reason("volatility", value=volatility, limit=self.limit), veto=volatility > self.limit
        )


class Broken:
    """Raises, or returns nonsense."""

    name = "broken"

    def __init__(self, *, how: str = "raise") -> None:
        self.how = how

    def judge(self, case: Case, view: BookView) -> Opinion:
        if self.how == "raise":
            raise ZeroDivisionError("no")
        if self.how == "type":
            return 0.7  # type: ignore[return-value]  # the fault under test
        if self.how == "silent":
            return opinion(self.name, 0.7)
        if self.how == "nan":
            return Opinion(agent=self.name, p=float("nan"), stance="approve", reasons=(reason("x"),))
        if self.how == "range":
            return Opinion(agent=self.name, p=1.0, stance="approve", reasons=(reason("x"),))
        if self.how == "stance":
            return Opinion(agent=self.name, p=0.4, stance="approve", reasons=(reason("x"),))
        if self.how == "name":
            return opinion("somebody", 0.7, reason("x"))
        return _NONSENSE[self.how](self.name)


_NONSENSE: dict[str, Callable[[str], Opinion]] = {
    "numbers": lambda name: opinion(name, 0.7, reason("x", value=float("inf"))),
    "veto": lambda name: opinion(name, 0.7, reason("x"), veto=True),
    "age": lambda name: opinion(name, 0.7, reason("x"), ages={"trade": "old"}),  # type: ignore[dict-item]  # the fault
    "list": lambda name: opinion(name, 0.7, reason("x", value=[1.0])),  # type: ignore[arg-type]  # the fault
    "object": lambda name: opinion(name, 0.7, reason("x", value=object())),  # type: ignore[arg-type]  # the fault
    "huge": lambda name: opinion(name, 0.7, reason("x", value=1 << 80)),
    "text": lambda name: opinion(name, 0.7, reason("\ud800")),
    "long": lambda name: opinion(name, 0.7, reason("x", value="x" * (1 << 20))),
    "blank": lambda name: Opinion(agent=name, p=float("nan"), stance="abstain", reasons=(reason("x"),)),
}
"""Opinions that the contract forbids, most of them since neither a snapshot nor the store could keep them."""


class Vectorised:
    """Answers with NumPy's numbers, as whoever works on columns does."""

    name = "vectorised"

    def judge(self, case: Case, view: BookView) -> Opinion:
        p = np.mean(np.array([0.6, 0.8]))
        return opinion(self.name, p, reason("mean", p=p, single=np.float32(0.5)), ages={"trade": np.float64(1.5)})

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        for symbol in view.symbols()[:1]:
            strength = np.float64(0.5)
            data = {"strength": strength, "count": np.int64(3)}
            yield Finding(
                signal_type="TEST", symbol=symbol, direction="BUY", strength=strength, confidence=0.5, data=data
            )


class EveryClose:
    """Finds the first contracts of the universe at every close."""

    name = "every_close"

    def __init__(self, *, count: int = 1, strength: float = 0.9, direction: str = "BUY") -> None:
        self.count = count
        self.strength = strength
        self.direction = direction

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        for symbol in view.symbols()[: self.count]:
            direction = "SELL" if self.direction == "SELL" else "BUY"
            yield Finding(
                signal_type="TEST", symbol=symbol, direction=direction, strength=self.strength, confidence=0.9
            )


class EveryMove:
    """Finds every contract whose composite moved."""

    name = "every_move"

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        return ()

    def at_score(self, symbol: str, view: MarketView) -> Iterable[Finding]:
        return [Finding(signal_type="MOVED", symbol=symbol, direction="BUY", strength=0.5, confidence=0.5)]


class BrokenDetector:
    """Raises at every close."""

    name = "broken_detector"

    def at_close(self, view: MarketView) -> Iterable[Finding]:
        yield Finding(signal_type="TEST", symbol="NOSUCH", direction="BUY", strength=0.5, confidence=0.5)


def agent(kind: str, name: str | None = None, weight: float = 1.0, **options: object) -> AgentSettings:
    return AgentSettings(name=name or kind.lower(), path=f"{HERE}:{kind}", weight=weight, options=options)


def detector(kind: str, cooldown_s: float = 86400.0, **options: object) -> DetectorSettings:
    return DetectorSettings(name=kind.lower(), path=f"{HERE}:{kind}", cooldown_s=cooldown_s, options=options)


def sure(p: float, count: int = 3) -> tuple[AgentSettings, ...]:
    """`count` agents of one mind."""
    return tuple(agent("Fixed", f"fixed{i}", p=p) for i in range(count))
