"""Frames in every form the venue is known to use become the right messages; anything else is refused with a reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from zmart_stream.domain.errors import MalformedMessageError
from zmart_stream.domain.market import Depth, FundingEstimate, FundingSettled, MarkIndex, Ticker, Trade
from zmart_stream.domain.message import Message
from zmart_stream.feeds.kucoin.frames import Control
from zmart_stream.feeds.kucoin.wire import Wire

NS = 1_000_000_000
NOW = 1_793_940_000_500_000_000
WIRE = Wire(ahead_ns=60 * NS, behind_ns=86_400 * NS)


def push(topic: str, subject: str, data: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"topic": topic, "type": "message", "subject": subject, "data": data, **more}).encode()


def ticker(**changes: Any) -> bytes:
    data = {
        "symbol": "XBTUSDTM",
        "sequence": 1748200000123,
        "bestBidSize": 412,
        "bestBidPrice": "85122.9",
        "bestAskPrice": "85123",
        "bestAskSize": 55,
        "ts": 1793940000321000000,
    }
    return push("/contractMarket/tickerV2:XBTUSDTM", "tickerV2", without_none({**data, **changes}), sn=1748200000123)


def trade(**changes: Any) -> bytes:
    data = {
        "symbol": "XBTUSDTM",
        "sequence": 1945800000456,
        "side": "sell",
        "size": 3,
        "price": "85122.9",
        "takerOrderId": "497000000000000011",
        "makerOrderId": "497000000000000007",
        "tradeId": "1945800000456",
        "ts": 1793940000325000000,
    }
    return push("/contractMarket/execution:XBTUSDTM", "match", without_none({**data, **changes}))


def depth(**changes: Any) -> bytes:
    data = {
        "bids": [["85122.9", 412], ["85122.5", 7]],
        "sequence": 1748200000140,
        "timestamp": 1793940000400,
        "ts": 1793940000400,
        "asks": [["85123", 55], ["85123.6", 21]],
    }
    return push("/contractMarket/level2Depth5:XBTUSDTM", "level2", without_none({**data, **changes}))


def instrument(subject: str, **data: Any) -> bytes:
    return push("/contract/instrument:XBTUSDTM", subject, data)


def without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


TICKER = Ticker(
    ts=NOW,
    ts_event=1793940000321000000,
    symbol="XBTUSDTM",
    sequence=1748200000123,
    bid=85122.9,
    bid_lots=412,
    ask=85123.0,
    ask_lots=55,
)
TRADE = Trade(
    ts=NOW,
    ts_event=1793940000325000000,
    symbol="XBTUSDTM",
    sequence=1945800000456,
    price=85122.9,
    lots=3,
    side="sell",
)
DEPTH = Depth(
    ts=NOW,
    ts_event=1793940000400000000,
    symbol="XBTUSDTM",
    sequence=1748200000140,
    bids=((85122.9, 412), (85122.5, 7)),
    asks=((85123.0, 55), (85123.6, 21)),
    source="stream",
)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (ticker(), TICKER),
        (ticker(bestBidPrice=85122.9, bestAskPrice=85123), TICKER),
        (ticker(bestBidSize="412", bestAskSize=55.0), TICKER),
        (ticker(unheard={"of": [1, 2]}), TICKER),
        (ticker(ts=1793940000321000123), msgspec.structs.replace(TICKER, ts_event=1793940000321000123)),
        (ticker(bestBidPrice="0", bestBidSize=0), msgspec.structs.replace(TICKER, bid=0.0, bid_lots=0)),
        (ticker(bestAskPrice=None, bestAskSize=None), msgspec.structs.replace(TICKER, ask=0.0, ask_lots=0)),
        (trade(), TRADE),
        (trade(price=85122.9, tradeId="6057bc953c7feb667195bac9", makerUserId="5e568500eb029b0008715785"), TRADE),
        (trade(price="8.51229E4", matchSize=3, time=1), TRADE),
        (depth(), DEPTH),
        (depth(bids=[[85122.9, 412], [85122.5, "7"]], asks=[[85123, 55], [85123.6, 21.0]]), DEPTH),
        (depth(asks=[["85123.6", "21"], ["85123", "55"]], ts=1793940000400000000, timestamp=None), DEPTH),
        (depth(ts=None, sequence=None), msgspec.structs.replace(DEPTH, sequence=None)),
        (depth(bids=[]), msgspec.structs.replace(DEPTH, bids=())),
        (depth(bids=[["85122.9", 412], ["85122.8", 0], ["85122.5", 7]]), DEPTH),
        (
            instrument(
                "mark.index.price",
                markPrice=85123.45,
                indexPrice=85130.11,
                granularity=1000,
                timestamp=1793940001000,
            ),
            MarkIndex(ts=NOW, ts_event=1793940001000000000, symbol="XBTUSDTM", mark=85123.45, index=85130.11),
        ),
        (
            instrument("funding.rate", period=1, granularity=60000, fundingRate=-2e-6, timestamp=1793939940000),
            FundingEstimate(ts=NOW, ts_event=1793939940000000000, symbol="XBTUSDTM", rate=-2e-6),
        ),
        (
            instrument("funding.rate", granularity=14400000, fundingRate=6.9e-5, timestamp=1793939940000),
            FundingSettled(ts=NOW, ts_event=1793939940000000000, symbol="XBTUSDTM", rate=6.9e-5, interval_s=14400),
        ),
        (
            push(
                "/contract/announcement",
                "funding.end",
                {"symbol": "TUSDTM", "fundingTime": 1793939940000, "fundingRate": 0, "timestamp": 1793939950000},
            ),
            FundingSettled(ts=NOW, ts_event=1793939940000000000, symbol="TUSDTM", rate=0.0),
        ),
        (b'{"id":"c-1","type":"welcome"}', Control("welcome", "c-1", 0, "")),
        (b'{"id":901,"type":"pong","timestamp":1793940000123456}', Control("pong", "901", 0, "")),
        (
            b'{"id":"1","type":"error","code":404,"data":"topic /contractMarket/tickerV2:X does not exist"}',
            Control("error", "1", 404, "topic /contractMarket/tickerV2:X does not exist"),
        ),
        (b'{"type":"error","code":"400","data":"ping timeout"}', Control("error", "", 400, "ping timeout")),
        (push("/contractMarket/level2:XBTUSDTM", "level2", {"sequence": 1, "change": "1,buy,2"}), None),
        (push("/contractMarket/snapshot:XBTUSDTM", "snapshot.24h", {"lastPrice": 1}), None),
        (ticker().replace(b"/contractMarket/", b"\\/contractMarket\\/"), TICKER),
    ],
)
def test_every_known_form_decodes(frame: bytes, expected: object) -> None:
    assert WIRE.decode(frame, NOW) == expected


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b'{"topic":"\\ud800","type":"message"}', "bad_json"),
        (ticker()[:-3], "bad_json"),
        (b"[1]", "bad_type"),
        (b"null", "bad_type"),
        (b'{"type":"message","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
        (ticker().replace(b'"unheard"', b"").replace(b'"data"', b'"deta"'), "missing_field"),
        (ticker(sequence=None), "missing_field"),
        (ticker(ts=None), "missing_field"),
        (ticker(sequence=-1), "out_of_range"),
        (ticker(sequence=1 << 64), "out_of_range"),
        (ticker(bestBidPrice="-1"), "out_of_range"),
        (ticker(bestAskPrice="nan"), "not_finite"),
        (ticker(bestAskPrice="inf"), "not_finite"),
        (ticker(bestAskPrice="1e999"), "out_of_range"),
        (ticker().replace(b'"85123"', b"1e999"), "out_of_range"),
        (ticker().replace(b'"85123"', b"NaN"), "bad_json"),
        (ticker(bestBidPrice="8_5"), "bad_type"),
        (ticker(bestBidPrice="abc"), "bad_type"),
        (ticker(bestBidPrice=True), "bad_type"),
        (ticker(bestBidPrice=[1]), "bad_type"),
        (ticker(bestBidSize=1.5), "bad_type"),
        (ticker(bestBidSize=1 << 60), "out_of_range"),
        (ticker(bestBidSize=-5), "out_of_range"),
        (ticker(ts=1_400_000_000_000_000_000), "implausible_time"),
        (ticker(ts=NOW + 61 * NS), "implausible_time"),
        (ticker(ts=NOW - 86_401 * NS), "implausible_time"),
        (ticker(ts=0), "implausible_time"),
        (ticker(ts=10**40), "implausible_time"),
        (trade(side="hold"), "unknown_side"),
        (trade(side=None), "missing_field"),
        (trade(size=0), "out_of_range"),
        (trade(price="0"), "out_of_range"),
        (trade(price=None), "missing_field"),
        (depth(bids=[["-1", 2]]), "out_of_range"),
        (depth(bids=[["1", -2]]), "out_of_range"),
        (depth(bids=[["nan", 2]]), "not_finite"),
        (depth(bids=[["1"]]), "bad_type"),
        (depth(bids="1"), "bad_type"),
        (depth(ts=None, timestamp=None), "missing_field"),
        (instrument("mark.index.price", markPrice=0, indexPrice=1, timestamp=1793940000000), "out_of_range"),
        (instrument("mark.index.price", markPrice=1, timestamp=1793940000000), "missing_field"),
        (instrument("funding.rate", fundingRate=None, timestamp=1793940000000), "missing_field"),
        (instrument("funding.rate", fundingRate=2, timestamp=1793940000000), "out_of_range"),
        (
            instrument("funding.rate", fundingRate=0, granularity=10**17, timestamp=1793940000000),
            "out_of_range",
        ),
        (push("/contractMarket/tickerV2", "tickerV2", {}), "missing_field"),
    ],
)
def test_what_cannot_be_believed_is_refused_with_its_reason(frame: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessageError) as refused:
        WIRE.decode(frame, NOW)
    assert refused.value.reason == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("buy") | st.just("1e999"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "symbol sequence bestBidSize bestBidPrice bestAskPrice bestAskSize ts side size price bids asks timestamp".split(),
    "markPrice indexPrice granularity fundingRate fundingTime period".split(),
]


@settings(max_examples=200)
@given(
    prefix=st.sampled_from(
        [
            "/contractMarket/tickerV2:A",
            "/contractMarket/execution:A",
            "/contractMarket/level2Depth5:A",
            "/contract/instrument:A",
            "/contract/announcement",
        ]
    ),
    subject=st.sampled_from(["tickerV2", "match", "level2", "mark.index.price", "funding.rate", "funding.begin"]),
    data=st.dictionaries(st.sampled_from([*FIELDS[0], *FIELDS[1]]), JSON, max_size=12),
    cut=st.integers(0, 400) | st.none(),
)
def test_nothing_but_a_refusal_escapes_a_pushed_frame(
    prefix: str, subject: str, data: dict[str, Any], cut: int | None
) -> None:
    frame = push(prefix, subject, data)[:cut]
    note(repr(frame))
    try:
        message = WIRE.decode(frame, NOW)
    except MalformedMessageError:
        return
    assert message is None or isinstance(message, Control) or msgspec.msgpack.encode(message)


@settings(max_examples=200)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_nothing_but_a_refusal_escapes_any_bytes(frame: bytes) -> None:
    try:
        found: object = WIRE.decode(frame, NOW)
    except MalformedMessageError as refusal:
        found = refusal
    assert found is None or isinstance(found, Message | Control | MalformedMessageError)


def test_the_captured_frames_decode_to_their_values(shared_data: Path) -> None:
    lines = gzip.decompress((shared_data / "kucoin_ws" / "futures_and_spot_frames.jsonl.gz").read_bytes())
    found: dict[str, object] = {}
    for line in lines.decode().splitlines():
        frame = json.loads(line)
        topic = str(frame.get("topic", ""))
        if not topic.startswith("/contractMarket/"):
            continue
        data = frame["data"]
        stamp = int(data.get("ts", data.get("timestamp", data.get("time", 0))))
        now = stamp if stamp > 10**17 else stamp * 1_000_000
        found[topic] = WIRE.decode(line.encode(), now)
    assert found["/contractMarket/tickerV2:XBTUSDTM"] == Ticker(
        ts=1654032807465857723,
        ts_event=1654032807465857723,
        symbol="XBTUSDTM",
        sequence=1643185147205,
        bid=31766.0,
        bid_lots=20074,
        ask=31767.0,
        ask_lots=1187,
    )
    assert found["/contractMarket/execution:XBTUSDTM"] == Trade(
        ts=1616362645429686578,
        ts_event=1616362645429686578,
        symbol="XBTUSDTM",
        sequence=8267947,
        price=57850.0,
        lots=16,
        side="buy",
    )
    assert found["/contractMarket/level2Depth5:XBTUSDTM"] == Depth(
        ts=1653992430005000000,
        ts_event=1653992430005000000,
        symbol="XBTUSDTM",
        sequence=1643184485510,
        bids=((31607.0, 16350), (31606.0, 7183), (31605.0, 17234), (31604.0, 553), (31603.0, 620)),
        asks=((31608.0, 32278), (31609.0, 571), (31610.0, 4456), (31611.0, 10157), (31612.0, 3185)),
        source="stream",
    )
    assert found["/contractMarket/level2:XBTUSDTM"] is None
