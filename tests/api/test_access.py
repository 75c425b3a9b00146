"""What the log tells of requests: one line each, few in a storm, and never a secret, wherever it was put."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from structlog.testing import capture_logs

from tests.api.desk import Answer, Desk, desk
from tests.api.listening import listening
from zmart_stream.api import app as api_app
from zmart_stream.api.access import AccessLog
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.limits import Buckets, Limits
from zmart_stream.domain.commands import Command
from zmart_stream.ops.logging import configure

CANARY = "canary-5e1f0b77c2"
"""A secret of somebody else's, in no form that could be known."""

HOOK = "integrations/tradingview/"
JSON = "Content-Type: application/json"


def lines(found: list[MutableMapping[str, Any]], event: str) -> list[MutableMapping[str, Any]]:
    return [line for line in found if line["event"] == event]


@asynccontextmanager
async def heard(folder: Path, **given: Any) -> AsyncIterator[tuple[Desk, list[MutableMapping[str, Any]]]]:
    with capture_logs() as found:
        async with desk(folder, **given) as at:
            yield at, found


def test_every_request_has_one_line_that_says_what_became_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with heard(tmp_path) as (at, found):
            token = at.tokens.create("anna", ["operate"])[1]
            read = await at.ask("GET", "explain/XBTUSDTM?")
            await at.post("portfolio/rebalance", {"reason": "now"}, token=token)
            await at.ask("GET", "explain/NONEUSDTM", token=token)
            at.unready.append("warming up")
            await at.ask("GET", "/readyz")
            await at.ask("GET", "/no/such\x1bpath")
            events = [line for line in found if line["event"] != "api.unauthorised"]
            told = [(line["event"], line["method"], line["route"], line["status"], line["who"]) for line in events]
            prefix = "/api/symbol-mgmt"
            assert told[:4] == [
                ("api.read", "GET", f"{prefix}/explain/{{symbol}}", 200, "loopback"),
                ("api.wrote", "POST", f"{prefix}/portfolio/rebalance", 200, "anna"),
                ("api.refused", "GET", f"{prefix}/explain/{{symbol}}", 404, "anna"),
                ("api.failed", "GET", "/readyz", 503, ""),
            ]
            assert [line.get("code") for line in events[:4]] == [None, None, "unknown_symbol", "not_ready"]
            assert events[0]["bytes"] == len(read.body)
            assert all(line["address"] == "127.0.0.1" and line["ms"] >= 0 for line in events)
            assert all(line["route"].isprintable() for line in events)

    asyncio.run(scenario())


def test_a_listener_that_goes_has_its_line_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with heard(tmp_path) as (at, found):
            async with listening(at.port):
                pass
            async with asyncio.timeout(30):
                while not lines(found, "api.left"):  # noqa: ASYNC110 - nothing says that a line was written
                    await asyncio.sleep(0.01)
            [line] = lines(found, "api.left")
            assert (line["log_level"], line["status"]) == ("debug", 0)
            assert line["route"].endswith("/stream")

    asyncio.run(scenario())


def test_a_storm_of_writes_or_refusals_is_few_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    writes = Buckets(60, clock=lambda: now[0])
    monkeypatch.setattr(api_app, "AccessLog", partial(AccessLog, writes=writes))

    async def scenario() -> None:
        async with heard(tmp_path, auth=AuthSettings(open_loopback=True)) as (at, found):
            for _ in range(100):
                assert (await at.ask("POST", "portfolio/rebalance")).status == 200
            assert len(lines(found, "api.wrote")) == 60
            now[0] += 1.0
            await at.ask("POST", "portfolio/rebalance")
            assert lines(found, "api.wrote")[-1]["suppressed"] == 40
            now[0] += 1.0
            await at.ask("POST", "portfolio/rebalance")
            assert "suppressed" not in lines(found, "api.wrote")[-1], "each is told of once"

    asyncio.run(scenario())


