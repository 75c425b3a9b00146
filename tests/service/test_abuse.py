"""A running daemon under abuse: its feed goes on, its memory stays, and no secret comes out anywhere."""

from __future__ import annotations

import base64
import json
import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.service.harness import FULL_BOOK, PREFIX, Daemon, cli, ending
from zmart_stream.api.tokens import TokenFile

if sys.platform != "linux":
    pytest.skip("looks at a process from outside, through /proc", allow_module_level=True)

MOST_GROWTH_MB = 32
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
SPARE_FILES = 8
"""What the process may still open when its limit is lowered."""


@pytest.fixture(scope="module")
def secret() -> str:
    """One that is no token here."""
    return "zs_" + "CANARY5f0e7a" * 3


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    sets = ("sandbox.contracts=4", "sandbox.speed=60", "log.level=debug", *FULL_BOOK)
    running = Daemon(tmp_path_factory.mktemp("abused"), "--sandbox", sets=sets)
    with ending(running):
        running.until("its topics", running.covered)
        yield running


def dialled(daemon: Daemon) -> socket.socket:
    parts = urlsplit(daemon.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def exchange(daemon: Daemon, *lines: str, body: bytes = b"") -> bytes:
    """Send a request, read until the connection ends."""
    found = b""
    with closing(dialled(daemon)) as channel:
        try:
            channel.sendall("\r\n".join([*lines, "Host: localhost", "Connection: close", "", ""]).encode() + body)
            while more := channel.recv(65536):
                found += more
        except ConnectionError:
            pass  # cut, as a flood may be
    return found


def frames(daemon: Daemon) -> int:
    """Frames of the feed so far."""
    return sum(int(line["frames"]) for line in daemon.status()["feed"]["connections"])


def goes_on(daemon: Daemon) -> None:
    """Wait for the feed's next frames over the connection that it has."""
    before = frames(daemon)
    daemon.until("frames", lambda: frames(daemon) > before)
    assert {line["connects"] for line in daemon.status()["feed"]["connections"]} == {1}


def open_files(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def resident_mb(daemon: Daemon) -> float:
    pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def test_out_of_files_it_closes_who_comes_and_the_feed_goes_on(daemon: Daemon) -> None:
    before = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    lines = len(daemon.lines())
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (open_files(daemon) + SPARE_FILES, before[1]))
    with ExitStack() as stack:
        try:
            dialling = [stack.enter_context(closing(dialled(daemon))) for _ in range(60)]
            daemon.until("most to be closed", lambda: sum(map(is_ended, dialling)) >= 60 - 2 * SPARE_FILES)
            assert not all(map(is_ended, dialling)), "some were let in"
            fewer = stack.pop_all()
        finally:
            resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, before)
    seen = len(daemon.lines()) - lines
    fewer.close()
    goes_on(daemon)
    assert seen < 60, "no flood of lines"
    assert daemon.alive


def is_ended(channel: socket.socket) -> bool:
    """Whether the other side has closed it; one that was let in stays open."""
    channel.setblocking(False)
    try:
        return channel.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_abuse_leaves_memory_and_feed_as_they_were(daemon: Daemon) -> None:
    """One round to learn what it costs at first, then rounds that must cost nothing more."""
    abuse(daemon)
    before = resident_mb(daemon)
    for _ in range(2):
        abuse(daemon)
    growth = resident_mb(daemon) - before
    print(f"grew by {growth:.1f} MB to {resident_mb(daemon):.0f} MB")
    assert growth < MOST_GROWTH_MB
    goes_on(daemon)


def abuse(daemon: Daemon) -> None:
    """Bodies, headers and requests without end, and connections that never read."""
    post = f"POST {PREFIX}/portfolio/add-symbol HTTP/1.1"
    exchange(daemon, post, "Content-Type: application/json", f"Content-Length: {1 << 30}", body=b" " * (8 << 20))
    chunks = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    exchange(daemon, post, "Content-Type: application/json", "Transfer-Encoding: chunked", body=chunks * 128)
    exchange(daemon, post, "Content-Type: application/json", "Content-Length: 200000", body=b"[" * 200_000)
    exchange(daemon, "GET /livez HTTP/1.1", "X: " + "x" * (8 << 20))
    exchange(daemon, "GET /livez HTTP/1.1", *["A: b"] * 100_000)
    with ExitStack() as stack:
        for path in ("stream", "ws"):
            for _ in range(8):
                channel = stack.enter_context(closing(dialled(daemon)))
                lines = [f"GET {PREFIX}/{path} HTTP/1.1", "Host: localhost", *(UPGRADE if path == "ws" else ()), "", ""]
                channel.sendall("\r\n".join(lines).encode())
        for _ in range(100):
            stack.enter_context(closing(dialled(daemon)))


def test_a_secret_is_told_nowhere(daemon: Daemon, secret: str) -> None:
    """Put everywhere a caller can put one: it is in no answer, no log line and no file of the daemon's."""
    right = TokenFile(daemon.state / "tokens.json").create("canary", ["operate"])[1]
    answers = b""
    for hidden in (right, secret):
        basic = base64.b64encode(f"user:{hidden}".encode()).decode()
        for line in (f"Bearer {hidden}", f"bearer {hidden} {hidden}", f"Basic {basic}", hidden):
            answers += exchange(daemon, f"GET {PREFIX}/status HTTP/1.1", f"Authorization: {line}")
        for header in ("Cookie", "X-Api-Key", "Proxy-Authorization", "Last-Event-ID", "Referer", "User-Agent", hidden):
            answers += exchange(daemon, f"GET {PREFIX}/status HTTP/1.1", f"{header}: {hidden}")
        for path in ("status", "stream", "signals/processed", "integrations/freqtrade/pairlist", "nothing"):
            answers += exchange(daemon, f"GET {PREFIX}/{path}?token={hidden} HTTP/1.1")
            answers += exchange(daemon, f"GET {PREFIX}/{path}?api_key={hidden}&exchange=kucoin HTTP/1.1")
        for path in (f"integrations/tradingview/{hidden}", hidden, f"explain/{hidden}", f"signals/{hidden}"):
            answers += exchange(daemon, f"GET {PREFIX}/{path} HTTP/1.1")
            answers += exchange(daemon, f"POST {PREFIX}/{path} HTTP/1.1", "Content-Length: 0")
        answers += exchange(daemon, f"GET /api/v1/message/ws?token={hidden} HTTP/1.1")
        answers += exchange(daemon, f"{hidden} / HTTP/1.1")
    for spelled in spellings(right, secret):
        assert spelled not in answers, spelled
        assert spelled not in (daemon.out + daemon.err).encode(), spelled
        for file in daemon.state.iterdir():
            assert spelled not in file.read_bytes(), (file.name, spelled)
    listed = cli("token", "list", "--json", "--set", f"state_dir={daemon.state}")
    assert [token["name"] for token in json.loads(listed.stdout)["tokens"]] == ["canary"]
    assert right not in listed.stdout + listed.stderr


def spellings(*secrets: str) -> list[bytes]:
    """A secret as it is, and within what names a user."""
    encoded = [base64.b64encode(f"user:{secret}".encode()).decode() for secret in secrets]
    return [text.encode() for text in (*secrets, *encoded)]
