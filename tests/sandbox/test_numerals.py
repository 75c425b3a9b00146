"""Numbers as the venue writes them."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmart_stream.sandbox.numerals import decimals_of, java_column, java_number, java_values, price_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.1e-5, "8.1E-5"),
        (2.9397e7, "2.9397E7"),
        (-3.2e-5, "-3.2E-5"),
        (1e7, "1.0E7"),
        (9999999.5, "9999999.5"),
        (0.001, "0.001"),
        (0.00099, "9.9E-4"),
        (85123.45, "85123.45"),
        (0.0, "0.0"),
        (1e-8, "1.0E-8"),
        (691234567.8912, "6.912345678912E8"),
        (1e300, "1.0E300"),
    ],
)
def test_a_double_is_written_as_java_writes_it(value: float, text: str) -> None:
    assert java_number(value) == text


def test_integer_values_come_with_and_without_a_fraction() -> None:
    assert {java_number(84477.0), java_number(84478.0)} == {"84477", "84478.0"}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_text_is_json_and_means_the_same_number(value: float) -> None:
    assert msgspec.json.decode(java_number(value).encode(), type=float) == value


def test_columns_and_trees_are_converted_alike() -> None:
    column = np.array([1e8, 2.5])
    assert msgspec.json.encode(java_column(column)) == b"[1.0E8,2.5]"
    assert msgspec.json.encode(java_values({"a": [8.1e-5, 3], "b": None})) == b'{"a":[8.1E-5,3],"b":null}'


@pytest.mark.parametrize(("tick", "decimals"), [(0.1, 1), (1e-8, 8), (5.0, 0), (0.05, 2), (1.0, 0), (100.0, 0)])
def test_decimals_follow_the_tick(tick: float, decimals: int) -> None:
    assert decimals_of(tick) == decimals


@given(st.integers(1, 10**9), st.integers(0, 10))
def test_socket_prices_are_plain_and_without_trailing_zeros(ticks: int, decimals: int) -> None:
    price = ticks / 10**decimals
    text = price_text(price, decimals).decode()
    assert "e" not in text.lower()
    assert not ("." in text and text[-1] in "0.")
    assert math.isclose(float(text), price, rel_tol=1e-12)
