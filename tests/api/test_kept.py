"""Replies that many ask for: made once, renewed behind their readers' backs, and never older than what was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.api.desk import NOW, Desk, desk
from tests.api.shelf import Books, Counter, Dials, Paper
from zmart_stream.api import kept
from zmart_stream.api.calls import Services
from zmart_stream.api.kept import KeptReplies
from zmart_stream.domain.errors import RequestError

SECOND = 1.0


class World:
    """A clock, what was told, and replies that count themselves."""

    def __init__(self) -> None:
        self.now, self.told, self.made = 0.0, 0, 0
        self.replies = KeptReplies(lambda: self.told, SECOND, clock=lambda: self.now)
        self.gate = asyncio.Event()
        self.gate.set()

    async def make(self) -> bytes:
        self.made += 1
        number = self.made
        await self.gate.wait()
        return b"%d" % number

    async def get(self, key: str = "/x") -> bytes:
        return await self.replies.get(key, self.make)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_reply_is_given_again_for_its_time_and_then_while_the_next_is_made() -> None:
    async def scenario() -> None:
        world = World()
        assert await world.get() == b"1"
        world.now = 1.0
        assert await world.get() == b"1"
        world.now = 1.5
        assert await world.get() == b"1"
        await settled()
        assert (world.made, await world.get()) == (2, b"2")
        world.now = 4.0  # nobody asked for long: too old to be given once more
        assert await world.get() == b"3"

    asyncio.run(scenario())


def test_after_something_was_told_nobody_gets_what_was_made_before() -> None:
    async def scenario() -> None:
        world = World()
        assert await world.get() == b"1"
        world.told += 1
        assert await world.get() == b"2"
        world.gate.clear()
        world.told += 1
        early = asyncio.create_task(world.get())
        await settled()
        world.told += 1  # while the third is being made
        late = asyncio.create_task(world.get())
        await settled()
        world.gate.set()
        assert (await early, await late) == (b"3", b"4")
        assert await world.get() == b"4"

    asyncio.run(scenario())


def test_who_asks_for_the_same_at_once_gets_one_and_who_goes_takes_nothing_along() -> None:
    async def scenario() -> None:
        world = World()
        world.gate.clear()
        asking = [asyncio.create_task(world.get()) for _ in range(20)]
        other = asyncio.create_task(world.get("/y"))
        await settled()
        asking[0].cancel()
        await settled()
        world.gate.set()
        assert {await task for task in asking[1:]} == {b"1"}
        assert (await other, world.made) == (b"2", 2)

    asyncio.run(scenario())


def test_an_error_is_everybodys_and_is_not_kept() -> None:
    async def scenario() -> None:
        world = World()

        async def fail() -> bytes:
            raise RequestError("unknown_symbol", "no")

        for _ in range(2):
            with pytest.raises(RequestError):
                await world.replies.get("/x", fail)
        assert await world.get() == b"1"

    asyncio.run(scenario())


def test_what_is_kept_is_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        world = World()
        for n in range(kept.MOST_REPLIES + 1):
            await world.get(f"/{n}")
        made = world.made
        await world.get("/1")
        assert world.made == made
        await world.get("/0")
        assert world.made == made + 1
        monkeypatch.setattr(kept, "MOST_BYTES", 3)
        await world.get("/new")  # "67": no room for more than one of those
        assert len(world.replies._replies) == 1

    asyncio.run(scenario())


class Told:
    """A number that a test moves."""

    def __init__(self) -> None:
        self.number = 0


@asynccontextmanager
async def keeping(folder: Path) -> AsyncIterator[tuple[Desk, Books, Told]]:
    """A desk whose replies are kept while nothing is told."""
    shelf, told = Books(), Told()
    services = Services(
        reader=shelf,
        commander=Counter(),
        archive=Paper(),
        configuration=Dials(),
        now=lambda: NOW,
        not_ready=list,
        told=lambda: told.number,
    )
    async with desk(folder, behind=services) as at:
        yield at, shelf, told


def test_a_kept_reply_is_what_would_be_made_and_what_is_told_ends_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeping(tmp_path) as (at, shelf, told):
            made = msgspec.json.encode(shelf.rankings())
            shown = shelf.rankings

            def moved(kind: str = "COMPOSITE") -> list[dict[str, Any]]:
                return [{**row, "score": 1.0} for row in shown(kind)]

            first = await at.ask("GET", "scoring/rankings")
            assert msgspec.json.encode(first.json["rankings"]) == made
            shelf.rankings = moved  # type: ignore[method-assign]  # what the market does
            assert (await at.ask("GET", "scoring/rankings")).body == first.body
            assert (await at.ask("GET", "scoring/rankings?limit=1")).json["rankings"][0]["score"] == 1.0
            told.number += 1
            assert (await at.ask("GET", "scoring/rankings")).json["rankings"][0]["score"] == 1.0

    asyncio.run(scenario())


def test_a_kept_reply_spares_nobody_the_door(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with keeping(tmp_path) as (at, _, _):
            assert (await at.ask("GET", "portfolio")).status == 200
            assert (await at.ask("GET", "portfolio", "Host: evil.example")).code == "wrong_host"
            assert (await at.ask("GET", "portfolio", "Authorization: Bearer wrong")).code == "unauthorised"
            assert (await at.ask("GET", "portfolio?nonsense=1")).code == "bad_query"
            assert (await at.ask("GET", "portfolio", "Zmart-Operator: \x01")).status == 400

    asyncio.run(scenario())
