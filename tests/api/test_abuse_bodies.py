"""What hostile callers send in bodies: refused with a 4xx, and nothing of it is acted on."""

import asyncio
import gzip
from contextlib import suppress

import pytest

from tests.api.desk import SAFETY_S, answer, desk, ended, exchange
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits

OPEN = AuthSettings(open_loopback=True)
JSON = "Content-Type: application/json"
ADD = f"{PREFIX}/portfolio/add-symbol"
POSTED = f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n"


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


@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        (f"2;{'a' * 200_000}\r\n{{}}\r\n0\r\n\r\n", 422),
        ("2\r\n{}\r\n0\r\n" + "A: b\r\n" * 5000 + "\r\n", 400),
        (f"{'f' * 17}\r\n{{}}\r\n", 400),
        ("-2\r\n{}\r\n0\r\n\r\n", 400),
        ("2\r\n{}x\r\n0\r\n\r\n", 400),
        ("1\r\n \r\n" * 300 + "0\r\n\r\n", 413),
    ],
    ids=["long extension", "trailers", "size overflows", "negative size", "longer than it says", "small ones"],
)
def test_chunks_that_abuse_their_frame(chunks, status, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, limits=Limits(max_body_bytes=256)) as at:
            found = await exchange(at.port, f"{POSTED}Transfer-Encoding: chunked\r\n\r\n{chunks}".encode())
            assert found.status in (0, status), found
            assert not at.counter.taken

    asyncio.run(scenario())


@pytest.mark.parametrize("expect", ["100-continue", "200-ok", "nonsense"])
def test_a_gigabyte_is_refused_whatever_is_expected(expect, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(f"{POSTED}Expect: {expect}\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
            async with asyncio.timeout(SAFETY_S):
                found = await answer(reader)
                if found.status == 100:
                    found = await answer(reader)
            assert found.code == ("too_large" if expect == "100-continue" else "bad_request")
            writer.close()

    asyncio.run(scenario())


def test_a_body_nobody_asked_for_is_never_waited_for(tmp_path) -> None:
    """A reading route answers at once; what else arrives on that connection is not taken for a request."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            inside = f"POST {PREFIX}/portfolio/rebalance HTTP/1.1\r\nHost: localhost\r\n\r\n"
            writer.write(f"GET {PREFIX}/portfolio HTTP/1.1\r\nHost: localhost\r\n".encode())
            writer.write(f"Content-Length: {1 << 30}\r\n\r\n{inside}".encode())
            async with asyncio.timeout(SAFETY_S):
                assert (await answer(reader)).status == 200
            await ended(reader)
            assert not at.counter.taken
            writer.close()

    asyncio.run(scenario())
