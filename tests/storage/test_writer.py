"""What is put is committed once, in one piece, and told after it is on disk."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func, select, text

from tests.storage.samples import HOUR, START, Books, Told, block, closed, contract, listing, opened, writing
from zmart_stream.domain.bars import BarsAmended
from zmart_stream.domain.commands import AddHolding, CommandDone, Pause, Reconfigure, Resume
from zmart_stream.domain.errors import StorageError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import FlagsChanged, HoldChanged, Portfolio
from zmart_stream.domain.settings import CoreSettings, ScorerSettings, ScoringSettings
from zmart_stream.storage import tables
from zmart_stream.storage.database import Database
from zmart_stream.storage.integrity import check_book
from zmart_stream.storage.items import OverridesRecorded, SnapshotTaken, SymbolFacts, SymbolsJudged
from zmart_stream.storage.reader import StorageReader

NAMES = [f"A{index}USDTM" for index in range(14)]


async def rows_in(database: Database, table: Any) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


def test_everything_comes_back(url: str) -> None:
    """A session's worth of messages, then a new process's view of it."""
    books = Books()
    snapshot = {"slots": [1.5, None], "arrays": b"\x00\x01", "streaks": {"A1USDTM": 2}, "big": 2**60}
    hours = [block(START + hour * HOUR, NAMES, seed=hour) for hour in range(3)]
    day = block(START // (24 * HOUR) * 24 * HOUR, NAMES, interval_s=86400)
    bar = (START + HOUR, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0)
    amended = BarsAmended(ts=START + 9 * HOUR, symbol=NAMES[3], interval_s=3600, rows=(bar,))
    settings = CoreSettings(
        scoring=ScoringSettings(components=(ScorerSettings(name="risk", weight=0.4, parts={"max": 0.25}),))
    )
    first = books.change("fill", NAMES[:4], symbol_in=NAMES[0], reason="first_fill")
    second = books.change("replace", [NAMES[5], *NAMES[:3]], symbol_in=NAMES[5], symbol_out=NAMES[3])
    third = books.change("remove", [NAMES[2], NAMES[5], NAMES[0]], symbol_out=NAMES[1], reason="operator", who="ann")

    async def write() -> list[Message]:
        told = Told()
        async with opened(url) as database:
            assert (await StorageReader(database).load_state("1.0")).session == 1
            async with writing(database, told) as writer:
                writer.put([listing(name) for name in NAMES])
                writer.put([Reconfigure(ts=START, request_id="", settings=settings, revision=3, changed=("a.b",))])
                writer.put([OverridesRecorded(ts=START, who="ann", values={"portfolio.max_symbols": 4, "gone": 1})])
                writer.put([OverridesRecorded(ts=START, who="ann", values={"gone": None})])
                writer.put([Pause(ts=START, request_id="r1", who="ann", note="lunch")])
                writer.put(
                    [
                        HoldChanged(ts=START, on=True, reason="paused"),
                        CommandDone(ts=START, request_id="r1", accepted=True),
                    ]
                )
                writer.put([first])
                writer.put(
                    [*hours, day, closed(START + HOUR, NAMES[:6]), second, SnapshotTaken(ts=second.ts, state=snapshot)]
                )
                writer.put([amended, third])
                writer.put(
                    [
                        SymbolsJudged(
                            ts=START,
                            rows=(
                                SymbolFacts(symbol=NAMES[0], eligible=False, sector="AI", market_cap_category="mid"),
                            ),
                        )
                    ]
                )
        return told.messages

    async def read() -> None:
        async with opened(url) as database:
            assert await check_book(database) == third.after
            reader = StorageReader(database)
            state = await reader.load_state("1.0")
            assert state.session == 2
            assert state.book == third.after
            assert state.last_change == third
            assert state.changes == (first, second, third)
            assert state.snapshot == snapshot
            assert state.snapshot_ts == second.ts
            assert state.blocks == (*hours, day)
            assert state.amendments == (amended,)
            assert {c.symbol: c for c in state.contracts} == {name: contract(name) for name in NAMES}
            assert state.swaps == (second.ts,)
            assert [(e.symbol, e.who, e.ts) for e in state.exits] == [
                (NAMES[3], "machine", second.ts),
                (NAMES[1], "ann", third.ts),
            ]
            assert state.paused
            assert state.revision == 3
            assert state.settings is not None
            assert state.settings["scoring"]["components"][0]["weight"] == 0.4
            assert state.overrides == {"portfolio.max_symbols": 4}
            assert state.last_ts == max(day.ts, hours[-1].ts)
            assert state.problems == ()
            assert await reader.history(limit=2) == (third, second)
            assert await reader.history(offset=2) == (first,)
            scores = await reader.scores(NAMES[1])
            assert [row["score_value"] for row in scores] == [68.123456]
            assert scores[0]["supporting_data"]["parts"]["risk.volatility"] == [-0.01, 83.0, 0.4]
            assert await reader.scores(scores[0]["symbol_id"]) == scores
            by_symbol = {row["symbol"]: row for row in await reader.symbols()}
            assert by_symbol[NAMES[0]]["market_cap_category"] == "mid"
            assert not by_symbol[NAMES[0]]["is_eligible_for_management"]
            assert by_symbol[NAMES[1]]["tick_size"] == 1e-10
            assert (await reader.statistics())["rows"]["portfolio_history"] == 3
            with pytest.raises(KeyError):
                await reader.scores("NOSUCHUSDTM")

    told = asyncio.run(write())
    assert [m for m in told if type(m).__name__ in {"PortfolioChange", "HoldChanged", "CommandDone"}][1:] != []
    assert [m.id for m in told if isinstance(m, type(first))] == [first.id, second.id, third.id]
    assert not any(isinstance(m, SnapshotTaken) for m in told)
    asyncio.run(read())


def test_a_repeated_change_is_applied_once(url: str) -> None:
    """Also when it comes after a later one, and twice in one batch."""
    books = Books()
    one, two = books.change("fill", NAMES[:3]), books.change("rerank", [NAMES[2], NAMES[0], NAMES[1]])

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([one, one, two])
            async with writing(database) as writer:
                writer.put([one])
                writer.put([two, one])
            assert await rows_in(database, tables.portfolio_history) == 2
            assert await check_book(database) == two.after

    asyncio.run(scenario())


def test_random_books_keep_every_rule(url: str) -> None:
    """Ranks swap, weights move, contracts leave and come back: the rules hold, the last book is the stored one."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance, books = random.Random(seed), Books()

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                for _ in range(60):
                    symbols = chance.sample(NAMES, chance.randint(0, 10))
                    writer.put([books.change("replace", symbols)])
                    if chance.random() < 0.3:
                        await writer.drain(180)
                        assert await check_book(database, 10) == books.book
            assert await check_book(database, 10) == books.book
            assert await rows_in(database, tables.portfolio_history) == 60

    asyncio.run(scenario())


