"""The REST side over a real port: envelopes, errors, weights, number forms, books, klines, funding."""

import asyncio
import re
from typing import Any

import msgspec
import pytest

from tests.sandbox.venue_client import HOUR_S, Bench, venue

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
GATEWAY = ("gw-ratelimit-limit", "gw-ratelimit-remaining", "gw-ratelimit-reset")

REFUSALS = [
    ("ticker?symbol=NOPEUSDTM", 200, {"code": "200003", "msg": "Invalid symbol."}),
    ("level2/depth20?symbol=NOPEUSDTM", 200, {"code": "200003", "msg": "Invalid symbol."}),
    ("level2/snapshot?symbol=NOPEUSDTM", 200, {"code": "200003", "msg": "Invalid symbol."}),
    (
        "contracts/NOPEUSDTM",
        200,
        {"code": "404000", "msg": "The contract information you requested does not exist."},
    ),
    ("mark-price/NOPEUSDTM/current", 200, {"code": "415000", "msg": "mark price is not supported"}),
    ("funding-rate/NOPEUSDTM/current", 200, {"code": "415000", "msg": "funding rate is not supported"}),
    ("index/query?symbol=.NOPE", 200, {"code": "200000", "data": {"dataList": [], "hasMore": False}}),
    ("level2/depth50?symbol=XBTUSDTM", 404, {"code": "404", "msg": "not exist"}),
    ("level3/snapshot", 404, {"code": "404", "msg": "Not Found", "retry": False, "success": False}),
    ("level2/message/query", 404, {"code": "404", "msg": "Not Found", "retry": False, "success": False}),
    ("kline/query?symbol=XBTUSDTM&granularity=3", 200, {"code": "400100", "msg": "granularity is not supported"}),
    ("kline/query?symbol=NOPEUSDTM&granularity=1", 200, {"code": "200003", "msg": "Invalid symbol."}),
    ("contract/funding-rates?symbol=XBTUSDTM", 200, {"code": "400100", "msg": "symbol, from and to are required"}),
]


def test_refusals_and_their_bodies() -> None:
    async def run() -> None:
        async with venue() as bench:
            for path, status, body in REFUSALS:
                seen_status, headers, text = await bench.reply(path)
                assert (seen_status, msgspec.json.decode(text)) == (status, body), path
                assert all(name in headers for name in GATEWAY), path
            status, _, text = await bench.reply("trade-statistics")
            assert status == 400
            body = msgspec.json.decode(text)
            assert body["code"] == "400001"
            for name in ("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE"):
                assert name in body["msg"]

    asyncio.run(run())


def test_the_weight_window_is_fixed_and_resets_whole() -> None:
    async def run() -> None:
        limits = {"pool_weight": 4, "pool_window_s": HOUR_S}
        async with venue(limits=limits, quota_factor=2) as bench:
            seen = []
            for _ in range(3):
                status, headers, text = await bench.reply("contracts/XBTUSDTM")
                seen.append((status, [int(headers[name]) for name in GATEWAY]))
            assert [status for status, _ in seen] == [200, 200, 429]
            assert [row[:2] for _, row in seen] == [[8, 5], [8, 2], [8, 0]]
            assert 0 < seen[2][1][2] <= HOUR_S * 1000
            assert msgspec.json.decode(text) == {"code": "429000", "msg": "Too Many Requests"}
            assert "Retry-After" not in headers
            bench.later(seen[2][1][2] / 1000 + 0.01)
            status, headers, _ = await bench.reply("timestamp")
            assert status == 200
            assert not any(name in headers for name in GATEWAY)
            _, headers, _ = await bench.reply("contracts/XBTUSDTM")
            assert headers["gw-ratelimit-remaining"] == "3"  # 8 - timestamp 2 - contract 3

    asyncio.run(run())


