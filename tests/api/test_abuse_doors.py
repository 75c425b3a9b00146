"""Doors: every route refuses other names, other pages and tokens in its address; no page makes a browser act."""

import asyncio
import hmac

import pytest

from tests.api.desk import Desk, desk
from zmart_stream.api.addresses import FREQTRADE
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits
from zmart_stream.api.tokens import TokenFile

OPEN = AuthSettings(open_loopback=True)
PLENTY = Limits(requests_per_minute=1_000_000, failed_logins_per_minute=1_000_000)
EVIL = "http://evil.example"
FORMS = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x")
"""What a page may send to another site without asking."""

FILLED = {"{symbol}": "ETHUSDTM", "{id}": "00000000-0000-0000-0000-000000000000", "{name}": "risk", "{secret}": "x"}


def every_route(at: Desk) -> list[tuple[str, str]]:
    """Method and path of all that is served, with something in each place of `{...}`; HEAD is answered as GET is."""
    found = []
    for route in at.running._runner.app.router.routes():
        if route.method == "HEAD":
            continue
        path = route.resource.canonical
        for place, value in FILLED.items():
            path = path.replace(place, value)
        assert "{" not in path, path
        found.append((route.method, path))
    return found


def test_every_route_answers_to_its_own_names_alone(tmp_path) -> None:
    """A name that an attacker's resolver points at us is refused, whatever is asked for."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, debug=True) as at:
            routes = every_route(at)
            assert {"/livez", "/docs", f"{PREFIX}/ws", f"{PREFIX}/stream"} <= {path for _, path in routes}
            for method, path in routes:
                found = await at.ask(method, path, "Host: evil.example", token="zs_none")
                assert found.status == 421, (method, path, found)
            assert not at.counter.taken

    asyncio.run(scenario())


@pytest.mark.parametrize("origin", [EVIL, "null"])
def test_every_route_refuses_pages_of_other_sites(origin, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, debug=True) as at:
            for method, path in every_route(at):
                found = await at.ask(method, path, f"Origin: {origin}")
                assert found.status == 403, (method, path, found)
                assert not [name for name in found.headers if name.startswith("access-control")]
            assert not at.counter.taken

    asyncio.run(scenario())


def test_a_token_in_the_address_is_refused_everywhere(tmp_path) -> None:
    """But on the one route whose callers can say it nowhere else; also beside a right token in its place."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, limits=PLENTY, debug=True) as at:
            _, token = at.tokens.create("anna", ["operate"])
            for method, path in every_route(at):
                if path == FREQTRADE:
                    continue
                for name in ("token", "access_token", "api_key"):
                    found = await at.ask(method, f"{path}?{name}={token}", token=token)
                    assert found.status == 401, (method, path, found)
                    assert token.encode() not in found.body
            assert not at.counter.taken

    asyncio.run(scenario())


def test_no_reading_route_changes_anything(tmp_path) -> None:
    """What a link or an image of another page may ask for without an Origin."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, debug=True) as at:
            ends = {(method, path) for method, path in every_route(at) if not path.endswith(("/stream", "/ws"))}
            for method, path in sorted(ends):
                if method == "GET":
                    assert (await at.ask(method, path)).status < 500
            assert not at.counter.taken

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_of_another_page_does_nothing(kind, tmp_path) -> None:
    """A browser sends it without asking, with the Origin of its page, or without any as old ones did."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            writes = [path for method, path in every_route(at) if method == "POST" and "integrations" not in path]
            assert len(writes) > 10
            for path in writes:
                for origin in (EVIL, "null"):
                    lines = (f"Origin: {origin}", f"Content-Type: {kind}")
                    found = await at.ask("POST", path, *lines, body=b'{"symbol": "ETHUSDTM", "x": "="}')
                    assert found.code == "origin_refused", path
                found = await at.ask("POST", path, f"Content-Type: {kind}", body=b'{"symbol": "ETHUSDTM"}')
                assert found.status in (401, 415), path  # 401: tokens are made with a token alone
            assert not at.counter.taken

    asyncio.run(scenario())


def test_a_cookie_is_no_token(tmp_path) -> None:
    """A browser would send it along by itself."""

    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, token = at.tokens.create("anna", ["operate"])
            for line in (f"Cookie: token={token}", f"X-Api-Key: {token}", f"Proxy-Authorization: Bearer {token}"):
                assert (await at.ask("POST", "portfolio/rebalance", line)).code == "unauthorised"
            assert not at.counter.taken

    asyncio.run(scenario())


def test_every_token_is_compared_whichever_is_right(tmp_path, monkeypatch) -> None:
    """The time an answer takes says nothing about a token: digests of one length, all of them, by the library's own."""
    tokens = TokenFile(tmp_path / "tokens.json")
    made = [tokens.create(f"user {number}", ["read"])[1] for number in range(5)]
    compared: list[tuple[str, str]] = []
    real = hmac.compare_digest

    def counted(one: str, other: str) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr("zmart_stream.api.tokens.hmac.compare_digest", counted)
    for token in (made[0], made[4], "zs_wrong", ""):
        compared.clear()
        assert (tokens.find(token) is not None) == (token in made)
        assert len(compared) == 5
        assert {len(side) for pair in compared for side in pair} == {64}
