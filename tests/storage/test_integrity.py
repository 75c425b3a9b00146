"""A book that breaks a rule is refused with the rule and the way out; so is the database of another venue."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from tests.storage.samples import HOUR, START, Books, closed, execute, opened, writing
from zmart_stream.app.compose.examine import check_database
from zmart_stream.app.config import Sources
from zmart_stream.domain.errors import BrokenBookError, ConfigError, WrongVenueError
from zmart_stream.domain.portfolio import Portfolio
from zmart_stream.storage import tables
from zmart_stream.storage.integrity import book_problems, check_book
from zmart_stream.storage.venue import check_venue

NAMES = [f"A{index}USDTM" for index in range(5)]
BOOK = "UPDATE portfolio_composition SET "


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (BOOK + "position_rank = 7 WHERE position_rank = 2", r"ranks are \[1, 3, 4, 5, 7\]"),
        (BOOK + "position_rank = NULL WHERE position_rank = 2", "ranks are"),
        (BOOK + "weight_percentage = 90 WHERE position_rank = 1", "weights sum to 170.00 %"),
        (BOOK + "weight_percentage = 1 WHERE position_rank = 1", "the last recorded change left 1 A0USDTM 20 %"),
        ("DELETE FROM portfolio_composition WHERE position_rank = 5", "A4USDTM 20 %"),
        ("DELETE FROM portfolio_history", "the last recorded change left empty"),
    ],
)
def test_every_broken_rule_is_named(url: str, harm: str, told: str) -> None:
    async def scenario() -> None:
        books = Books()
        async with opened(url) as database:
            assert await check_book(database) == Portfolio()
            async with writing(database) as writer:
                writer.put([books.change("fill", NAMES)])
            assert await check_book(database, 5) == books.book
            await execute(database, text(harm))
            with pytest.raises(BrokenBookError, match=told) as caught:
                await check_book(database)
            assert "restore the last backup" in str(caught.value)

    asyncio.run(scenario())


def test_size_is_judged_by_the_asker() -> None:
    books = Books()
    change = books.change("fill", NAMES)
    assert book_problems(books.book, change) == []
    assert [finding.text for finding in book_problems(books.book, change, 4)] == ["5 holdings, at most 4 are allowed"]


def test_a_database_belongs_to_one_venue(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as database:
            await check_venue(database, "api-futures.kucoin.com")
            await check_venue(database, "api-futures.kucoin.com")
        async with opened(url) as database:
            with pytest.raises(WrongVenueError) as caught:
                await check_venue(database, "sandbox seed=7 market=synthetic")
            assert isinstance(caught.value, ConfigError)
            for part in ("api-futures.kucoin.com", "sandbox seed=7 market=synthetic", "state_dir", "storage.url"):
                assert part in str(caught.value)
            await check_venue(database, "api-futures.kucoin.com")

    asyncio.run(scenario())


def test_a_check_reads_beside_a_writer(url: str, tmp_path: Path) -> None:
    """Nothing is locked, and a rule that is broken meanwhile is found."""
    books = Books()
    (tmp_path / "zmart.toml").write_text(f"state_dir = {str(tmp_path)!r}\n[storage]\nurl = {url!r}\n")
    sources = Sources(file=tmp_path / "zmart.toml")

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([books.change("fill", NAMES)])
            assert (await check_database(sources))["healthy"]
            await execute(database, text(BOOK + "position_rank = 9 WHERE position_rank = 5"))
            report = await check_database(sources)
            assert not report["healthy"]
            assert next(found["text"] for found in report["checks"] if found["level"] == "fault") == (
                "book_rules: ranks are [1, 2, 3, 4, 9], not 1 to 5"
            )

    asyncio.run(scenario())


def test_a_score_is_compared_with_its_own_row_only(url: str) -> None:
    """Rows are dropped on a full disk and thinned with age, and scores move between closes: none of it is a fault."""
    books = Books()
    filled = books.change("fill", NAMES)

    async def scenario() -> None:
        async with opened(url) as database:
            async with writing(database) as writer:
                writer.put([filled, closed(START + HOUR, NAMES), closed(START + 2 * HOUR, NAMES, score=50.0)])
                await writer.drain(180)
                await execute(
                    database, delete(tables.symbol_scores).where(tables.symbol_scores.c.end_ns > START + HOUR)
                )
                assert [holding.score for holding in (await check_book(database)).holdings] == [49, 48, 47, 46, 45]
                ranked = books.change("rerank", NAMES)
                writer.put([closed(START + 3 * HOUR, NAMES), ranked])
            assert (await check_book(database)).holdings == ranked.after.holdings
            await execute(database, text("UPDATE portfolio_composition SET scored_end_ns = 1, current_score = 2"))
            with pytest.raises(BrokenBookError, match=r"scores 2 in the book and 69\.1235 at its last close"):
                await check_book(database)

    asyncio.run(scenario())
