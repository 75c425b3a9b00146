"""What the view remembers between signals is what it would work out anew, at any moment of a busy session."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.engine.stream import NS
from tests.engine.test_signals import busy, core, one, outside, signal, started
from zmart_stream.domain.commands import Recalculate, Reconfigure
from zmart_stream.domain.market import HOUR_S, Bars
from zmart_stream.domain.message import Message
from zmart_stream.domain.messages import pack
from zmart_stream.domain.settings import AgentSettings, CoreSettings
from zmart_stream.domain.signals import Plan, SignalEvaluated
from zmart_stream.engine.desk import CoreView
from zmart_stream.engine.engine import Engine
from zmart_stream.market.comovement import Comovement
from zmart_stream.market.trail import Trail
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.signals import AGENTS

SIX = tuple(AgentSettings(name=name) for name in AGENTS)


def told_by(view: CoreView, symbols: list[str], out: str | None) -> list[object]:
    found: list[object] = [view.best_candidate()]
    for symbol in symbols:
        plans = [Plan(action="ADD", symbol=symbol), Plan(action="REMOVE", symbol=symbol)]
        plans += [Plan(action="WEIGHT_UP", symbol=symbol), Plan(action="REPLACE", symbol=symbol, symbol_out=out)]
        found += [view.correlation(symbol), view.cap_breach(symbol), view.replaceable_by(symbol)]
        found += [view.var_after(plan) for plan in plans]
    return found


def anew(engine: Engine) -> CoreView:
    """A view that remembers nothing, over a market that remembers no pairs."""
    engine.market.comovement = Comovement(Trail(engine.market.hours.ring))
    judging = engine.judging
    return CoreView(judging._stages, engine._start, judging._trail, judging.processor.book.cards, lambda: engine.now)


def unkind(messages: list[Message], settings: CoreSettings, rng: random.Random) -> list[Message]:
    """With repaired bars, a recalculation and other settings in between, of each a few whatever the seed."""
    found = []
    for number, message in enumerate(messages):
        found.append(message)
        if isinstance(message, Bars) and message.interval_s == HOUR_S:
            history = message
        elif number > 200 and (rng.random() < 0.02 or number % 67 == 0):
            rows = tuple((*row[:4], row[4] * rng.uniform(0.99, 1.01), *row[5:]) for row in history.rows[-30:])
            found.append(msgspec.structs.replace(history, ts=message.ts, as_of=message.ts, rows=rows))
        elif number > 200 and (rng.random() < 0.01 or number % 71 == 0):
            other = msgspec.structs.replace(
                settings,
                portfolio=msgspec.structs.replace(
                    settings.portfolio,
                    max_weight=rng.choice([25.0, 30.0, 40.0]),
                    max_correlation=rng.choice([0.3, 1.1]),
                ),
            )
            found.append(Reconfigure(ts=message.ts, request_id=f"r{number}", settings=other, revision=number))
            found.append(Recalculate(ts=message.ts, request_id=f"c{number}"))
    return found


def test_remembered_equals_anew_through_book_changes_repairs_and_reloads(seed: int) -> None:
    settings, rng = core(SIX), random.Random(seed)
    engine = Engine(settings, build_scorers(settings.scoring), session=1)
    books, kinds = set(), set()
    for number, message in enumerate(unkind(busy(seed % 1000), settings, rng)):
        kinds |= {type(each).__name__ for each in engine.process(message)}
        if rng.random() < 0.15:
            symbols = rng.sample(list(engine.market.by_symbol), min(3, len(engine.market.by_symbol)))
            held = [holding.symbol for holding in engine.symbols.portfolio.holdings]
            out = rng.choice(held) if held else None
            books.add(tuple(held))
            kept = engine.market.comovement
            remembered = told_by(engine.judging.view, [*symbols, *held[:2]], out)
            fresh = told_by(anew(engine), [*symbols, *held[:2]], out)
            engine.market.comovement = kept
            assert [repr(each) for each in remembered] == [repr(each) for each in fresh], number
    assert len(books) > 3
    assert {"BarsAmended", "Reconfigured", "PortfolioChange", "BarBlock"} <= kinds


@pytest.mark.parametrize("seed", [7])
def test_six_agents_say_the_same_bit_for_bit_after_a_restore_anywhere(seed: int) -> None:
    settings, rng = core(SIX), random.Random(seed)
    messages = unkind(busy(seed), settings, rng)

    first: Engine | None = None
    restores = set(rng.sample(range(200, len(messages)), 10))
    judged = 0

    def made() -> Engine:
        now = settings if first is None else first.settings
        return Engine(now, build_scorers(now.scoring), session=1)

    first, second = made(), made()
    for number, message in enumerate(messages):
        told = first.process(message)
        assert [pack(each) for each in second.process(message)] == [pack(each) for each in told], number
        judged += sum(isinstance(each, SignalEvaluated) for each in told)
        if number in restores:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(second.snapshot(full=True)))
            second = made()
            second.restore(state)
    assert judged > 20


def test_an_opinion_follows_the_book_within_the_bar() -> None:
    engine, _ = started(core(SIX, approve_at=0.98))
    new = outside(engine)

    def figures(n: int) -> dict[str, object]:
        evaluated = one(SignalEvaluated, engine.process(signal(engine.now + n * NS, symbol=new, signal_type=f"T{n}")))
        return dict(next(each for each in evaluated.opinions if each.agent == "risk").reasons[0].numbers)

    before = figures(1)
    assert figures(2) == before
    history = next(engine.symbols.portfolio.holdings[k].symbol for k in range(2))
    bars = engine.judging.view.hour_bars(history, 30)
    rows = tuple(
        (bars.end - (30 - k) * HOUR_S * NS, *(price * (1.0 + 0.02 * (k % 3)),) * 4, 10.0, 100.0)
        for k, price in enumerate(bars.close.tolist())
    )
    since = bars.end - 30 * HOUR_S * NS
    repaired = Bars(
        ts=engine.now, symbol=history, interval_s=HOUR_S, since=since, until=bars.end, as_of=engine.now, rows=rows
    )
    engine.process(repaired)
    assert figures(3)["correlation"] != before["correlation"]
    assert figures(4)["var"] != before["var"]
