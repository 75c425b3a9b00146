"""What an operator keeps out stays out across a restart, also when no snapshot can be used."""

from __future__ import annotations

import asyncio

import msgspec
from sqlalchemy import select

from tests.storage.samples import Books, listing, opened, writing
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.engine.ids import symbol_id
from zmart_stream.storage import tables
from zmart_stream.storage.integrity import check_book
from zmart_stream.storage.items import SnapshotTaken
from zmart_stream.storage.reader import StorageReader

NAMES = [f"A{index}USDTM" for index in range(4)]


def blocking(books: Books, symbol: str) -> PortfolioChange:
    """What the core tells of a block: nobody comes or leaves, the numbers name the contract."""
    change = books.change("block", [holding.symbol for holding in books.book.holdings], who="ann")
    after = msgspec.structs.replace(change.after, blocked=(*change.before.blocked, symbol))
    books.book = after
    return msgspec.structs.replace(change, after=after, numbers={"symbol": symbol})


def test_blocks_are_read_from_history_and_filed_under_their_contract(url: str) -> None:
    books = Books()
    filled = books.change("fill", NAMES[:3])
    blocked = blocking(books, "NEWUSDTM")

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([*(listing(name) for name in NAMES), filled])
                writer.put([blocked, SnapshotTaken(ts=blocked.ts, state={})])
            state = await StorageReader(database).load_state("1.0")
            assert state.book.blocked == ("NEWUSDTM",)
            assert await check_book(database) == state.book == blocked.after
            assert state.changes == (filled, blocked)  # an engine without a snapshot needs those before it, too
            async with database.reading() as connection:
                history = tables.portfolio_history
                row = (await connection.execute(select(history).where(history.c.action_type == "block"))).one()
            assert row.symbol_id == symbol_id("NEWUSDTM")
            assert (row.symbol_in, row.symbol_out) == (None, None)

    asyncio.run(scenario())
