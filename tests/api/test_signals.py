"""Signals by HTTP: the guide's body is judged by a warm core; wrong ones name field, value and rule; keys act once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.api.desk import Answer, Desk, desk
from tests.api.judged import OTHER_ID, SIGNAL_ID
from tests.api.market import Market
from zmart_stream.api.auth import AuthSettings
from zmart_stream.domain.commands import Pause
from zmart_stream.domain.signals import SignalReceived, SubmitSignal
from zmart_stream.engine.ids import symbol_id

OPEN = AuthSettings(open_loopback=True)
GOOD: dict[str, Any] = {
    "source_name": "TestSource",
    "signal_type": "MOMENTUM",
    "signal_strength": 0.8,
    "confidence_level": 0.7,
}


def with_desk(folder: Path, scenario: Callable[[Desk], Awaitable[None]], **given: Any) -> None:
    async def run() -> None:
        async with desk(folder, auth=OPEN, **given) as at:
            await scenario(at)

    asyncio.run(run())


async def send(at: Desk, body: dict[str, Any], *lines: str, token: str | None = None) -> Answer:
    return await at.ask(
        "POST", "signals", "Content-Type: application/json", *lines, body=json.dumps(body).encode(), token=token
    )


def test_the_answer_is_about_the_signal_that_was_sent(tmp_path: Path) -> None:
    async def scenario(at: Desk) -> None:
        found = (await send(at, GOOD)).json
        assert (found["signal_id"], found["status"], found["reason"]) == (SIGNAL_ID, "acted", "add")
        assert found["change_id"] == OTHER_ID
        assert found["decision"]["consensus"] == 0.61
        assert found["opinions"][0]["reasons"] == [{"code": "score", "numbers": {"score": 71.5}}]

    with_desk(tmp_path, scenario)


def test_what_is_sent_reaches_the_core_and_sources_belong_to_the_token(tmp_path: Path) -> None:
    async def scenario(at: Desk) -> None:
        record, token = at.tokens.create("anna", ["signal"])
        more = {"symbol_id": symbol_id("XBTUSDTM"), "signal_direction": "SELL", "signal_data": {"a": [1]}}
        await send(at, {**GOOD, **more, "expires_at": "2026-11-22T15:00:00Z"}, "Idempotency-Key: k1", token=token)
        await send(at, {**GOOD, "expires_in_s": 30, "idempotency_key": "k2"})
        first, second = at.counter.taken
        assert isinstance(first, SubmitSignal)
        assert isinstance(second, SubmitSignal)
        assert (first.owner, first.who, first.idempotency_key) == (record.id, "anna", "k1")
        assert (first.symbol_id, first.signal_direction) == (more["symbol_id"], "SELL")
        assert (first.signal_data, first.expires_at) == ({"a": [1]}, 1_795_359_600_000_000_000)
        assert (second.owner, second.idempotency_key, second.expires_in_s) == ("loopback", "k2", 30.0)

    with_desk(tmp_path, scenario)


def test_contracts_go_by_the_names_that_others_give_them(tmp_path: Path) -> None:
    async def scenario(at: Desk) -> None:
        for name in ("BTCUSDT", "BTC/USDT:USDT", "KUCOIN:XBTUSDTM", "NONE/USDT"):
            await send(at, {**GOOD, "symbol": name})
        await send(at, {**GOOD, "symbol_id": "BTCUSDT.P"})
        assert [(c.symbol, c.symbol_id) for c in at.counter.taken if isinstance(c, SubmitSignal)] == [
            *[("XBTUSDTM", None)] * 3,
            ("NONE/USDT", None),  # the core's to refuse
            (None, "XBTUSDTM"),
        ]
        listed = {**at.shelf.listed(), "1000BONKUSDTM": "1", "BONKUSDTM": "2"}
        at.shelf.listed = lambda: listed  # type: ignore[method-assign]  # one coin, listed twice
        unclear = await send(at, {**GOOD, "symbol": "1000000BONKUSDT"})
        assert unclear.code == "unknown_symbol"
        assert unclear.json["suggestions"] == ["1000BONKUSDTM", "BONKUSDTM"]

    with_desk(tmp_path, scenario)


def test_a_token_that_only_reads_sends_no_signal(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            assert (await send(at, GOOD)).code == "unauthorised"
            assert (await send(at, GOOD, token=at.tokens.create("reader", ["read"])[1])).code == "scope_missing"
            signal = at.tokens.create("bot", ["signal"])[1]
            assert (await send(at, GOOD, token=signal)).status == 200
            assert (await at.post("pause", {}, token=signal)).code == "scope_missing"
            assert at.counter.taken[1:] == []

    asyncio.run(scenario())


def test_wrong_forms_never_reach_the_core(tmp_path: Path) -> None:
    async def scenario(at: Desk) -> None:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"signal_strength": "strong"}, "signal_strength"),
            ({"signal_strength": None}, "signal_strength"),
            ({"signal_data": []}, "signal_data"),
            ({"expires_at": 1_795_359_600}, "expires_at"),
            ({"strength": 1.0}, "strength"),
            ({"symbol": "XBTUSDTM", "symbol_id": "XBTUSDTM"}, ""),
            ({"expires_in_s": 5, "expires_at": "2026-11-22T15:00:00Z"}, ""),
        ]
        for change, field in wrong:
            found = await send(at, {**GOOD, **change})
            assert found.code == "bad_body", change
            assert found.json["errors"][0]["field"] == field, found.json
        keys = ("Idempotency-Key: a", "Idempotency-Key: b")
        assert (await send(at, GOOD, *keys)).code == "bad_request"
        assert (await send(at, {**GOOD, "idempotency_key": "b"}, keys[0])).code == "bad_request"
        assert at.counter.taken == []

    with_desk(tmp_path, scenario)


def test_pages_ask_for_what_the_query_says(tmp_path: Path) -> None:
    async def scenario(at: Desk) -> None:
        found = (await at.ask("GET", f"signals/processed?source=Tests&symbol={symbol_id('ETHUSDTM')}&limit=5")).json
        assert (found["total"], found["limit"], found["signals"][0]["id"]) == (1, 5, SIGNAL_ID)
        assert at.paper.signals_asked == ("processed", "Tests", "ETHUSDTM")
        assert (await at.ask("GET", "signals/pending")).json["signals"] == []
        assert at.paper.signals_asked == ("pending", None, None)
        assert (await at.ask("GET", "signals/pending?symbol=NONEUSDTM")).code == "unknown_symbol"
        for unknown in (OTHER_ID, "XBTUSDTM", "none"):
            assert (await at.ask("GET", f"signals/{unknown}")).code == "unknown_signal", unknown

    with_desk(tmp_path, scenario)


def test_a_warm_core_judges_refuses_and_repeats(seed: int, tmp_path: Path) -> None:
    market = Market(seed)
    symbol = next(row["symbol"] for row in market.reads.rankings() if row["eligible"])
    stored = SubmitSignal(
        ts=market.engine.now,
        request_id="1",
        who="anna",
        owner="loopback",
        symbol=symbol,
        **{**GOOD, "source_name": "S"},
    )
    first = next(told.signal.id for told in market.take(stored) if isinstance(told, SignalReceived))

    async def scenario(at: Desk) -> None:
        judged = (await send(at, {**GOOD, "symbol_id": symbol_id(symbol)}, "Idempotency-Key: k")).json
        assert judged["status"] in {"declined", "acted", "no_action"}
        assert len(judged["opinions"]) == 6
        assert judged["decision"]["symbol"] == symbol
        again = (await send(at, {**GOOD, "signal_strength": 0.1}, "Idempotency-Key: k")).json
        assert (again["signal_id"], again["repeated"], again["status"]) == (judged["signal_id"], True, judged["status"])
        refused = await send(at, {**GOOD, "signal_strength": 1.5, "signal_type": "up"})
        assert refused.code == "bad_signal"
        assert [(p["field"], p["value"], bool(p["rule"])) for p in refused.json["problems"]] == [
            ("signal_type", "up", True),
            ("signal_strength", 1.5, True),
        ]
        unknown = await send(at, {**GOOD, "symbol": f"{symbol}M", "signal_strength": 1.5})
        assert (unknown.code, unknown.json["suggestions"][0]) == ("unknown_symbol", symbol)
        assert f"no contract {symbol}M is listed; did you mean {symbol}" in unknown.json["detail"]
        assert [problem["field"] for problem in unknown.json["problems"]] == ["signal_strength", "symbol"]
        hook = f"integrations/tradingview/{at.tokens.create('tv', ['tradingview'])[1]}"
        alert = await at.ask("POST", hook, body=f"buy {symbol}M".encode())
        assert (alert.code, alert.json["suggestions"][0]) == ("unknown_symbol", symbol)
        assert (await send(at, {**GOOD, "signal_data": {"a": "x" * 20_000}})).code == "too_large"
        other = at.tokens.create("other", ["signal"])[1]
        assert (await send(at, GOOD, token=other)).code == "source_taken"
        released = json.dumps({"source_name": "TestSource", "reason": "its token is revoked"}).encode()
        path = "signals/release-source"
        assert (await at.ask("POST", path, "Content-Type: application/json", body=released)).json["success"]
        assert (await at.ask("POST", path, "Content-Type: application/json", body=released)).code == "unknown_source"
        assert (await send(at, {**GOOD, "signal_type": "NEW"}, token=other)).json["status"] != "rejected"
        assert (await send(at, {**GOOD, "signal_type": "OLD"})).code == "source_taken"
        await at.ask("POST", path, "Content-Type: application/json", body=released)
        counts = (await at.ask("GET", "signals/statistics")).json
        assert (counts["total"]["received"], counts["total"]["repeated"], counts["total"]["rejected"]) == (3, 1, 6)
        whole = (await at.ask("GET", f"signals/{first}")).json["signal"]
        assert (whole["source_name"], whole["submitted_by"], whole["symbol"]) == ("S", "anna", symbol)
        assert [step["status"] for step in whole["steps"]][:2] == ["received", "evaluated"]
        assert len(whole["opinions"]) == 6
        assert whole["outcome"] is None
        assert whole["created_at"].endswith("Z")
        assert [row["id"] for row in (await at.ask("GET", "signals/processed?source=S")).json["signals"]] == [first]
        market.take(Pause(ts=market.engine.now, request_id="2", who="anna"))
        waits = (await send(at, {**GOOD, "signal_type": "LATER"})).json
        assert (waits["status"], waits["decision"]) == ("received", None)
        assert (await at.ask("GET", "signals/statistics")).json["waits_for"] == "paused"

    async def run() -> None:
        async with market.services(tmp_path) as behind, desk(tmp_path, auth=OPEN, behind=behind) as at:
            await scenario(at)

    asyncio.run(run())
