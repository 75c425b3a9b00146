"""The book's whole state follows from its history alone, after a long life in the real core."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import msgspec
from sqlalchemy import select

from tests.engine.bookkeeping import History
from tests.engine.stream import HOUR, NS, T0, Session
from tests.storage.samples import Books, opened, writing
from zmart_stream.domain.commands import BlockSymbol, PinHolding, Reconfigure, UnblockSymbol, UnpinHolding
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.settings import CoreSettings, MarketSettings, PortfolioSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.scoring.registry import build_scorers
from zmart_stream.storage import tables
from zmart_stream.storage.database import Database
from zmart_stream.storage.integrity import check_book, findings
from zmart_stream.storage.reader import StorageReader
from zmart_stream.storage.rebuild import essence, rebuild

MARKET = MarketSettings(gap_floor_instrument_s=9e4, gap_floor_poll_s=9e4, gap_floor_depth_s=1e6)
LIVELY = PortfolioSettings(
    max_symbols=6,
    max_correlation=1.1,
    max_per_sector=9,
    max_sector_weight=100.0,
    entry_score=0.0,
    exit_score=0.0,
    live_share=0.0,
    confirm=1,
    replace_margin=1.0,
    min_hold_s=3600.0,
    max_swaps_per_day=99,
    cost_safety=0.01,
    bps_per_point=500.0,
    reentry_s=7200.0,
    swap_horizon_s=6 * 3600.0,
)


def operators(chance: random.Random, ts: int, names: list[str]) -> Message:
    """A command at random; refusals are part of life."""
    kind = chance.choice([PinHolding, UnpinHolding, BlockSymbol, UnblockSymbol])
    if chance.random() < 0.2:
        portfolio = msgspec.structs.replace(LIVELY, max_symbols=chance.randint(2, 8))
        settings = CoreSettings(market=MARKET, portfolio=portfolio)
        return Reconfigure(ts=ts, request_id="", settings=settings, revision=int(ts % 10_000_000))
    return kind(ts=ts, request_id="", symbol=chance.choice(names), who="ann")


def a_life(seed: int) -> tuple[Engine, list[list[Message]]]:
    """Cascades of 30 hours with an operator who keeps interfering."""
    session, chance = Session(seed), random.Random(seed + 1)
    settings = CoreSettings(market=MARKET, portfolio=LIVELY)
    engine = Engine(settings, build_scorers(settings.scoring), session=1)
    names = [contract.symbol for contract in session.contracts]
    history = History(session, seed * 7 + 1, commands=0.02)
    told: list[list[Message]] = []
    for message in [*session.start(), *history.messages(T0 + 5 * NS, T0 + 30 * HOUR, 150 * NS)]:
        told.append(engine.process(message))
        if chance.random() < 0.03:
            command = operators(chance, message.ts, names)
            told.append([*([command] if isinstance(command, Reconfigure) else []), *engine.process(command)])
    return engine, [cascade for cascade in told if cascade]


async def stays_stored(database: Database) -> dict[str, tuple[str, int, int | None]]:
    """Symbol, since and end (whole µs, as the table keeps it) of every stay there was, by id."""
    table = tables.portfolio_composition
    joined = select(table, tables.symbols.c.symbol).join(tables.symbols, tables.symbols.c.id == table.c.symbol_id)
    async with database.reading() as connection:
        rows = (await connection.execute(joined)).all()
    return {row.id: (row.symbol, row.since_ns, row.removal_date) for row in rows}


def test_history_alone_gives_the_book(url: str) -> None:
    seed = random.randrange(1 << 16)
    print("seed", seed)
    engine, cascades = a_life(seed)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                for cascade in cascades:
                    writer.put(cascade)
            reader = StorageReader(database)
            changes = tuple(reversed(await reader.history(limit=100_000)))
            kinds = Counter(change.kind for change in changes)
            print(dict(kinds))
            assert len(kinds) >= 6
            rebuilt = rebuild(changes)
            assert rebuilt.problems == ()
            assert rebuilt.changes == len(changes)
            stored = await check_book(database)
            assert essence(rebuilt.portfolio) == essence(stored) == essence(engine.symbols.portfolio)
            assert await stays_stored(database) == {
                stay.id: (stay.symbol, stay.since, None if stay.until is None else stay.until // 1000 * 1000)
                for stay in rebuilt.stays
            }
            async with database.reading() as connection:
                assert await findings(connection, whole=True) == []

    asyncio.run(scenario())


def test_a_history_that_contradicts_itself_is_told() -> None:
    books = Books()
    first = books.change("fill", ["A0USDTM", "A1USDTM"])
    second = books.change("replace", ["A2USDTM", "A1USDTM"], symbol_in="A2USDTM", symbol_out="A0USDTM")
    third: PortfolioChange = books.change("remove", ["A1USDTM"], symbol_out="A2USDTM")
    assert rebuild([first, second, third]).problems == ()
    assert [stay.symbol for stay in rebuild([first, second, third]).stays if stay.until] == ["A0USDTM", "A2USDTM"]
    gap = rebuild([first, third])
    assert len(gap.problems) == 1
    assert "was made on 1 A2USDTM 50 %, 2 A1USDTM 50 %, not 1 A0USDTM 50 %" in gap.problems[0]
    light = msgspec.structs.replace(third.after, cash=1.0)
    assert (
        "weights sum to 100.00 % beside 1.00 % cash"
        in rebuild([first, second, msgspec.structs.replace(third, after=light)]).problems[0]
    )
    assert rebuild([third], begin=second.after).problems == ()
