"""Callers who are slow, many, or never read: each is cut, and good callers notice nothing."""

import asyncio
import socket
import sys
from contextlib import suppress

import pytest
import uvloop

from tests.api.desk import SAFETY_S, answer, desk, ended
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits

OPEN = AuthSettings(open_loopback=True)
JSON = "Content-Type: application/json"
ADD = f"{PREFIX}/portfolio/add-symbol"
POSTED = f"POST {ADD} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n"
QUICK = Limits(receive_deadline_s=1.0)


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


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_connections_of_one_address_are_capped_and_room_comes_back(run, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, limits=Limits(max_connections_per_address=4, receive_deadline_s=SAFETY_S)) as at:
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
        async with desk(tmp_path, limits=Limits(max_connections=2, receive_deadline_s=SAFETY_S)) as at:
            pairs = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(40)]
            told = [await answer(reader) for reader, _ in pairs[2:]]
            assert {found.status for found in told} <= {503, 0}
            assert at.running.gate.open == 2
            for _, writer in pairs:
                writer.close()

    asyncio.run(scenario())


def test_who_never_reads_replies_is_cut(tmp_path) -> None:
    """Requests without end whose replies nobody takes: reading stops, and the connection ends at its deadline."""

    async def scenario() -> None:
        async with desk(tmp_path, limits=Limits(receive_deadline_s=0.1)) as at:
            _, writer = await asyncio.open_connection("127.0.0.1", at.port, limit=4096)
            many = b"GET /docs/docs.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500

            async def flood() -> None:
                with suppress(ConnectionError):
                    while True:
                        writer.write(many)
                        await writer.drain()

            async with asyncio.timeout(SAFETY_S):
                await flood()
            assert at.running.gate.cut == 1
            assert at.running.gate.open == 0
            assert (await at.ask("GET", "/livez")).status == 200
            writer.close()

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second loopback address to ask from")
def test_good_callers_are_served_among_a_thousand_bad_ones(tmp_path) -> None:
    """60 slow headers, 10 slow bodies and 1000 idle sockets of one address take only what one address may have."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, limits=Limits(receive_deadline_s=SAFETY_S)) as at:
            slow = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(1070)]
            for _, writer in slow[:60]:
                writer.write(b"GET /livez HTTP/1.1\r\nX-Slow: ")
            for _, writer in slow[60:70]:
                writer.write(f"{POSTED}Content-Length: 9\r\n\r\n{{".encode())
            for _ in range(50):
                assert await status_from("127.0.0.2", at.port) == 200
            assert at.running.gate.open == Limits().max_connections_per_address
            assert at.running.gate.refused == 1070 - Limits().max_connections_per_address
            for _, writer in slow:
                writer.transport.abort()

    asyncio.run(scenario())


async def status_from(address: str, port: int) -> int:
    """The status of one request from another address of this machine."""
    channel = socket.socket()
    channel.setblocking(False)
    channel.bind((address, 0))
    await asyncio.get_running_loop().sock_connect(channel, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=channel)
    writer.write(f"GET {PREFIX}/portfolio HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(SAFETY_S):
        found = await answer(reader)
    writer.close()
    return found.status
