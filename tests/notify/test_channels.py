"""Channels through Apprise, told by its own JSON service on a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.notify.receiver import SAFETY_S, Memory, until
from tests.notify.samples import change, hold
from zmart_stream.domain.errors import ConfigError
from zmart_stream.notify.channels import ChannelSender, target_of
from zmart_stream.notify.outbox import Outbox
from zmart_stream.notify.settings import Channel, NotifySettings, Rules

# Apprise asks for a module that Python 3.13 dropped
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@asynccontextmanager
async def service(answer: web.Response | threading.Event) -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """An address of Apprise's JSON kind, and what came; it answers at once, or when the event is set."""
    got: list[dict[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        got.append(json.loads(await request.read()))
        if isinstance(answer, threading.Event):
            await asyncio.to_thread(answer.wait, SAFETY_S)
            return web.Response()
        return web.Response(status=answer.status)

    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"json://127.0.0.1:{runner.addresses[0][1]}/secret", got
    finally:
        await runner.cleanup()


def outbox_to(url: str, store: Memory, **dials: float) -> Outbox:
    """An outbox with one channel."""
    channel = Channel(name="me", url=url, rules=Rules(importance="normal"))
    settings = NotifySettings(channels=(channel,), backoff_s=0.001, backoff_most_s=0.01, **dials)
    outbox = Outbox(settings, {"me": ChannelSender(channel, settings)}, store)
    store.on_commit = outbox.committed
    return outbox


def test_a_person_reads_short_sentences() -> None:
    async def scenario() -> None:
        store = Memory()
        async with service(web.Response()) as (url, got):
            outbox = outbox_to(url, store)
            task = asyncio.create_task(outbox.run())
            messages = [change(1), change(2, kind="rerank"), hold(True, "paused")]
            store.put([*messages, *outbox.router.route(messages)])
            await until(lambda: store.states() == ["delivered", "delivered"])
            assert [(said["title"], said["message"], said["type"]) for said in got] == [
                ("zmart-stream", "A1USDTM joins the book at rank 1 with 12.50 %: fill", "info"),
                ("zmart-stream", "The book holds: paused", "warning"),
            ]
            outbox.stop()
            await asyncio.wait([task], timeout=SAFETY_S)

    asyncio.run(scenario())


def test_a_service_that_hangs_meets_the_deadline_and_is_asked_by_one_thread_only() -> None:
    async def scenario() -> None:
        store, free = Memory(), threading.Event()
        async with service(free) as (url, got):
            outbox = outbox_to(url, store, channel_timeout_s=0.5, attempts=100_000)
            task = asyncio.create_task(outbox.run())
            store.put([change(1), *outbox.router.route([change(1)])])
            await until(lambda: outbox.facts()["endpoints"][0]["last_error"] == "the attempt before is still under way")
            free.set()
            await until(lambda: store.states() == ["delivered"])
            assert len(got) == 1, "what was taken after the deadline is not sent again"
            outbox.stop()
            await asyncio.wait([task], timeout=SAFETY_S)

    asyncio.run(scenario())


def test_a_refusal_is_a_failure_and_no_address_is_told() -> None:
    async def scenario() -> None:
        store = Memory()
        async with service(web.Response(status=500)) as (url, _):
            outbox = outbox_to(url, store, attempts=2)
            task = asyncio.create_task(outbox.run())
            store.put([change(1), *outbox.router.route([change(1)])])
            await until(lambda: store.states() == ["dead"])
            assert next(iter(store.rows.values())).last_error == "the service did not take it"
            outbox.stop()
            await asyncio.wait([task], timeout=SAFETY_S)

    asyncio.run(scenario())


def test_an_address_that_apprise_does_not_know_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigError, match="no Apprise address"):
        target_of("nonsense://x")
