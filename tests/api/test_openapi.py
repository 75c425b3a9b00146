"""The description is that of the server: generated requests find no fault and no reply that it does not describe."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis import GenerationMode
from structlog.testing import capture_logs

from tests.api.desk import SAFETY_S, Desk, desk
from tests.api.market import ENDPOINT, Market
from zmart_stream import __version__
from zmart_stream.api import pages
from zmart_stream.api.addresses import FREQTRADE
from zmart_stream.api.app import ROUTES
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits
from zmart_stream.api.openapi import describe
from zmart_stream.api.openapi_endless import ABOUT
from zmart_stream.api.pairlist import PATH as PAIR_LIST
from zmart_stream.api.push.routes import PATHS
from zmart_stream.api.push.wants import TYPES
from zmart_stream.domain.signals import SignalReceived, SubmitSignal

UPGRADE = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
]
STATIC = Path(pages.__file__).parent / "static"
EXAMPLES = 6
"""Generated requests of each kind for each route."""

MANY_EXAMPLES = 15
PARTS = 6
"""Together they make 5000 requests."""

NAMES_OF_SETTINGS = {
    f"PUT {PREFIX}/config",
    f"PUT {PREFIX}/scoring/algorithms/{{name}}",
}
"""Which names there are is not in their schema: a form that is right may still name nothing."""

RELEASE = f"POST {PREFIX}/signals/release-source"
"""No generated name is that of a source, but by chance."""

UNKNOWN_IDS = f"DELETE {PREFIX}/users/{{id}}"
"""No generated id is that of a token."""

SPAN = f"GET {PREFIX}/portfolio/equity"
"""Its beginning may be after its end."""

VALUES_OF_SIGNALS = f"POST {PREFIX}/signals"
"""A signal of the right form may break the rules of its values, or be of the past."""

ALERTS = f"POST {PREFIX}/integrations/tradingview/{{secret}}"
ORDERS = f"POST {PREFIX}/integrations/octobot"
"""No generated secret is one, and what a text says is not in any schema."""

SIGNAL: dict[str, Any] = {
    "source_name": "generated",
    "signal_type": "MOMENTUM",
    "signal_strength": 0.8,
    "confidence_level": 0.7,
}

PLENTY = Limits(requests_per_minute=1_000_000, failed_logins_per_minute=1_000_000)
CHECKED = """
    not_a_server_error status_code_conformance content_type_conformance response_headers_conformance
    response_schema_conformance negative_data_rejection positive_data_acceptance ignored_auth unsupported_method
