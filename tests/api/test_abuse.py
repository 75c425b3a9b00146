"""What hostile callers send: each gets a 4xx or is cut, never a 5xx, and good callers notice nothing."""

import asyncio
import gzip
from contextlib import suppress

import pytest
import uvloop

from tests.api.desk import SAFETY_S, answer, desk, ended, exchange
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits

OPEN = AuthSettings(open_loopback=True)
JSON = "Content-Type: application/json"
ADD = f"{PREFIX}/portfolio/add-symbol"
POSTED = f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n"
QUICK = Limits(receive_deadline_s=0.3)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_json"),
        (b"\xff\xfe", 400, "bad_json"),
        (b'{"symbol": "\xc3\x28"}', 400, "bad_json"),
        (b'{"symbol": NaN}', 400, "bad_json"),
        (b'{"symbol": Infinity}', 400, "bad_json"),
        (b'{"symbol": "XBTUSDTM"} {}', 400, "bad_json"),
        (b'{"symbol": "SOLUSDTM", "symbol": "ETHUSDTM"}', 400, "bad_json"),
        (b'{"symbol": "ETHUSDTM", "reason": "\\ud800"}', 400, "bad_json"),
        (b'{"symbol": "ETHUSDTM", "reason": "\xed\xa0\x80"}', 400, "bad_json"),
        (b'{"symbol": "ETHUSDTM", "reason": ' + b"9" * 5000 + b"}", 400, "bad_json"),
        (b"[" * 100_000, 400, "bad_json"),
        (b'{"symbol":' * 20_000, 400, "bad_json"),
        (b"[]", 422, "bad_body"),
        (b"null", 422, "bad_body"),
        (b'"XBTUSDTM"', 422, "bad_body"),
        (b"{}", 422, "bad_body"),
        (b'{"symbol": 1}', 422, "bad_body"),
        (b'{"symbol": "xbtusdtm"}', 422, "bad_body"),
        (b'{"symbol": "\' OR 1=1--"}', 422, "bad_body"),
        (b'{"symbol": "XBTUSDTM\\u0000"}', 422, "bad_body"),
        (b'{"symbol": "XBTUSDTM\\n"}', 422, "bad_body"),
        (b'{"symbol": "\\uff38\\uff22\\uff34"}', 422, "bad_body"),
        (b'{"symbol": "' + b"A" * 25 + b'"}', 422, "bad_body"),
        (b'{"symbol": "ETHUSDTM", "symbol_id": "ETHUSDTM"}', 422, "bad_body"),
        (b'{"symbol": "ETHUSDTM", "admin": true}', 422, "bad_body"),
        (b'{"symbol": "ETHUSDTM", "reason": "' + b"x" * 501 + b'"}', 422, "bad_body"),
        (b'{"symbol": "ETHUSDTM", "reason": "\\u001b[2J"}', 422, "bad_body"),
        (b'{"symbol": "00000000-0000-0000-0000-000000000000"}', 404, "unknown_symbol"),
        (b'{"symbol": "ETHUSDTM"}', 200, None),
    ],
)
def test_bodies(body, status, code, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            found = await at.ask("POST", ADD, JSON, body=body)
            assert found.status == status, found
            assert code is None or found.code == code
            assert len(at.counter.taken) == (status == 200)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Type: application/x-www-form-urlencoded"],
        ["Content-Type: text/plain"],
        ["Content-Type: multipart/form-data; boundary=x"],
        ["Content-Type: application/jsonx"],
        [],
        [JSON, "Content-Encoding: gzip"],
    ],
)
def test_a_body_must_be_plain_json(lines, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            body = b'{"symbol": "ETHUSDTM"}'
            found = await at.ask("POST", ADD, *lines, body=gzip.compress(body) if len(lines) == 2 else body)
            assert (found.status, found.code) == (415, "not_json")
            assert not at.counter.taken

    asyncio.run(scenario())


def test_a_body_that_claims_a_gigabyte_is_refused_unread(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            found = await at.ask("POST", ADD, JSON, f"Content-Length: {1 << 30}", body=b"{")
            assert (found.status, found.code) == (413, "too_large")

    asyncio.run(scenario())


def test_a_body_that_never_ends_is_refused_at_its_cap(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, limits=Limits(max_body_bytes=64 * 1024)) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            head = f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
            writer.write(head.encode())
            chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"

            async def flood() -> None:
                with suppress(ConnectionError):
                    while True:
                        writer.write(chunk)
                        await writer.drain()

            flooding = asyncio.create_task(flood())
            async with asyncio.timeout(SAFETY_S):
                found = await answer(reader)
            assert found.status in (0, 413)  # the flood may break the connection before the answer is read
            assert found.status == 0 or found.code == "too_large"
            await ended(reader)
            flooding.cancel()
            writer.close()
            assert not at.counter.taken

    asyncio.run(scenario())


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


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["new", "kept"])
def test_a_header_that_drips_is_cut_at_its_deadline(first, tmp_path) -> None:
    """Every byte comes in time, the header as a whole does not."""

    async def scenario() -> None:
        async with desk(tmp_path, limits=QUICK) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            if first:
                writer.write(first)
                assert (await answer(reader)).status == 200
            writer.write(b"GET /livez HTTP/1.1\r\nX-Slow: ")

            async def drip() -> None:
                with suppress(ConnectionError):
                    while True:
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(0.02)

            dripping = asyncio.create_task(drip())
            await ended(reader)
            dripping.cancel()
            writer.close()
            assert at.running.gate.cut == 1
            assert at.running.gate.open == 0

    asyncio.run(scenario())


def test_a_body_that_drips_is_refused_at_its_deadline(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, limits=QUICK) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            head = f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 1000\r\n\r\n"
            writer.write(head.encode())

            async def drip() -> None:
                with suppress(ConnectionError):
                    while True:
                        writer.write(b" ")
                        await writer.drain()
                        await asyncio.sleep(0.02)

            dripping = asyncio.create_task(drip())
            async with asyncio.timeout(SAFETY_S):
                found = await answer(reader)
            assert (found.status, found.code) == (408, "too_slow")
            await ended(reader)
            dripping.cancel()
            writer.close()

    asyncio.run(scenario())


def test_a_body_that_ends_early_harms_nobody(tmp_path, capsys) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            _, writer = await asyncio.open_connection("127.0.0.1", at.port)
            head = f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 1000\r\n\r\n{{"
            writer.write(head.encode())
            await writer.drain()
            writer.transport.abort()
            assert (await at.ask("GET", "portfolio")).status == 200
            assert not at.counter.taken
        assert "api.fault" not in capsys.readouterr().out, "a caller who leaves is no fault of ours"

    asyncio.run(scenario())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_connections_of_one_address_are_capped_and_room_comes_back(run, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, limits=Limits(max_connections_per_address=4)) as at:
            held = []
            for _ in range(4):
                reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await answer(reader)).status == 200
                held.append((reader, writer))
            refused = await at.ask("GET", "/livez")
            assert (refused.status, refused.code) == (503, "busy")
            assert refused.headers["retry-after"] == "1"
            held[0][1].write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await ended(held[0][0])
            assert (await at.ask("GET", "/livez")).status == 200
            assert (at.running.gate.refused, at.running.gate.open) == (1, 3)
            for _, writer in held:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    run(scenario())


def test_connections_are_capped_in_all(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, limits=Limits(max_connections=2)) as at:
            pairs = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(40)]
            told = [await answer(reader) for reader, _ in pairs[2:]]
            assert {found.status for found in told} <= {503, 0}
            assert at.running.gate.open == 2
            for _, writer in pairs:
                writer.close()

    asyncio.run(scenario())


def test_good_callers_are_served_among_slow_ones(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, limits=Limits(max_connections_per_address=256)) as at:
            slow = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(150)]
            for _, writer in slow[:60]:
                writer.write(b"GET /livez HTTP/1.1\r\nX-Slow: ")
            for _, writer in slow[60:70]:
                head = f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 9\r\n\r\n{{"
                writer.write(head.encode())
            assert [(await at.ask("GET", "portfolio")).status for _ in range(50)] == [200] * 50
            for _, writer in slow:
                writer.close()

    asyncio.run(scenario())