def test_a_contract_row_has_every_field_and_java_numbers() -> None:
    async def run() -> None:
        async with venue() as bench:
            rows = await bench.get("contracts/active")
            assert len(rows) == 6
            assert all(len(row) == 86 for row in rows)
            row = rows[0]
            assert row["symbol"] == "XBTUSDTM"
            assert isinstance(row["openInterest"], str)
            assert row["predictedFundingFeeRate"] is None
            _, headers, text = await bench.reply("contracts/active")
            assert headers["Content-Encoding"] == "gzip"
            assert '"makerFeeRate":2.0E-4' in text
            one = await bench.get("contracts/XBTUSDTM")
            assert one.keys() == row.keys()

        async with venue(unknowns={"number_style": "plain"}) as bench:
            _, _, text = await bench.reply("contracts/XBTUSDTM")
            assert not re.search(r"\dE-?\d", text)

    asyncio.run(run())


def test_types_of_ticker_book_trade_and_mark() -> None:
    async def run() -> None:
        async with venue() as bench:
            ticker = await bench.get("ticker", symbol="XBTUSDTM")
            assert {name: type(value) for name, value in ticker.items()} == {
                "sequence": int, "symbol": str, "side": str, "size": int, "tradeId": str, "price": str,
                "bestBidPrice": str, "bestBidSize": int, "bestAskPrice": str, "bestAskSize": int, "ts": int,
            }  # fmt: skip
            assert ticker["ts"] % 1_000_000 == 0
            assert len(await bench.get("allTickers")) == 6
            book = await bench.get("level2/depth20", symbol="XBTUSDTM")
            assert list(book) == ["sequence", "symbol", "bids", "asks", "ts"]
            bids, asks = [row[0] for row in book["bids"]], [row[0] for row in book["asks"]]
            assert len(bids) == len(asks) == 20
            assert bids == sorted(bids, reverse=True)
            assert asks == sorted(asks)
            assert bids[0] < asks[0]
            assert all(isinstance(row[1], int) for row in book["bids"] + book["asks"])
            assert len((await bench.get("level2/snapshot", symbol="XBTUSDTM"))["bids"]) > 100
            trades = await bench.get("trade/history", symbol="XBTUSDTM")
            assert len(trades) == 100
            assert [row["ts"] for row in trades] == sorted((row["ts"] for row in trades), reverse=True)
            assert {name: type(value) for name, value in trades[0].items()} == {
                "sequence": int, "contractId": int, "tradeId": str, "makerOrderId": str, "takerOrderId": str,
                "ts": int, "size": int, "price": str, "side": str,
            }  # fmt: skip
            mark = await bench.get("mark-price/XBTUSDTM/current")
            assert list(mark) == ["symbol", "granularity", "timePoint", "value", "indexPrice"]

    asyncio.run(run())


async def _klines(bench: Bench, **query: Any) -> list[list[Any]]:
    return list(await bench.get("kline/query", symbol="XBTUSDTM", **query))


