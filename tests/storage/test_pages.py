"""What the ledger told comes back page by page, and what a start needs of it."""

from __future__ import annotations

import asyncio
import itertools
import random

import msgspec
import pytest
from sqlalchemy import text

from tests.storage.samples import HOUR, START, Books, execute, opened, writing
from zmart_stream.domain.commands import BlockSymbol, CommandDone, PinHolding
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import (
    BookTraded,
    EquityMarked,
    FundingPaid,
    PaperQuote,
    PortfolioChange,
    SwapAccount,
    SwapMeasured,
)
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage.items import SnapshotTaken
from zmart_stream.storage.reader import StorageReader

NAMES = [f"A{index}USDTM" for index in range(6)]


def marked(hour: int, equity: int, **flows: int) -> EquityMarked:
    end = START + hour * HOUR
    known = {"price_pnl": 0, "funding": 0, "costs": 0, "traded": 0, **flows}
    return EquityMarked(
        ts=end + 1_500_000_000, end=end, equity=equity, cash=5, first_book=None, benchmark=10**13 + hour, **known
    )


def chain(hours: int, seed: int) -> list[EquityMarked]:
    """A ledger's points that balance."""
    chance, equity = random.Random(seed), 10**13
    points = [msgspec.structs.replace(marked(0, equity), cash=equity)]
    for hour in range(1, hours):
        pnl, funding, costs = chance.randint(-(10**9), 10**9), chance.randint(-(10**7), 10**7), chance.randint(0, 10**6)
        equity += pnl + funding - costs
        points.append(marked(hour, equity, price_pnl=pnl, funding=funding, costs=costs, traded=10 * costs))
    return points


def balances(points: tuple[EquityMarked, ...]) -> bool:
    return all(
        after.equity == before.equity + after.price_pnl + after.funding - after.costs
        for before, after in itertools.pairwise(points)
    )


def swapped(change: PortfolioChange, *, final: bool, earned: int = 0) -> SwapMeasured:
    assert change.symbol_in is not None
    assert change.symbol_out is not None
    return SwapMeasured(
        ts=change.ts + (169 * HOUR if final else 0),
        swap=SwapAccount(id=change.id, symbol_out=change.symbol_out, symbol_in=change.symbol_in, gap=13.25),
        since=change.ts,
        until=change.ts + 168 * HOUR,
        start=10**13,
        costs=7 * 10**8,
        unswapped=10**13,
        swapped=10**13 + earned,
        spread_bps=12.5 if final else None,
        is_final=final,
    )


def traded(books: Books, change: PortfolioChange | None = None) -> BookTraded:
    swap = None
    if change is not None:
        swap = SwapAccount(
            id=change.id, symbol_out=change.symbol_out or "", symbol_in=change.symbol_in or "", gap=1 / 3
        )
    return BookTraded(
        ts=books.ts + 1,
        id=books.ids.new(books.ts + 1),
        weights={holding.symbol: holding.weight for holding in books.book.holdings},
        quotes={name: PaperQuote(price=0.1 + 0.2, cost_bps=7.123456789) for name in NAMES},
        costs=123_456_789,
        swap=swap,
        completes_first_fill=swap is None,
    )


def paid(symbol: str, hour: int) -> FundingPaid:
    settled = START + hour * HOUR
    return FundingPaid(ts=settled + 9, symbol=symbol, settled=settled, rate=1e-4, value=10**12, amount=-(10**8))


def test_the_ledger_comes_back_as_it_was_told(url: str) -> None:
    books = Books()
    filled = books.change("fill", NAMES[:3], reason="first_fill", symbol_in=NAMES[0])
    first = traded(books)
    exchanged = books.change("replace", [NAMES[3], *NAMES[:2]], symbol_in=NAMES[3], symbol_out=NAMES[2])
    second = traded(books, exchanged)
    start, final = swapped(exchanged, final=False), swapped(exchanged, final=True, earned=-(10**8))
    payments = [paid(NAMES[0], 8), paid(NAMES[1], 8), paid(NAMES[0], 16)]
    points = chain(30, seed=1)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([filled, first, points[0]])
                writer.put([exchanged, second, start, SnapshotTaken(ts=exchanged.ts, state={"n": 1})])
                writer.put([*payments, *points[1:]])
                writer.put([*payments, second, *points])  # delivered again: nothing happens twice
                writer.put([final])
                writer.put([start])  # a final result stays
            reader = StorageReader(database)
            assert await reader.trades() == (second, first)
            assert await reader.swaps() == (final,)
            assert await reader.swap_totals() == {
                "swaps": 1, "final": 1, "won": 0, "earned": -(10**8), "costs": 7 * 10**8,
            }  # fmt: skip
            assert await reader.funding() == (payments[2], payments[0], payments[1])
            assert await reader.funding(symbol=NAMES[0], limit=1, offset=1) == (payments[0],)
            assert await reader.funding_count(symbol=symbol_id(NAMES[1])) == 1
            assert await reader.funding(since=START + 9 * HOUR) == (payments[2],)
            assert await reader.equity() == tuple(points)
            assert await reader.equity(since=points[3].end, until=points[5].end) == tuple(points[3:6])

    asyncio.run(scenario())


