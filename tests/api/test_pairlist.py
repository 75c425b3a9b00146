"""The pair list as freqtrade reads it: whatever goes wrong, it never takes an error for an empty list."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.api.desk import Answer, Desk, desk
from zmart_stream.api.auth import AuthSettings
from zmart_stream.api.exchange_names import EXCHANGES, contracts_of, pair
from zmart_stream.api.limits import Limits
from zmart_stream.api.pairlist import PATH

MARKETS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "1000BONK/USDT:USDT", "BTC/USDT")


class Bot:
    """The consumer: blind to the status, believes any JSON object, keeps its list when the type is another."""

    def __init__(self) -> None:
        self.pairs: list[str] | None = None
        self.refresh_s = 1800

    def take(self, reply: Answer) -> None:
        if "application/json" not in reply.headers["content-type"]:
            assert self.pairs is not None, "without a list of its own this ends the bot"
            return
        said = json.loads(reply.body)
        assert isinstance(said, dict)
        self.refresh_s = max(self.refresh_s, int(said.get("refresh_period", 0)))
        self.pairs = self._known(said.get("pairs", []))

    @staticmethod
    def _known(wanted: Sequence[str]) -> list[str]:
        patterns = [re.compile(name, re.IGNORECASE) for name in wanted]
        return [market for pattern in patterns for market in MARKETS if pattern.fullmatch(market)]


async def fetched(at: Desk, query: str = "?exchange=binance", *lines: str, token: str | None = None) -> Answer:
    return await at.ask("GET", PATH + query, *lines, token=token)


def broken() -> dict[str, Any]:
    raise RuntimeError("no")


def is_text(reply: Answer) -> bool:
    return reply.headers["content-type"].startswith("text/plain") and not reply.body.startswith(b"{")


def test_the_book_becomes_the_bots_pairs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            bot = Bot()
            bot.take(reply := await fetched(at))
            assert bot.pairs == ["BTC/USDT:USDT"]
            assert bot.refresh_s == 1800
            assert reply.json["left_out"] == []
            for exchange in EXCHANGES:
                assert (await fetched(at, f"?exchange={exchange}")).json["pairs"] == ["BTC/USDT:USDT"]

    asyncio.run(scenario())


def test_a_fault_keeps_the_list_and_is_never_an_error_in_json(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            bot = Bot()
            shown = at.shelf.portfolio()
            at.shelf.portfolio = broken  # type: ignore[method-assign]  # our own fault
            first = await fetched(at)
            assert (first.status, is_text(first)) == (500, True), "there is no good list yet"
            at.shelf.portfolio = lambda: shown  # type: ignore[method-assign]  # mended
            bot.take(await fetched(at))
            at.shelf.portfolio = broken  # type: ignore[method-assign]  # and again
            again = await fetched(at)
            assert again.status == 200
            bot.take(again)
            assert bot.pairs == ["BTC/USDT:USDT"]
            other = await fetched(at, "?exchange=okx")
            assert (other.status, is_text(other)) == (500, True), "nor one of that exchange"

    asyncio.run(scenario())


def test_refusals_are_text_and_lose_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        auth = AuthSettings(behind_proxy=True)
        async with desk(tmp_path, auth=auth, limits=Limits(failed_logins_per_minute=2)) as at:
            _, token = at.tokens.create("bot", ["read"])
            bot = Bot()
            bot.take(await fetched(at, token=token))
            kept = bot.pairs
            refusals = [
                (401, await fetched(at)),
                (401, await fetched(at, token="zs_wrong")),
                (401, await fetched(at, "?exchange=binance&token=x")),
                (403, await fetched(at, token=at.tokens.create("signals", ["signal"])[1])),
                (400, await fetched(at, "?exchange=nowhere", token=token)),
                (400, await fetched(at, "", token=token)),
                (400, await fetched(at, "?exchange=binance&more=1", token=token)),
                (421, await fetched(at, "?exchange=binance", "Host: elsewhere.example", token=token)),
                (403, await fetched(at, "?exchange=binance", "Origin: http://elsewhere.example", token=token)),
                (405, await at.ask("POST", PATH, token=token)),
            ]
            for status, reply in refusals:
                assert (reply.status, is_text(reply)) == (status, True), reply
                bot.take(reply)
            assert bot.pairs == kept == ["BTC/USDT:USDT"]
            wrong = await fetched(at, "?exchange=nowhere", token=token)
            assert wrong.body == b"bad_query: exchange: one of 'binance', 'bybit', 'gate', 'kucoin' or 'okx'\n"
            while (limited := await fetched(at, token="zs_wrong")).status == 401:
                pass
            assert (limited.status, is_text(limited)) == (429, True)
            assert int(limited.headers["retry-after"]) >= 1

    asyncio.run(scenario())


def test_no_book_yet_is_not_an_empty_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as at:
            told, shown = at.shelf.status(), at.shelf.portfolio()
            unfilled = {**told, "book": {**told["book"], "ready": False}}
            at.shelf.status = lambda: unfilled  # type: ignore[method-assign]  # the machine never filled it
            assert (await fetched(at)).json["pairs"] == ["BTC/USDT:USDT"], "operators did"
            bare = {**shown, "holdings": []}
            at.shelf.portfolio = lambda: bare  # type: ignore[method-assign]  # nothing is held
            kept = await fetched(at)
            assert kept.json["pairs"] == ["BTC/USDT:USDT"], "nobody meant an empty list"
            waits = await fetched(at, "?exchange=okx")
            assert (waits.status, is_text(waits)) == (503, True)
            bare["holdings"] = [{**shown["holdings"][0], "symbol": "A.USDTM"}]
            assert is_text(await fetched(at, "?exchange=okx")), "no safe name"
            bare["holdings"], unfilled["book"]["ready"] = [], True
            assert (await fetched(at)).json["pairs"] == [], "it was filled, and sold everything"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("symbol", "exchange", "name"),
    [
        ("XBTUSDTM", "binance", "BTC/USDT:USDT"),
        ("1000BONKUSDTM", "binance", "1000BONK/USDT:USDT"),
        ("1000BONKUSDTM", "okx", "BONK/USDT:USDT"),
        ("1000BONKUSDTM", "kucoin", "1000BONK/USDT:USDT"),
        ("SHIBUSDTM", "binance", "1000SHIB/USDT:USDT"),
        ("SHIBUSDTM", "bybit", "SHIB1000/USDT:USDT"),
        ("1MBABYDOGEUSDTM", "bybit", "1000000BABYDOGE/USDT:USDT"),
        ("10000SATSUSDTM", "gate", "SATS/USDT:USDT"),
        ("1INCHUSDTM", "binance", "1INCH/USDT:USDT"),
        ("1000USDTM", "okx", "1000/USDT:USDT"),
        (".*USDTM", "binance", None),
        ("XBTUSDM", "binance", None),
        ("USDTM", "okx", None),
    ],
)
def test_each_exchange_has_its_own_name_for_a_coin(symbol: str, exchange: str, name: str | None) -> None:
    assert pair(symbol, exchange) == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *[
            (name, ["XBTUSDTM"])
            for name in "BTC btcusdt BTC-USDT BTC/USDT BTC/USDT:USDT BTCUSDT.P KUCOIN:XBTUSDTM BINANCE:BTCUSDT.P "
            "BTC-USDT-SWAP XBT BTC_USDT BTCUSDTM".split()
        ],
        ("SHIBUSDT", ["1000SHIBUSDTM"]),
        ("SHIB1000USDT", ["1000SHIBUSDTM"]),
        ("1000BONKUSDT", ["1000BONKUSDTM"]),
        ("BONK/USDT:USDT", ["BONKUSDTM"]),
        ("1000000BONKUSDT", ["1000BONKUSDTM", "BONKUSDTM"]),
        *[(name, []) for name in ("DOGEUSDT", "BTC/USDC:USDC", "", "USDT", ".*", "BTC" * 40, "BTC USDT", "₿USDT")],
    ],
)
def test_a_name_from_outside_means_a_listed_contract_or_none(name: str, meant: list[str]) -> None:
    assert contracts_of(name, ("XBTUSDTM", "1000SHIBUSDTM", "1000BONKUSDTM", "BONKUSDTM")) == meant