def test_refusals_of_one_kind_are_one_line_a_period(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            for number in range(40):
                await at.ask("GET", f"explain/NONE{number}USDTM")

    configure(level="info", form="json", repeat_every_s=3600, sql=False)
    asyncio.run(scenario())
    written = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["code"]) for line in written] == [("api.refused", "unknown_symbol")]


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_is_told_wherever_it_was_put_and_whatever_fails(
    form: Literal["json", "text"], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = [CANARY]
    replies: list[Answer] = []

    async def scenario() -> None:
        limits = Limits(receive_deadline_s=0.1, failed_logins_per_minute=100)
        auth = AuthSettings(open_loopback=True)
        async with desk(tmp_path, limits=limits, auth=auth, debug=True) as at:
            operate = at.tokens.create("anna", ["operate"])[1]
            hook = at.tokens.create("tv", ["tradingview"])[1]
            secrets.extend([operate, hook, operate[3:], hook[3:]])
            replies.extend([reply async for reply in everywhere(at, operate, hook)])

    configure(level="debug", form=form, repeat_every_s=0, sql=False)
    asyncio.run(scenario())
    written = capsys.readouterr().err
    assert "api.fault" in written, "there were faults to tell of"
    assert "RuntimeError" in written
    told = b"\n".join(reply.body + repr(reply.headers).encode() for reply in replies).decode()
    for secret in secrets:
        assert secret not in written
        assert secret not in told


async def everywhere(at: Desk, operate: str, hook: str) -> AsyncIterator[Answer]:
    """Replies to requests with secrets in each place, through each kind of failure."""
    alert = {"symbol": "BTCUSDT", "action": "buy", "passphrase": CANARY, "auth": {"key": operate}, "Token": hook}
    for secret in (hook, hook + "x", CANARY):
        for path in (
            f"{HOOK}{secret}",
            f"{HOOK}{secret}/more",
            f"{HOOK}{secret}?token={operate}",
            f"{HOOK}{secret}%00",
        ):
            for body in (alert, {**alert, "action": "hodl"}, {**alert, "symbol": "{{ticker}}"}, [], b"{", b"\xff"):
                yield await at.post(path, body)
    for query in (f"token={CANARY}", f"access_token={operate}", f"limit={CANARY}", f"window=1&x={operate}"):
        yield await at.ask("GET", f"portfolio?{query}", token=operate)
        yield await at.ask("GET", f"/debug/portfolio?{query}")
        yield await at.ask("GET", f"/api/v1/message/ws?{query}")
        yield await at.ask("GET", f"/openapi.json?{query}")
    for line in (f"Authorization: Basic {CANARY}", f"Authorization: Bearer {CANARY}", f"Cookie: session={CANARY}"):
        yield await at.ask("POST", "portfolio/rebalance", line)
        yield await at.ask("GET", "/no/such/path", line)
    yield await at.ask("POST", f"{HOOK}{hook}", JSON, "Content-Length: 90", body=f'{{"token": "{operate}'.encode())
    async for reply in faults(at, operate, hook, alert):
        yield reply


async def faults(at: Desk, operate: str, hook: str, alert: dict[str, Any]) -> AsyncIterator[Answer]:
    """Faults of ours that quote what was sent."""

    async def broken(command: Command) -> Any:
        raise RuntimeError(f"{command} {operate} /integrations/tradingview/{CANARY} ?token={CANARY}&x=1")

    at.counter.submit = broken  # type: ignore[method-assign]  # our own fault
    yield await at.post(f"{HOOK}{hook}", alert)
    yield await at.post("portfolio/rebalance", {"reason": "now"}, token=operate)
    at.shelf.fault = RuntimeError(f"token={CANARY}")
    yield await at.ask("GET", "status", token=operate)
    try:
        raise RuntimeError(f"GET /integrations/tradingview/{CANARY} {hook}")
    except RuntimeError:
        logging.getLogger("aiohttp.server").exception("Unhandled exception of %s", hook)
    yield await at.ask("GET", "/openapi.json")
    yield await at.ask("GET", "users", token=operate)
