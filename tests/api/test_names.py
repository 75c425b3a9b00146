"""Names that were probably meant."""

from __future__ import annotations

import pytest

from zmart_stream.api.names import meant_symbols

LISTED = ("XBTUSDTM", "ETHUSDTM", "SOLUSDTM", "DOGEUSDTM")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("BTC", ["XBTUSDTM"]),
        ("btcusdt", ["XBTUSDTM"]),
        ("ETHUSDT", ["ETHUSDTM"]),
        ("SOLUSDM", ["SOLUSDTM"]),
        ("DOGE", ["DOGEUSDTM"]),
        ("NONEUSDTM", []),
    ],
)
def test_what_resembles_a_listed_name_finds_that_one_alone(asked: str, meant: list[str]) -> None:
    assert meant_symbols(asked, LISTED) == meant
