"""Alerts as TradingView and users of OctoBot send them: many spellings, one signal; what is wrong is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.desk import Answer, Desk, desk
from tests.api.judged import SIGNAL_ID
from zmart_stream.api.alert_meaning import AlertSettings
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.limits import Limits
from zmart_stream.domain.commands import Command
from zmart_stream.domain.message import Message
from zmart_stream.domain.signals import SubmitSignal

OPEN = AuthSettings(open_loopback=True)
JSON, TEXT = "Content-Type: application/json; charset=utf-8", "Content-Type: text/plain; charset=utf-8"
FILLED = {
    "passphrase": "hunter2hunter2",
    "ticker": "BTCUSDT.P",
    "exchange": "BINANCE",
    "interval": "15",
    "time": "2026-11-22T14:00:00Z",
    "timenow": "2026-11-22T14:07:31Z",
    "close": 95012.5,
    "strategy": "RSI",
    "order_id": "Long",
    "action": "buy",
    "contracts": "0.25",
    "market_position": "long",
    "prev_market_position": "flat",
}
"""What TradingView sends once it has filled a message of its placeholders."""

PATH = "integrations/tradingview/"


class Hook:
    """The webhook of one secret, called as TradingView calls it: a POST with the message as its body."""

    def __init__(self, at: Desk, secret: str) -> None:
        self.at, self.secret = at, secret

    async def fire(self, message: dict[str, Any] | str, *lines: str) -> Answer:
        text = message if isinstance(message, str) else json.dumps(message)
        kind = JSON if text.startswith("{") else TEXT
        return await self.at.ask("POST", PATH + self.secret, *(lines or (kind,)), body=text.encode())

    async def signal(self, message: dict[str, Any] | str, *lines: str) -> SubmitSignal:
        """The signal that an alert becomes."""
        before = len(self.at.counter.taken)
        reply = await self.fire(message, *lines)
        assert reply.status == 202, reply
        taken = self.at.counter.taken[before:]
        assert len(taken) == 1
        assert isinstance(taken[0], SubmitSignal)
        return taken[0]


def with_hook(folder: Path, scenario: Callable[[Hook], Awaitable[None]], **given: Any) -> None:
    async def run() -> None:
        async with desk(folder, **given) as at:
            await scenario(Hook(at, at.tokens.create("tv", ["tradingview"])[1]))

    asyncio.run(run())


def test_a_filled_message_becomes_a_signal(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        reply = await hook.fire(FILLED)
        assert (reply.status, reply.json["status"], reply.json["signal_id"]) == (202, "acted", SIGNAL_ID)
        [taken] = hook.at.counter.taken
        assert isinstance(taken, SubmitSignal)
        assert (taken.source_name, taken.who, taken.owner) == ("tv: RSI", "tv", hook.at.tokens.records[0].id)
        assert (taken.symbol, taken.signal_direction, taken.signal_type) == ("XBTUSDTM", "BUY", "TRADINGVIEW")
        assert (taken.signal_strength, taken.confidence_level, taken.expires_in_s) == (0.5, 0.5, None)
        kept = {key: value for key, value in FILLED.items() if key != "passphrase"}
        assert taken.signal_data == {"via": "tradingview", **kept}

    with_hook(tmp_path, scenario)


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        ({"symbol": "KUCOIN:XBTUSDTM", "side": "sell"}, ("XBTUSDTM", "SELL")),
        ({"ticker": "ETHUSDT", "signal": "LONG"}, ("ETHUSDTM", "BUY")),
        ({"symbol": "BINANCE:SOLUSDT.P", "action": "exit"}, ("SOLUSDTM", "SELL")),
        ({"Symbol": "BTC/USDT:USDT", "Action": " Enter Long "}, ("XBTUSDTM", "BUY")),
        ({"ticker": "ETHUSDT", "market_position": "flat", "prev_market_position": "long"}, ("ETHUSDTM", "SELL")),
        ({"ticker": "ETHUSDT", "action": "sell", "market_position": "short"}, ("ETHUSDTM", "SELL")),
        ({"ticker": "ETHUSDT", "action": "sell", "market_position": "long"}, ("ETHUSDTM", "SELL")),
        ({"ticker": "ETHUSDT", "market_position": "long"}, ("ETHUSDTM", "BUY")),
        ({"ticker": "ETHUSDT", "market_position": "", "symbol": "", "action": "sell"}, ("ETHUSDTM", "SELL")),
        ("SYMBOL=BTCUSDT;SIGNAL=BUY", ("XBTUSDTM", "BUY")),
        ("EXCHANGE = kucoin\nSYMBOL = BTCUSDT\n\nSIGNAL = sell\n", ("XBTUSDTM", "SELL")),
        ("short ETHUSDT.P", ("ETHUSDTM", "SELL")),
        ("\ufeff  buy BTCUSDT ", ("XBTUSDTM", "BUY")),
    ],
)
@pytest.mark.parametrize("kind", [JSON, TEXT, "Content-Type: application/x-www-form-urlencoded", "X-None: 1"])
def test_aliases_and_forms_whatever_the_content_type(
    alert: Any, expected: tuple[str, str], kind: str, tmp_path: Path
) -> None:
    async def scenario(hook: Hook) -> None:
        taken = await hook.signal(alert, kind)
        assert (taken.symbol, taken.signal_direction, taken.source_name) == (*expected, "tv")

    with_hook(tmp_path, scenario)


def test_a_strategy_told_as_an_object_counts_as_if_it_stood_beside_it(tmp_path: Path) -> None:
    """As in the message that many copy, which has a key of its own for each placeholder of the strategy."""
    inside = {"order_action": "sell", "order_id": "Exit", "market_position": "flat", "prev_market_position": "long"}
    alert = {"passphrase": "x", "ticker": "ETHUSDT.P", "bar": {"open": 1.5}, "strategy": {**inside, "secret": "y"}}

    async def scenario(hook: Hook) -> None:
        taken = await hook.signal(alert)
        assert (taken.symbol, taken.signal_direction, taken.source_name) == ("ETHUSDTM", "SELL", "tv")
        assert isinstance(taken.signal_data["strategy"], dict)
        assert taken.signal_data["strategy"] == inside, "kept as it came, but for what may be a secret"
        beside = await hook.signal({**alert, "order_id": "Other", "strategy_id": "RSI", "time": "1"})
        same = await hook.signal({**alert, "strategy_id": "RSI", "time": "1"})
        assert beside.source_name == "tv: RSI"
        assert beside.idempotency_key != same.idempotency_key, "what stands beside it counts"
        cover = {**inside, "order_action": "buy", "prev_market_position": "short"}
        assert (await hook.fire({**alert, "strategy": cover})).json["status"] == "ignored"
        refused = (await hook.fire({**alert, "strategy": {"order_action": "hodl"}})).json
        assert (refused["code"], refused["problems"][0]["field"]) == ("bad_alert", "strategy.order_action")
        assert "text is wanted" in (await hook.fire({**alert, "ticker": 5})).json["detail"]

    with_hook(tmp_path, scenario)


def test_figures_are_shares_or_percent_and_defaults_are_settings(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        told = await hook.signal("buy BTCUSDT strength=70 confidence=0.6 signal_type=breakout expires_in_s=120")
        assert (told.signal_strength, told.confidence_level, told.signal_type) == (0.7, 0.6, "BREAKOUT")
        assert told.expires_in_s == 120.0
        more = await hook.signal({"symbol": "BTCUSDT", "action": "buy", "strength": "85%", "confidence_level": 1})
        assert (more.signal_strength, more.confidence_level) == (0.85, 1.0)
        bare = await hook.signal("buy BTCUSDT")
        assert (bare.signal_strength, bare.confidence_level) == (0.3, 0.9)

    with_hook(tmp_path, scenario, alerts=AlertSettings(strength=0.3, confidence=0.9))


GOOD = {"symbol": "BTCUSDT", "action": "buy"}


@pytest.mark.parametrize(
    ("alert", "field", "value"),
    [
        ({**GOOD, "symbol": "{{ticker}}"}, "symbol", "{{ticker}}"),
        ({**GOOD, "plot": "RSI {{plot_0}}"}, "plot", "{{plot_0}}"),
        ({**GOOD, "bar": {"Close": ["{{close}}"]}}, "Close", "{{close}}"),
        ('{"symbol": "BTCUSDT", "price": {{close}}}', "body", "{{close}}"),
        ("{{strategy.order.action}} BTCUSDT", "action", "{{strategy.order.action}}"),
        ({"symbol": "BTCUSDT"}, "action", None),
        ({"action": "buy"}, "symbol", None),
        ({**GOOD, "Action": "buy"}, "Action", None),
        ({**GOOD, "action": "hodl"}, "action", "hodl"),
        ({**GOOD, "side": "sell"}, "side", "sell"),
        ({**GOOD, "market_position": "up"}, "market_position", "up"),
        ({**GOOD, "strength": 101}, "strength", 101.0),
        ({**GOOD, "Strength": -0.1}, "Strength", -0.1),
        ({**GOOD, "confidence": "NaN"}, "confidence", "NaN"),
        ({**GOOD, "strength": True}, "strength", True),
        ({**GOOD, "expires_in_s": 0}, "expires_in_s", 0.0),
        ({**GOOD, "symbol": 7}, "symbol", 7),
        ({**GOOD, "order_id": [1]}, "order_id", None),
        ("BTCUSDT Crossing 95,000", "body", "BTCUSDT Crossing 95,000"),
        ("buy", "body", "buy"),
        ("SYMBOL=BTCUSDT\nSIGNAL", "body", "SIGNAL"),
        ("", "body", None),
    ],
)
def test_what_is_wrong_is_named_and_reaches_nobody(alert: Any, field: str, value: object, tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        reply = await hook.fire(alert)
        assert (reply.status, reply.code) == (422, "bad_alert"), reply
        [problem] = reply.json["problems"]
        assert (problem["field"], problem["value"]) == (field, value)
        assert problem["rule"] in reply.json["detail"]
        assert hook.at.counter.taken == []

    with_hook(tmp_path, scenario)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\xff\xfe", "bad_alert"),
        (b'{"symbol": "BTCUSDT", "action": "buy"', "bad_json"),
        (b'{"symbol": "BTCUSDT", "action": NaN}', "bad_json"),
        (b'{"symbol": "BTCUSDT", "symbol": "ETHUSDT", "action": "buy"}', "bad_json"),
        (b'{"a":' * 50_000, "bad_json"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "bad_alert"),
        (b"[1]", "bad_alert"),
        (b"symbol=BTCUSDT;action=buy" + b"".join(b";a%d=1" % number for number in range(255)), "bad_alert"),
        (b"x" * 300_000, "too_large"),
    ],
    ids=["bytes", "cut", "nan", "twice", "bomb", "deep", "list", "keys", "large"],
)
def test_hostile_bodies(body: bytes, code: str, tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        assert (await hook.at.ask("POST", PATH + hook.secret, TEXT, body=body)).code == code
        assert hook.at.counter.taken == []

    with_hook(tmp_path, scenario)


def test_closing_a_short_is_ignored_and_says_so(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        for alert in (
            {"symbol": "BTCUSDT", "action": "buy", "market_position": "flat", "prev_market_position": "short"},
            {"symbol": "BTCUSDT", "action": "buy", "market_position": "short"},
            {"symbol": "BTCUSDT", "action": "buy", "reduce_only": True},
            {"symbol": "BTCUSDT", "action": "exit short"},
        ):
            reply = await hook.fire(alert)
            assert (reply.status, reply.json["status"], reply.json["signal_id"]) == (202, "ignored", None)
            assert "short" in reply.json["reason"]
        assert hook.at.counter.taken == []

    with_hook(tmp_path, scenario)


def test_the_same_alert_of_one_bar_has_one_key(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        async def key(**more: Any) -> str | None:
            return (await hook.signal({**FILLED, **more})).idempotency_key

        first = await key()
        assert first is not None
        assert first == await key(timenow="2026-11-22T14:09:00Z", close=95100.0, passphrase="another")
        others = [
            await key(time="2026-11-22T14:15:00Z"),
            await key(order_id="Long 2"),
            await key(ticker="ETHUSDT"),
            await key(action="sell"),
            await key(strategy="MACD"),
            await key(signal_type="MOMENTUM"),
        ]
        assert len({first, *others}) == 7
        bare = {"symbol": "BTCUSDT", "action": "buy"}
        assert (await hook.signal(bare)).idempotency_key is None, "nothing tells the bar: signals.dedupe_s stands"
        by_interval = await hook.signal({**bare, "interval": "1D"})
        assert by_interval.idempotency_key == (await hook.signal({**bare, "interval": "1D"})).idempotency_key
        assert by_interval.idempotency_key != (await hook.signal({**bare, "interval": "5"})).idempotency_key
        assert (await hook.signal({**FILLED, "idempotency_key": "mine"})).idempotency_key == "mine"
        assert (await hook.signal(FILLED, JSON, "Idempotency-Key: k")).idempotency_key == "k"

    with_hook(tmp_path, scenario)


def test_the_answer_does_not_wait_longer_than_the_caller(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        taken: list[Command] = []

        async def slow(command: Command) -> list[Message]:
            taken.append(command)
            await asyncio.Event().wait()
            raise AssertionError

        hook.at.counter.submit = slow  # type: ignore[method-assign]  # as a disk that does not answer
        reply = await hook.fire(FILLED)
        assert (reply.status, reply.json["status"], reply.json["signal_id"]) == (202, "accepted", None)
        assert len(taken) == 1

    with_hook(tmp_path, scenario, alerts=AlertSettings(wait_s=0.05))
    assert AlertSettings().wait_s < 3.0


def test_secrets_of_other_receivers_are_dropped_at_any_depth(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        planted = dict.fromkeys(("passphrase", "secret", "token", "api_token", "key", "Password"), "hunter2")
        nested = {"a": [{"Passphrase": "hunter2", "left": 1}]}
        taken = await hook.signal({"symbol": "BTCUSDT", "action": "buy", "meta": nested, **planted})
        assert "hunter2" not in repr(taken)
        assert taken.signal_data["meta"] == {"a": [{"left": 1}]}
        assert "hunter2" not in repr(await hook.signal("SYMBOL=BTCUSDT;SIGNAL=BUY;TOKEN=hunter2;PASSPHRASE=hunter2"))

    with_hook(tmp_path, scenario)


def test_what_nobody_lists_and_what_may_be_two(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        listed = {**hook.at.shelf.listed(), "1000BONKUSDTM": "1", "BONKUSDTM": "2"}
        hook.at.shelf.listed = lambda: listed  # type: ignore[method-assign]  # one coin, listed twice
        assert (await hook.fire("buy 1000000BONKUSDT")).code == "unknown_symbol"
        assert (await hook.signal("buy NONEUSDT")).symbol == "NONEUSDT", "the core's to refuse, and to store"

    with_hook(tmp_path, scenario)


def test_wrong_secrets_are_one_answer_and_counted(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        at = hook.at
        gone, revoked = at.tokens.create("old", ["tradingview"])
        at.tokens.revoke(gone.id)
        wrong = [revoked, at.tokens.create("f", ["freqtrade"])[1], at.tokens.create("o", ["operate"])[1], "zs_x"]
        replies = [await Hook(at, secret).fire(FILLED) for secret in wrong]
        assert {(reply.status, reply.body) for reply in replies} == {(401, replies[0].body)}
        assert (
            await at.ask("POST", f"{PATH}{hook.secret}?token={hook.secret}", TEXT, body=b"buy BTCUSDT")
        ).status == 401
        assert (await Hook(at, "zs_y").fire(FILLED)).status == 401
        assert (await Hook(at, "zs_z").fire(FILLED)).code == "rate_limited"
        assert (await hook.fire(FILLED)).status == 202, "a right one passes"
        elsewhere = type(at.tokens)(at.tokens.path)
        elsewhere.revoke("tv")
        assert (await hook.fire(FILLED)).status in (401, 429)
        assert (await at.ask("GET", PATH + hook.secret)).code == "method_not_allowed"

    with_hook(tmp_path, scenario)


def test_a_new_secret_of_an_old_name_is_a_source_of_its_own(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        assert (await hook.signal("buy BTCUSDT")).source_name == "tv"
        hook.at.tokens.revoke("tv")
        hook.secret = hook.at.tokens.create("tv", ["tradingview"])[1]
        assert (await hook.signal("buy BTCUSDT")).source_name == "tv (2)"

    with_hook(tmp_path, scenario)


def test_only_addresses_of_the_list_may_call(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        assert (await hook.fire(FILLED)).code == "address_refused"
        assert (await hook.fire(FILLED, JSON, "X-Forwarded-For: 198.51.100.9")).code == "address_refused"
        assert (await hook.fire(FILLED, JSON, "X-Forwarded-For: 198.51.100.9, 52.89.214.238")).status == 202
        assert (await hook.fire(FILLED, JSON, "X-Forwarded-For: ::ffff:10.1.2.3")).status == 202
        assert (await Hook(hook.at, "zs_x").fire(FILLED)).code == "address_refused", "the secret is not looked at"

    auth = AuthSettings(behind_proxy=True, tradingview_addresses=("52.89.214.238", "10.0.0.0/8"))
    with_hook(tmp_path, scenario, auth=auth)


OCTOBOT = "integrations/octobot"
ORDER = "EXCHANGE=binance;SYMBOL=ETHUSDT;SIGNAL=BUY;TOKEN=hunter2hunter2;VOLUME=10%;TAG=t1;LEVERAGE=3;STOP_PRICE=1"


def test_octobots_text_is_answered_in_text(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, limits=Limits(max_body_bytes=1000)) as at:
            record, token = at.tokens.create("octo", ["signal"])

            async def said(text: str, *, by: str | None = token) -> Answer:
                reply = await at.ask("POST", OCTOBOT, TEXT, body=text.encode(), token=by)
                assert reply.headers["content-type"].startswith("text/plain")
                assert b"hunter2" not in reply.body
                return reply

            reply = await said(ORDER)
            assert (reply.status, reply.body) == (200, f"acted (add) {SIGNAL_ID}\n".encode())
            [taken] = at.counter.taken
            assert isinstance(taken, SubmitSignal)
            assert (taken.owner, taken.source_name, taken.signal_type) == (record.id, "octo", "OCTOBOT")
            assert (taken.symbol, taken.signal_direction) == ("ETHUSDTM", "BUY")
            assert taken.signal_data["volume"] == "10%"
            assert "hunter2" not in repr(taken)
            assert (await said(ORDER.replace("BUY", "CANCEL") + "\nPARAM_SIDE=buy")).body.startswith(b"ignored (")
            assert (await said(ORDER + ";REDUCE_ONLY=True")).body.startswith(b"ignored (")
            assert len(at.counter.taken) == 1
            for text, named in (
                (ORDER.replace("EXCHANGE=binance;", ""), b"bad_alert: EXCHANGE: "),
                (ORDER.replace("ETHUSDT", ""), b"bad_alert: SYMBOL: "),
                (ORDER.replace("BUY", "HODL"), b"bad_alert: SIGNAL: 'HODL': one of BUY, SELL, CANCEL"),
                (ORDER + ";nothing", b"bad_alert: body: 'nothing': "),
                ('{"SYMBOL": "ETHUSDT"}', b"bad_alert: body: "),
            ):
                reply = await said(text)
                assert reply.status == 422
                assert reply.body.startswith(named), reply
            assert (await said(ORDER, by=None)).body.startswith(b"unauthorised: ")
            reader = at.tokens.create("reader", ["read"])[1]
            assert (await said(ORDER, by=reader)).body.startswith(b"scope_missing: ")
            assert (await said("A=" + "x" * 2000)).status == 413
            assert (await at.ask("GET", OCTOBOT, token=token)).status == 405
            assert len(at.counter.taken) == 1

    asyncio.run(scenario())


def test_tradingview_may_send_what_octobot_takes(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> None:
        taken = await hook.signal(ORDER)
        assert (taken.symbol, taken.signal_direction) == ("ETHUSDTM", "BUY")
        assert "hunter2" not in repr(taken)

    with_hook(tmp_path, scenario)
