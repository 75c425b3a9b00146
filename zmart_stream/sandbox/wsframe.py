"""Websocket frames as bytes: built once, sent to every subscriber (RFC 6455, server side, unmasked)."""

from __future__ import annotations

import zlib

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_DEFLATED = 0x40
_TAIL = b"\x00\x00\xff\xff"


def frame(payload: bytes, kind: int = TEXT) -> bytes:
    """One final frame around `payload`; `kind` is its first byte."""
    size = len(payload)
    if size < 126:
        return bytes((kind, size)) + payload
    if size < 65536:
        return bytes((kind, 126)) + size.to_bytes(2, "big") + payload
    return bytes((kind, 127)) + size.to_bytes(8, "big") + payload


def payload_of(data: bytes) -> bytes:
    """The payload of a frame made by `frame`."""
    size = data[1]
    return data[2 if size < 126 else 4 if size == 126 else 10 :]


def close_frame(code: int, reason: str) -> bytes:
    """A close frame with `code` and `reason`."""
    return frame(code.to_bytes(2, "big") + reason.encode(), CLOSE)


def deflated(data: bytes, window_bits: int) -> bytes:
    """A text frame made by `frame`, compressed for permessage-deflate (RFC 7692) without use of history."""
    squeeze = zlib.compressobj(level=1, wbits=-max(9, window_bits))
    body = squeeze.compress(payload_of(data)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return frame(body.removesuffix(_TAIL), TEXT | _DEFLATED)
