"""Hostile words in every field of every route, over a real core and database: refused, or kept as they are."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from tests.api.desk import Answer, Desk, desk
from tests.api.market import Market
from zmart_stream.api.app import ROUTES
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX, Route
from zmart_stream.api.limits import Limits
from zmart_stream.domain.signals import SignalReceived, SubmitSignal

OPEN = AuthSettings(open_loopback=True)
PLENTY = Limits(requests_per_minute=1_000_000, failed_logins_per_minute=1_000_000)
WORDS = (
    "' OR 1=1--; DROP TABLE signals;--",
    '"><script>alert(1)</script>{0.__class__}%s%n${x}',
    "\x1b[2J\r\nX-Injected: 1",
    "a\x00b",
    "../../../etc/passwd",
    "\u202edetrevni \u0663" + "x" * 20_000,
)
SIGNAL: dict[str, Any] = {
    "source_name": "bot",
    "signal_type": "MOMENTUM",
    "signal_strength": 0.8,
    "confidence_level": 0.7,
}
WHOLE: dict[str, dict[str, Any]] = {
    f"{PREFIX}/signals": SIGNAL,
    f"{PREFIX}/portfolio/replace-symbol": {"old_symbol_id": "XBTUSDTM", "new_symbol_id": "ETHUSDTM"},
    f"{PREFIX}/users": {"name": "bot", "scopes": ["read"]},
}
"""Bodies of which one field at a time becomes hostile."""


def requests(route: Route) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Path and body, each with one hostile word."""
    plain = route.path.replace("{symbol}", "XBTUSDTM").replace("{name}", "risk").replace("{id}", "0" * 8)
    body = None if route.body is None else WHOLE.get(route.path, {})
    for word in WORDS:
        told = quote(word[:4000], safe="")  # a longer line is refused by its length
        for place in re.findall(r"{\w+}", route.path):
            yield route.path.replace(place, told), body
        for name in route.query.model_fields:
            yield f"{plain}?{name}={told}", body
        for name in () if route.body is None else fields(route.body):
            yield (
                plain,
                {**(body or {}), name: {word: word} if name in ("signal_data", "values", "parameters") else word},
            )


def fields(model: type[BaseModel]) -> list[str]:
    return list(model.model_fields)


async def send(at: Desk, route: Route, path: str, body: dict[str, Any] | None, token: str) -> Answer:
    lines = ["Content-Type: application/json"] if body is not None else []
    raw = b"" if body is None else json.dumps(body).encode()
    return await at.ask(route.method, path, *lines, body=raw, token=token)


def test_hostile_words_in_every_field_are_refused_or_mere_words(seed: int, tmp_path: Path) -> None:
    market = Market(seed, hours=0.2)
    routes = [route for route in ROUTES if "tradingview" not in route.path]
    asked = 0

    async def scenario() -> None:
        nonlocal asked
        async with market.services(tmp_path) as behind, desk(tmp_path, auth=OPEN, limits=PLENTY, behind=behind) as at:
            token = at.tokens.create("anna", ["operate"])[1]
            for route in routes:
                for path, body in requests(route):
                    found = await send(at, route, path, body, token)
                    asked += 1
                    assert 200 <= found.status < 500, (path, body, found)
                    kind = found.headers["content-type"].partition(";")[0]
                    assert kind.endswith("json") or (kind == "text/plain" and route.text), (path, found)
                    assert "x-injected" not in found.headers
                    assert b"root:" not in found.body
            rankings = (await at.ask("GET", "scoring/rankings")).json
            assert rankings["total"] == len(market.reads.rankings())

    with capture_logs():  # a line for each would cost as much as the request
        asyncio.run(scenario())
    assert asked > 20 * len(WORDS)
    with closing(sqlite3.connect(tmp_path / "market.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM signals").fetchone() is not None


@pytest.mark.parametrize("header", ["Zmart-Operator", "Idempotency-Key"])
@pytest.mark.parametrize("word", ["' OR 1=1--", "<script>", "\u00e9\u00ff", "x" * 4000, "a\tb"])
def test_hostile_words_in_headers_are_refused_or_mere_words(header, word, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            body = json.dumps(SIGNAL).encode()
            found = await at.ask("POST", "signals", "Content-Type: application/json", f"{header}: {word}", body=body)
            assert found.status in (200, 400), found
            said = [(command.who, command.idempotency_key) for command in at.counter.taken]
            assert all(who.isascii() and who.isprintable() and (key or "").isascii() for who, key in said), said
            assert len(said) == (found.status == 200)

    asyncio.run(scenario())


def test_a_source_that_looks_like_sql_is_found_by_its_name_alone(seed: int, tmp_path: Path) -> None:
    """Stored and asked for as it stands; it brings no other source's signals with it."""
    market = Market(seed, hours=0.2)
    names = ["bot", "' OR 1=1--", "%", "_ot", 'bot" OR "1"="1']
    for name in names:
        told = market.take(
            SubmitSignal(
                ts=market.engine.now, request_id=name, who="tests", owner="tests", **{**SIGNAL, "source_name": name}
            )
        )
        assert any(isinstance(item, SignalReceived) for item in told), told

    async def scenario() -> None:
        async with market.services(tmp_path) as behind, desk(tmp_path, auth=OPEN, behind=behind) as at:
            everything = [
                row
                for state in ("pending", "processed")
                for name in names
                for row in (await at.ask("GET", f"signals/{state}?source={quote(name, safe='')}")).json["signals"]
            ]
            assert [row["source_name"] for row in everything] == names
            for kind in ("%00", "%1b[2J", "%e2%80%ae"):
                assert (await at.ask("GET", f"signals/processed?source={kind}")).code == "bad_query"

    asyncio.run(scenario())
