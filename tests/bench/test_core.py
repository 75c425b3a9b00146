"""What one message, one bar close, a snapshot and a recalculation cost the core, without sockets."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.bench.conftest import Size
from tests.bench.core import TIER, Fed, cpu_us, wire
from tests.bench.market import EPOCH, HOUR, SEQUENCE, Market, Template
from tests.bench.report import Report
from tests.bench.sender import text_frame
from zmart_stream.domain.bars import BarBlock
from zmart_stream.domain.commands import CommandDone, Recalculate
from zmart_stream.domain.message import Message
from zmart_stream.domain.scores import ScoreChanged, ScoresClosed
from zmart_stream.feeds.kucoin.connection import cut_plain
from zmart_stream.feeds.kucoin.sequences import Sequences
from zmart_stream.feeds.kucoin.session import Session
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.market.contract_state import Moves

pytestmark = pytest.mark.bench

MESSAGE = "CPU a message, without sockets"
CLOSE = "Bar close, snapshot, recalculation: CPU, 700 contracts"
MILLISECONDS = 1e3


@pytest.fixture(scope="module")
def fed(market: Market) -> Fed:
    return Fed(market)


def batches(fed: Fed, templates: Sequence[Template], size: Size) -> list[list[Message]]:
    """Fresh messages for each repeat."""
    return [fed.some(templates, size.messages) for _ in range(size.repeats)]


def state_and_score(fed: Fed, handler: Callable[[Any], Any], moves: Moves) -> Callable[[Any], object]:
    touch = fed.engine.scoring.touch

    def both(message: Any) -> object:
        state = handler(message)
        return None if state is None else touch(state, moves, message.ts)

    return both


def test_decoding(market: Market, report: Report, size: Size) -> None:
    tier, decode = list(range(TIER)), wire().decode
    kinds = {
        "ticker": market.tickers(3),
        "trade": market.trades(3),
        "depth of 5": market.depths(tier, 50),
        "mark": market.marks(tier, 50),
    }
    for name, templates in kinds.items():
        frames = [t.frame(SEQUENCE + k, EPOCH) for k, t in enumerate(templates)]
        assert all(isinstance(decode(frame, EPOCH), Message) for frame in frames)
        ours = cpu_us(lambda frame: decode(frame, EPOCH), [frames] * size.repeats)
        plain = cpu_us(json.loads, [frames] * size.repeats)
        report.add(MESSAGE, f"decode: {name}", ours, "µs", control=(plain, "json.loads of the same frame"))


def test_messages(fed: Fed, market: Market, report: Report, size: Size) -> None:
    tier, cache = list(range(TIER)), fed.engine.market
    kinds = {
        "ticker": (market.tickers(12), cache.ticker, Moves.TICKER),
        "trade": (market.trades(12), cache.trade, Moves.TRADE),
        "depth of 5": (market.depths(tier, 50), cache.depth, Moves.DEPTH),
        "mark": (market.marks(tier, 50), cache.mark_index, Moves.MARK),
    }
    nothing = cpu_us(Nothing().process, batches(fed, kinds["ticker"][0], size))
    for name, (templates, handler, moves) in kinds.items():
        state = cpu_us(handler, batches(fed, templates, size))
        both = cpu_us(state_and_score(fed, handler, moves), batches(fed, templates, size))
        whole = cpu_us(fed.engine.process, batches(fed, templates, size))
        report.add(MESSAGE, f"state: {name}", state, "µs")
        report.add(MESSAGE, f"score: {name}", both - state, "µs")
        report.add(MESSAGE, f"engine.process: {name}", whole, "µs", control=(nothing, "a call that finds a handler"))
    polls = [fed.polls() for _ in range(size.repeats)]
    report.add(MESSAGE, "engine.process: a contract's row of the poll", cpu_us(fed.engine.process, polls), "µs")
    assert fed.engine.now >= polls[-1][-1].ts, "the core took all of them"


class Nothing:
    """What no engine can do without: a handler by type, and its call."""

    def __init__(self) -> None:
        self._handlers: dict[type[Message], Callable[[Message], None]] = {}

    def process(self, message: Message) -> None:
        self._handlers.get(type(message), self._take)(message)

    def _take(self, message: Message) -> None:
        """Nothing."""


def test_real_mix(fed: Fed, market: Market, report: Report, size: Size) -> None:
    told: Counter[str] = Counter()
    process, wired = fed.engine.process, wire().decode

    def whole(frame: tuple[bytes, int]) -> None:
        told.update(type(derived).__name__ for derived in process(wired(*frame)))  # type: ignore[arg-type] # checked below

    tier, count = list(range(TIER)), size.messages
    made = [fed.frames(market.tape(tier), count) for _ in range(size.repeats)]
    evenly = cpu_us(whole, made)
    published = told[ScoreChanged.__name__] / (count * size.repeats)
    plain = cpu_us(lambda frame: json.loads(frame[0]), made)
    receiving = cpu_us(receiver(market, made), [[b"".join(text_frame(f) for f, _ in batch)] for batch in made])
    tape = market.tape(tier, crowded=True)
    crowded = cpu_us(whole, [fed.frames(tape, count) for _ in range(size.repeats)])
    name, control = "mix 70/25/5: decode + state + score", (plain, "json.loads alone")
    report.add(MESSAGE, "mix 70/25/5: cut frames, decode, drop repetitions", receiving / count, "µs")
    report.add(MESSAGE, f"{name}, all contracts evenly", evenly, "µs", control=control, promise="≤ 8 µs")
    report.add(MESSAGE, f"{name}, contracts as they turn over", crowded, "µs", control=control, promise="≤ 8 µs")
    report.add(MESSAGE, "mix 70/25/5: scores published", 100.0 * published, "% of messages")
    assert set(told) <= {ScoreChanged.__name__}


def receiver(market: Market, made: list[list[tuple[bytes, int]]]) -> Callable[[bytes], object]:
    """What a connection does with the bytes of one read, with an open session that carries everything."""
    settings = FeedSettings()
    session = Session(
        settings=settings, wire=wire(), sequences=Sequences(settings.restart_ns), at=0.0, ping_s=18.0, pong_s=10.0
    )
    session.subscriptions.want(
        (topic, s) for topic in ("ticker", "execution", "depth", "instrument") for s in market.symbols
    )  # type: ignore[misc] # topics are literals
    stamps = iter([batch[-1][1] for batch in made])

    def receive(data: bytes) -> object:
        frames: list[bytes] = []
        cut_plain(data, frames)
        messages = session.receive(frames, next(stamps), 1.0)
        assert len(messages) == len(frames)
        return messages

    return receive


STAGES = {
    "market": ("close_hour", "sweep", "refresh_universe"),
    "scoring": ("bars_closed", "freeze", "publish"),
    "symbols": ("close",),
}
NAMES = {
    "market.close_hour": "commit bars, windows",
    "market.sweep": "judge ages",
    "market.refresh_universe": "judge the universe",
    "scoring.bars_closed": "raw values of all parts",
    "scoring.freeze": "cross-sections, map and blend all",
    "scoring.publish": "scores told",
    "symbols.close": "rules of the book",
}


def timed(parts: dict[str, Any]) -> dict[str, list[float]]:
    """Wrap the stages' public calls; ms of each, summed over one close by the caller."""
    found: dict[str, list[float]] = {}
    for part, names in STAGES.items():
        for name in names:
            inner, taken = getattr(parts[part], name), found.setdefault(f"{part}.{name}", [])

            def outer(*given: Any, _inner: Any = inner, _taken: list[float] = taken, **more: Any) -> Any:
                began = time.thread_time()
                try:
                    return _inner(*given, **more)
                finally:
                    _taken.append((time.thread_time() - began) * MILLISECONDS)

            setattr(parts[part], name, outer)
    return found


