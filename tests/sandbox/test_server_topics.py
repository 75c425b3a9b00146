"""Every public topic over real sockets: keys, types, units, sequences, and agreement between topics and REST."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.sandbox.venue_client import Bench, Socket, venue
from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.settings import settings_from

MS, SECOND = 1_000_000, 1_000_000_000
SYMBOL = "XBTUSDTM"
MARKET = "/contractMarket/"
FAST = 240  # venue minutes pass in a quarter of a second

SHAPES: dict[str, tuple[str, dict[str, type]]] = {
    f"{MARKET}tickerV2:{SYMBOL}": (
        "tickerV2",
        {
            "symbol": str, "sequence": int, "bestBidSize": int, "bestBidPrice": str, "bestAskPrice": str,
            "bestAskSize": int, "ts": int,
        },
    ),
    f"{MARKET}ticker:{SYMBOL}": (
        "ticker",
        {
            "symbol": str, "sequence": int, "side": str, "size": int, "price": str, "bestBidSize": int,
            "bestBidPrice": str, "bestAskPrice": str, "tradeId": str, "bestAskSize": int, "ts": int,
        },
    ),
    f"{MARKET}execution:{SYMBOL}": (
        "match",
        {
            "symbol": str, "sequence": int, "side": str, "size": int, "price": str, "takerOrderId": str,
            "makerOrderId": str, "tradeId": str, "ts": int,
        },
    ),
    f"{MARKET}level2:{SYMBOL}": ("level2", {"sequence": int, "change": str, "timestamp": int}),
    f"{MARKET}level2Depth5:{SYMBOL}": (
        "level2",
        {"bids": list, "sequence": int, "timestamp": int, "ts": int, "asks": list},
    ),
    f"{MARKET}level2Depth50:{SYMBOL}": (
        "level2",
        {"bids": list, "sequence": int, "timestamp": int, "ts": int, "asks": list},
    ),
    f"{MARKET}limitCandle:{SYMBOL}_1min": ("candle.stick", {"symbol": str, "candles": list, "time": int}),
    f"{MARKET}snapshot:{SYMBOL}": (
        "snapshot.24h",
        {
            "highPrice": float, "lastPrice": float, "lowPrice": float, "price24HoursBefore": float, "priceChg": float,
            "priceChgPct": float, "symbol": str, "ts": int, "turnover": float, "volume": float, "fundingRate": float,
        },
    ),
}  # fmt: skip
WITH_SN = ("tickerV2", "ticker", "match", "level2")


def _same_types(data: dict[str, Any], shape: dict[str, type]) -> bool:
    """Integers may stand for decimals, nothing else may differ."""
    if list(data) != list(shape):
        return False
    return all(type(data[key]) is kind or (kind is float and type(data[key]) is int) for key, kind in shape.items())


@pytest.mark.parametrize("topic", SHAPES)
def test_a_push_has_the_published_keys_and_types(topic: str) -> None:
    async def run() -> None:
        async with venue(speed=FAST) as bench:
            subject, shape = SHAPES[topic]
            before = bench.server.clock.now()
            push = await (await bench.connect(topic)).push(topic)
            assert (push["type"], push["subject"]) == ("message", subject)
            assert _same_types(push["data"], shape), push
            data = push["data"]
            if subject in WITH_SN:
                depth = "Depth" in topic
                assert push["sn"] == (data["timestamp"] if depth else data["sequence"])
                if depth:
                    assert data["ts"] == data["timestamp"]
            else:
                assert "sn" not in push
            stamp = data.get("ts", data.get("timestamp", data.get("time")))
            stamp_ns = stamp if stamp > 10**15 else stamp * MS
            assert before - 600 * SECOND < stamp_ns < bench.server.clock.now() + 600 * SECOND
            if subject in ("tickerV2", "ticker", "match"):
                assert data["ts"] % MS == 0

    asyncio.run(run())


def test_instrument_and_its_two_kinds_of_funding() -> None:
    async def run() -> None:
        topic = f"/contract/instrument:{SYMBOL}"
        async with venue(start="2026-11-20T15:59:59Z", speed=10, held=True) as bench:
            current = await bench.get(f"funding-rate/{SYMBOL}/current")
            socket = await bench.connect(topic, "/contract/announcement")
            mark = await socket.push(topic, "mark.index.price")
            assert list(mark["data"]) == ["markPrice", "indexPrice", "granularity", "timestamp"]
            assert (mark["data"]["granularity"], mark["data"]["timestamp"] % 1000) == (1000, 0)
            estimate = (await socket.push(topic, "funding.rate"))["data"]
            bench.server.clock.hold(False)
            last_estimate, settled = [(await socket.push(topic, "funding.rate"))["data"] for _ in range(2)]
            assert list(estimate) == ["period", "granularity", "fundingRate", "timestamp"]
            assert (estimate["period"], estimate["granularity"], estimate["timestamp"] % 60_000) == (1, 60_000, 0)
            assert list(settled) == ["granularity", "fundingRate", "timestamp"]
            assert settled["granularity"] == current["granularity"]
            assert settled["timestamp"] == last_estimate["timestamp"] == current["fundingTime"]
            begin = (await socket.until(lambda f: f.get("subject") == "funding.begin"))["data"]
            assert list(begin) == ["symbol", "fundingTime", "fundingRate", "timestamp"]
            assert begin["fundingTime"] == begin["timestamp"] == settled["timestamp"]
            end = (await socket.until(lambda f: f.get("subject") == "funding.end"))["data"]
            assert end["timestamp"] - end["fundingTime"] == 10_000
            rows = await bench.get(
                "contract/funding-rates", symbol=SYMBOL, **{"from": settled["timestamp"], "to": settled["timestamp"]}
            )
            assert rows == [
                {"symbol": SYMBOL, "fundingRate": settled["fundingRate"], "timepoint": settled["timestamp"]}
            ]

    asyncio.run(run())


def test_the_contract_row_follows_a_settlement_late() -> None:
    async def run() -> None:
        async with venue(start="2026-11-20T15:59:59Z", speed="max") as bench:
            clock = bench.server.clock
            before = await bench.get(f"contracts/{SYMBOL}")
            clock.advance(3 * SECOND)
            just = await bench.get(f"contracts/{SYMBOL}")
            assert just["nextFundingRateDateTime"] > before["nextFundingRateDateTime"]
            assert just["lastTimeFundingRate"] == before["lastTimeFundingRate"]
            assert just["fundingFeeRate"] == pytest.approx(before["fundingFeeRate"], abs=2e-5)
            clock.advance(30 * SECOND)
            adopted = await bench.get(f"contracts/{SYMBOL}")
            (settled,) = await bench.get(
                "contract/funding-rates",
                symbol=SYMBOL,
                **{"from": before["nextFundingRateDateTime"], "to": before["nextFundingRateDateTime"]},
            )
            assert adopted["fundingFeeRate"] == adopted["lastTimeFundingRate"] == settled["fundingRate"]
            clock.advance(90 * SECOND)
            running = await bench.get(f"funding-rate/{SYMBOL}/current")
            assert (await bench.get(f"contracts/{SYMBOL}"))["fundingFeeRate"] == running["value"]

    asyncio.run(run())


def _apply(book: dict[str, dict[float, int]], change: str) -> None:
    price, side, lots = change.split(",")
    if float(price) == 0:
        return
    if int(lots):
        book[side][float(price)] = int(lots)
    else:
        book[side].pop(float(price), None)


def _top(book: dict[str, dict[float, int]], levels: int) -> tuple[list[list[float]], list[list[float]]]:
    bids, asks = sorted(book["buy"].items(), reverse=True), sorted(book["sell"].items())
    return [list(row) for row in bids[:levels]], [list(row) for row in asks[:levels]]


def _numbers(rows: list[list[Any]]) -> list[list[float]]:
    return [[float(price), lots] for price, lots in rows]


@pytest.mark.parametrize("speed", [1, FAST])
def test_the_streamed_book_is_contiguous_and_equals_every_other_view(speed: int) -> None:
    """Level 2 from one REST book on reproduces depth, ticker and REST at equal sequence."""

    async def run() -> None:
        async with venue(speed=speed) as bench:
            topics = [f"{MARKET}{kind}:{SYMBOL}" for kind in ("level2", "level2Depth5", "level2Depth50", "tickerV2")]
            socket = await bench.connect(*topics)
            first = await bench.get("level2/snapshot", symbol=SYMBOL)
            held = {"buy": dict(map(tuple, first["bids"])), "sell": dict(map(tuple, first["asks"]))}
            sequence, looked, compared = first["sequence"], None, dict.fromkeys(topics, 0)
            pictures: dict[int, Any] = {}
            while min(compared.values()) < 12 or looked is None:
                frame = await socket.frame()
                data, topic = frame["data"], frame["topic"]
                if topic == topics[0]:
                    if data["sequence"] <= first["sequence"]:
                        continue
                    assert data["sequence"] == sequence + 1
                    sequence += 1
                    compared[topic] += 1
                    _apply(held, data["change"])
                    pictures[sequence] = _top(held, 20)
                    if compared[topic] == 10:
                        looked = await bench.get("level2/depth20", symbol=SYMBOL)
                elif data["sequence"] >= first["sequence"]:
                    assert data["sequence"] == sequence
                    compared[topic] += 1
                    if topic == topics[3]:
                        bid, ask = data["bestBidPrice"], data["bestAskPrice"]
                        seen = ([[float(bid), data["bestBidSize"]]], [[float(ask), data["bestAskSize"]]])
                        assert seen == _top(held, 1)
                    else:
                        levels = 5 if topic == topics[1] else 50
                        assert (_numbers(data["bids"]), _numbers(data["asks"])) == _top(held, levels)
            while sequence < looked["sequence"]:
                frame = await socket.push(topics[0])
                sequence = frame["data"]["sequence"]
                _apply(held, frame["data"]["change"])
                pictures[sequence] = _top(held, 20)
            assert (looked["bids"], looked["asks"]) == pictures[looked["sequence"]]

    asyncio.run(run())


def test_without_level2_equal_sequences_are_equal_books() -> None:
    async def run() -> None:
        async with venue(speed=FAST) as bench:
            topics = [f"{MARKET}{kind}:{SYMBOL}" for kind in ("tickerV2", "level2Depth5")]
            socket = await bench.connect(*topics)
            seen: dict[int, list[tuple[str, Any]]] = {}
            rest: list[dict[str, Any]] = []
            while len(seen) < 12:
                frame = await socket.frame()
                data = frame["data"]
                if frame["topic"] == topics[0]:
                    row = (float(data["bestBidPrice"]), data["bestBidSize"])
                else:
                    row = (float(data["bids"][0][0]), data["bids"][0][1])
                seen.setdefault(data["sequence"], []).append((frame["topic"], row))
                bench.server.clock.hold(True)
                rest.append(await bench.get("level2/depth20", symbol=SYMBOL))
                seen.setdefault(rest[-1]["sequence"], []).append(("rest", tuple(rest[-1]["bids"][0])))
                for _ in range(2):
                    frame = await socket.push(topics[0])
                    held = frame["data"]
                    row = (float(held["bestBidPrice"]), held["bestBidSize"])
                    seen.setdefault(held["sequence"], []).append((frame["topic"], row))
                bench.server.clock.hold(False)
            assert all(len({row for _, row in rows}) == 1 for rows in seen.values()), seen
            assert any(len({kind for kind, _ in rows}) > 1 for rows in seen.values())
            assert [row["sequence"] for row in rest] == sorted(row["sequence"] for row in rest)

    asyncio.run(run())


async def _minutes(socket: Socket, number: int) -> dict[int, list[dict[str, Any]]]:
    """Trades by minute; the last minute is only begun."""
    trades: dict[int, list[dict[str, Any]]] = {}
    while len(trades) < number + 2:
        data = (await socket.push(f"{MARKET}execution:{SYMBOL}"))["data"]
        trades.setdefault(data["ts"] // (60 * SECOND) * 60_000, []).append(data)
    return dict(list(trades.items())[1:-1])


async def _klines(bench: Bench, granularity: int, start: int, end: int) -> dict[int, list[Any]]:
    bounds = {"from": start, "to": end}
    rows = await bench.get("kline/query", symbol=SYMBOL, granularity=granularity, **bounds)
    return {row[0]: row for row in rows}


def test_trades_add_up_to_the_kline_of_every_minute() -> None:
    async def run() -> None:
        async with venue(speed=FAST) as bench:
            socket = await bench.connect(f"{MARKET}execution:{SYMBOL}")
            trades = await _minutes(socket, 8)
            rows = await _klines(bench, 1, min(trades), max(trades))
            assert list(rows) == list(trades)
            for start, told in trades.items():
                prices = [float(trade["price"]) for trade in told]
                figures = [prices[0], max(prices), min(prices), prices[-1], sum(trade["size"] for trade in told)]
                assert rows[start][1:6] == figures
                assert 4 <= len(told) <= 8
            numbers = [trade["sequence"] for told in trades.values() for trade in told]
            assert all(b > a for a, b in pairwise(numbers))
            assert any(b > a + 1 for a, b in pairwise(numbers))

    asyncio.run(run())


def test_candles_end_with_the_kline_and_the_last_word_comes_late() -> None:
    async def run() -> None:
        topic = f"{MARKET}limitCandle:{SYMBOL}_1min"
        async with venue(speed=FAST, cadence={"candle_s": 0.025}) as bench:
            socket = await bench.connect(topic)
            last: dict[int, list[str]] = {}
            order = []
            while len(last) < 8:
                data = (await socket.push(topic))["data"]
                start = int(data["candles"][0])
                order.append(start)
                last[start] = data["candles"]
            final = dict(list(last.items())[1:-2])
            rows = await _klines(bench, 1, min(final) * 1000, max(final) * 1000)
            for start, (_, open_, close, high, low, turnover, lots) in final.items():
                row = rows[start * 1000]
                assert [float(open_), float(high), float(low), float(close), int(lots)] == row[1:6]
                assert float(turnover) == pytest.approx(row[6], rel=1e-9)
            assert order != sorted(order)  # an ended candle was told after its successor had begun

    asyncio.run(run())


@pytest.mark.parametrize(("meaning", "column"), [("turnover", 6), ("lots", 5)])
def test_the_fifth_candle_column_is_a_setting(meaning: str, column: int) -> None:
    async def run() -> None:
        topic = f"{MARKET}limitCandle:{SYMBOL}_1hour"
        async with venue(speed="max", unknowns={"candle_column_5": meaning}) as bench:
            data = (await (await bench.connect(topic)).push(topic))["data"]
            start = int(data["candles"][0]) * 1000
            row = (await _klines(bench, 60, start, start))[start]
            assert float(data["candles"][5]) > 0
            if bench.server.clock.now() // MS == data["time"]:
                assert float(data["candles"][5]) == pytest.approx(row[column])
            assert ("." in data["candles"][5] and data["candles"][5].endswith(".0")) is (meaning == "lots")

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["3min", "12hour", "1day", "1week", "1month"])
def test_every_candle_type_has_a_running_candle(kind: str) -> None:
    async def run() -> None:
        topic = f"{MARKET}limitCandle:{SYMBOL}_{kind}"
        async with venue() as bench:
            data = (await (await bench.connect(topic)).push(topic))["data"]
            _, open_, close, high, low, turnover, lots = map(float, data["candles"])
            assert low <= min(open_, close) <= max(open_, close) <= high
            assert int(lots) > 0
            assert turnover > 0

    asyncio.run(run())


def test_a_ticker_follows_a_trade_that_moves_the_touch() -> None:
    async def run() -> None:
        slow = {"ticker_classes": [[1000, 0.001]], "ticker_min_ms": 1}
        async with venue(speed=FAST, cadence=slow) as bench:
            topic = f"{MARKET}tickerV2:{SYMBOL}"
            socket = await bench.connect(topic)
            seen = [await socket.push(topic) for _ in range(6)]
            touches = [(row["data"]["bestBidPrice"], row["data"]["bestAskPrice"]) for row in seen]
            assert all(a != b for a, b in pairwise(touches[1:]))
            # ticker_min_ms counts venue time here: 1 ms at this speed is 0.24 s, and as many venue seconds again
            stamps = [row["data"]["ts"] for row in seen]
            assert all(b - a > FAST * 0.12 * SECOND for a, b in pairwise(stamps[1:]))

    asyncio.run(run())


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="prot"):
        settings_from({"prot": 1})
    with pytest.raises(ConfigError) as caught:
        settings_from({"market": "/nowhere", "cert": "/nothing.pem", "start": "soon"})
    assert len(caught.value.problems) == 4
