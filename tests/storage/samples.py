"""Books, closes and changes as the engine would make them."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import Connection, Executable

from zmart_stream.domain.bars import BarBlock
from zmart_stream.domain.contract import Contract
from zmart_stream.domain.market import Listing
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import Holding, Portfolio, PortfolioChange
from zmart_stream.domain.scores import ComponentScore, ScoreRow, ScoresClosed
from zmart_stream.engine.ids import IdSource
from zmart_stream.storage.database import Database
from zmart_stream.storage.settings import StorageSettings
from zmart_stream.storage.writer import StorageWriter

HOUR = 3600 * 10**9
START = 1_790_000_000 // 3600 * HOUR
QUICK = StorageSettings(ballast_bytes=0, batch_s=0.01, read_timeout_s=60.0)


def contract(symbol: str) -> Contract:
    return Contract(
        symbol=symbol,
        base=symbol.removesuffix("USDTM"),
        quote="USDT",
        settle="USDT",
        root_symbol="USDT",
        kind="FFWCSX",
        multiplier=0.001,
        tick_size=1e-10,
        max_leverage=75,
        status="Open",
        listed_at=START - 999 * HOUR + 7,
        funding_interval_s=28800,
        sector="Layer 1",
    )


def listing(symbol: str, ts: int = START) -> Listing:
    return Listing(ts=ts, contract=contract(symbol), change="listed")


class Books:
    """A chain of changes: every call makes the next one from the last book."""

    def __init__(self, session: int = 1) -> None:
        self.ids = IdSource(session)
        self.book = Portfolio()
        self.ts = START

    def change(self, kind: str, symbols: Sequence[str], **facts: object) -> PortfolioChange:
        """The book becomes `symbols`, best first; stays keep their id."""
        self.ts += 1_234_567
        held = {holding.symbol: holding for holding in self.book.holdings}
        weight = math.floor(10_000 / len(symbols)) / 100 if symbols else 0.0
        holdings = tuple(
            Holding(
                id=held[symbol].id if symbol in held else self.ids.new(self.ts),
                symbol=symbol,
                rank=rank,
                weight=weight,
                since=held[symbol].since if symbol in held else self.ts + 1,
                score=round(90 - rank / 3, 6),
                flags=("stale",) if rank == 2 else (),
            )
            for rank, symbol in enumerate(symbols, 1)
        )
        after = Portfolio(holdings=holdings, cash=round(100 - math.fsum(h.weight for h in holdings), 2))
        made = PortfolioChange(
            ts=self.ts,
            id=self.ids.new(self.ts),
            kind=kind,  # type: ignore[arg-type]  # free-form sample values
            reason=str(facts.pop("reason", kind)),
            before=self.book,
            after=after,
            numbers={"gap": 12.5, "note": "x", "none": None},
            revision=3,
            **facts,  # type: ignore[arg-type]  # free-form sample values
        )
        self.book = after
        return made


def block(start: int, symbols: Sequence[str], interval_s: int = 3600, seed: float = 1.0) -> BarBlock:
    values = [seed + column + row / 7 for column in range(10) for row in range(len(symbols))]
    return BarBlock(
        ts=start + interval_s * 10**9 + 1_500_000_000,
        interval_s=interval_s,
        start=start,
        symbols=tuple(symbols),
        columns=struct.pack(f"<{len(values)}d", *values),
    )


def closed(end: int, symbols: Sequence[str], score: float = 70.123456) -> ScoresClosed:
    components = (
        ComponentScore(name="risk", score=score, confidence=0.9),
        ComponentScore(name="technical", score=None, confidence=0.0),
    )
    rows = tuple(
        ScoreRow(
            symbol=symbol,
            rank=rank,
            score=score - rank,
            confidence=0.812345,
            components=components,
            parts={"risk.volatility": (-0.01, 83.0, 0.4), "risk.max": (None, None, 0.25)},
        )
        for rank, symbol in enumerate(symbols, 1)
    )
    return ScoresClosed(ts=end + 1_500_000_000, end=end, rows=rows)


class Told:
    """What the writer told the world, in order."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.states: list[str] = []
        self.recovered = asyncio.Event()

    def recover(self) -> None:
        self.states.append("recovered")
        self.recovered.set()


@asynccontextmanager
async def writing(
    database: Database, told: Told | None = None, on_committed: Callable[[Sequence[Message]], None] | None = None
) -> AsyncIterator[StorageWriter]:
    """A running writer; at the end everything is drained and closed."""
    told = told or Told()
    writer = StorageWriter(
        database,
        on_committed=on_committed or told.messages.extend,
        on_degraded=lambda reason: told.states.append(f"degraded {reason}"),
        on_recovered=told.recover,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.run())
        yield writer
        assert await writer.drain(180)
        await writer.close()


@asynccontextmanager
async def opened(url: str, settings: StorageSettings = QUICK) -> AsyncIterator[Database]:
    database = Database(url, settings)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def execute(database: Database, *statements: Executable) -> None:
    """All of them in one transaction of the writer's."""

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    await database.write(work)
