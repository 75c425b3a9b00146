"""One attempt: what is signed, where it may go, and what a hostile or broken receiver comes to."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp.abc import ResolveResult

from tests.notify.receiver import OLD, SAFETY_S, hooked, loopback, receiving
from zmart_stream.domain.outbox import OutboxEntry
from zmart_stream.notify.guard import Resolve
from zmart_stream.notify.sending import Outcome
from zmart_stream.notify.signing import headers, key_of
from zmart_stream.notify.webhooks import WebhookSender

ENTRY = OutboxEntry(
    id="1", event_id="test_1", event_type="test", endpoint="bot", payload="{}", created=1, next_attempt=1
)


async def sent(url: str, resolve: Resolve = loopback, **dials: Any) -> Outcome:
    """One attempt at an address."""
    settings = hooked(url, **dials)
    sender = WebhookSender(settings.webhooks[0], settings, resolve)
    try:
        return await asyncio.wait_for(sender.send(ENTRY), SAFETY_S)
    finally:
        await sender.close()


def answering(*addresses: str) -> Resolve:
    """A resolver with these answers."""

    async def resolve(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)
            for address, kind in zip(addresses, kinds, strict=True)
        ]

    return resolve


def test_the_signature_is_that_of_the_standards_example() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    made = headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "abc", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "whsec_" + "QUJD" * 40])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"secret|base64"):
        key_of(secret)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://hooks.example.com/x", "plain http"),
        ("ftp://hooks.example.com/x", "https"),
        ("https://", "no address"),
        ("https://hooks.example.com:99999/", "no address"),
        ("https://user:pass@hooks.example.com/", "names and passwords"),
        ("https://hooks.example.com/#x", "fragment"),
        ("https://10.0.0.1/", "not public"),
        ("https://169.254.169.254/latest/meta-data/", "not public"),
        ("https://[fd00:ec2::254]/", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("https://100.100.100.200/", "not public"),
        ("https://0.0.0.0/", "not public"),
        ("https://192.0.0.8/", "not public"),
        ("https://[fec0::1]/", "not public"),
        ("https://[3fff::1]/", "not public"),
        ("https://127.0.0.1./", "no address"),
        ("https://hooks.example.127/", "no address"),
        ("https://2130706433/", "allow_loopback"),
        ("https://0x7f.1/", "allow_loopback"),
        ("https://127.0.0.1/", "allow_loopback"),
        ("http://localhost:8080/", "allow_loopback"),
        ("https://[::1]/", "allow_loopback"),
    ],
)
def test_an_address_that_may_not_be_reached_is_not_dialled(url: str, word: str) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("it was looked up")

    assert word in asyncio.run(sent(url, never, allow_loopback=False)).error


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["10.1.2.3"],
        ["192.168.1.1"],
        ["172.16.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],  # noqa: S104 - an answer, not a place to listen
        ["224.0.0.1"],
        ["240.0.0.1"],
        ["fe80::1%lo"],
        ["fc00::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["64:ff9b:1::1"],
        ["fec0::1"],
        ["192.0.0.170"],
        ["2002:7f00:1::"],
        ["93.184.216.34", "127.0.0.1"],
    ],
    ids=" ".join,
)
def test_a_name_that_stands_for_such_an_address_is_not_dialled(addresses: list[str]) -> None:
    outcome = asyncio.run(sent("https://hooks.example.com/", answering(*addresses), allow_loopback=False))
    assert "which is not allowed" in outcome.error


def test_the_address_that_was_judged_is_the_one_that_is_dialled() -> None:
    asked: list[str] = []

    async def once(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        asked.append(host)
        return await loopback(host, port, family)

    async def scenario() -> None:
        async with receiving() as hook:
            # a name that no resolver but ours knows, on this machine's address
            outcome = await sent(f"http://localhost:{hook.port}/", once)
            assert outcome.ok
            assert asked == ["localhost"]
            assert hook.got[0].headers["host"] == f"localhost:{hook.port}"

    asyncio.run(scenario())


async def served(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], **dials: Any
) -> Outcome:
    """One attempt at a server that speaks in bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"{}")
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await sent(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", **dials)


def test_a_receiver_that_does_not_answer_meets_the_deadline() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    assert asyncio.run(served(silent, timeout_s=0.2)).error == "no answer in 0.2 s"


def test_an_endless_answer_is_cut() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            await writer.drain()

    assert asyncio.run(served(endless, timeout_s=SAFETY_S / 2)).ok


@pytest.mark.parametrize("hangs", [True, False])
def test_what_was_taken_stays_so_whatever_becomes_of_the_answers_body(hangs: bool) -> None:
    """Or the message would come again although it was taken."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf")
        await writer.drain()
        if hangs:
            await reader.read()

    assert asyncio.run(served(half, timeout_s=3.0)).ok


@pytest.mark.parametrize(
    ("ahead_s", "least_s", "most_s"),
    [(1000, 900, 1000), (10**7, 3600, 3600), (-1000, 0, 0)],
    ids=["soon", "far", "past"],
)
def test_a_wait_may_be_told_as_a_date(ahead_s: int, least_s: float, most_s: float) -> None:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        until = formatdate(time.time() + ahead_s, usegmt=True)
        writer.write(f"HTTP/1.1 429 Slow\r\nRetry-After: {until}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    assert least_s <= asyncio.run(served(say)).wait_s <= most_s


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"", Outcome("the connection was closed without an answer")),
        (b"SSH-2.0-OpenSSH_9\r\n", Outcome("the answer is not HTTP")),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Outcome("answered 503", False, 7.0)),
        (
            b"HTTP/1.1 503 Busy\r\nRetry-After: 999999\r\nContent-Length: 0\r\n\r\n",
            Outcome("answered 503", False, 3600.0),
        ),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", Outcome("answered 503")),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", Outcome("answered 410", True)),
        (
            b"HTTP/1.1 307 Moved\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
            Outcome("answered 307: redirects are not followed"),
        ),
    ],
    ids=["nothing", "not HTTP", "busy", "busy for long", "busy until soon", "gone", "moved"],
)
def test_what_a_receiver_says_is_understood(answer: bytes, outcome: Outcome) -> None:
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    assert asyncio.run(served(say)) == outcome


def test_no_error_tells_the_address() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        outcome = await sent(f"http://127.0.0.1:{port}/a-secret-path")
        assert not outcome.ok
        assert "secret" not in outcome.error
        assert OLD.decode() not in outcome.error

    asyncio.run(scenario())