def test_bar_close(fed: Fed, report: Report, size: Size) -> None:
    engine, wholes = fed.engine, list[float]()
    split: dict[str, list[float]] = {}
    stages = timed({"market": engine.market, "scoring": engine.scoring, "symbols": engine.symbols})
    for _ in range(size.closes):
        tick = fed.to_close(HOUR)
        for taken in stages.values():
            taken.clear()
        began = time.thread_time()
        derived = engine.process(tick)
        wholes.append((time.thread_time() - began) * MILLISECONDS)
        for name, taken in stages.items():
            split.setdefault(name, []).append(sum(taken))
        kinds = Counter(type(message) for message in derived)
        assert kinds[ScoresClosed] == 1
        assert kinds[BarBlock] >= 1
    yard = (yardstick(size), "NumPy sorts 240 × 700 floats along time")
    report.add(CLOSE, "an hour closes", median(wholes), "ms", control=yard, promise="≤ 20 ms")
    report.add(CLOSE, "slowest of them", max(wholes), "ms")
    for name, taken in split.items():
        report.add(CLOSE, f"  {NAMES[name]}", median(taken), "ms")
    rest = median(whole - sum(taken[k] for taken in split.values()) for k, whole in enumerate(wholes))
    report.add(CLOSE, "  standings, ranks, rows for the record", rest, "ms")
    silence = fed.to_silence(60)
    began = time.thread_time()
    engine.process(silence)
    stale = (time.thread_time() - began) * MILLISECONDS
    report.add(CLOSE, "a sweep that finds all contracts stale", stale, "ms")


def test_snapshot_and_recalculation(fed: Fed, report: Report, size: Size) -> None:
    engine, packed = fed.engine, msgspec.msgpack.Encoder()
    small = cpu_us(lambda full: engine.snapshot(full=full), [[False]] * size.repeats) / 1e3
    full = cpu_us(lambda full: engine.snapshot(full=full), [[True]] * 3) / 1e3
    pack = cpu_us(packed.encode, [[engine.snapshot(full=False)]] * size.repeats) / 1e3
    report.add(CLOSE, "snapshot that goes with each close, copied on the loop", small, "ms")
    report.add(CLOSE, "  packed off the loop", pack, "ms")
    report.add(CLOSE, "full snapshot (head of a capture's segment)", full, "ms")
    for name, symbol in (("one contract", fed.market.symbols[0]), ("all contracts", None)):
        told: list[Message] = []
        commands = [
            [Recalculate(ts=fed.now, request_id=f"{name}-{k}", who="bench", symbol=symbol)] for k in range(size.repeats)
        ]
        taken = cpu_us(lambda command, told=told: told.extend(engine.process(command)), commands) / 1e3
        promise = "≤ 100 ms" if symbol else ""
        report.add(CLOSE, f"recalculate {name}", taken, "ms", promise=promise)
        assert sum(isinstance(message, CommandDone) and message.accepted for message in told) == size.repeats


def yardstick(size: Size) -> float:
    """ms that this machine needs for a fixed piece of column work."""
    table = np.random.default_rng(1).random((240, 700))
    return cpu_us(lambda t: np.sort(t, axis=0), [[table]] * size.repeats) / 1e3
