"""Killed at any instant: what the database holds brings back the book, its money to the unit, and every signal."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from tests.engine.bookkeeping import History
from tests.engine.stream import HOUR, NS, T0, Session
from tests.storage.samples import execute, opened, writing
from tests.storage.test_rebuild import LIVELY, MARKET
from zmart_stream.app.compose.past import restored_engine, scorers_of
from zmart_stream.app.runner import NEVER_STORED, NOTED
from zmart_stream.domain.bars import BarBlock
from zmart_stream.domain.commands import ReleaseSource, RemoveHolding, Resume
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookTraded, EquityMarked, FundingPaid
from zmart_stream.domain.scores import ScoresClosed
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.signals import SignalReceived, SignalRejected, SignalRepeated, SubmitSignal
from zmart_stream.engine.engine import Engine
from zmart_stream.storage.integrity import findings
from zmart_stream.storage.items import SnapshotTaken
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.rebuild import essence

SETTINGS = CoreSettings(market=MARKET, portfolio=LIVELY)


def submitted(chance: random.Random, ts: int, names: list[str], number: int) -> SubmitSignal:
    return SubmitSignal(
        ts=ts,
        request_id=f"s{number}",
        who="bot",
        owner="t1",
        source_name=f"source{number % 3}",
        signal_type="MOMENTUM",
        signal_strength=chance.random(),
        confidence_level=chance.random(),
        symbol=chance.choice(names),
        signal_direction=chance.choice(["BUY", "SELL"]),
        idempotency_key=f"key{number}",
    )


class Life:
    """A core that is fed, and the units that its runner would hand to storage."""

    def __init__(self, seed: int) -> None:
        self.engine = Engine(SETTINGS, scorers_of(SETTINGS.scoring), session=1, build_scorers=scorers_of)
        self.chance = random.Random(seed)
        self.asked: list[SubmitSignal] = []
        self.units: list[list[Message]] = []
        session = Session(seed)
        self.names = [contract.symbol for contract in session.contracts]
        history = History(session, seed * 7 + 1, commands=0.02)
        self.stream = [*session.start(), *history.messages(T0 + 5 * NS, T0 + 9 * HOUR, 150 * NS)]

    def run(self, until: int) -> None:
        """Take the messages up to `until`, with a signal now and then."""
        for message in self.stream[:until]:
            self.take(message)
            if message.ts > T0 + 60 * NS and self.chance.random() < 0.05:
                self.ask(message.ts)

    def ask(self, ts: int) -> None:
        self.asked.append(submitted(self.chance, ts, self.names, len(self.asked)))
        self.take(self.asked[-1])

    def trade(self) -> None:
        """A signal and an operator's removal between two closes: the last snapshot does not know of them."""
        ts = self.engine.now + NS
        self.ask(ts)
        self.take(Resume(ts=ts, request_id="resume"))
        best = self.engine.symbols.portfolio.holdings[0].symbol
        self.take(RemoveHolding(ts=ts, request_id="remove", symbol=best))

    def take(self, message: Message) -> None:
        if isinstance(message, NOTED):
            self.units.append([message])
        told = [found for found in self.engine.process(message) if not isinstance(found, NEVER_STORED)]
        if any(isinstance(found, BarBlock | ScoresClosed) for found in told):
            state = msgspec.msgpack.encode(self.engine.snapshot(full=False))
            told.append(SnapshotTaken(ts=self.engine.now, state=state))
        if told:
            self.units.append(told)


def ledger_of(engine: Engine) -> tuple[Any, ...]:
    ledger = engine.manager.ledger
    account = ledger.state.account
    held = {symbol: (p.value, p.quantity) for symbol, p in account.positions.items()}
    running = [(run.note.id, run.start, run.costs) for run in ledger.state.shadows.runs]
    return account.equity, account.cash, held, running


def paid_unless_told_again(engine: Engine, life: Life) -> None:
    """What the book paid is known; of what only the un-swapped and the first book paid, the venue's history tells."""
    known, funded = engine.manager.ledger.state.funded, life.engine.manager.ledger.state.funded
    paid = {(found.symbol, found.settled) for unit in life.units for found in unit if isinstance(found, FundingPaid)}
    assert all(known[symbol] <= settled for symbol, settled in funded.items() if symbol in known)
    lost = {(symbol, settled) for symbol, settled in funded.items() if known.get(symbol) != settled}
    assert not lost & paid


