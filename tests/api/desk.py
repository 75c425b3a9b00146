"""A small market behind a real server on a loopback port, and a client that sends exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.api.shelf import AS_OF, NOW, SYMBOLS, Books, Counter, Dials, Paper
from tests.notify.receiver import Memory, Taker, hooked
from zmart_stream.api.alert_meaning import AlertSettings
from zmart_stream.api.app import ALERTS, Running, create_app, serve
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX, Services
from zmart_stream.api.exchange_names import Exchange
from zmart_stream.api.limits import Limits
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.tokens import TokenFile
from zmart_stream.notify.outbox import Outbox

__all__ = ["AS_OF", "NOW", "SYMBOLS", "Desk", "answer", "desk", "ended", "exchange"]

SAFETY_S = 120.0
"""No exchange of a test may hang longer; a deadline under test is far shorter."""


class Desk(NamedTuple):
    """A server that runs, and everything behind it."""

    port: int
    running: Running
    shelf: Books
    counter: Counter
    tokens: TokenFile
    unready: list[str]
    dials: Dials
    paper: Paper

    async def ask(self, method: str, path: str, *lines: str, body: bytes = b"", token: str | None = None) -> Answer:
        """One request on a connection of its own; `lines` are header lines, Host is ours unless they say it."""
        head = [
            f"{method} {path if path.startswith('/') else f'{PREFIX}/{path}'} HTTP/1.1",
            "Connection: close",
            *lines,
        ]
        if not any(line.lower().startswith("host:") for line in lines):
            head.append(f"Host: 127.0.0.1:{self.port}")
        if token:
            head.append(f"Authorization: Bearer {token}")
        if body and not any("content-length" in line.lower() or "transfer-" in line.lower() for line in lines):
            head.append(f"Content-Length: {len(body)}")
        return await exchange(self.port, "\r\n".join(head).encode() + b"\r\n\r\n" + body)

    async def post(self, path: str, content: object, token: str | None = None) -> Answer:
        """A JSON body."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.ask("POST", path, "Content-Type: application/json", body=body, token=token)


class Answer(NamedTuple):
    """What came back; status 0: the connection was cut without a word."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def code(self) -> str:
        """The problem's code, of a reply that is a proper problem."""
        found = self.json
        assert self.headers["content-type"].startswith("application/problem+json"), self
        assert found["success"] is False
        assert found["status"] == self.status
        assert found["title"]
        assert found["detail"]
        assert b"Traceback" not in self.body
        return str(found["code"])


@asynccontextmanager
async def desk(
    folder: Path,
    *,
    auth: AuthSettings | None = None,
    limits: Limits | None = None,
    behind: Services | None = None,
    debug: bool = False,
    push: Hub | None = None,
    exchange: Exchange = "binance",
    alerts: AlertSettings = ALERTS,
) -> AsyncIterator[Desk]:
    """Serve on a free loopback port until the block ends; `behind`: over these parts instead."""
    shelf, counter, unready, dials, paper = Books(), Counter(), list[str](), Dials(), Paper()

    async def inside() -> dict[str, Any]:
        return {"memory_usage": {}, "database_stats": {}}

    store = Memory()
    outbox = Outbox(hooked(""), {"bot": Taker()}, store)
    store.on_commit = outbox.committed
    services = behind or Services(
        reader=shelf,
        commander=counter,
        archive=paper,
        configuration=dials,
        now=lambda: NOW,
        not_ready=lambda: unready,
        debug=inside if debug else None,
        push=push or Hub(),
        notifications=outbox,
    )
    tokens = TokenFile(folder / "tokens.json")
    app = create_app(
        services,
        auth=auth or AuthSettings(),
        tokens=tokens,
        limits=limits or Limits(),
        exchange=exchange,
        alerts=alerts,
    )
    running = await serve(app, host="127.0.0.1", port=0)
    telling = asyncio.create_task(outbox.run())
    try:
        yield Desk(running.port, running, shelf, counter, tokens, unready, dials, paper)
    finally:
        outbox.stop()
        await running.close()
        await asyncio.wait([telling])


async def exchange(port: int, sent: bytes) -> Answer:
    """Send bytes, read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(SAFETY_S):
            with suppress(ConnectionError):
                writer.write(sent)
                await writer.drain()
            return await answer(reader)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer on a connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        status, _, lines = head.decode("latin-1").partition("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, separator, value in (line.partition(":") for line in lines.split("\r\n"))
            if separator
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, {}, b"")
    return Answer(int(status.split()[1]), headers, body)


async def ended(reader: asyncio.StreamReader) -> None:
    """Return once the other side has ended the connection."""
    async with asyncio.timeout(SAFETY_S):
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
