"""Speed max: as fast as the clients read, together; a record's end stops the clock."""

import asyncio
from typing import Any

from tests.sandbox.venue_client import WAIT_S, eventually, venue
from zmart_stream.sandbox.market import Market
from zmart_stream.sandbox.settings import settings_from
from zmart_stream.sandbox.synthetic import synthetic_market

SECOND = 1_000_000_000
SYMBOLS = ("XBTUSDTM", "ETHUSDTM")


def _execution(symbol: str) -> str:
    return f"/contractMarket/execution:{symbol}"


def test_without_a_reader_the_clock_stands_and_with_one_it_runs() -> None:
    async def run() -> None:
        async with venue(speed="max") as bench:
            start = bench.server.clock.start
            idle = await bench.connect()
            assert (await idle.ask(id="1", type="ping"))["type"] == "pong"
            assert bench.server.clock.now() == start
            socket = await bench.connect(_execution(SYMBOLS[0]))
            while (await socket.push(_execution(SYMBOLS[0])))["data"]["ts"] < start + 3600 * SECOND:
                pass

    asyncio.run(run())


def test_a_slow_reader_holds_the_fast_one_within_half_a_minute() -> None:
    async def run() -> None:
        async with venue(speed="max") as bench:
            rows = await bench.get("contracts/active")
            topics = "/contractMarket/execution:" + ",".join(row["symbol"] for row in rows)
            sockets = [await bench.connect(topics) for _ in range(2)]
            told = [bench.server.clock.start] * 2
            apart = []

            async def read(at: int, pause_s: float, number: int) -> None:
                for _ in range(number):
                    frame = await sockets[at].until(lambda frame: frame.get("subject") == "match")
                    told[at] = frame["data"]["ts"]
                    apart.append(abs(told[0] - told[1]))
                    if pause_s:
                        await asyncio.sleep(pause_s)

            fast = asyncio.create_task(read(1, 0.0, 1_000_000))
            await read(0, 0.002, 500)
            fast.cancel()
            assert told[0] > bench.server.clock.start + 300 * SECOND
            assert 0 < max(apart) <= 30 * SECOND

    asyncio.run(run())


class _Ending:
    """A market that has no more to tell a minute after its start."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self.end = market.start + 60 * SECOND

    def __getattr__(self, name: str) -> Any:
        return getattr(self._market, name)


def test_the_clock_stops_at_the_end_of_a_record() -> None:
    async def run() -> None:
        settings = settings_from({"start": "2026-11-20T10:07:30Z"})
        whole = synthetic_market(seed=7, contracts=6, start=settings.start_ns() or 0)
        ending: Any = _Ending(whole)
        async with venue(ending, speed="max") as bench:
            assert (await bench.state())["ended"] is False
            assert (await bench.get("status"))["status"] == "open"
            socket = await bench.connect(_execution(SYMBOLS[0]))
            async with asyncio.timeout(WAIT_S):
                while not (await bench.state())["ended"]:
                    await socket.frame()
            assert (await bench.state())["venue_time"] == ending.end
        async with venue(_Ending(whole), speed=240, start="2026-11-20T10:07:30Z") as bench:  # type: ignore[arg-type]  # market by its methods
            await eventually(bench.ended)
            assert await bench.get("timestamp") == ending.end // 1_000_000
            assert await bench.get("status") == {"status": "close", "msg": "the record has ended"}

    asyncio.run(run())


def test_the_clock_can_be_held() -> None:
    async def run() -> None:
        async with venue(speed=240) as bench:
            async with bench.http.post(f"{bench.server.url}/_sandbox/clock", json={"hold": True}) as reply:
                held = (await reply.json())["venue_time"]
            await asyncio.sleep(0.05)
            assert bench.server.clock.now() == held
            async with bench.http.post(f"{bench.server.url}/_sandbox/clock", json={"hold": False}) as reply:
                assert reply.status == 200

            async def moved() -> bool:
                return bench.server.clock.now() > held

            await eventually(moved)

    asyncio.run(run())
