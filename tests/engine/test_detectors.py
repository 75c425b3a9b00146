"""From a market that moves to a book that changed: finding, six opinions, decision, act; and again from its capture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.engine.stream import HOUR, NS, Session
from tests.engine.test_engine import AFTER, CLOSE, feed, of, settings
from zmart_stream.app.compose import verify_capture
from zmart_stream.app.compose.past import judges_of
from zmart_stream.app.config import Sources, load
from zmart_stream.app.core_settings import core_settings
from zmart_stream.app.recording import head_of
from zmart_stream.capture.writer import CaptureWriter
from zmart_stream.domain.market import Tick, Trade, WarmUp
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.signals import SignalDecided, SignalEnded, SignalEvaluated, SignalReceived
from zmart_stream.engine.engine import Engine
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.signals import AGENTS, DETECTORS

NEXT = CLOSE + HOUR
"""End of the first hour that is seen whole."""


def shipped(**book: float) -> CoreSettings:
    """Agents and detectors as shipped, outcomes after half an hour; the book is changed by nothing but signals."""
    signals = core_settings(load(Sources(environ={})).settings, 1.0).signals
    signals = msgspec.structs.replace(signals, outcome_horizon_s=1800.0)
    assert [detector.name for detector in signals.detectors] == list(DETECTORS)
    return msgspec.structs.replace(settings(max_symbols=5, automatic=False, **book), signals=signals)


def surge(session: Session, n: int, ts: int, factor: float) -> Iterator[Message]:
    """Contract `n` trades fifty thousand lots on its way to `factor` times its price, and is quoted there."""
    for _ in range(5):
        ts += NS
        session.sequence += 1
        session.price[n] *= factor ** (1 / 5)
        session.traded[n] = session.price[n]
        yield Trade(
            ts=ts,
            ts_event=ts,
            symbol=session.contracts[n].symbol,
            sequence=session.sequence,
            price=session.price[n],
            lots=10_000,
            side="buy" if factor > 1.0 else "sell",
        )
    yield session.ticker(n, ts + NS)
    yield session.depth(n, ts + NS)
    yield session.stats(n, ts + NS)


class Recorded:
    """An engine whose inputs, and what follows from them, are captured."""

    def __init__(self, folder: Path) -> None:
        chosen = shipped()
        self.engine = Engine(chosen, build_scorers(chosen.scoring), session=1, build_judges=judges_of)
        self.writer = CaptureWriter(folder, executor=None)
        self.writer.head(head_of(self.engine))

    def take(self, messages: Iterable[Message]) -> list[Message]:
        told: list[Message] = []
        for message in messages:
            self.writer.inputs([message])
            derived = self.engine.process(message)
            self.writer.derived(derived)
            told += derived
        return told


def steps_of(told: list[Message], source: str) -> list[Message]:
    """The life of the only signal of `source`, and what the book did in it."""
    (received,) = (each for each in of(SignalReceived, told) if each.signal.source == source)
    own = received.signal.id
    return [
        each
        for each in told
        if each is received
        or (isinstance(each, SignalEvaluated | SignalDecided) and each.signal.id == own)
        or (isinstance(each, SignalEnded) and each.signal_id == own)
        or (isinstance(each, PortfolioChange) and each.who == f"signal:{own}")
    ]


def test_a_surge_is_found_judged_by_six_and_acted_on_and_its_capture_replays(tmp_path: Path) -> None:
    session, run = Session(3), Recorded(tmp_path)
    told = run.take(session.start())
    told += run.take([*session.run(run.engine.now, CLOSE, 20 * NS), Tick(ts=CLOSE + AFTER)])
    assert of(SignalReceived, told) == []
    best = next(run.engine.ranked_symbols())
    place = [each.symbol for each in session.contracts].index(best)
    run.take(session.run(CLOSE + AFTER, NEXT - 600 * NS, 20 * NS))
    run.take(surge(session, place, NEXT - 300 * NS, 1.06))
    told = run.take([Tick(ts=NEXT + AFTER)])

    found = [each.signal.source for each in of(SignalReceived, told) if each.signal.symbol == best]
    assert found == ["detector.breakout", "detector.volume_spike"]
    received, evaluated, decided, change, ended = steps_of(told, "detector.breakout")
    assert isinstance(received, SignalReceived)
    signal = received.signal
    assert (signal.symbol, signal.direction, signal.owner) == (best, "BUY", "machine")
    assert isinstance(evaluated, SignalEvaluated)
    assert [opinion.agent for opinion in evaluated.opinions] == list(AGENTS)
    stances = {opinion.agent: opinion.stance for opinion in evaluated.opinions}
    assert stances.pop("record") == "abstain", "none of its signals has been settled"
    assert "abstain" not in stances.values()
    assert isinstance(decided, SignalDecided)
    assert (decided.decision.approved, decided.decision.plan.action, decided.decision.spoke) == (True, "ADD", 5)
    assert isinstance(change, PortfolioChange)
    assert [holding.symbol for holding in change.after.holdings] == [best]
    assert isinstance(ended, SignalEnded)
    assert (ended.status, ended.change_id) == ("acted", change.id)
    assert [holding.symbol for holding in run.engine.symbols.portfolio.holdings] == [best]
    others = steps_of(told, "detector.volume_spike")
    assert isinstance(others[2], SignalDecided)
    assert others[2].decision.plan.action == "WEIGHT_UP", "judged against the book as the breakout left it"
    assert isinstance(others[-1], SignalEnded)
    assert (others[-1].status, others[-1].reason) == ("no_action", "no_change"), "its weight is at the limit"

    session_goes_on = session.run(NEXT + AFTER, NEXT + HOUR, 20 * NS)
    told = run.take([*session_goes_on, Tick(ts=NEXT + HOUR + AFTER)])
    assert best not in [each.signal.symbol for each in of(SignalReceived, told)], "the same bar is told once"
    cards = {card["source"]: card["outcomes"] for card in run.engine.scorecards()["sources"]}
    assert cards["detector.breakout"] == cards["detector.volume_spike"] == 1
    run.writer.close()
    verified = verify_capture(tmp_path)
    assert verified.identical, verified
    assert verified.derived > 300


@pytest.mark.parametrize("ended", [True, False])
def test_nothing_is_found_during_warm_up(ended: bool) -> None:
    chosen, session = shipped(first_fill_after_s=-1.0), Session(3)
    engine = Engine(chosen, build_scorers(chosen.scoring), session=1, build_judges=judges_of)
    feed(engine, [each for each in session.start() if ended or not (isinstance(each, WarmUp) and each.ended)])
    told = feed(engine, session.run(engine.now, NEXT - 600 * NS, 60 * NS))
    told += feed(engine, [*surge(session, 0, NEXT - 300 * NS, 1.06), Tick(ts=NEXT + AFTER)])
    if not ended:
        assert of(SignalReceived, told) == []
        last = WarmUp(ts=NEXT + 2 * AFTER, done=16, of=16, ended=True)
        assert of(SignalReceived, feed(engine, [last, Tick(ts=NEXT + 60 * AFTER)])) == []
    else:
        assert "detector.volume_spike" in [each.signal.source for each in of(SignalReceived, told)]
