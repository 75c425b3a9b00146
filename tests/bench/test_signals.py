"""What a signal costs the core: validated, judged by every agent, decided, acted on or refused by the book."""

from __future__ import annotations

from collections import Counter
from itertools import count

import msgspec
import pytest

from tests.bench.conftest import Size
from tests.bench.core import SECOND, Fed, cpu_us, settings
from tests.bench.market import Market
from tests.bench.report import Report
from zmart_stream.app.compose import scorers_of
from zmart_stream.domain.message import Message
from zmart_stream.domain.signals import SubmitSignal
from zmart_stream.engine.engine import Engine
from zmart_stream.engine.judging import Judging

pytestmark = pytest.mark.bench

SIGNAL = "CPU a signal, 700 contracts, every agent asked"
A_SECOND = 200
REMEMBERED = 12_000
"""A dedupe window of a minute at that rate."""


@pytest.fixture(scope="module")
def fed(market: Market) -> Fed:
    """Nothing is approved, so that every signal meets the same book."""
    core = settings()
    return Fed(market, msgspec.structs.replace(core, signals=msgspec.structs.replace(core.signals, approve_at=0.98)))


def submitted(fed: Fed, numbers: count[int], symbol: str | None, direction: str) -> SubmitSignal:
    fed.now += SECOND // A_SECOND
    number = next(numbers)
    return SubmitSignal(
        ts=fed.now,
        request_id=f"bench-{number}",
        who="bench",
        owner="bench",
        source_name="bench",
        signal_type=f"T{number}",
        signal_strength=0.8,
        confidence_level=0.7,
        symbol=symbol,
        signal_direction=direction,
        signal_data={"timeframe": "4h", "indicator": "RSI_DIVERGENCE"},
    )


def snapshot_ms(judging: Judging, repeats: int) -> float:
    return cpu_us(lambda _: judging.snapshot(), [[0]] * repeats) / 1e3


def test_signals(fed: Fed, market: Market, report: Report, size: Size) -> None:
    told: Counter[str] = Counter()
    numbers = count(1)

    def process(message: Message) -> None:
        told.update(type(derived).__name__ for derived in fed.engine.process(message))

    kinds = {
        "that names its contract": lambda n: (market.symbols[n % len(market.symbols)], "BUY"),
        "BUY without a contract": lambda n: (None, "BUY"),
        "SELL without a contract": lambda n: (None, "SELL"),
    }
    made = 0
    for name, of in kinds.items():
        batches = [[submitted(fed, numbers, *of(n)) for n in range(A_SECOND)] for _ in range(size.repeats)]
        again = [
            [msgspec.structs.replace(batch[-1], request_id=f"again-{n}") for n in range(A_SECOND)] for batch in batches
        ]
        one = cpu_us(process, batches)
        repeated = cpu_us(process, again[-1:])
        made += size.repeats * A_SECOND
        share = one * A_SECOND / 1e4
        report.add(SIGNAL, f"a signal {name}", one, "µs", control=(repeated, "the same once more: its first answer"))
        report.add(SIGNAL, f"{A_SECOND} a second of them", share, "% of a core")
    assert told["SignalDecided"] == told["SignalReceived"] == made, "none is lost, none waits"
    judging = fed.engine.judging
    core = fed.engine.settings
    empty = Engine(core, scorers_of(core.scoring), session=1).judging
    while len(judging.processor.book.register) < REMEMBERED:
        process(submitted(fed, numbers, market.symbols[next(numbers) % len(market.symbols)], "BUY"))
    taken, nothing = (snapshot_ms(each, size.repeats) for each in (judging, empty))
    name = f"their part of a snapshot on the loop, {REMEMBERED} remembered"
    report.add(SIGNAL, name, taken, "ms", control=(nothing, "none remembered"), promise="< 5 ms")
