"""REST against a loopback server that answers as the venue, its gateway and the cloud in front of it do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web

from zmart_stream.domain.errors import FeedError, VenueBusyError
from zmart_stream.feeds.kucoin.budget import Priority
from zmart_stream.feeds.kucoin.klines import Span
from zmart_stream.feeds.kucoin.rest import KucoinRest, allowed
from zmart_stream.feeds.kucoin.settings import FeedSettings

HOUR = 3600 * 1_000_000_000
START = 1_793_937_600 * 1_000_000_000
HEADERS = {"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "1900", "gw-ratelimit-reset": "20000"}
Handler = Callable[[web.Request], Awaitable[web.Response]]


def ask(handler: Handler, question: Callable[[KucoinRest], Awaitable[Any]], **changes: Any) -> tuple[Any, KucoinRest]:
    """The answer (or the error) that `question` gets from a server with `handler`, and the client."""

    async def scenario() -> tuple[Any, KucoinRest]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        settings = FeedSettings(
            rest_url=f"http://127.0.0.1:{port}", allowed_hosts=("127.0.0.1",), **{"request_timeout_s": 60.0, **changes}
        )
        try:
            async with KucoinRest(settings) as rest:
                try:
                    return await question(rest), rest
                except FeedError as error:
                    return error, rest
        finally:
            await runner.cleanup()

    return asyncio.run(scenario())


def reply(data: Any, **more: Any) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response({"code": "200000", "data": data}, headers=HEADERS, **more)

    return handler


def raw(status: int, body: str, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers=headers or {})

    return handler


async def server_time(rest: KucoinRest) -> int:
    return await rest.server_time()


def test_the_headers_are_believed() -> None:
    answer, rest = ask(reply(1793940000123), server_time)
    assert isinstance(answer, int)
    assert answer >= 1793940000123_000_000
    assert rest.pool.limit == 2000
    assert rest.pool.remaining == 1900


def test_the_venues_time_is_that_of_now_at_its_speed() -> None:
    """Half the exchange has passed since it was read, but none of the wait for a turn."""

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return await reply(1_000)(request)

    async def question(rest: KucoinRest) -> tuple[int, float]:
        began = rest._now()
        rest.pool.block(began, 0.5)
        return await rest.server_time(), rest._now() - began

    for speed in (1.0, 60.0):
        (answer, took_s), _ = ask(slow, question, speed=speed)
        passed_s = (answer / 1e9 - 1.0) / speed
        assert 0.1 <= passed_s <= (took_s - 0.4) / 2
    answer, _ = ask(reply(1_000), server_time, speed=float("inf"))
    assert answer == 1_000_000_000


QUOTA = '{"code":"429000","msg":"Too Many Requests"}'
RESET_7 = {**HEADERS, "gw-ratelimit-reset": "7000"}
SOON, BACK_OFF, BLOCK = (0.05, 1.1), (0.1, 3.0), (30.0, 45.1)


@pytest.mark.parametrize(
    ("status", "body", "headers", "reason", "blocked_s"),
    [
        pytest.param(429, QUOTA, RESET_7, "429", (6.5, 7.5), id="quota"),
        pytest.param(429, QUOTA, {}, "429", BACK_OFF, id="overload"),
        pytest.param(200, QUOTA, {}, "429", BACK_OFF, id="quota with 200"),
        pytest.param(429, "<html>error 1015</html>", {}, "1015", BLOCK, id="html block"),
        pytest.param(403, "<html>blocked</html>", {}, "1015", BLOCK, id="forbidden"),
        pytest.param(200, '{"code":"1015","msg":"rate limited"}', {}, "1015", BLOCK, id="json block"),
        pytest.param(200, '{"code":"200002","msg":"Too many requests"}', {}, "200002", (9.0, 10.1), id="business"),
        pytest.param(502, "<html>Bad gateway</html>", {}, "http 502", SOON, id="gateway"),
        pytest.param(200, '{"code":"503000","msg":"unavailable"}', {}, "503000", SOON, id="unavailable"),
        pytest.param(200, '{"code":"200003","msg":"Invalid symbol."}', {}, "200003 Invalid symbol.", None, id="symbol"),
        pytest.param(404, '{"code":"404","msg":"Not Found","retry":false}', {}, "404 Not Found", None, id="path"),
        pytest.param(400, '{"code":"400001","msg":"header missing"}', {}, "400001", None, id="header"),
        pytest.param(200, "<html>hello</html>", {}, "not json", None, id="html"),
        pytest.param(200, "", {}, "not json", None, id="empty"),
        pytest.param(302, "", {"Location": "http://example.com/"}, "redirect refused", None, id="redirect"),
        pytest.param(200, '{"code":"200000","data":"soon"}', {}, "malformed reply", None, id="wrong type"),
        pytest.param(200, '{"code":"200000"}', {}, "malformed reply", None, id="no data"),
        pytest.param(200, '{"code":"200000","data":' + "[" * 100_000, {}, "not json", None, id="deep"),
    ],
)
def test_every_refusal_has_its_reason_and_its_pause(
    status: int, body: str, headers: dict[str, str], reason: str, blocked_s: tuple[float, float] | None
) -> None:
    async def question(rest: KucoinRest) -> tuple[float, float]:
        began = rest._now()
        with pytest.raises(FeedError, match=reason) as refused:
            await rest.server_time()
        assert isinstance(refused.value, VenueBusyError) is (blocked_s is not None)
        now = rest._now()
        return rest.pool.ready_in(now, 1, Priority.POLL), now - began

    (wait, took_s), rest = ask(raw(status, body, headers), question)
    if blocked_s is None:
        assert wait == 0
    else:
        assert blocked_s[0] <= wait + took_s
        assert wait <= blocked_s[1]
        assert rest.health == "degraded"


def test_a_reply_that_never_ends_is_given_up() -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    answer, _ = ask(slow, server_time, request_timeout_s=0.5)
    assert isinstance(answer, FeedError)
    assert str(answer) == "timeout"


def test_a_reply_beyond_the_limit_is_given_up() -> None:
    answer, _ = ask(raw(200, "x" * 200_000), server_time, max_reply_bytes=100_000)
    assert str(answer) == "reply too large"


def test_nobody_listens() -> None:
    async def question() -> tuple[str, str]:
        async with KucoinRest(FeedSettings(rest_url="http://127.0.0.1:9")) as rest:
            with pytest.raises(VenueBusyError) as refused:
                await rest.server_time()
        return str(refused.value), rest.health

    words, health = asyncio.run(question())
    assert words.startswith("connect")
    assert health == "degraded"


def kline_server(cap: int, *, newest: bool, columns: int = 7) -> tuple[Handler, list[tuple[int, int]]]:
    """A venue with a bar in every hour that returns at most `cap` rows."""
    calls: list[tuple[int, int]] = []

    async def handler(request: web.Request) -> web.Response:
        since, until = int(request.query["from"]), int(request.query["to"])
        calls.append((since, until))
        starts = list(range(since, until + 1, 3_600_000))
        kept = starts[-cap:] if newest else starts[:cap]
        rows = [[start, 1.5, 2.0, 1.0, 1.25, 10, 15.5][:columns] for start in kept]
        return web.json_response({"code": "200000", "data": rows}, headers=HEADERS)

    return handler, calls


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize(("cap", "expected_calls"), [(500, 1), (200, 2), (100, 3)])
def test_klines_are_whole_whatever_the_venue_s_cap(newest: bool, cap: int, expected_calls: int) -> None:
    handler, calls = kline_server(cap, newest=newest)
    bars, _ = ask(handler, lambda rest: rest.klines("A", 3600, START, START + 241 * HOUR))
    assert [bar[0] for bar in bars] == list(range(START, START + 241 * HOUR, HOUR))
    assert bars[0] == (START, 1.5, 2.0, 1.0, 1.25, 10.0, 15.5)
    assert len(calls) == expected_calls


def test_klines_without_turnover_take_it_from_the_multiplier() -> None:
    handler, _ = kline_server(500, newest=False, columns=6)

    async def question(rest: KucoinRest) -> Any:
        rest.multipliers["A"] = 0.5
        return await rest.kline_page("A", 3600, Span(START, START + HOUR), Priority.REPAIR)

    bars, _ = ask(handler, question)
    assert bars.rows == ((START, 1.5, 2.0, 1.0, 1.25, 10.0, 10 * 0.5 * (1.5 + 2.0 + 1.0 + 1.25) / 4),)


@pytest.mark.parametrize("data", [None, []])
def test_no_klines_are_no_error(data: Any) -> None:
    bars, _ = ask(reply(data), lambda rest: rest.klines("A", 3600, START, START + HOUR))
    assert bars == ()


@pytest.mark.parametrize(
    ("url", "hosts", "fine"),
    [
        ("wss://ws-api-futures.kucoin.com/", ("kucoin.com",), True),
        ("wss://ws-api-futures.kucoin.com:8443/endpoint?x=1", ("kucoin.com",), True),
        ("wss://kucoin.com/", ("kucoin.com",), True),
        ("ws://ws-api-futures.kucoin.com/", ("kucoin.com",), False),
        ("wss://evilkucoin.com/", ("kucoin.com",), False),
        ("wss://kucoin.com.evil.example/", ("kucoin.com",), False),
        ("wss://kucoin.com@evil.example/", ("kucoin.com",), False),
        ("https://ws.kucoin.com/", ("kucoin.com",), False),
        ("ws://127.0.0.1:8080/", ("kucoin.com",), False),
        ("ws://127.0.0.1:8080/", ("127.0.0.1",), True),
        ("wss://localhost:8080/", ("localhost",), True),
        ("ws://[::1]:8080/", ("::1",), True),
        ("ws://10.0.0.1/", ("10.0.0.1",), False),
        ("wss://[::1", ("::1",), False),
        ("", ("kucoin.com",), False),
    ],
)
def test_only_allowed_endpoints_are_dialled(url: str, hosts: tuple[str, ...], fine: bool) -> None:
    assert allowed(url, hosts) is fine


def test_a_token_is_url_encoded_and_its_endpoint_checked() -> None:
    server = {"endpoint": "ws://127.0.0.1:1/", "encrypt": False, "pingInterval": 18000, "pingTimeout": 10000}
    token, _ = ask(reply({"token": "a-_=.b==", "instanceServers": [server]}), lambda rest: rest.token())
    assert token.url.startswith("ws://127.0.0.1:1/?token=a-_%3D.b%3D%3D&connectId=")
    assert (token.ping_s, token.pong_s) == (18.0, 10.0)
    foreign = {**server, "endpoint": "ws://evil.example/"}
    refused, _ = ask(reply({"token": "t", "instanceServers": [foreign]}), lambda rest: rest.token())
    assert isinstance(refused, FeedError)


def test_one_symbol_s_empty_book_side_may_be_null() -> None:
    book = {"sequence": 1, "symbol": "A", "bids": None, "asks": [["2.5", 3], [2.0, 1]], "ts": START}
    (_, bids, asks), _ = ask(reply(book), lambda rest: rest.book("A"))
    assert bids == ()
    assert asks == ((2.0, 1), (2.5, 3))


def test_settlements_come_ascending() -> None:
    found = [{"symbol": "A", "fundingRate": 1e-4, "timepoint": 2000}, {"fundingRate": -1e-4, "timepoint": 1000}]
    rates, _ = ask(reply(found), lambda rest: rest.funding_rates("A", START, START + HOUR))
    assert rates == ((1000 * 10**6, -1e-4), (2000 * 10**6, 1e-4))
    assert msgspec.json.encode(rates)


def test_a_resolver_that_hangs_holds_up_neither_the_request_nor_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        release.wait(30)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def question() -> str:
        async with KucoinRest(FeedSettings(rest_url="http://venue.example", request_timeout_s=0.2)) as rest:
            with pytest.raises(FeedError) as refused:
                await rest.server_time()
        return str(refused.value)

    try:
        # asyncio.run joins the loop's executor threads: it would wait for the lookup if it ran there
        assert asyncio.run(question()) == "timeout"
        assert not release.is_set()
    finally:
        release.set()