def test_history_is_found_by_kind_contract_and_time(url: str) -> None:
    books = Books()
    filled = books.change("fill", NAMES[:3], symbol_in=NAMES[0])
    exchanged = books.change("replace", [NAMES[3], *NAMES[:2]], symbol_in=NAMES[3], symbol_out=NAMES[2])
    removed = books.change("remove", NAMES[:2], symbol_out=NAMES[3])
    pinned = msgspec.structs.replace(books.change("pin", NAMES[:2]), numbers={"symbol": NAMES[1]})
    books.book = pinned.after

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([filled, exchanged, removed, pinned])
            reader = StorageReader(database)
            assert await reader.history(kind="replace") == (exchanged,)
            assert await reader.history(symbol=NAMES[3]) == (removed, exchanged)
            assert await reader.history(symbol=symbol_id(NAMES[2])) == (exchanged,)
            assert await reader.history(symbol=NAMES[1]) == (pinned,)
            assert await reader.history(since=removed.ts) == (pinned, removed)
            assert await reader.history(symbol=NAMES[3], kind="remove", limit=5) == (removed,)
            assert (await reader.history_and_count(1, 0, kind=None, symbol=None, since=None))[1] == 4
            chosen = await reader.history_and_count(9, 0, kind=None, symbol=NAMES[3], since=removed.ts)
            assert chosen == ((removed,), 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(("hours", "wanted"), [(500, 40), (30, 40), (41, 40), (7, 1)])
def test_thinned_equity_still_balances(url: str, hours: int, wanted: int) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    points = chain(hours, seed)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put(points)
            thin = await StorageReader(database).equity(points=wanted)
        assert len(thin) == min(hours, wanted)
        assert thin[-1].equity == points[-1].equity
        assert {point.end for point in thin} <= {point.end for point in points}
        assert balances(thin)
        assert sum(point.costs for point in thin) == sum(point.costs for point in points)

    asyncio.run(scenario())


def test_a_start_gets_what_the_snapshot_does_not_know(url: str) -> None:
    books = Books()
    filled = books.change("fill", NAMES[:3], symbol_in=NAMES[0])
    before = traded(books)
    exchanged = books.change("replace", [NAMES[3], *NAMES[:2]], symbol_in=NAMES[3], symbol_out=NAMES[2])
    after = traded(books, exchanged)
    points = chain(3, seed=5)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([filled, before, paid(NAMES[0], 1)])
            state = await StorageReader(database).load_state("1.0")  # killed before the first snapshot
            assert state.ledger == (before, paid(NAMES[0], 1))
            async with writing(database) as writer:
                writer.put([*points[:2], SnapshotTaken(ts=points[1].ts, state={"n": 1})])
                writer.put([paid(NAMES[1], 2), exchanged, after])
            state = await StorageReader(database).load_state("1.0")
            assert state.ledger == (paid(NAMES[1], 2), after)
            assert state.equity == points[1]

    asyncio.run(scenario())


def test_a_mark_that_no_snapshot_knows_is_made_anew(url: str) -> None:
    """Snapshots are given up while commits fail: the ledger goes on from before the mark, and so must the points."""
    points = chain(5, seed=6)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([*points[:3], SnapshotTaken(ts=points[2].ts, state={"n": 1})])
                writer.put([points[3]])
            state = await StorageReader(database).load_state("1.0")
            assert state.equity == points[2]
            assert await StorageReader(database).equity() == tuple(points[:3])

    asyncio.run(scenario())


def test_operators_actions_are_listed_with_their_arguments(url: str) -> None:
    told: list[Message] = [
        PinHolding(ts=1, request_id="a", who="ann", symbol=NAMES[0], note="mine"),
        CommandDone(ts=1, request_id="a", accepted=True),
        BlockSymbol(ts=2, request_id="b", who="bob", symbol=NAMES[1]),
        CommandDone(ts=2, request_id="b", accepted=False, code="pinned", detail="it is"),
    ]

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put(told)
            found = await StorageReader(database).actions()
        assert [(row["action"], row["performed_by"], row["arguments"], row["code"]) for row in found] == [
            ("BlockSymbol", "bob", {"symbol": NAMES[1], "note": ""}, "pinned"),
            ("PinHolding", "ann", {"symbol": NAMES[0], "note": "mine"}, "ok"),
        ]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE swap_ledger SET id = '00000000-0000-0000-0000-000000000000'",
        "UPDATE swap_ledger SET until_ns = since_ns",
        "UPDATE swap_ledger SET symbol_in = symbol_out",
        "UPDATE paper_trades SET costs = -1",
        "UPDATE paper_trades SET swap_id = NULL WHERE swap_id IS NOT NULL",
        "UPDATE portfolio_composition SET status = 'Removed' WHERE position_rank = 1",
        "UPDATE portfolio_composition SET current_score = 101 WHERE position_rank = 1",
        "UPDATE portfolio_composition SET removal_date = NULL WHERE status = 'Removed'",
    ],
)
def test_the_database_itself_refuses(url: str, harm: str) -> None:
    books = Books()
    filled = books.change("fill", NAMES[:3], symbol_in=NAMES[0])
    exchanged = books.change("replace", [NAMES[3], *NAMES[:2]], symbol_in=NAMES[3], symbol_out=NAMES[2])

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([filled, exchanged, traded(books, exchanged), swapped(exchanged, final=True)])
            with pytest.raises(Exception, match=r"(?i)constraint"):
                await execute(database, text(harm))

    asyncio.run(scenario())
