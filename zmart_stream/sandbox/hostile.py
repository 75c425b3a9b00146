"""Frames that no sane venue sends, for clients that must survive them."""

from __future__ import annotations

from collections.abc import Callable

from zmart_stream.sandbox.wsframe import BINARY, TEXT, frame

_HEAD = b'{"topic":"/contractMarket/tickerV2:%b","type":"message","subject":"tickerV2","sn":1,"data":'
_TICKER = (
    _HEAD + b'{"symbol":"%b","sequence":%b,"bestBidSize":%b,"bestBidPrice":%b,"bestAskPrice":%b,'
    b'"bestAskSize":1,"ts":%b}}'
)
_TS = b"1793940000321000000"
_BIG = 2 * 1024 * 1024
_DEEP = 100_000
_OPENING_FRAGMENT, _MIDDLE_FRAGMENT = 0x01, 0x00
_FRAGMENTS, _FRAGMENT_BYTES = 64, 60_000


def _ticker(
    symbol: bytes, *, sequence: bytes = b"1", lots: bytes = b"1", bid: bytes = b'"1.0"', ask: bytes = b'"1.1"',
    ts: bytes = _TS,
) -> bytes:  # fmt: skip
    return frame(_TICKER % (symbol, symbol, sequence, lots, bid, ask, ts))


def _fragments(_symbol: bytes) -> bytes:
    size = _FRAGMENT_BYTES.to_bytes(2, "big")
    first = bytes((_OPENING_FRAGMENT, 126)) + size + b"a" * _FRAGMENT_BYTES
    return first + (bytes((_MIDDLE_FRAGMENT, 126)) + size + b"a" * _FRAGMENT_BYTES) * _FRAGMENTS


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "bad_json": lambda symbol: frame(b'{"topic":"/contractMarket/tickerV2:' + symbol + b'","type":'),
    "not_an_object": lambda _symbol: frame(b"[1,2,3]"),
    "empty": lambda _symbol: frame(b""),
    "nan": lambda symbol: _ticker(symbol, bid=b"NaN"),
    "nan_text": lambda symbol: _ticker(symbol, bid=b'"NaN"', ask=b'"Infinity"'),
    "negative_price": lambda symbol: _ticker(symbol, bid=b'"-1.5"'),
    "zero_price": lambda symbol: _ticker(symbol, bid=b'"0"', ask=b'"0"'),
    "huge_number": lambda symbol: _ticker(symbol, bid=b"1e999"),
    "huge_text": lambda symbol: _ticker(symbol, bid=b'"1e999"'),
    "huge_integer": lambda symbol: _ticker(symbol, sequence=b"9" * 400),
    "crossed": lambda symbol: _ticker(symbol, bid=b'"2.0"', ask=b'"1.0"'),
    "negative_lots": lambda symbol: _ticker(symbol, lots=b"-5"),
    "wrong_types": lambda symbol: _ticker(symbol, sequence=b'"x"', lots=b"[]", bid=b"{}", ask=b"true"),
    "absurd_time": lambda symbol: _ticker(symbol, ts=b"1"),
    "missing_fields": lambda symbol: frame(_HEAD % symbol + b"{}}"),
    "null_data": lambda symbol: frame(_HEAD % symbol + b"null}"),
    "unknown_topic": lambda symbol: frame(
        b'{"topic":"/contractMarket/unheardOf:' + symbol + b'","type":"message","subject":"x","data":{}}'
    ),
    "unknown_type": lambda _symbol: frame(b'{"type":"notice","data":{"text":"maintenance"}}'),
    "deep": lambda _symbol: frame(b'{"data":' + b"[" * _DEEP + b"]" * _DEEP + b"}"),
    "big": lambda _symbol: frame(b'{"data":"' + b"a" * _BIG + b'"}'),
    "binary": lambda _symbol: frame(b"\x00\x01\x02", BINARY),
    "bad_utf8": lambda _symbol: frame(b'{"data":"\xff\xfe"}'),
    "fragments": _fragments,
    "oversize": lambda _symbol: bytes((TEXT, 127)) + (1 << 40).to_bytes(8, "big") + b"a" * 1000,
    "reserved_bits": lambda _symbol: bytes((TEXT | 0x30, 2)) + b"{}",
    "close_stall": lambda _symbol: b"\x88\x05\x03\xe8Bye",
    "drip": lambda _symbol: bytes((TEXT, 126)) + (500).to_bytes(2, "big") + b'{"data"',
}
"""Bytes on the wire by name. The last forms break the framing: the connection is useless afterwards, and
`fragments`, `oversize`, `close_stall` and `drip` leave it open without an end of the message."""

BREAKING = ("fragments", "oversize", "reserved_bits", "close_stall", "drip")


def hostile_bytes(form: str, symbol: str) -> bytes:
    """The bytes of `form` about `symbol`; raises KeyError for an unknown form."""
    return FORMS[form](symbol.encode())