def test_current_score_moves_with_the_score_row_and_flags(url: str) -> None:
    books = Books()
    change = books.change("fill", NAMES[:3])
    flagged = Portfolio(
        holdings=tuple(
            type(h)(
                id=h.id,
                symbol=h.symbol,
                rank=h.rank,
                weight=h.weight,
                since=h.since,
                score=None,
                replacement_candidate=True,
                flags=("late", "x"),
            )
            for h in books.book.holdings[:1]
        )
        + books.book.holdings[1:],
        cash=books.book.cash,
    )

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([change])
                writer.put([closed(START + HOUR, NAMES[:3], score=64.5)])
                await writer.drain(180)
                book = await check_book(database)
                assert [holding.score for holding in book.holdings] == [63.5, 62.5, 61.5]
                writer.put([FlagsChanged(ts=START, portfolio=flagged)])
            assert await check_book(database) == flagged

    asyncio.run(scenario())


def test_a_put_is_one_transaction_and_told_after_it(url: str) -> None:
    """What another connection sees when it is told: everything of that put."""
    books = Books()
    seen: list[tuple[int, int]] = []

    async def scenario() -> None:
        async with opened(url) as database:
            looks: list[asyncio.Task[None]] = []

            async def look() -> None:
                async with database.reading() as connection:
                    told = [
                        (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                        for table in (tables.portfolio_history, tables.bar_blocks)
                    ]
                seen.append((told[0], told[1]))

            def on_committed(messages: Sequence[Message]) -> None:
                assert len(messages) == 3
                looks.append(asyncio.ensure_future(look()))

            async with writing(database, on_committed=on_committed) as writer:
                for hour in range(5):
                    starts = START + 2 * hour * HOUR
                    writer.put(
                        [block(starts, NAMES), block(starts + HOUR, NAMES), books.change("fill", NAMES[: hour + 1])]
                    )
                    await writer.drain(180)
                    await asyncio.gather(*looks)  # a look that is slow must not be overtaken by the next commit

    asyncio.run(scenario())
    assert [history for history, _ in seen] == sorted(history for history, _ in seen)
    assert all(blocks == 2 * history and history > 0 for history, blocks in seen)


def test_a_block_replaces_its_amendments_and_itself(url: str) -> None:
    async def scenario() -> None:
        bar = (START, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0)
        later = (START + HOUR, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0)
        amended = BarsAmended(ts=START + 5, symbol=NAMES[0], interval_s=3600, rows=(bar, later))
        newer = block(START, NAMES, seed=8.0)
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([block(START, NAMES), amended])
                await writer.drain(180)
                writer.put([amended, newer])  # also within one transaction
            state = await StorageReader(database).load_state("1.0")
            assert state.blocks == (newer,)
            assert [amendment.rows for amendment in state.amendments] == [(later,)]

    asyncio.run(scenario())


def test_operator_actions_and_the_pause(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([Pause(ts=1, request_id="a", who="ann"), CommandDone(ts=1, request_id="a", accepted=True)])
                writer.put(
                    [
                        Resume(ts=2, request_id="b", who="bob"),
                        CommandDone(ts=2, request_id="b", accepted=False, code="no", detail="nul\x00byte"),
                    ]
                )
                writer.put([AddHolding(ts=3, request_id="c", who="eve\x00", symbol=NAMES[0], note="n\x00")])
                writer.put([CommandDone(ts=4, request_id="d", accepted=True)])
            assert (await StorageReader(database).load_state("1.0")).paused
            async with database.reading() as connection:
                found = await connection.execute(
                    text("SELECT request_id, action, accepted, code FROM operator_actions ORDER BY sequence")
                )
                assert [tuple(row) for row in found] == [
                    ("a", "Pause", True, "ok"),
                    ("b", "Resume", False, "no"),
                    ("c", "AddHolding", None, None),
                    ("d", None, True, "ok"),
                ]
            async with writing(database) as writer:
                writer.put([Resume(ts=2, request_id="e", who="bob"), CommandDone(ts=2, request_id="e", accepted=True)])
            assert not (await StorageReader(database).load_state("1.0")).paused

    asyncio.run(scenario())


def test_a_row_that_breaks_a_rule_ends_the_writer_and_leaves_nothing(url: str) -> None:
    """Rank 51: the database itself refuses, and the whole put is gone with it."""
    books = Books()
    bad = books.change("fill", [f"B{index}USDTM" for index in range(51)])

    async def scenario() -> None:
        async with opened(url) as database:
            told = Told()
            with pytest.raises(ExceptionGroup) as caught:
                async with writing(database, told) as writer:
                    writer.put([block(START, NAMES), bad])
            assert caught.group_contains(StorageError, match="rank")
            assert told.messages == []
            assert await rows_in(database, tables.bar_blocks) == 0
            assert await rows_in(database, tables.portfolio_history) == 0

    asyncio.run(scenario())


def test_reading_does_not_hold_the_writer_up(url: str) -> None:
    """A read transaction stays open over 20 commits and still sees its own moment."""
    books = Books()

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([books.change("fill", NAMES[:1])])
                await writer.drain(180)
                async with database.reading() as connection:
                    isolation = "SELECT count(*) FROM portfolio_history"
                    if not database.is_sqlite:
                        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                    assert (await connection.execute(text(isolation))).scalar() == 1
                    for count in range(2, 22):
                        writer.put([books.change("fill", NAMES[: 1 + count % 9])])
                        assert await writer.drain(180)
                    assert (await connection.execute(text(isolation))).scalar() == 1
            assert await rows_in(database, tables.portfolio_history) == 21

    asyncio.run(scenario())


def test_throughput_is_printed(url: str) -> None:
    books = Books()

    async def scenario() -> None:
        async with opened(url) as database, writing(database) as writer:
            begun = time.perf_counter()
            for close in range(20):
                end = START + close * HOUR
                writer.put(
                    [block(end, NAMES * 50), closed(end, NAMES * 4), SnapshotTaken(ts=end, state={"n": [1.5] * 20_000})]
                )
            await writer.drain(180)
            closes = time.perf_counter() - begun
            begun = time.perf_counter()
            for index in range(100):
                writer.put([books.change("fill", NAMES[: 1 + index % 10])])
                await writer.drain(180)
            print(
                f"\n{url[:6]}: a close {closes / 20 * 1e3:.1f} ms,"
                f" a book change from put to told {(time.perf_counter() - begun) * 10:.2f} ms"
            )
            assert await rows_in(database, tables.portfolio_history) == 100

    asyncio.run(scenario())
