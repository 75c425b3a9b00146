"""The book as a producer: freqtrade's consumer gets every list, never an empty one, and is never made to storm."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.api.consuming import consuming
from tests.api.desk import SAFETY_S, Desk
from tests.api.listening import score
from tests.api.test_push import of_every_kind, pushing, until
from zmart_stream.api.addresses import FREQTRADE
from zmart_stream.api.app import create_app, serve
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import Services
from zmart_stream.api.freqtrade_ws import PING
from zmart_stream.api.limits import Limits, PushLimits
from zmart_stream.api.pairlist import PATH as PAIR_LIST
from zmart_stream.api.push import events
from zmart_stream.api.push.hub import Hub

BTC, ETH, BONK = "BTC/USDT:USDT", "ETH/USDT:USDT", "1000BONK/USDT:USDT"


def url(at: Desk, secret: str, more: str = "") -> str:
    return f"ws://127.0.0.1:{at.port}{FREQTRADE}?token={secret}{more}"


def secret_of(at: Desk, name: str = "bot") -> str:
    return at.tokens.create(name, ["freqtrade"])[1]


def hold(at: Desk, hub: Hub, *symbols: str, ready: bool = True) -> None:
    """The book changed."""
    shown, told = type(at.shelf).portfolio(at.shelf), type(at.shelf).status(at.shelf)
    book = {**shown, "holdings": [{**shown["holdings"][0], "symbol": symbol} for symbol in symbols]}
    state = {**told, "book": {**told["book"], "ready": ready}}
    at.shelf.portfolio = lambda: book  # type: ignore[method-assign]  # another book
    at.shelf.status = lambda: state  # type: ignore[method-assign]  # and whether there is one
    events.tell(hub, [of_every_kind()[1]])


def test_a_consumer_has_the_book_and_every_change_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub), consuming(url(at, secret_of(at))) as bot:
            await bot.has([BTC])
            hold(at, hub, "ETHUSDTM", "XBTUSDTM")
            await bot.has([ETH, BTC])
            events.tell(hub, [*of_every_kind(), score("XBTUSDTM", 1.0)])  # nothing that changes the list
            hold(at, hub, "XBTUSDTM", "ETHUSDTM")
            await bot.has([BTC, ETH])
            assert bot.taken == [[BTC], [ETH, BTC], [BTC, ETH]], "each list once"
            assert (bot.errors, bot.dials) == ([], 1)

    asyncio.run(scenario())


def test_each_exchange_by_its_names_and_a_setting_for_those_that_name_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, exchange="okx") as (at, hub):
            hold(at, hub, "1000BONKUSDTM", "SHIBUSDTM")
            secret = secret_of(at)
            for more, pairs in (
                ("", ["BONK/USDT:USDT", "SHIB/USDT:USDT"]),
                ("&exchange=bybit", [BONK, "SHIB1000/USDT:USDT"]),
                ("&exchange=binance", [BONK, "1000SHIB/USDT:USDT"]),
            ):
                async with consuming(url(at, secret, more)) as bot:
                    await bot.has(pairs)
                    assert (bot.taken, bot.errors) == ([pairs], [])

    asyncio.run(scenario())


def test_an_empty_list_is_never_sent(tmp_path: Path) -> None:
    """Neither before the first book nor after the last holding; nor a name that means more than one pair."""

    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub):
            hold(at, hub, ready=False)
            async with consuming(url(at, secret_of(at))) as bot:
                await until(lambda: hub.clients == 1)
                hold(at, hub, "A.USDTM")  # a pattern
                hold(at, hub)
                hold(at, hub, "XBTUSDTM", ".*USDTM")
                await bot.has([BTC])
                hold(at, hub)
                hold(at, hub, "ETHUSDTM")
                await bot.has([ETH])
                assert (bot.taken, bot.errors, bot.dials) == ([[BTC], [ETH]], [], 1)

    asyncio.run(scenario())


async def dialled(at: Desk, session: aiohttp.ClientSession, secret: str) -> aiohttp.ClientWebSocketResponse:
    return await session.ws_connect(url(at, secret).replace("ws:", "http:"))


def test_only_what_was_asked_for_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub), aiohttp.ClientSession() as session:
            line = await dialled(at, session, secret_of(at))
            hold(at, hub, "ETHUSDTM")
            await line.send_json({"type": "whitelist"})
            assert await line.receive_json(timeout=SAFETY_S) == {"type": "whitelist", "data": [ETH]}
            hold(at, hub, "XBTUSDTM")  # it did not subscribe
            await line.send_json({"type": "subscribe", "data": ["entry_fill", "whitelist"]})
            hold(at, hub, "SOLUSDTM")
            assert (await line.receive_json(timeout=SAFETY_S))["data"] == ["SOL/USDT:USDT"]
            await line.send_json({"type": "subscribe", "data": ["entry_fill"]})
            await line.send_json({"type": "whitelist"})
            assert (await line.receive_json(timeout=SAFETY_S))["data"] == ["SOL/USDT:USDT"], "asked for again"
            hold(at, hub, "XBTUSDTM")
            await line.send_json({"type": "whitelist"})
            assert (await line.receive_json(timeout=SAFETY_S))["data"] == [BTC], "a subscription replaces the last"
            await line.close()

    asyncio.run(scenario())


def test_a_list_that_was_asked_for_too_early_comes_with_the_first_book(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub), aiohttp.ClientSession() as session:
            hold(at, hub, ready=False)
            line = await dialled(at, session, secret_of(at))
            await line.send_json({"type": "whitelist"})
            await until(lambda: hub.clients == 1)
            hold(at, hub, "XBTUSDTM")
            assert (await line.receive_json(timeout=SAFETY_S))["data"] == [BTC]
            await line.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("query", "lines", "status"),
    [
        ("", {}, 401),
        ("?token=", {}, 401),
        ("?token=zs_wrong", {}, 401),
        ("?token={read}", {}, 401),
        ("?token={operate}", {}, 401),
        ("", {"Authorization": "Bearer {freqtrade}"}, 401),
        ("?token={freqtrade}&exchange=nowhere", {}, 400),
        ("?token={freqtrade}&token={freqtrade}", {}, 400),
        ("?token={freqtrade}&more=1", {}, 400),
        ("?token={freqtrade}", {"Host": "elsewhere.example"}, 421),
        ("?token={freqtrade}", {"Origin": "https://elsewhere.example"}, 403),
    ],
)
def test_who_may_not_listen_is_refused_before_the_upgrade(
    query: str, lines: dict[str, str], status: int, tmp_path: Path
) -> None:
    async def scenario() -> None:
        with capture_logs() as logs:
            async with pushing(tmp_path, auth=AuthSettings(open_loopback=True)) as (at, hub):
                made = {scope: at.tokens.create(scope, [scope])[1] for scope in ("read", "operate", "freqtrade")}
                headers = {name: line.format(**made) for name, line in lines.items()}
                async with aiohttp.ClientSession() as session:
                    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                        await session.ws_connect(
                            f"http://127.0.0.1:{at.port}{FREQTRADE}{query.format(**made)}", headers=headers
                        )
                assert (refused.value.status, hub.clients) == (status, 0)
        assert "zs_" not in str(logs), "no secret is ever logged"

    asyncio.run(scenario())


def test_its_secret_opens_nothing_else_and_plain_requests_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, _):
            secret = secret_of(at)
            assert (await at.ask("GET", f"{FREQTRADE}?token={secret}")).code == "bad_request"
            assert (await at.ask("POST", f"{FREQTRADE}?token={secret}")).code == "method_not_allowed"
            assert (await at.ask("GET", "portfolio", token=secret)).code == "scope_missing"
            assert (await at.ask("GET", f"{PAIR_LIST}?exchange=okx", token=secret)).status == 403
            pong = await at.ask("GET", PING, "Host: localhost")
            assert (pong.status, pong.json) == (200, {"status": "pong"})

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "1e999",
        '"whitelist"',
        "[" * 16_000,
        '{"type":' * 2_000,
        '{"type": 1}',
        '{"type": "zmart_score", "data": []}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "data": "whitelist"}',
        '{"type": "subscribe", "data": {"whitelist": 1}}',
        '{"type": "subscribe", "data": [1, null]}',
        json.dumps({"type": "subscribe", "data": ["x"] * 65}),
        json.dumps({"type": "subscribe", "data": ["x" * 65]}),
        '{"type": "subscribe", "data": ' + "[" * 15_000,
        '{"type": "analyzed_df", "data": {"limit": -1e300, "pair": {}}}',
        '{"type": "\ud83d", "data": 1}'.encode("utf-8", "replace").decode(),
    ],
)
def test_what_is_not_understood_is_passed_over(text: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, _), aiohttp.ClientSession() as session:
            line = await dialled(at, session, secret_of(at))
            await line.send_str(text)
            await line.send_json({"type": "whitelist"})
            assert await line.receive_json(timeout=SAFETY_S) == {"type": "whitelist", "data": [BTC]}
            await line.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("message", "closed"),
    [("x" * 17_000, 1009), (b'{"type": "whitelist"}', 1003), (None, 1008)],
    ids=["large", "binary", "flood"],
)
def test_what_is_too_much_ends_the_connection(message: str | bytes | None, closed: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, limits=Limits(requests_per_minute=20)) as (at, hub):
            async with aiohttp.ClientSession() as session:
                line = await dialled(at, session, secret_of(at))
                for said in [message] if message is not None else ["{}"] * 40:
                    await (line.send_bytes(said) if isinstance(said, bytes) else line.send_str(said))
                async with asyncio.timeout(SAFETY_S):
                    while not line.closed:
                        await line.receive()
                assert line.close_code == closed
            await until(lambda: hub.clients == 0)

    asyncio.run(scenario())


def test_a_consumer_that_storms_is_refused_and_then_waits(tmp_path: Path) -> None:
    """Whatever makes us close a connection, it is opened a bounded number of times."""

    async def scenario() -> None:
        limits = Limits(openings_per_minute=7, requests_per_minute=1)  # its second message ends it, every time
        async with pushing(tmp_path, limits=limits) as (at, hub), consuming(url(at, secret_of(at))) as bot:
            await bot.until(lambda: bool(bot.refusals))
            assert (bot.opened, bot.refusals) == (7, [429])
            await until(lambda: hub.clients == 0)
            assert bot.dials == 8, "it waits now"

    asyncio.run(scenario())


def test_a_revoked_token_ends_it_and_is_then_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, PushLimits(heartbeat_s=0.05)) as (at, _):
            record, secret = at.tokens.create("bot", ["freqtrade"])
            async with consuming(url(at, secret)) as bot:
                await bot.has([BTC])
                at.tokens.revoke(record.id)
                await bot.until(lambda: bool(bot.refusals))
                assert (bot.dials, bot.refusals) == (2, [401])

    asyncio.run(scenario())


def test_room_is_shared_with_other_clients_that_listen(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path, PushLimits(clients=2)) as (at, hub), consuming(url(at, secret_of(at))) as bot:
            await bot.has([BTC])
            assert at.running.gate.open == 0, "it is not counted among the connections of requests"
            with hub.joined("somebody"):
                async with consuming(url(at, secret_of(at, "other"))) as late:
                    await late.until(lambda: bool(late.refusals))
                    assert (late.opened, late.refusals) == (0, [503])

    asyncio.run(scenario())


def test_who_never_reads_is_cut_and_delays_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        push = PushLimits(deadline_s=0.3)
        async with pushing(tmp_path, push) as (at, hub):
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port, limit=4096)
            head = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
            writer.write(
                f"GET {FREQTRADE}?token={secret_of(at)} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            wanted = b'{"type":"subscribe","data":["whitelist"]}'
            writer.write(bytes([0x81, 0x80 | len(wanted), 0, 0, 0, 0]) + wanted)  # a mask of noughts changes nothing
            many = [f"A{number:05}USDTM" for number in range(20_000)]
            async with asyncio.timeout(SAFETY_S):
                turn = 0
                while hub.clients:
                    turn += 1
                    hold(at, hub, *many[turn:])
                    await asyncio.sleep(0.02)
            await until(lambda: at.running.gate.open == 0)
            writer.close()

    asyncio.run(scenario())


def test_a_fault_of_ours_is_logged_and_ends_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        def broken() -> dict[str, Any]:
            raise RuntimeError("no")

        with capture_logs() as logs:
            async with pushing(tmp_path, limits=Limits(openings_per_minute=3)) as (at, hub):
                async with consuming(url(at, secret_of(at))) as bot:
                    await bot.has([BTC])
                    at.shelf.portfolio = broken  # type: ignore[method-assign]  # our own fault
                    events.tell(hub, [of_every_kind()[1]])
                    await bot.until(lambda: bool(bot.refusals))
                    assert (bot.refusals, bot.pairs, bot.errors) == ([429], [BTC], []), "it keeps what it has"
                await until(lambda: hub.clients == 0)
        faults = [line for line in logs if line["event"] == "api.fault"]
        assert faults
        assert "zs_" not in str(logs)

    asyncio.run(scenario())


def test_nobody_is_let_in_any_more_when_connections_are_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with pushing(tmp_path) as (at, hub):
            found = []
            close = hub.close

            def closing() -> None:
                with socket.socket() as dial:
                    found.append(dial.connect_ex(("127.0.0.1", at.port)))
                close()

            hub.close = closing  # type: ignore[method-assign]  # looks at the port first
            await at.running.close()
            assert found == [errno.ECONNREFUSED]

    asyncio.run(scenario())


def test_a_restart_on_the_same_port_makes_no_storm(tmp_path: Path) -> None:
    """The consumer comes back at once when it is closed: by then nobody listens, so it waits, and finds the next."""

    async def scenario() -> None:
        async with pushing(tmp_path) as (at, _):
            secret = secret_of(at)
            bots = [consuming(url(at, secret), wait_s=0.2) for _ in range(4)]
            async with bots[0] as one, bots[1] as two, bots[2] as three, bots[3] as four:
                attached = (one, two, three, four)
                for bot in attached:
                    await bot.has([BTC])
                await at.running.close()
                for bot in attached:
                    await bot.until(lambda bot=bot: len(bot.refusals) >= 2)
                    assert set(bot.refusals) == {0}, "nobody listens while connections are closed"
                    assert (bot.opened, bot.dials) == (1, 1 + len(bot.refusals))
                hub = Hub()
                async with again(at, hub):
                    for bot in attached:
                        await bot.until(lambda bot=bot: bot.opened == 2)
                    hold(at, hub, "ETHUSDTM")
                    for bot in attached:
                        await bot.has([ETH])
                        assert bot.errors == []
                        assert bot.dials == 2 + len(bot.refusals), "one connection for each server"

    asyncio.run(scenario())


@asynccontextmanager
async def again(at: Desk, hub: Hub) -> AsyncIterator[None]:
    """Another server of the same desk on the same port."""
    services = Services(
        reader=at.shelf,
        commander=at.counter,
        archive=at.paper,
        configuration=at.dials,
        now=lambda: 1,
        not_ready=lambda: at.unready,
        push=hub,
    )
    app = create_app(services, auth=AuthSettings(), tokens=at.tokens, limits=Limits())
    running = await serve(app, host="127.0.0.1", port=at.port)
    try:
        yield
    finally:
        await running.close()
