"""The runner: what is stored with a close, what is told when, how a command gets its answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from zmart_stream.app.clock import SteadyClock
from zmart_stream.app.inbox import Inbox
from zmart_stream.app.runner import Runner
from zmart_stream.domain.bars import BarBlock
from zmart_stream.domain.commands import CommandDone, Pause
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.market import Tick
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import HoldChanged
from zmart_stream.domain.scores import ScoreChanged, ScoresClosed


class Core:
    """Derives what a table says it derives."""

    def __init__(self, table: dict[int, list[Message]]) -> None:
        self.table = table

    def process(self, message: Message) -> list[Message]:
        if isinstance(message, Pause):
            return [
                CommandDone(ts=message.ts, request_id=message.request_id, accepted=message.note != "no", code="holding")
            ]
        return self.table.get(message.ts, [])

    def snapshot(self, full: bool) -> dict[str, Any]:
        return {"full": full}


class Store:
    """Commits when it is told to."""

    def __init__(self) -> None:
        self.units: list[tuple[list[Message], dict[str, Any] | None]] = []

    def put(self, messages: Sequence[Message], snapshot: dict[str, Any] | None = None) -> None:
        self.units.append((list(messages), snapshot))


SCORE = ScoreChanged(ts=1, symbol="A", score=1.0, previous=None, confidence=1.0, components=())
HOLD = HoldChanged(ts=1, on=True, reason="paused")
BLOCK = BarBlock(ts=2, interval_s=3600, start=0, symbols=(), columns=b"")
CLOSED = ScoresClosed(ts=3, end=3, rows=())


def run(table: dict[int, list[Message]], messages: list[Message]) -> tuple[Store, list[Message], Runner]:
    store, told = Store(), []
    inbox = Inbox(1024)
    runner = Runner(Core(table), SteadyClock(start=1), inbox, store=store, tell=told.extend)
    for message in messages:
        inbox.put(message)

    async def scenario() -> None:
        runner.stop()
        await runner.run()

    asyncio.run(scenario())
    return store, told, runner


def test_every_close_takes_a_snapshot_also_one_that_ends_no_hour():
    store, _, _ = run({1: [HOLD], 2: [BLOCK], 3: [CLOSED]}, [Tick(ts=n) for n in (1, 2, 3)])
    taken = {type(unit[-1]): snapshot for unit, snapshot in store.units}
    assert taken[BarBlock] == taken[ScoresClosed] == {"full": False}
    assert taken.get(HoldChanged) is None


def test_scores_are_told_at_once_and_not_stored_the_book_after_its_commit():
    store, told, runner = run({1: [SCORE, HOLD]}, [Tick(ts=1)])
    assert told == [SCORE]
    assert store.units == [([HOLD], None)]
    runner.committed([HOLD])
    assert told == [SCORE, HOLD]


def test_a_command_is_answered_once_it_is_on_disk_and_a_refusal_has_its_code():
    store, told, inbox = Store(), [], Inbox(1024)
    runner = Runner(Core({}), SteadyClock(start=1), inbox, store=store, tell=told.extend)

    async def scenario() -> None:
        task = asyncio.create_task(runner.run())
        answer = asyncio.create_task(runner.submit(Pause(ts=1, request_id="a")))
        while len(store.units) < 2:  # noqa: ASYNC110 - the store under test raises no events
            await asyncio.sleep(0)
        assert not answer.done()
        runner.committed(store.units[1][0])
        assert [type(m) for m in await answer] == [CommandDone]
        refused = asyncio.create_task(runner.submit(Pause(ts=2, request_id="b", note="no")))
        while len(store.units) < 4:  # noqa: ASYNC110 - the store under test raises no events
            await asyncio.sleep(0)
        runner.committed(store.units[3][0])
        with pytest.raises(CommandRefusedError) as caught:
            await refused
        assert caught.value.code == "holding"
        runner.stop()
        await task

    asyncio.run(scenario())
