"""Whatever layer refuses or fails: freqtrade keeps the list it has, or gets a new one, and never an empty one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.api.desk import SAFETY_S, Answer, Desk, answer, desk, exchange
from tests.api.test_pairlist import Bot, broken, fetched, is_text
from zmart_stream.api import refusal
from zmart_stream.api.limits import Limits
from zmart_stream.api.pairlist import PATH
from zmart_stream.domain.errors import StorageError

LIST = ["BTC/USDT:USDT"]
ASKED = f"GET {PATH}?exchange=binance HTTP/1.1\r\nHost: localhost\r\n"
OTHER = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def trading(folder: Path, **more: Any) -> AsyncIterator[tuple[Desk, Bot]]:
    """A bot that has its list."""
    async with desk(folder, **more) as at:
        bot = Bot()
        bot.take(await fetched(at))
        assert bot.pairs == LIST
        yield at, bot


def keeps(bot: Bot, reply: Answer) -> None:
    """The reply is no JSON, whatever it is, and the bot trades on."""
    assert "json" not in reply.headers.get("content-type", ""), reply
    if reply.status:  # a connection that ends without a word is a failed fetch, which keeps the list too
        assert is_text(reply), reply
        bot.take(reply)
    assert bot.pairs == LIST


@asynccontextmanager
async def full(at: Desk, places: int) -> AsyncIterator[None]:
    """No room for another connection."""
    held = []
    for _ in range(places):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(OTHER.encode())
        assert (await answer(reader)).status == 200
        held.append(writer)
    yield
    for writer in held:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_no_room_for_a_connection(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = Limits(max_connections_per_address=4)
        async with trading(tmp_path, limits=limits) as (at, bot), full(at, 4):
            busy = await fetched(at)
            assert (busy.status, busy.headers["retry-after"]) == (503, "1")
            keeps(bot, busy)
            keeps(bot, await exchange(at.port, f"GET {PATH.replace('list', '%6Cist')} HTTP/1.1\r\n\r\n".encode()))
            assert (await at.ask("GET", "/livez")).code == "busy", "others are told as everywhere"
            assert at.running.gate.office.heard == 0

    run(scenario())


def test_no_room_for_many_that_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told in text after a moment; those that are too many for that at once."""
    monkeypatch.setattr(refusal, "HEAR_S", 0.2)
    monkeypatch.setattr(refusal, "MOST_HEARD", 8)

    async def scenario() -> None:
        async with trading(tmp_path, limits=Limits(max_connections=2)) as (at, bot), full(at, 2):
            silent = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(12)]
            gone = silent.pop()[1]
            async with asyncio.timeout(SAFETY_S):
                for reply in await asyncio.gather(*(answer(reader) for reader, _ in silent)):
                    assert reply.status == 503
                    keeps(bot, reply)
            gone.close()
            assert (at.running.gate.office.heard, at.running.gate.open) == (0, 2)
            flood = await exchange(at.port, b"x" * 100_000)
            assert flood.status in (503, 0)
            keeps(bot, flood)
            for _, writer in silent:
                writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "rest",
    [
        "Bad Header\r\n\r\n",
        f"X-Long: {'x' * 9000}\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        "Content-Length: -1\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "X-Nul: \x00\r\n\r\n",
        "Expect: nonsense\r\n\r\n",
        "Host: elsewhere.example\r\n\r\n",
        "Authorization: Bearer zs_x\r\nAuthorization: Bearer zs_y\r\n\r\n",
        f"Authorization: Bearer {'x' * 8000}\r\n\r\n",
    ],
    ids=["no colon", "long", "lengths", "negative", "both", "nul", "expect", "hosts", "tokens", "long token"],
)
@pytest.mark.parametrize("cut", [None, 40, 120])
def test_what_is_no_proper_request(rest: str, cut: int | None, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with trading(tmp_path) as (at, bot):
            raw = (ASKED + rest).encode("latin-1")
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(raw[:cut])
            if cut is not None:
                await writer.drain()
                await asyncio.sleep(0.02)  # so that it arrives in two pieces
                writer.write(raw[cut:])
            async with asyncio.timeout(SAFETY_S):
                reply = await answer(reader)
            writer.close()
            assert 400 <= reply.status < 500
            keeps(bot, reply)
            assert b"busy" not in reply.body

    asyncio.run(scenario())


def test_a_request_that_does_not_arrive_in_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with trading(tmp_path, limits=Limits(receive_deadline_s=0.1)) as (at, bot):
            reply = await exchange(at.port, ASKED.encode())  # the header does not end
            assert reply.status == 0
            keeps(bot, reply)
            lingering = await at.ask("POST", PATH, "Content-Length: 10", body=b"{")
            assert lingering.status == 405
            keeps(bot, lingering)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", PATH, 405),
        ("DELETE", PATH, 405),
        ("OPTIONS", PATH, 405),
        ("PROPFIND", PATH, 405),
        ("GET", f"{PATH}/", 404),
        ("GET", f"/{PATH}", 404),
        ("GET", f"{PATH}.json?exchange=binance", 404),
        ("GET", f"{PATH}?exchange=", 400),
        ("GET", f"{PATH}?exchange=binance&exchange=okx", 400),
        ("GET", f"{PATH}?exchange=%00", 400),
        ("GET", f"{PATH}?exchange=binance&access_token=x", 401),
    ],
)
def test_what_the_path_does_not_take(method: str, path: str, status: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with trading(tmp_path) as (at, bot):
            reply = await at.ask(method, path)
            assert reply.status == status
            keeps(bot, reply)

    asyncio.run(scenario())


FAULTS = [StorageError("disk full"), KeyError("x"), TimeoutError(), RecursionError()]


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_what_fails_behind_it(error: Exception, tmp_path: Path) -> None:
    """Also before there was a list: then in text."""

    def fails() -> dict[str, Any]:
        raise error

    async def scenario() -> None:
        async with trading(tmp_path) as (at, bot):
            at.shelf.portfolio = fails  # type: ignore[method-assign]  # the parts behind fail
            again = await fetched(at)
            assert again.status == 200
            bot.take(again)
            assert bot.pairs == LIST
            never = await fetched(at, "?exchange=okx")
            assert never.status >= 500
            keeps(bot, never)

    asyncio.run(scenario())


def test_a_fault_is_no_list_to_who_may_not_have_it(tmp_path: Path) -> None:
    """The last good list is only for those who could have had it now."""

    async def scenario() -> None:
        async with trading(tmp_path) as (at, bot):
            weak = at.tokens.create("alerts", ["tradingview"])[1]
            at.shelf.portfolio = broken  # type: ignore[method-assign]  # the parts behind fail
            refused = await fetched(at, token=weak)
            assert refused.status == 403
            keeps(bot, refused)

    asyncio.run(scenario())


def test_a_server_that_closes(tmp_path: Path) -> None:
    """Until its end it gives the list; then nobody answers, which is a failed fetch."""

    async def scenario() -> None:
        async with trading(tmp_path) as (at, bot):
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(ASKED.encode())
            closing = asyncio.create_task(at.running.close())
            await asyncio.sleep(0)
            writer.write(b"\r\n")
            async with asyncio.timeout(SAFETY_S):
                reply = await answer(reader)
            if reply.status == 200:
                bot.take(reply)
            else:
                keeps(bot, reply)
            await closing
            assert bot.pairs == LIST
            with pytest.raises(ConnectionRefusedError):
                await fetched(at)
            writer.close()

    asyncio.run(scenario())
