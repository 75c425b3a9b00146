"""Every route over a real socket: its reply has the form it declares, its errors are problems with stable codes."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.api.desk import AS_OF, SYMBOLS, desk
from zmart_stream.api.app import ROUTES
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.limits import Limits
from zmart_stream.api.problems import CODES
from zmart_stream.domain.commands import Pause, Recalculate, ReplaceHolding
from zmart_stream.engine.ids import symbol_id

CHECKOUT = Path(__file__).resolve().parents[2]
OPEN = AuthSettings(open_loopback=True)
BODIES = {
    "portfolio/add-symbol": {"symbol_id": "ETHUSDTM", "reason": "High score"},
    "portfolio/remove-symbol": {"symbol": "XBTUSDTM"},
    "portfolio/replace-symbol": {"old_symbol_id": "XBTUSDTM", "new_symbol_id": "SOLUSDTM"},
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_reply_has_the_form_its_route_declares(route, tmp_path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, auth=OPEN) as at:
            path = route.path.replace("{symbol}", "XBTUSDTM")
            body = BODIES.get(path.removeprefix(f"{PREFIX}/"))
            found = await (at.post(path, body) if body else at.ask(route.method, path))
            assert found.status == 200, found
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
            assert "GET" in found.headers["allow"]
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
        while await reader.read(1024):
            pass
        writer.close()

    asyncio.run(scenario())


def test_docs_list_every_route_and_every_code() -> None:
    text = (CHECKOUT / "docs" / "api.md").read_text()
    documented = set(re.findall(r"^\| (GET|POST|PUT|DELETE) \| `([^`]+)` \| (\w+|–) \|", text, re.MULTILINE))
    routes = {(route.method, route.path, route.scope) for route in ROUTES}
    bare = {("GET", path, "–") for path in ("/livez", "/readyz", "/openapi.json", "/docs")}
    assert documented == routes | bare
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
    not_by_http = {"config", "unknown_plugin"}  # of Reconfigure, told as bad_configuration, and of DisablePlugin
    assert said - not_by_http <= CODES.keys()