@pytest.mark.parametrize("part", [0.35, 0.7, 1.0])
def test_a_kill_loses_nothing_that_was_committed(url: str, part: float) -> None:
    seed = random.randrange(1 << 16)
    print("seed", seed)
    life = Life(seed)
    life.run(int(len(life.stream) * part))
    life.trade()
    assert any(isinstance(found, BookTraded) for found in life.units[-1])
    assert not any(isinstance(found, SnapshotTaken) for found in life.units[-1])

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                for unit in life.units:
                    writer.put(unit)
            reader = StorageReader(database)
            state = await reader.load_state("1.0")
            other = restored_engine(SETTINGS, state)
            assert essence(other.symbols.portfolio) == essence(life.engine.symbols.portfolio)
            assert ledger_of(other) == ledger_of(life.engine)
            paid_unless_told_again(other, life)
            stored = {row["idempotency_key"] for row in await reader.signals(limit=10_000)}
            marks = [found for unit in life.units for found in unit if isinstance(found, EquityMarked)]
            assert await reader.equity() == tuple(marks)
            for asked in life.asked:
                again = msgspec.structs.replace(asked, ts=life.engine.now + NS, request_id=f"again{asked.request_id}")
                told = other.process(again)
                kept = asked.idempotency_key in stored
                assert any(isinstance(found, SignalRepeated) for found in told) is kept
                assert any(isinstance(found, SignalReceived) for found in told) is not kept

    asyncio.run(scenario())


def test_a_released_source_is_free_after_a_kill(url: str) -> None:
    """The name's owner is in the snapshot, its release is not."""
    seed = random.randrange(1 << 16)
    print("seed", seed)
    life = Life(seed)
    life.run(int(len(life.stream) * 0.7))
    ts = life.engine.now + NS
    life.take(ReleaseSource(ts=ts, request_id="release", source_name="source0"))
    assert not any(isinstance(found, SnapshotTaken) for found in life.units[-1])

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                for unit in life.units:
                    writer.put(unit)
            other = restored_engine(SETTINGS, await StorageReader(database).load_state("1.0"))
        for source, is_free in (("source0", True), ("source1", False)):
            asked = submitted(random.Random(seed), other.now + NS, life.names, 10_000)
            told = other.process(msgspec.structs.replace(asked, owner="another", source_name=source))
            assert any(isinstance(found, SignalRejected) for found in told) is not is_free, source

    asyncio.run(scenario())


FIRST = "DELETE FROM equity_points WHERE end_ns = (SELECT min(end_ns) FROM equity_points)"
LAST = "DELETE FROM equity_points WHERE end_ns = (SELECT max(end_ns) FROM equity_points)"
SOME = "DELETE FROM equity_points WHERE end_ns IN (SELECT end_ns FROM equity_points ORDER BY end_ns LIMIT 3 OFFSET 1)"
ALL = "DELETE FROM equity_points"
LEDGER = "DELETE FROM swap_ledger; DELETE FROM paper_trades; DELETE FROM funding_payments"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (ALL, "there is no equity point, though the book was first filled at "),
        (f"{ALL}; {LEDGER}", "there is no equity point, though the book was first filled at "),
        (FIRST, "the first equity point, at "),
        (SOME, "differs from the flows since the point before by "),
        (f"{LAST}; {LAST}", "no equity point after "),
    ],
)
def test_missing_equity_points_are_found(url: str, harm: str, told: str) -> None:
    seed = random.randrange(1 << 16)
    print("seed", seed)
    life = Life(seed)
    life.run(len(life.stream))

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                for unit in life.units:
                    writer.put(unit)
            async with database.reading() as connection:
                assert await findings(connection, whole=True) == []
            await execute(database, *(text(statement) for statement in harm.split("; ")))
            for whole in (True, False):
                async with database.reading() as connection:
                    found = await findings(connection, whole=whole)
                assert [finding.code for finding in found] == ["equity"], found
                assert told in found[0].text

    asyncio.run(scenario())
