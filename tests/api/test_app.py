"""Every route over a real socket: its reply has the form it declares, its errors are problems with stable codes."""

import asyncio
import json
import re
import threading
from functools import reduce
from pathlib import Path

import pytest

from tests.api.desk import AS_OF, SYMBOLS, desk
from tests.api.judged import SIGNAL_ID
from zmart_stream.api import pairlist
from zmart_stream.api.addresses import FREQTRADE
from zmart_stream.api.app import ROUTES
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.freqtrade_ws import PING
from zmart_stream.api.limits import Limits
from zmart_stream.api.problems import CODES
from zmart_stream.api.push.routes import PATHS
from zmart_stream.domain.commands import Pause, Recalculate, ReplaceHolding
from zmart_stream.domain.errors import StorageError
from zmart_stream.engine.ids import symbol_id
from zmart_stream.portfolio import OPTIMISERS
from zmart_stream.portfolio.weights import hrp

CHECKOUT = Path(__file__).resolve().parents[2]
JSON = "Content-Type: application/json"
OPEN = AuthSettings(open_loopback=True)
ALERT = {"symbol": "BTCUSDT", "action": "buy"}
BODIES = {
    "portfolio/add-symbol": {"symbol_id": "ETHUSDTM", "reason": "High score"},
    "portfolio/remove-symbol": {"symbol": "XBTUSDTM"},
    "portfolio/replace-symbol": {"old_symbol_id": "XBTUSDTM", "new_symbol_id": "SOLUSDTM"},
    **{f"portfolio/{name}": {"symbol": "XBTUSDTM"} for name in ("pin", "unpin", "block", "unblock")},
    "signals": {"source_name": "Tests", "signal_type": "BREAKOUT", "signal_strength": 0.8, "confidence_level": 0.7},
    "users": {"name": "bob", "scopes": ["read"]},
    "notifications/test": {"endpoint": "bot"},
    "signals/release-source": {"source_name": "Tests"},
    "config": {"config_key": "max_portfolio_symbols", "config_value": 15},
    "scoring/algorithms/risk": {"weight": 0.5, "parameters": {"weights": {"volatility": 0.6}}},
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_reply_has_the_form_its_route_declares(route, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            record, token = at.tokens.create("anna", ["operate"])
            named = SIGNAL_ID if "/signals/" in route.path else record.id
            secret = at.tokens.create("alerts", ["tradingview"])[1]
            places = {"{secret}": secret, "{symbol}": "XBTUSDTM", "{name}": "risk", "{id}": named}
            path = reduce(lambda text, place: text.replace(*place), places.items(), route.path)
            body = ALERT if route.secret else BODIES.get(path.removeprefix(f"{PREFIX}/"), b"")
            lines = ["Content-Type: application/json"] if body else []
            sent = json.dumps(body).encode() if body else b""
            if route.text is not None:
                lines, sent = ["Content-Type: text/plain"], b"EXCHANGE=kucoin\nSYMBOL=BTCUSDT\nSIGNAL=BUY"
            if route.method == "GET":
                lines, sent = [], b""
            found = await at.ask(route.method, path, *lines, body=sent, token=token)
            assert found.status == route.status, found
            if route.text is not None:
                assert found.headers["content-type"] == "text/plain; charset=utf-8"
                assert found.body
                return
            reply = route.reply.model_validate_json(found.body)
            assert found.json["success"] is True
            assert reply.as_of == AS_OF
            assert found.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'self'" in found.headers["content-security-policy"]
            assert "python" not in found.headers["server"].lower()
            assert "access-control-allow-origin" not in found.headers

    asyncio.run(scenario())


def test_lists_are_whole_unless_a_page_is_asked_for(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            whole = (await at.ask("GET", "scoring/rankings")).json
            assert [row["symbol"] for row in whole["rankings"]] == list(SYMBOLS)
            assert [row["rank"] for row in whole["rankings"]] == [1, 2, None]
            page = (await at.ask("GET", "scoring/rankings?limit=1&offset=1")).json
            assert [row["symbol"] for row in page["rankings"]] == ["ETHUSDTM"]
            assert (page["total"], page["limit"], page["offset"]) == (3, 1, 1)
            assert (await at.ask("GET", "symbols?limit=2")).json["total"] == 3
            risk = (await at.ask("GET", "scoring/rankings?type=risk")).json
            assert risk["type"] == "RISK"
            assert risk["rankings"][2]["score"] is None, "a figure that is not finite is null, the reply stays JSON"

    asyncio.run(scenario())


def test_a_contract_goes_by_its_symbol_and_by_its_id(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            by_id = await at.ask("GET", f"explain/{symbol_id('ETHUSDTM').upper()}")
            assert by_id.json["symbol"] == "ETHUSDTM"
            assert (await at.ask("GET", f"symbols/{symbol_id('SOLUSDTM')}")).json["symbol"]["symbol"] == "SOLUSDTM"
            for unknown in ("NOPEUSDTM", symbol_id("NOPEUSDTM")):
                assert (await at.ask("GET", f"explain/{unknown}")).code == "unknown_symbol"
                assert (await at.ask("GET", f"symbols/{unknown}")).code == "unknown_symbol"

    asyncio.run(scenario())


def test_an_unknown_contract_names_those_that_were_meant(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            for asked in ("BTCUSDTM", "BTC", "XBT", "XBTUSDT", "XBTUSDM", "XTBUSDTM"):
                found = await at.ask("GET", f"explain/{asked}")
                assert found.code == "unknown_symbol"
                assert found.json["suggestions"][0] == "XBTUSDTM", asked
            assert "did you mean XBTUSDTM" in (await at.ask("GET", "symbols/BTCUSDTM")).json["detail"]
            assert (await at.ask("GET", "symbols/QQQQQ")).json["suggestions"] == []

    asyncio.run(scenario())


def test_an_unknown_query_parameter_names_the_nearest(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            found = await at.ask("GET", "scoring/rankings?limt=3")
            assert (found.code, found.json["parameter"]) == ("bad_query", "limt")
            assert "did you mean limit" in found.json["detail"]
            assert "takes no query parameters" in (await at.ask("GET", "portfolio?x=1")).json["detail"]
            twice = await at.ask("GET", "symbols?limit=1&limit=2")
            assert (twice.code, twice.json["parameter"]) == ("bad_query", "limit")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "body", "field", "problem"),
    [
        ("portfolio/add-symbol", [1], "", "a JSON object is wanted"),
        ("portfolio/add-symbol", {"symbol": 5}, "symbol", "text is wanted"),
        ("portfolio/add-symbol", {"simbol": "ETHUSDTM"}, "simbol", "there is no such field; did you mean symbol?"),
        ("portfolio/replace-symbol", {"old_symbol_id": "ETHUSDTM"}, "new_symbol_id", "is missing"),
        ("pause", {"reason": "x" * 501}, "reason", "at most 500 characters"),
        ("users", {"name": "a", "scopes": []}, "scopes", "at least 1"),
        ("users", {"name": "a", "scopes": ["root"]}, "scopes.0", "one of 'read', 'signal' or 'operate'"),
        ("notifications/test", {"endpoint": "X"}, "endpoint", "of the form ^[a-z][a-z0-9_-]{0,31}$"),
        ("scoring/calculate", {"symbol": "ETHUSDTM", "symbol_id": "XBTUSDTM"}, "", "name one contract"),
        ("pause", {f"a{number}": 0 for number in range(257)}, "", "at most 256 members"),
    ],
)
def test_a_wrong_body_is_told_in_our_words(path, body, field, problem, tmp_path) -> None:
    """Not in the library's, which name Python's types and our classes; and never is one of two contracts chosen."""

    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            _, token = at.tokens.create("desk", ("operate",))
            found = (await at.post(path, body, token)).json
            assert found["code"] == "bad_body"
            assert found["errors"][0]["field"] == field
            assert found["errors"][0]["problem"].startswith(problem)
            assert found["detail"].startswith(f"{field or 'body'}: {problem}")
            assert not at.counter.taken

    asyncio.run(scenario())


def test_a_write_without_a_body_needs_no_content_type_but_an_origin_of_ours(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            for lines in ([], ["Content-Length: 0"], [f"Origin: http://127.0.0.1:{at.port}"], ["Content-Type: text/x"]):
                assert (await at.ask("POST", "portfolio/rebalance", *lines)).status == 200, lines
            assert (await at.ask("POST", "portfolio/rebalance", "Origin: http://evil.example")).code == "origin_refused"
            assert (await at.ask("POST", "portfolio/rebalance", "Origin: null")).code == "origin_refused"
            assert (await at.ask("POST", "portfolio/rebalance", body=b"{}")).code == "not_json"

    asyncio.run(scenario())


def test_commands_carry_the_callers_name_and_market_time(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, token = at.tokens.create("anna", ["operate"])
            assert (await at.post("scoring/calculate", {"symbol_id": symbol_id("ETHUSDTM")}, token)).status == 200
            assert (await at.ask("POST", "scoring/calculate", token=token)).json["symbols_processed"] == 3
            body = {"old_symbol_id": "XBTUSDTM", "new_symbol_id": "ETHUSDTM", "reason": "better"}
            assert (await at.post("portfolio/replace-symbol", body, token)).status == 200
            assert (await at.ask("POST", "pause", token=token)).json["paused"] is True
            one, every, replace, pause = at.counter.taken
            assert isinstance(one, Recalculate)
            assert (one.symbol, one.who, every.symbol) == ("ETHUSDTM", "anna", None)
            assert isinstance(replace, ReplaceHolding)
            assert (replace.symbol_out, replace.symbol_in, replace.note) == ("XBTUSDTM", "ETHUSDTM", "better")
            assert isinstance(pause, Pause)
            assert len({command.request_id for command in at.counter.taken}) == 4
            assert {command.ts for command in at.counter.taken} == {1_795_356_630_544_053_956}

    asyncio.run(scenario())


def test_a_person_behind_a_token_is_recorded_with_it(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            _, token = at.tokens.create("desk", ["operate"])
            assert (await at.ask("POST", "pause", "Zmart-Operator: anna", token=token)).status == 200
            assert at.counter.taken[0].who == "anna (desk)", "nobody passes for the machine or for another token"
            for wrong in ("x" * 65, "a\tb", "Zo\u00eb"):
                assert (await at.ask("POST", "pause", f"Zmart-Operator: {wrong}", token=token)).code == "bad_request"
            assert len(at.counter.taken) == 1

    asyncio.run(scenario())


def test_users_are_the_tokens_and_need_one_even_where_loopback_is_open(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            assert (await at.ask("GET", "users")).code == "unauthorised"
            assert (await at.post("users", {"name": "eve", "scopes": ["operate"]})).code == "unauthorised"
            weak = at.tokens.create("weak", ["signal"])[1]
            assert (await at.ask("GET", "users", token=weak)).code == "scope_missing", "what loopback grants is no help"
            strong = at.tokens.create("strong", ["operate"])[1]
            made = (await at.post("users", {"name": "bob", "scopes": ["read", "signal"]}, strong)).json
            assert at.tokens.find(made["token"]).name == "bob"
            for taken in ("bob", "machine", "signal:1"):
                assert (await at.post("users", {"name": taken, "scopes": ["read"]}, strong)).code == "name_taken"
            listed = await at.ask("GET", "users", token=strong)
            assert [user["name"] for user in listed.json["users"]] == ["weak", "strong", "bob"]
            assert b"sha256" not in listed.body
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["user"]["created"]), "as all times are"
            page = (await at.ask("GET", "users?limit=1&offset=1", token=strong)).json
            assert [user["name"] for user in page["users"]] == ["strong"]
            assert (page["total"], page["limit"], page["offset"]) == (3, 1, 1)
            gone = await at.ask("DELETE", f"users/{made['user']['id']}", token=strong)
            assert gone.json["user"]["revoked"]
            assert at.tokens.find(made["token"]) is None
            assert (await at.ask("DELETE", f"users/{made['user']['id']}", token=strong)).code == "unknown_user"
            assert (await at.ask("DELETE", "users/bob", token=strong)).code == "unknown_user"

    asyncio.run(scenario())


def test_settings_are_recorded_in_the_callers_name(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            _, token = at.tokens.create("anna", ["operate"])
            body = {"config_key": "max_portfolio_symbols", "config_value": "15"}
            assert (await at.ask("PUT", "config", JSON, body=json.dumps(body).encode(), token=token)).status == 200
            for wrong in ({}, {**body, "values": {"portfolio.cash": 1}}, {"config_key": "../x", "config_value": 1}):
                found = await at.ask("PUT", "config", JSON, body=json.dumps(wrong).encode())
                assert found.code == "bad_body", wrong
            refused = {"values": {"portfolio.nothing": 1}}
            found = await at.ask("PUT", "config", JSON, body=json.dumps(refused).encode())
            assert (found.code, len(found.json["problems"])) == ("bad_configuration", 2)
            assert (await at.ask("PUT", "scoring/algorithms/nothing")).code == "unknown_algorithm"
            assert at.dials.given[0] == ("anna", {"max_portfolio_symbols": "15"})

    asyncio.run(scenario())


def test_optimisers_bring_in_scipy_without_stopping_the_loop(tmp_path, monkeypatch) -> None:
    """Its import takes half a second; the feed goes on meanwhile."""
    threads = []
    monkeypatch.setattr(hrp, "trees", lambda: threads.append(threading.current_thread()))

    async def scenario() -> None:
        async with desk(tmp_path) as at:
            assert (await at.ask("GET", "portfolio/optimize?optimiser=equal")).status == 200
            assert not threads, "nobody else pays for it"
            assert (await at.ask("GET", "portfolio/optimize")).status == 200
            assert threads
            assert threading.main_thread() not in threads

    asyncio.run(scenario())


def test_what_is_on_disk_is_asked_for_as_the_query_says(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            for plus in ("%2B", "+"):  # one that is not escaped is a space: there is no other time it could mean
                which = f"symbol={symbol_id('XBTUSDTM')}&kind=remove&since=2026-11-22T14:00:00{plus}01:00&limit=1"
                found = (await at.ask("GET", f"portfolio/history?{which}")).json
                assert (found["total"], found["limit"], found["changes"][0]["who"]) == (1, 1, "anna")
                assert at.paper.wanted == ("XBTUSDTM", "remove", 1_795_352_400_000_000_000)
            points = (await at.ask("GET", "portfolio/equity?until=2026-11-22T14:00:00.5Z&points=7")).json["points"]
            assert at.paper.span == (0, 1_795_356_000_500_000_000, 7)
            assert [point["equity"] for point in points] == [100_000.0]
            for wrong in ("since=yesterday", "since=2026-02-30", "since=1e3", "points=1", "points=5001"):
                assert (await at.ask("GET", f"portfolio/equity?{wrong}")).code == "bad_query", wrong
            assert (await at.ask("GET", "portfolio/metrics?window=2d")).code == "bad_query"
            metrics = (await at.ask("GET", "portfolio/metrics?window=7d")).json
            assert metrics["metrics"] == {"return": 0.001, "sharpe": None}
            assert metrics["reasons"] == {"sharpe": "3 returns, 20 are needed"}
            every = (await at.ask("GET", "portfolio/optimize")).json["optimisers"]
            assert [proposal["name"] for proposal in every] == list(OPTIMISERS)
            one = (await at.ask("GET", "portfolio/optimize?optimiser=hrp")).json["optimisers"]
            assert [proposal["name"] for proposal in one] == ["hrp"]

    asyncio.run(scenario())


def test_debug_is_served_only_where_it_is_on(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            assert (await at.ask("GET", "/debug/portfolio")).code == "not_found"
        async with desk(tmp_path, debug=True) as at:
            found = (await at.ask("GET", "/debug/portfolio")).json
            assert [holding["symbol"] for holding in found["portfolio"]] == ["XBTUSDTM"]
            assert found["debug_info"] == {"total_symbols": 1, "memory_usage": {}, "database_stats": {}}

    asyncio.run(scenario())


def test_a_change_is_told_with_times_people_read(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            change = (await at.post("portfolio/remove-symbol", {"symbol": "XBTUSDTM"})).json["changes"][0]
            assert change["at"] == AS_OF
            assert change["before"]["holdings"][0]["since"] == AS_OF
            assert change["who"] == "loopback"

    asyncio.run(scenario())


def test_what_the_core_refuses_keeps_its_code(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            found = await at.post("portfolio/add-symbol", {"symbol": "XBTUSDTM"})
            assert (found.status, found.code) == (409, "already_in_book")

    asyncio.run(scenario())


def test_a_command_that_is_never_answered_ends_as_such(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN, limits=Limits(command_deadline_s=0.05)) as at:
            at.counter.silent = True
            found = await at.ask("POST", "portfolio/rebalance")
            assert (found.status, found.code) == (503, "no_answer")
            assert int(found.headers["retry-after"]) > 0

    asyncio.run(scenario())


def test_a_fault_is_a_problem_without_a_traceback(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            at.shelf.fault = ZeroDivisionError("the password is hunter2")
            found = await at.ask("GET", "status")
            assert (found.status, found.code) == (500, "fault")
            assert b"hunter2" not in found.body
            assert b"ZeroDivision" not in found.body
            assert (await at.ask("GET", "portfolio")).status == 200

    asyncio.run(scenario())


def test_a_database_that_does_not_answer_is_no_fault_of_ours(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            at.shelf.fault = StorageError("a read took longer than 5.0 s")
            found = await at.ask("GET", "status")
            assert (found.status, found.code) == (503, "degraded")
            assert b"longer than 5.0 s" in found.body
            assert found.headers["retry-after"] == str(found.json["retry_after_s"]) == "5"

    asyncio.run(scenario())


def test_probes_tell_alive_from_ready(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=AuthSettings(behind_proxy=True)) as at:
            assert (await at.ask("GET", "/readyz")).status == 200, "probes need no token"
            at.unready.extend(["the feed is not fresh", "the database cannot be written"])
            found = await at.ask("GET", "/readyz")
            assert (found.status, found.code) == (503, "not_ready")
            assert found.json["reasons"] == at.unready
            assert (await at.ask("GET", "/livez")).status == 200
        async with desk(tmp_path) as at:
            at.unready.append("no contracts known yet")
            health = await at.ask("GET", "health")
            assert (health.status, health.json["status"], health.json["reasons"]) == (200, "degraded", at.unready)

    asyncio.run(scenario())


def test_unknown_paths_and_methods(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            assert (await at.ask("GET", "/")).code == "not_found"
            assert (await at.ask("GET", "nothing")).code == "not_found"
            found = await at.ask("DELETE", "portfolio")
            assert found.code == "method_not_allowed"
            assert found.headers["allow"] == "GET, HEAD"
            assert found.json["detail"] == "this path takes GET, HEAD, not DELETE"
            assert (await at.ask("POST", "status", "X-HTTP-Method-Override: GET")).code == "method_not_allowed"

    asyncio.run(scenario())


def test_a_kept_connection_serves_one_request_after_the_other(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            one = f"GET {PREFIX}/portfolio HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            writer.write(one * 300)
            for _ in range(300):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
            writer.close()

    asyncio.run(scenario())


def test_closing_ends_open_connections(tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"alive")
        await asyncio.wait_for(reader.read(), 30)
        assert reader.at_eof(), "the server ended it"
        writer.close()

    asyncio.run(scenario())


def test_docs_list_every_route_and_every_code() -> None:
    text = (CHECKOUT / "docs" / "api.md").read_text()
    row = r"^\| (GET|POST|PUT|DELETE) \| `([^`]+)` \| (\w+(?:, a token)?|the secret|–) \|"
    documented = set(re.findall(row, text, re.MULTILINE))
    scopes = {r: "the secret" if r.secret else r.scope + (", a token" if r.token_only else "") for r in ROUTES}
    routes = {(route.method, route.path, scope) for route, scope in scopes.items()}
    bare = {("GET", path, "–") for path in ("/livez", "/readyz", "/openapi.json", "/docs", PING)}
    bare |= {("GET", pairlist.PATH, "read"), ("GET", FREQTRADE, "the secret")}
    pushed = {("GET", path, "read") for path in PATHS}
    assert documented == routes | bare | pushed
    codes = {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text, re.MULTILINE)}
    assert codes == {code: kind.status for code, kind in CODES.items()}


def test_every_code_the_core_refuses_with_is_listed() -> None:
    said = {
        code
        for folder in ("portfolio", "engine", "app")
        for path in (CHECKOUT / "zmart_stream" / folder).rglob("*.py")
        for code in re.findall(r"CommandRefusedError\(\s*\"(\w+)\"", path.read_text())
    }
    assert said
    # of Reconfigure, told as bad_configuration; of DisablePlugin; and why a signal's plan ended, which is its reason
    not_by_http = {"config", "unknown_plugin", "already_tilted"}
    assert said - not_by_http <= CODES.keys()