""".split()


@contextmanager
def served(folder: Path, market: Market) -> Iterator[tuple[int, str, str]]:
    """The API in a thread of its own, as a proxy's callers see it: its port, a token for all, and an alert's secret."""
    found: list[tuple[int, str, str]] = []
    up, down = threading.Event(), threading.Event()

    async def serve() -> None:
        auth = AuthSettings(behind_proxy=True)
        async with market.services(folder) as behind, desk(folder, auth=auth, limits=PLENTY, behind=behind) as at:
            secret = at.tokens.create("alerts", ["tradingview"])[1]
            found.append((at.port, at.tokens.create("tests", ["operate"])[1], secret))
            up.set()
            await asyncio.to_thread(down.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert up.wait(60)
        yield found[0]
    finally:
        down.set()
        thread.join(60)


def test_generated_requests_find_no_fault_and_no_undescribed_reply(seed: int, tmp_path: Path) -> None:
    assert generated(seed, tmp_path, EXAMPLES) >= len(ROUTES)


@pytest.mark.torture
@pytest.mark.parametrize("part", range(PARTS))
def test_five_thousand_generated_requests_find_no_fault(part: int, seed: int, tmp_path: Path) -> None:
    asked = generated(seed + part, tmp_path, MANY_EXAMPLES)
    print(f"{asked} requests")
    assert asked >= 5000 / PARTS


def generated(seed: int, folder: Path, examples: int) -> int:
    """Send so many requests of each kind to each route, check every answer; how many there were."""
    schema = schemathesis.openapi.from_dict(describe(ROUTES, version=__version__))
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    checks = [schemathesis.checks.CHECKS.get_one(name) for name in CHECKED]
    run = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    accepts = schemathesis.checks.CHECKS.get_one("positive_data_acceptance")
    asked: dict[str, Counter[int]] = {}
    market, turn = Market(seed), count()
    symbols, signal_id = cycle(market.reads.listed()), submitted(market)
    with capture_logs(), served(folder, market) as (port, token, secret):

        def ask(case: Any) -> None:
            if case.meta.generation.mode is GenerationMode.POSITIVE and {"since", "until"} <= set(case.query or {}):
                del case.query["since"]  # which of two times is the earlier one is not in their schema
            if case.meta.generation.mode is GenerationMode.POSITIVE and next(turn) % 2:
                name_listed(case, symbols)
                name_stored(case, signal_id)
                name_endpoint(case)
                alert_of(case, secret, next(symbols))
            label = case.operation.label
            free = label in {*NAMES_OF_SETTINGS, VALUES_OF_SIGNALS, ALERTS, ORDERS, SPAN}
            response = case.call_and_validate(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {token}"},
                checks=[check for check in checks if not (free and check is accepts)],
            )
            asked.setdefault(case.operation.label, Counter())[response.status_code] += 1

        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.definition.raw.get("x-endless"):
                continue  # a generated request would be answered without end
            takes_something = operation.definition.raw["parameters"] or "requestBody" in operation.definition.raw
            for mode in GenerationMode:
                if mode is GenerationMode.POSITIVE or takes_something:
                    seeded(seed)(run(given(operation.as_strategy(generation_mode=mode))(ask)))()
    assert len(asked) == len(ROUTES) + 1, "the pair list too"
    # a book may be full or lack the contract: then 409 is the answer to a good request
    assert {label for label, found in asked.items() if not found.keys() & {200, 202, 409}} <= {UNKNOWN_IDS, RELEASE}
    assert [label for label, statuses in asked.items() if label.startswith("GET") and 200 not in statuses] == []
    assert all(status < 500 for statuses in asked.values() for status in statuses)
    return sum(statuses.total() for statuses in asked.values())


def name_listed(case: Any, symbols: Iterator[str]) -> None:
    """Contracts that exist in place of generated ones: what is found is to be described too."""
    if "symbol" in case.path_parameters:
        case.path_parameters["symbol"] = next(symbols)
    if "name" in case.path_parameters:
        case.path_parameters["name"] = "risk"
    if isinstance(case.body, dict):
        for name in ("symbol", "symbol_id", "old_symbol_id", "new_symbol_id"):
            if isinstance(case.body.get(name), str):
                case.body[name] = next(symbols)


def name_stored(case: Any, signal_id: str) -> None:
    """A signal that exists in place of a generated id, and values that a new one may have."""
    if "/signals/" in case.operation.label and "id" in case.path_parameters:
        case.path_parameters["id"] = signal_id
    if case.operation.label == VALUES_OF_SIGNALS and isinstance(case.body, dict):
        kept = {name: case.body[name] for name in ("symbol", "symbol_id", "signal_data") if name in case.body}
        case.body = {**kept, **SIGNAL}


def name_endpoint(case: Any) -> None:
    """An endpoint that exists, and no ids of messages, in place of generated ones."""
    if "/notifications" in case.operation.label:
        for part in (case.query, case.body):
            if isinstance(part, dict) and "endpoint" in part:
                part["endpoint"] = ENDPOINT
        if isinstance(case.body, dict):
            case.body.pop("ids", None)


def alert_of(case: Any, secret: str, symbol: str) -> None:
    """An alert that says something, with a secret that is in force."""
    if case.operation.label == ALERTS:
        case.path_parameters["secret"] = secret
        case.body = {"symbol": symbol, "action": "buy"} if isinstance(case.body, dict) else f"buy {symbol}"
    if case.operation.label == ORDERS:
        case.body = f"EXCHANGE=kucoin\nSYMBOL={symbol}\nSIGNAL=SELL"


def submitted(market: Market) -> str:
    """The id of a signal that the market's database will hold."""
    command = SubmitSignal(
        ts=market.engine.now, request_id="first", who="tests", owner="tests", **{**SIGNAL, "source_name": "stored"}
    )
    return next(told.signal.id for told in market.take(command) if isinstance(told, SignalReceived))


def test_the_page_of_the_description_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=AuthSettings(behind_proxy=True)) as at:
            page = await at.ask("GET", "/docs")
            assert page.status == 200, "it needs no token"
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            text = page.body.decode()
            assert re.findall(r"<script(?![^>]* src=)", text) == []
            assert "<style" not in text
            assert re.findall(r"\son\w+=|\sstyle=", text) == []
            for link in re.findall(r"(?:src|href)=\"([^\"]+)\"", text):
                found = await at.ask("GET", link)
                assert found.status == 200, link
                assert found.headers["x-content-type-options"] == "nosniff"
            script = (STATIC / "docs.js").read_text()
            assert "innerHTML" not in script
            assert not re.search(r"https?://", script + (STATIC / "docs.css").read_text())

    asyncio.run(scenario())


