"""Packing of the engine's state and of bar blocks: msgpack inside a zstd frame with a checksum."""

from __future__ import annotations

from typing import Any

import msgspec
import zstandard

from zmart_stream.domain.bars import BarBlock
from zmart_stream.domain.errors import SnapshotError

MAX_BYTES = 1 << 30
"""A frame that claims more than this is not ours."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_decode_block = msgspec.msgpack.Decoder(tuple[tuple[str, ...], bytes]).decode


def pack(state: dict[str, Any] | bytes) -> bytes:
    """`state`, or its msgpack, as one compressed frame. Takes milliseconds: call it off the loop."""
    data = state if isinstance(state, bytes) else _encode(state)
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(data)


def unpack(payload: bytes) -> dict[str, Any]:
    """What `pack` was given. Raises SnapshotError for anything else."""
    try:
        state = _decode(_inflate(payload))
    except (msgspec.DecodeError, zstandard.ZstdError) as error:
        raise SnapshotError(f"stored state cannot be read: {error}") from error
    if not isinstance(state, dict):
        raise SnapshotError("stored state is not a table")
    return state


def pack_block(block: BarBlock) -> bytes:
    """Symbols and columns of `block` as one compressed frame."""
    return pack(_encode((block.symbols, block.columns)))


def unpack_block(interval_s: int, start: int, ts: int, payload: bytes) -> BarBlock:
    """The block that was packed. Raises SnapshotError for anything else."""
    try:
        symbols, columns = _decode_block(_inflate(payload))
    except (msgspec.DecodeError, zstandard.ZstdError) as error:
        raise SnapshotError(f"stored bars of {interval_s} s from {start} cannot be read: {error}") from error
    return BarBlock(ts=ts, interval_s=interval_s, start=start, symbols=symbols, columns=columns)


def _inflate(payload: bytes) -> bytes:
    if zstandard.frame_content_size(payload) > MAX_BYTES:
        raise zstandard.ZstdError("frame too large")
    return zstandard.ZstdDecompressor().decompress(payload)