@pytest.mark.parametrize(("cap", "columns"), [(500, 7), (200, 6)])
def test_klines_are_capped_and_hold_the_running_bar(cap: int, columns: int) -> None:
    async def run() -> None:
        async with venue(unknowns={"kline_cap": cap, "kline_columns": columns}) as bench:
            now = await bench.get("timestamp")
            rows = await _klines(bench, granularity=1, **{"from": now - 1000 * MINUTE_MS, "to": now})
            assert len(rows) == cap
            assert all(len(row) == columns for row in rows)
            assert rows[0][0] == -(-(now - 1000 * MINUTE_MS) // MINUTE_MS) * MINUTE_MS
            newest = await _klines(bench, granularity=60)
            assert len(newest) == cap
            assert newest[-1][0] == now // HOUR_MS * HOUR_MS
            assert [row[0] for row in newest] == sorted(row[0] for row in newest)

    asyncio.run(run())


@pytest.mark.parametrize(("rule", "rows"), [("inclusive", 6), ("exclusive", 5)])
def test_the_end_bound_of_klines_is_a_setting(rule: str, rows: int) -> None:
    async def run() -> None:
        async with venue(unknowns={"kline_end": rule}) as bench:
            end = (await bench.get("timestamp")) // HOUR_MS * HOUR_MS - HOUR_MS
            found = await _klines(bench, granularity=60, **{"from": end - 5 * HOUR_MS, "to": end})
            assert [row[0] for row in found] == [end - (5 - at) * HOUR_MS for at in range(rows)]

    asyncio.run(run())


def test_minutes_add_up_to_the_hour() -> None:
    async def run() -> None:
        async with venue() as bench:
            start = (await bench.get("timestamp")) // HOUR_MS * HOUR_MS - 3 * HOUR_MS
            bounds = {"from": start, "to": start + HOUR_MS - 1}
            minutes = await _klines(bench, granularity=1, **bounds)
            (hour,) = await _klines(bench, granularity=60, **bounds)
            assert hour[:6] == [
                start, minutes[0][1], max(row[2] for row in minutes), min(row[3] for row in minutes),
                minutes[-1][4], sum(row[5] for row in minutes),
            ]  # fmt: skip

    asyncio.run(run())


def test_series_are_paged_by_the_last_row() -> None:
    async def run() -> None:
        async with venue() as bench:
            first = await bench.get("premium/query", symbol=".XBTUSDTMPI", maxCount=3)
            assert first["hasMore"] is True
            times = [row["timePoint"] for row in first["dataList"]]
            assert times == [times[0] - at * MINUTE_MS for at in range(3)]
            second = await bench.get("premium/query", symbol=".XBTUSDTMPI", maxCount=3, offset=times[-1])
            assert second["dataList"][0]["timePoint"] == times[-1] - MINUTE_MS
            ended = await bench.get("premium/query", symbol=".XBTUSDTMPI", startAt=times[1], endAt=times[0])
            assert ended["hasMore"] is False
            assert len(ended["dataList"]) == 2
            (row,) = (await bench.get("index/query", symbol=".KXBTUSDT", maxCount=1))["dataList"]
            assert list(row) == ["symbol", "granularity", "timePoint", "value", "decomposionList"]
            assert row["granularity"] == 1000
            interest = await bench.get("interest/query", symbol=".XBTINT8H", maxCount=2)
            assert [row["granularity"] for row in interest["dataList"]] == [28_800_000] * 2

    asyncio.run(run())


def test_funding_now_and_settled() -> None:
    async def run() -> None:
        async with venue() as bench:
            now = await bench.get("timestamp")
            current = await bench.get("funding-rate/XBTUSDTM/current")
            assert current["symbol"] == ".XBTUSDTMFPI8H"
            assert "predictedValue" not in current
            assert current["timePoint"] <= now < current["fundingTime"]
            assert current["fundingTime"] - current["timePoint"] == current["granularity"]
            rows = await bench.get("contract/funding-rates", symbol="XBTUSDTM", **{"from": now - 86_400_000, "to": now})
            assert rows[0] == {
                "symbol": "XBTUSDTM", "fundingRate": current["lastTimeFundingRate"], "timepoint": current["timePoint"],
            }  # fmt: skip
            assert [row["timepoint"] for row in rows] == sorted((row["timepoint"] for row in rows), reverse=True)

    asyncio.run(run())


def test_one_port_serves_state_and_refuses_nonsense_faults() -> None:
    async def run() -> None:
        async with venue() as bench:
            state = await bench.state()
            assert (state["market"], state["seed"], state["contracts"], state["ended"]) == ("synthetic", 7, 6, False)
            for body in (
                b"{",
                b'{"kind":"nothing"}',
                b'{"kind":"pause"}',
                b'{"kind":"hostile","form":"x"}',
                b"[" * 9999,
            ):
                async with bench.http.post(f"{bench.server.url}/_sandbox/fault", data=body) as reply:
                    assert reply.status == 400, body

    asyncio.run(run())
