"""What every agent and detector must satisfy; authors of plug-ins run these on their own.

check_agent(PatientAgent, options={"hours": 12})
check_detector(NewHigh)
"""

from __future__ import annotations

from typing import Any

import msgspec

from tests.engine.stream import HOUR, NS, T0, Session
from zmart_stream.domain.market import Coverage, Tick
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import (
    AgentSettings,
    CoreSettings,
    DetectorSettings,
    MarketSettings,
    PortfolioSettings,
    SignalSettings,
)
from zmart_stream.domain.signals import LEAST_P, MOST_P, Opinion, Signal
from zmart_stream.engine.engine import Engine
from zmart_stream.engine.judging import Judges
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.signals.base import Agent, Case, Detector, Finding, ScoreDetector
from zmart_stream.signals.isolation import asked, found
from zmart_stream.signals.planning import plan_for
from zmart_stream.signals.registry import build_agents, build_detectors

HOURS = 6


def check_agent(kind: type[Any], *, options: dict[str, Any] | None = None, seed: int = 1) -> None:
    """Ask an agent about every contract in both directions through hours of a market; AssertionError names what broke.

    It answers within the contract (p in [0.02, 0.98], its stance, a reason, finite numbers), the same when asked again
    and on a core restored from a snapshot, changes nothing, and abstains about what nothing is known of.
    """
    print("seed", seed)
    engine, agent = _engine(seed), _agent(kind, options)
    session = Session(seed, count=12)
    spoke = 0
    for told in _hours(session):
        for message in told:
            engine.process(message)
        cases = _cases(engine)
        before = _state(engine)
        opinions = [_answer(agent, case, engine) for case in cases]
        assert _state(engine) == before, f"{agent.name} changes what it looks at"
        assert [_answer(agent, case, engine) for case in cases] == opinions, (
            f"{agent.name}: another answer when asked again"
        )
        restored = _engine(seed)
        restored.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(engine.snapshot(full=True))))
        again = [_answer(_agent(kind, options), case, restored) for case in cases]
        assert again == opinions, f"{agent.name}: another answer after a restart"
        spoke += sum(opinion.stance != "abstain" for opinion in opinions)
    print(agent.name, "spoke", spoke, "times")
    _check_silence(agent, _engine(seed), session)


def check_detector(kind: type[Any], *, options: dict[str, Any] | None = None, seed: int = 1, hours: int = HOURS) -> int:
    """Let a detector look at closes and moves of some hours; AssertionError names what broke. How much it found.

    Its findings are within the contract, the same when asked again and on a core restored from a snapshot; it changes
    nothing, and finds nothing where nothing is known. The market starts at 09:20 UTC.
    """
    print("seed", seed)
    engine, detector = _engine(seed), _detector(kind, options)
    session, count = Session(seed, count=12), 0
    assert _findings(detector, engine) == [], f"{detector.name} finds something in an empty market"
    for told in _hours(session, hours):
        for message in told:
            engine.process(message)
        before = _state(engine)
        findings = _findings(detector, engine)
        assert _state(engine) == before, f"{detector.name} changes what it looks at"
        assert _findings(detector, engine) == findings, f"{detector.name}: other findings when asked again"
        restored = _engine(seed)
        restored.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(engine.snapshot(full=True))))
        again = _findings(_detector(kind, options), restored)
        assert again == findings, f"{detector.name}: other findings after a restart"
        count += len(findings)
    print(detector.name, "found", count)
    return count


def _engine(seed: int) -> Engine:
    market = MarketSettings(gap_floor_instrument_s=900.0, gap_floor_poll_s=900.0, gap_floor_depth_s=1e5)
    book = PortfolioSettings(max_symbols=4, max_correlation=1.1, entry_score=0.0, exit_score=0.0)
    settings = CoreSettings(market=market, portfolio=book)
    nobody = Judges((), ())
    return Engine(settings, build_scorers(settings.scoring), session=seed, build_judges=lambda _: nobody)


def _agent(kind: type[Any], options: dict[str, Any] | None) -> Agent:
    settings = SignalSettings(agents=(AgentSettings(name="checked", options=options or {}),))
    return build_agents(settings, {"checked": kind})[0].agent


def _detector(kind: type[Any], options: dict[str, Any] | None) -> Detector:
    settings = SignalSettings(detectors=(DetectorSettings(name="checked", options=options or {}),))
    return build_detectors(settings, {"checked": kind})[0].detector


def _hours(session: Session, hours: int = HOURS) -> list[list[Message]]:
    """The session in pieces: warm-up, hours, and at the end ten minutes without tickers and trades."""
    pieces = [list(session.start())]
    now = T0 + 5 * NS
    for hour in range(hours):
        end = T0 // HOUR * HOUR + (hour + 1) * HOUR + 5 * NS
        pieces.append([*session.run(now, end, 30 * NS), Tick(ts=end)])
        now = end
    symbols = tuple(contract.symbol for contract in session.contracts)
    lost = [Coverage(ts=now, topic=topic, symbols=symbols, since=None) for topic in ("ticker", "execution")]
    pieces.append([*lost, Tick(ts=now + 600 * NS)])
    return pieces


def _cases(engine: Engine) -> list[Case]:
    view, cases = engine.judging.view, list[Case]()
    for n, symbol in enumerate([None, *view.symbols()]):
        for direction in ("BUY", "SELL"):
            signal = Signal(
                id=f"{n}{direction}",
                source="checks",
                owner="checks",
                who="checks",
                signal_type="CHECK",
                strength=0.8,
                confidence=0.7,
                direction="BUY" if direction == "BUY" else "SELL",
                symbol=symbol,
                received=view.now,
                expires=view.now + NS,
            )
            plan = plan_for(signal, view)
            if plan.symbol is not None:
                cases.append(Case(signal=signal, symbol=plan.symbol, plan=plan))
    return cases


def _answer(agent: Agent, case: Case, engine: Engine) -> Opinion:
    opinion = asked(agent, case, engine.judging.view)
    what = f"{agent.name} about {case.direction} {case.symbol}"
    assert opinion.stance == "abstain" or LEAST_P <= opinion.p <= MOST_P, what
    assert all(reason.code for reason in opinion.reasons), f"{what}: a reason without a code"
    assert all(age >= 0.0 for age in opinion.ages.values()), f"{what}: an age below 0"
    return opinion


def _check_silence(agent: Agent, engine: Engine, session: Session) -> None:
    """Contracts are listed and nothing else is known: an agent has no opinion, and does not fail."""
    for message in list(session.start())[: 2 * len(session.contracts)]:
        engine.process(message)
    for case in _cases(engine):
        opinion = _answer(agent, case, engine)
        assert opinion.stance == "abstain", f"{agent.name} judges {case.symbol}, of which nothing is known"


def _findings(detector: Detector, engine: Engine) -> list[Finding]:
    view = engine.judging.view
    told = found(detector, detector.at_close(view), view, 16384)
    if isinstance(detector, ScoreDetector):
        for symbol in view.symbols():
            told += found(detector, detector.at_score(symbol, view), view, 16384)
    return told


def _state(engine: Engine) -> bytes:
    return msgspec.msgpack.encode(engine.snapshot(full=True))
