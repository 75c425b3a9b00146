"""A receiver of webhooks on loopback, which checks signatures with nothing of ours, and a store in memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.abc import ResolveResult
from msgspec.structs import replace

from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxEntry, OutboxFilled, OutboxMoved
from zmart_stream.domain.ports import EntriesAsked
from zmart_stream.notify.outbox import Outbox
from zmart_stream.notify.routing import LastHold
from zmart_stream.notify.sending import Outcome, Sender
from zmart_stream.notify.settings import NotifySettings, Rules, Webhook
from zmart_stream.notify.webhooks import WebhookSender

SAFETY_S = 60.0
"""Nothing in a test may hang longer."""

OLD, NEW = b"o" * 24, b"n" * 32
SECRETS = tuple(f"whsec_{base64.b64encode(key).decode()}" for key in (OLD, NEW))


class Got(NamedTuple):
    """One request as it came."""

    id: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes


class Receiver:
    """Keeps what comes; answers what `plan` says, 200 without it."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.plan: list[int | dict[str, Any]] = []
        self.url = ""
        self.port = 0
        self._came = asyncio.Event()

    async def take(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(headers["webhook-id"], headers, json.loads(raw), raw))
        self._came.set()
        planned = self.plan.pop(0) if self.plan else 200
        if isinstance(planned, dict):
            return web.Response(**planned)
        return web.Response(status=planned)

    async def many(self, count: int) -> list[Got]:
        """Wait until so many came."""
        async with asyncio.timeout(SAFETY_S):
            while len(self.got) < count:
                self._came.clear()
                await self._came.wait()
        return self.got


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port until the block ends."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{tail:.*}", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{receiver.port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def signed(got: Got, secret: str) -> bool:
    """Whether one of the signatures is that of this secret, made as the standard says."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.raw
    wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert abs(time.time() - int(got.headers["webhook-timestamp"])) < 300
    return f"v1,{wanted}" in got.headers["webhook-signature"].split(" ")


class Taker:
    """An endpoint that takes everything."""

    kind = "webhook"

    async def send(self, entry: OutboxEntry) -> Outcome:
        return Outcome()

    async def close(self) -> None:
        """Nothing is open."""


class Memory:
    """An outbox's store that commits when it is told to, or at once."""

    def __init__(self) -> None:
        self.rows: dict[str, OutboxEntry] = {}
        self.units: list[list[Message]] = []
        self.on_commit: Callable[[Sequence[Message]], None] = lambda _: None
        self.is_held = False

    def put(self, messages: Sequence[Message]) -> None:
        self.units.append(list(messages))
        if not self.is_held:
            asyncio.get_running_loop().call_soon(self.commit)

    def commit(self) -> None:
        units, self.units = self.units, []
        for unit in units:
            for message in unit:
                if isinstance(message, OutboxFilled):
                    self.rows |= {entry.id: entry for entry in message.entries if entry.id not in self.rows}
                elif isinstance(message, OutboxMoved):
                    self.rows |= {entry.id: replace(entry) for entry in message.entries}
            self.on_commit(unit)

    async def waiting(self, limit: int) -> Sequence[OutboxEntry]:
        return [entry for entry in self.rows.values() if entry.state == "pending"][:limit]

    async def entries(self, asked: EntriesAsked, limit: int, offset: int) -> tuple[Sequence[OutboxEntry], int]:
        found = [
            entry
            for entry in sorted(self.rows.values(), key=lambda entry: -entry.created)
            if asked.state in (None, entry.state)
            and asked.endpoint in (None, entry.endpoint)
            and (not asked.ids or entry.id in asked.ids)
        ]
        return found[offset : offset + limit], len(found)

    def states(self) -> list[str]:
        return [entry.state for entry in sorted(self.rows.values(), key=lambda entry: entry.created)]


async def loopback(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """A resolver for which every name is this machine."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=flags)]


def hooked(url: str, rules: Rules | None = None, **dials: Any) -> NotifySettings:
    """Settings with one webhook on loopback, retried at once unless `dials` say otherwise."""
    webhook = Webhook(name="bot", url=url, keys=(OLD, NEW), rules=rules or Rules(importance="low"))
    given = {"backoff_s": 0.001, "open_s": 0.001, "backoff_most_s": 0.01, "allow_loopback": True, **dials}
    return NotifySettings(webhooks=(webhook,), **given)


@asynccontextmanager
async def delivering(
    settings: NotifySettings,
    store: Memory,
    last: LastHold | None = None,
    *,
    senders: Mapping[str, Sender] | None = None,
) -> AsyncIterator[Outbox]:
    """An outbox that runs until the block ends; by default over real webhooks."""
    ways = senders or {webhook.name: WebhookSender(webhook, settings, loopback) for webhook in settings.webhooks}
    outbox = Outbox(settings, ways, store, last)
    store.on_commit = outbox.committed
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        outbox.stop()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, SAFETY_S)


async def until(look: Callable[[], object]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(SAFETY_S):
        while not look():  # noqa: ASYNC110 - what is looked at raises no events
            await asyncio.sleep(0.002)
