"""Every rule of a submitted signal: field, value and rule are named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmart_stream.domain.messages import pack, unpack_input
from zmart_stream.domain.signals import SubmitSignal
from zmart_stream.signals.validation import problems, symbol_of

NS = 1_000_000_000
LISTED = {"XBTUSDTM": "XBTUSDTM", "uuid-x": "XBTUSDTM", "ETHUSDTM": "ETHUSDTM", "uuid-e": "ETHUSDTM"}


def command(**fields: Any) -> SubmitSignal:
    given: dict[str, Any] = {
        "source_name": "TestSource",
        "signal_type": "MOMENTUM",
        "signal_strength": 0.8,
        "confidence_level": 0.7,
        "owner": "t",
        **fields,
    }
    return SubmitSignal(ts=1000 * NS, request_id="r", **given)


def wrong(**fields: Any) -> list[tuple[str, object, str]]:
    return [(p.field, p.value, p.code) for p in problems(command(**fields), LISTED.get)]


def nested(levels: int) -> dict[str, Any]:
    data: Any = 1
    for _ in range(levels):
        data = {"a": [data]} if levels > 100 else {"a": data}
    return data


def test_the_guides_own_bodies_are_valid() -> None:
    assert wrong() == []
    assert wrong(symbol_id="uuid-x", signal_direction="BUY", signal_data={"timeframe": "4h", "details": {"a": 1}}) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"source_name": ""}, ("source_name", "", "invalid")),
        ({"source_name": " bot"}, ("source_name", " bot", "invalid")),
        ({"source_name": "a\nb"}, ("source_name", "a\nb", "invalid")),
        ({"source_name": "x" * 65}, ("source_name", "x" * 65, "invalid")),
        ({"source_name": "detector.x"}, ("source_name", "detector.x", "source_taken")),
        ({"signal_type": "Breakout"}, ("signal_type", "Breakout", "invalid")),
        ({"signal_type": "A" * 33}, ("signal_type", "A" * 33, "invalid")),
        ({"signal_strength": -0.01}, ("signal_strength", -0.01, "invalid")),
        ({"signal_strength": float("inf")}, ("signal_strength", "inf", "invalid")),
        ({"confidence_level": 1.01}, ("confidence_level", 1.01, "invalid")),
        ({"symbol": "NOSUCH"}, ("symbol", "NOSUCH", "unknown_symbol")),
        ({"symbol_id": "nosuch"}, ("symbol_id", "nosuch", "unknown_symbol")),
        ({"symbol": "ETHUSDTM", "symbol_id": "uuid-x"}, ("symbol_id", "uuid-x", "invalid")),
        ({"signal_direction": "buy"}, ("signal_direction", "buy", "invalid")),
        ({"signal_data": {"a": "x" * 16384}}, ("signal_data", 16392, "too_large")),
        ({"signal_data": nested(17)}, ("signal_data", None, "invalid")),
        ({"signal_data": {"a": [1, {"b": 2**63}]}}, ("signal_data", None, "invalid")),
        ({"idempotency_key": "k\udcff"}, ("idempotency_key", "k?", "invalid")),
        ({"idempotency_key": ""}, ("idempotency_key", "", "invalid")),
        ({"idempotency_key": "k" * 129}, ("idempotency_key", "k" * 80 + "…", "invalid")),
        ({"expires_in_s": 0.0}, ("expires_in_s", 0.0, "invalid")),
        ({"expires_in_s": 604801.0}, ("expires_in_s", 604801.0, "invalid")),
        ({"expires_in_s": float("nan")}, ("expires_in_s", "nan", "invalid")),
        ({"expires_at": 1000 * NS}, ("expires_at", "1970-01-01T00:16:40.000Z", "invalid")),
        ({"expires_at": 1001 * NS, "expires_in_s": 1.0}, ("expires_at", "1970-01-01T00:16:41.000Z", "invalid")),
        ({"expires_at": 1 << 62}, ("expires_at", "2116-02-20T23:53:38.427Z", "invalid")),
    ],
)
def test_each_rule(fields: dict[str, Any], expected: tuple[str, object, str]) -> None:
    assert wrong(**fields) == [expected]


def test_the_edges_are_inside() -> None:
    edges: dict[str, Any] = {
        "source_name": "x" * 64,
        "signal_type": "A" + "_" * 31,
        "signal_strength": 0.0,
        "confidence_level": 1.0,
        "signal_data": {"a": "x" * (16384 - 8)},
        "idempotency_key": "k" * 128,
        "expires_in_s": 604800.0,
    }
    assert wrong(**edges) == []
    assert wrong(signal_data=nested(16)) == []
    assert wrong(source_name="detector.x", owner="machine") == []


def test_no_depth_of_data_exhausts_the_stack() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert [p.field for p in problems(command(signal_data=deep), LISTED.get)] == ["signal_data"]
    while deep:  # taken apart step by step: even freeing it recurses
        deep = deep.pop("a")


def test_a_signal_names_its_contract_either_way_or_none() -> None:
    assert symbol_of(command(), LISTED.get) is None
    assert symbol_of(command(symbol_id="uuid-e"), LISTED.get) == "ETHUSDTM"
    assert symbol_of(command(symbol="XBTUSDTM", symbol_id="uuid-x"), LISTED.get) == "XBTUSDTM"


@given(
    name=st.text(max_size=80),
    kind=st.text(max_size=40),
    figures=st.tuples(st.floats(), st.floats()),
    data=st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.floats() | st.text(max_size=5), st.lists)),
    times=st.tuples(st.none() | st.floats(), st.none() | st.integers(-(2**60), 2**60)),
)
def test_whatever_is_sent_is_answered_with_scalars(
    name: str,
    kind: str,
    figures: tuple[float, float],
    data: dict[str, Any],
    times: tuple[float | None, int | None],
) -> None:
    sent = command(
        source_name=name,
        signal_type=kind,
        signal_strength=figures[0],
        confidence_level=figures[1],
        signal_data=data,
        expires_in_s=times[0],
        expires_at=times[1],
    )
    for problem in problems(sent, LISTED.get):
        assert problem.rule
        assert problem.value is None or isinstance(problem.value, str | int | float)
        assert problem.value == problem.value
    assert type(unpack_input(pack(sent))) is SubmitSignal