def test_the_description_has_every_route_and_every_model() -> None:
    told = describe(ROUTES, version=__version__)
    assert told["openapi"] == "3.1.0"
    for route in ROUTES:
        operation = told["paths"][route.path][route.method.lower()]
        assert [p["name"] for p in operation["parameters"] if p["in"] == "query"] == list(route.query.model_fields)
        assert operation["x-scope"] == route.scope
        assert ("requestBody" in operation) == (route.body is not None)
    names = set(told["components"]["schemas"])
    referred = {found.rpartition("/")[2] for found in re.findall(r"#/components/schemas/\w+", str(told))}
    assert referred == names
    operations = [operation["operationId"] for methods in told["paths"].values() for operation in methods.values()]
    assert len(set(operations)) == len(ROUTES) + len(ABOUT)
    listening = {path: methods["get"] for path, methods in told["paths"].items() if path in ABOUT}
    assert set(listening) == {*PATHS, PAIR_LIST, FREQTRADE}
    assert [path for path, operation in listening.items() if "x-endless" not in operation] == [PAIR_LIST]
    assert list(listening[PATHS[0]]["x-events"]) == list(TYPES)
    assert set(listening[PATHS[1]]["x-websocket"]["says"]["properties"]) == {"action", "types", "symbols"}


@pytest.mark.parametrize(
    ("path", "token", "lines", "status"),
    [
        (f"{PATHS[0]}?types=hold", "read", [], 200),
        (f"{PATHS[0]}?types=scores", "read", [], 400),
        (f"{PATHS[0]}?symbols=NOSUCHUSDTM", "read", [], 404),
        (PATHS[0], "signal", [], 403),
        (PATHS[0], "", [], 401),
        (PATHS[1], "read", UPGRADE, 101),
        (PATHS[1], "read", [], 400),
        (PATHS[1], "", UPGRADE, 401),
        (f"{FREQTRADE}?token={{freqtrade}}", "", UPGRADE, 101),
        (f"{FREQTRADE}?token={{freqtrade}}&exchange=okx", "", UPGRADE, 101),
        (f"{FREQTRADE}?token={{freqtrade}}&exchange=x", "", UPGRADE, 400),
        (f"{FREQTRADE}?token={{read}}", "", UPGRADE, 401),
        (f"{FREQTRADE}?token={{freqtrade}}", "", ["Host: elsewhere.example"], 421),
    ],
)
def test_what_does_not_end_answers_as_described(
    path: str, token: str, lines: list[str], status: int, tmp_path: Path
) -> None:
    told = describe(ROUTES, version=__version__)["paths"][path.partition("?")[0]]["get"]["responses"]

    async def scenario() -> None:
        async with desk(tmp_path, auth=AuthSettings(behind_proxy=True)) as at:
            made = {scope: at.tokens.create(scope, [scope])[1] for scope in ("read", "signal", "freqtrade")}
            bearer = [f"Authorization: Bearer {made[token]}"] if token else []
            host = [] if any(line.startswith("Host") for line in lines) else ["Host: localhost"]
            head = "\r\n".join([f"GET {path.format(**made)} HTTP/1.1", *host, *bearer, *lines])
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(f"{head}\r\n\r\n".encode())
            async with asyncio.timeout(SAFETY_S):
                said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            writer.close()
            assert int(said.split()[1]) == status
            kind = re.search(r"content-type: ([^;\r]+)", said)
            content = told[str(status)].get("content", {})
            if status == 101:
                assert content == {}
                assert "upgrade: websocket" in said
            else:
                assert kind is not None
                assert kind[1] in content

    asyncio.run(scenario())


def test_the_description_is_served_and_head_is_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            assert (await at.ask("GET", "/openapi.json")).json == describe(ROUTES, version=__version__)
            for path in ("portfolio", "status", "/openapi.json", "/docs", "/livez"):
                found = await head(at, path)
                assert found.startswith(b"HTTP/1.1 200"), path
                assert found.partition(b"\r\n\r\n")[2] == b"", path

    asyncio.run(scenario())


def test_the_description_is_made_once_and_the_loop_goes_on_meanwhile(tmp_path: Path, monkeypatch) -> None:
    threads: list[threading.Thread] = []

    def slow(*_: object, **__: object) -> dict[str, str]:
        threads.append(threading.current_thread())
        return {"openapi": "3.1.0"}

    monkeypatch.setattr(pages, "describe", slow)

    async def scenario() -> None:
        async with desk(tmp_path) as at:
            found = await asyncio.gather(*(at.ask("GET", "/openapi.json") for _ in range(5)))
            assert [answer.json for answer in found] == [{"openapi": "3.1.0"}] * 5
            assert len(threads) == 1
            assert threading.main_thread() not in threads

    asyncio.run(scenario())


async def head(at: Desk, path: str) -> bytes:
    """All that comes back for HEAD."""
    where = path if path.startswith("/") else f"{PREFIX}/{path}"
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    writer.write(f"HEAD {where} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    found = await reader.read()
    writer.close()
    return found
