"""Requests that are bent: framing, methods, paths and figures that no honest client sends."""

import asyncio

import pytest

from tests.api.desk import SAFETY_S, answer, desk, ended, exchange
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX

OPEN = AuthSettings(open_loopback=True)
JSON = "Content-Type: application/json"
ADD = f"{PREFIX}/portfolio/add-symbol"
POSTED = f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        f"{POSTED}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"{POSTED}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        f"{POSTED}Content-Length: -1\r\n\r\n",
        f"{POSTED}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nBad Header\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
    ids=["both lengths", "two lengths", "negative length", "bad chunk", "bad header", "tls", "nonsense"],
)
def test_requests_that_are_no_http_get_400(raw, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            found = await exchange(at.port, raw.encode("latin-1"))
            assert found.status == 400
            assert found.code == "bad_request"
            assert found.headers["x-content-type-options"] == "nosniff"
            assert not at.counter.taken

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "value", ["-1", "0", "1e9", "0x10", "%D9%A1%D9%A2", "1.0", "", "%20", "99999999", "+1", "1%00"]
)
def test_limits_are_plain_whole_numbers(value, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            found = await at.ask("GET", f"scoring/rankings?limit={value}")
            assert (found.status, found.code) == (400, "bad_query")
            assert found.json["parameter"] == "limit"

    asyncio.run(scenario())


@pytest.mark.parametrize("value", ["NOPE", "%27%20OR%201=1--", "A" * 33, "", "%00", "RISK%0d%0aX:1"])
def test_the_type_of_a_score_is_a_known_word(value, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            found = await at.ask("GET", f"scoring/rankings?type={value}")
            assert (found.status, found.code) == ((404, "unknown_score") if value == "NOPE" else (400, "bad_query"))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        f"{PREFIX}/../../etc/passwd",
        f"{PREFIX}/explain/..%2f..%2fetc%2fpasswd",
        f"{PREFIX}/explain/%2e%2e",
        f"{PREFIX}/explain/XBT%00USDTM",
        f"{PREFIX}/explain/%27%20OR%201=1--",
        f"{PREFIX}/explain/xbtusdtm",
        f"{PREFIX}/symbols/{'A' * 25}",
        "//etc/passwd",
        "http://127.0.0.1/etc/passwd",
        "/\x00",
    ],
)
def test_paths_lead_nowhere(path, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            raw = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            found = await exchange(at.port, raw.encode("latin-1"))
            assert found.status in (400, 404)
            assert b"root:" not in found.body

    asyncio.run(scenario())


def test_http_1_0_is_answered(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            found = await exchange(at.port, f"GET {PREFIX}/portfolio HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            assert found.status == 200
            nameless = await exchange(at.port, f"GET {PREFIX}/portfolio HTTP/1.0\r\n\r\n".encode())
            assert nameless.code == "wrong_host"

    asyncio.run(scenario())


HIDDEN = f"POST {PREFIX}/portfolio/rebalance HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request that hides in another one; it would be counted."""


@pytest.mark.parametrize(
    "lines",
    [
        f"Content-Length: {len(HIDDEN)}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(HIDDEN)}\r\n\r\n0\r\n\r\n",
        f"Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n",
        f"Content-Length: 0, {len(HIDDEN)}\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Content-Length: 0x0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\n\n",
        "X: a\rContent-Length: 0\r\n\r\n",
        " Content-Length: 0\r\n\r\n",
        "X: a\r\n\x00\r\n\r\n",
    ],
)
def test_smuggled_requests_are_never_served(lines, tmp_path) -> None:
    """One answer, a refusal, and the connection ends: nothing behind it is read as another request."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{lines}{HIDDEN}".encode("latin-1"))
            async with asyncio.timeout(SAFETY_S):
                assert (await answer(reader)).status == 400
            await ended(reader)
            assert not at.counter.taken
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "bomb",
    [
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n" + "A: b\r\n" * 129 + "\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n" + "A: b\r\n" * 300_000,
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nA: " + "b" * 2_000_000,
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n" + "c" * 2_000_000,
        "GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /" + "a" * 2_000_000,
        "A" * 2_000_000,
        "GET /livez?" + "a=b&" * 3000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["129 headers", "endless headers", "a value", "a name", "a path", "an endless path", "a method", "a query"],
)
def test_headers_have_an_end(bomb, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            found = await exchange(at.port, bomb.encode())
            assert found.status in (0, 400), found  # a flood may break the connection before the answer is read
            assert (await at.ask("GET", "/livez")).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "PATCH", "PROPFIND", "get", "FOO", "G E T"])
def test_methods_that_no_route_takes(method, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            for path in (f"{PREFIX}/portfolio", f"{PREFIX}/portfolio/rebalance", "*", "localhost:80"):
                found = await at.ask(method, path if path.startswith("/") else f"/{path}", "Secret: canary-5d1e")
                assert found.status in (400, 404, 405, 421), found  # CONNECT asks for a host: it is not ours
                assert b"canary-5d1e" not in found.body, "nothing is echoed, as TRACE would"
            assert not at.counter.taken

    asyncio.run(scenario())


def test_head_has_no_body_and_changes_nothing(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            line = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            writer.write(f"HEAD {PREFIX}/portfolio {line}".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert body == b""
            writer.close()
            assert b" 405 " in await raw_head(at.port, f"HEAD {PREFIX}/portfolio/rebalance {line}")
            for path in ("stream", "ws"):
                assert b" 405 " in await raw_head(at.port, f"HEAD {PREFIX}/{path} {line}"), "it would never end"
            assert not at.counter.taken

    asyncio.run(scenario())


async def raw_head(port: int, sent: str) -> bytes:
    """The first line that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent.encode())
    async with asyncio.timeout(SAFETY_S):
        line = await reader.readline()
    writer.close()
    return line


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_changes_the_method(name, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            assert (await at.ask("GET", "portfolio/rebalance", f"{name}: POST")).code == "method_not_allowed"
            assert (await at.ask("POST", "portfolio", f"{name}: GET")).code == "method_not_allowed"
            assert (await at.ask("GET", "portfolio?_method=POST")).code == "bad_query"
            found = await at.ask("POST", "portfolio/rebalance", JSON, f"{name}: DELETE", body=b'{"_method": "GET"}')
            assert found.code == "bad_body"
            assert not at.counter.taken

    asyncio.run(scenario())


def test_a_thousand_pipelined_requests_are_answered_in_order(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            paths = ["/livez" if number % 3 else "/nothing" for number in range(1000)]
            writer.write("".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in paths).encode())
            async with asyncio.timeout(SAFETY_S):
                told = [(await answer(reader)).status for _ in paths]
            assert told == [200 if path == "/livez" else 404 for path in paths]
            assert at.running.gate.open == 1
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "nonsense"])
def test_an_upgrade_where_there_is_none_is_a_plain_request(protocol, tmp_path) -> None:
    """What follows is read as requests again, none of it as another protocol."""

    async def scenario() -> None:
        async with desk(tmp_path) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            head = f"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            writer.write(f"GET {PREFIX}/portfolio HTTP/1.1\r\n{head}".encode())
            async with asyncio.timeout(SAFETY_S):
                assert (await answer(reader)).status == 200
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await answer(reader)).status == 200
                writer.write(b"\x81\x80\x00\x00\x00\x00\r\n\r\n")
                assert (await answer(reader)).status == 400
            await ended(reader)
            writer.close()

    asyncio.run(scenario())
