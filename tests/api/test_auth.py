"""Who may do what: tokens, scopes, loopback, and the names and pages that are answered."""

import asyncio
import os

import pytest

from tests.api.desk import desk, exchange
from zmart_stream.api.auth import AuthSettings, is_loopback
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits

LOOPBACK = AuthSettings()
OPEN = AuthSettings(open_loopback=True)
PUBLIC = AuthSettings(host="192.0.2.7", allowed_hosts=("127.0.0.1",))
PROXIED = AuthSettings(behind_proxy=True)
READ, WRITE = ("GET", "portfolio"), ("POST", "portfolio/rebalance")


@pytest.mark.parametrize(
    ("auth", "scope", "call", "status"),
    [
        (LOOPBACK, None, READ, 200),
        (LOOPBACK, None, WRITE, 401),
        (LOOPBACK, "read", READ, 200),
        (LOOPBACK, "read", WRITE, 403),
        (LOOPBACK, "signal", READ, 200),  # what the address may, its tokens may
        (LOOPBACK, "signal", WRITE, 403),
        (LOOPBACK, "operate", READ, 200),
        (LOOPBACK, "operate", WRITE, 200),
        (LOOPBACK, "wrong", READ, 401),  # a token that is sent is checked, also where none is needed
        (LOOPBACK, "wrong", WRITE, 401),
        (OPEN, None, READ, 200),
        (OPEN, None, WRITE, 200),
        (OPEN, "wrong", READ, 401),
        (OPEN, "wrong", WRITE, 401),
        (PUBLIC, None, READ, 401),
        (PUBLIC, None, WRITE, 401),
        (PUBLIC, "read", READ, 200),
        (PUBLIC, "read", WRITE, 403),
        (PUBLIC, "signal", READ, 403),
        (PUBLIC, "operate", READ, 200),
        (PUBLIC, "operate", WRITE, 200),
        (PROXIED, None, READ, 401),  # what comes through a proxy comes from anywhere
        (PROXIED, "read", READ, 200),
    ],
)
def test_scopes(auth, scope, call, status, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=auth) as at:
            token = "zs_wrong" if scope == "wrong" else at.tokens.create("x", [scope])[1] if scope else None
            found = await at.ask(*call, token=token)
            assert found.status == status, found
            if status in (401, 403):
                assert found.code == ("unauthorised" if status == 401 else "scope_missing")
                assert not at.counter.taken
            if status == 401:
                assert found.headers["www-authenticate"] == "Bearer"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "lines",
    [
        ["Authorization: Bearer"],
        ["Authorization: Bearer  "],
        ["Authorization: Basic dXNlcjpwYXNz"],
        ["Authorization: {token}"],
        ["Authorization: Bearer {token} {token}"],
        ["Authorization: Bearer {token}", "Authorization: Bearer {token}"],
        ["Authorization: Bearer {token}x"],
        ["Authorization: Bearer \u00e9"],
    ],
)
def test_malformed_authorization_is_refused(lines, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, token = at.tokens.create("x", ["operate"])
            found = await at.ask(*WRITE, *[line.format(token=token) for line in lines])
            assert (found.status, found.code) == (401, "unauthorised") if found.status != 400 else found.code
            assert not at.counter.taken

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["token", "access_token", "api_key"])
def test_a_token_in_the_address_is_refused_even_if_it_is_right(name, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            _, token = at.tokens.create("x", ["operate"])
            assert (await at.ask("GET", f"portfolio?{name}={token}")).code == "unauthorised"
            assert (await at.ask("GET", f"portfolio?{name}={token}", token=token)).code == "unauthorised"

    asyncio.run(scenario())


@pytest.mark.parametrize("scope", ["tradingview", "freqtrade"])
@pytest.mark.parametrize("auth", [LOOPBACK, OPEN, PROXIED], ids=["loopback", "open", "proxied"])
def test_a_secret_for_an_address_opens_nothing_else(auth, scope, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=auth) as at:
            _, secret = at.tokens.create("seen by others", [scope])
            for call in (READ, WRITE, ("POST", "signals"), ("GET", "stream"), ("GET", "ws"), ("GET", "users")):
                found = await at.ask(*call, token=secret)
                assert (found.status, found.code) == (403, "scope_missing"), call
                elsewhere = await at.ask(call[0], f"{call[1]}?token={secret}")
                assert (elsewhere.status, elsewhere.code) == (401, "unauthorised"), call
                assert secret.encode() not in found.body + elsewhere.body
            pairs = await at.ask("GET", "integrations/freqtrade/pairlist?exchange=binance", token=secret)
            assert pairs.status == 403
            assert at.counter.taken == []

    asyncio.run(scenario())


def test_a_megabyte_of_authorization_is_cut_off(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            found = await at.ask("GET", "portfolio", f"Authorization: Bearer {'a' * 1_000_000}")
            assert found.status in (0, 400, 431)
            assert (await at.ask("GET", "portfolio")).status == 200

    asyncio.run(scenario())


def test_a_token_made_or_revoked_while_running_counts_at_once(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            elsewhere = type(at.tokens)(at.tokens.path)  # as the command line does it, in another process
            record, token = elsewhere.create("bot", ["operate"])
            assert (await at.ask(*WRITE, token=token)).status == 200
            elsewhere.revoke(record.id)
            assert (await at.ask(*WRITE, token=token)).status == 401
            at.tokens.path.unlink()
            assert (await at.ask(*WRITE, token=token)).status == 401

    asyncio.run(scenario())


def test_a_token_file_that_became_unsafe_or_broken_keeps_what_was_read(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, token = at.tokens.create("bot", ["operate"])
            assert (await at.ask(*WRITE, token=token)).status == 200
            _, planted = type(at.tokens)(tmp_path / "other.json").create("evil", ["operate"])
            at.tokens.path.write_bytes((tmp_path / "other.json").read_bytes())
            at.tokens.path.chmod(0o666)
            assert (await at.ask(*WRITE, token=planted)).status == 401
            assert (await at.ask(*WRITE, token=token)).status == 200
            at.tokens.path.chmod(0o600)
            at.tokens.path.write_text("[{")
            assert (await at.ask(*WRITE, token=token)).status == 200

    asyncio.run(scenario())


def test_wrong_tokens_run_into_a_limit_and_right_ones_do_not(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, token = at.tokens.create("bot", ["operate"])
            codes = [(await at.ask(*WRITE, token=f"zs_guess{number}")).status for number in range(7)]
            assert codes == [401] * 5 + [429] * 2
            limited = await at.ask(*WRITE, token="zs_again")
            assert limited.code == "rate_limited"
            assert 1 <= int(limited.headers["retry-after"]) <= 60
            assert (await at.ask(*WRITE, token=token)).status == 200

    asyncio.run(scenario())


def test_requests_run_into_a_limit_by_caller(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, limits=Limits(requests_per_minute=3)) as at:
            _, token = at.tokens.create("bot", ["operate"])
            assert [(await at.ask(*READ)).status for _ in range(5)] == [200, 200, 200, 429, 429]
            assert (await at.ask(*READ, token=token)).status == 200, "another caller has a bucket of its own"
            assert (await at.ask("GET", "/livez")).status == 200, "probes are not counted"

    asyncio.run(scenario())


def test_behind_a_proxy_the_limit_goes_by_the_last_address_it_names(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=PROXIED) as at:
            for number in range(7):
                spoofed = f"X-Forwarded-For: 198.51.100.{number}, 203.0.113.5"
                last = await at.ask(*WRITE, spoofed, token="zs_guess")
            assert last.status == 429
            assert (await at.ask(*WRITE, "X-Forwarded-For: 203.0.113.6", token="zs_guess")).status == 401

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8420", "[::1]:80", "127.0.0.1:65535", "my.box"])
def test_own_names_are_answered(host, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=AuthSettings(allowed_hosts=("My.Box",))) as at:
            assert (await at.ask(*READ, f"Host: {host}")).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["portfolio", "/livez", "/readyz", "/nothing"])
@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.", "127.0.0.1:80:80", "user@127.0.0.1", "127.1", ""],
)
def test_other_names_are_not(host, path, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            found = await at.ask("GET", path, f"Host: {host}")
            assert (found.status, found.code) in ((421, "wrong_host"), (400, "bad_request"))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("target", "status"), [("http://evil.example{path}", 421), ("http://127.0.0.1:{port}{path}", 200)]
)
def test_a_target_with_a_host_of_its_own_goes_by_that(target, status, tmp_path) -> None:
    """Of two names a proxy may have judged the other one."""

    async def scenario() -> None:
        async with desk(tmp_path) as at:
            said = target.format(port=at.port, path=f"{PREFIX}/portfolio")
            head = f"GET {said} HTTP/1.1\r\nHost: 127.0.0.1:{at.port}\r\nConnection: close\r\n\r\n"
            assert (await exchange(at.port, head.encode())).status == status

    asyncio.run(scenario())


@pytest.mark.parametrize("line", ["X-Forwarded-For: 203.0.113.5", "forwarded: for=203.0.113.5", "X-Real-IP: 127.0.0.1"])
def test_behind_a_proxy_that_nobody_told_of_loopback_grants_nothing(line, tmp_path) -> None:
    """It runs on this machine, so that everybody who comes through it has a loopback address."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            _, token = at.tokens.create("anna", ("read",))
            for call in (READ, WRITE):
                assert (await at.ask(*call, line)).code == "unauthorised"
            assert (await at.ask(*READ, line, token=token)).status == 200
            assert (await at.ask(*WRITE, line, token=token)).code == "scope_missing"
            assert not at.counter.taken

    asyncio.run(scenario())


def test_two_hosts_or_none(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            two = await at.ask("GET", "portfolio", "Host: 127.0.0.1", "Host: evil.example")
            assert two.status in (400, 421)
            none = await at.ask("GET", "portfolio", "X-Not-Host: 127.0.0.1", "Host-: 1", "host:")
            assert none.status in (400, 421)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 200),
        ("HTTP://127.0.0.1:{port}", 200),
        ("https://dash.example", 200),
        ("null", 403),
        ("http://evil.example", 403),
        ("http://127.0.0.1:{port}.evil.example", 403),
        ("http://127.0.0.1:1", 403),
        ("https://dash.example.evil.example", 403),
        ("", 403),
    ],
)
def test_pages_of_other_origins_are_refused(origin, status, tmp_path) -> None:
    async def scenario() -> None:
        auth = AuthSettings(open_loopback=True, allowed_origins=("https://dash.example/",))
        async with desk(tmp_path, auth=auth) as at:
            for call in (READ, WRITE):
                found = await at.ask(*call, f"Origin: {origin.format(port=at.port)}")
                assert found.status == status, found
                assert status == 200 or found.code == "origin_refused"
            assert len(at.counter.taken) == (status == 200)

    asyncio.run(scenario())


def test_a_preflight_gets_no_permission(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            lines = ("Origin: http://evil.example", "Access-Control-Request-Method: POST")
            found = await at.ask("OPTIONS", "portfolio/rebalance", *lines)
            assert found.status == 403
            assert not [name for name in found.headers if name.startswith("access-control")]
            assert (await at.ask("OPTIONS", "portfolio/rebalance")).status == 405

    asyncio.run(scenario())


def test_what_counts_as_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "", "::ffff:10.0.0.1"]))  # noqa: S104  judged, not bound


def test_a_token_file_of_another_user_is_refused(tmp_path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")

    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, token = at.tokens.create("bot", ["operate"])
            assert (await at.ask(*WRITE, token=token)).status == 200
            _, planted = type(at.tokens)(tmp_path / "other.json").create("evil", ["operate"])
            (tmp_path / "other.json").replace(at.tokens.path)
            os.chown(at.tokens.path, 4242, 4242)
            assert (await at.ask(*WRITE, token=planted)).status == 401

    asyncio.run(scenario())
