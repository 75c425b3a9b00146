"""The capture's file format: segments of framed, compressed, checked blocks.

A segment is `MAGIC`, then blocks. A block is `kind (1) | length (4) | crc32 (4) | payload`, numbers little-endian; the
crc covers kind, length and payload, the payload is one zstd frame. Kinds: head (a `SegmentHead`), inputs and derived
(each a msgpack array of messages), end (a `SegmentEnd`: the segment was closed, nothing is missing). A file cut
anywhere is readable up to its last whole block.
"""

from __future__ import annotations

import platform
import struct
import zlib
from typing import Any

import msgspec
import numpy as np
import zstandard

from zmart_stream import __version__
from zmart_stream.domain.contract import Contract
from zmart_stream.domain.errors import CaptureError
from zmart_stream.domain.settings import CoreSettings

FORMAT = 1
MAGIC = b"ZMCAP\x00\x00" + bytes([FORMAT])
SUFFIX = ".zcap"
HEAD, INPUTS, DERIVED, END = b"HIDE"
_FRAME = struct.Struct("<BII")
_LEVEL = 3
MAX_BLOCK = 1 << 30
"""Bytes of payload above which a length cannot be meant."""


def machine_facts() -> dict[str, str]:
    """What bit-identity depends on beside the release: Python, NumPy, its BLAS and the CPU features it uses."""
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]  # the stub says None
    blas = config.get("Build Dependencies", {}).get("blas", {})
    simd = config.get("SIMD Extensions", {})
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'none')} {blas.get('version', '')}".strip(),
        "cpu_features": " ".join([*simd.get("baseline", []), *simd.get("found", [])]),
    }


class SegmentHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment needs to replay alone: the engine's full state before its first input, and what made it."""

    ts: int  # market time of the cut, ns
    session: int
    settings: CoreSettings
    revision: int
    scorers: tuple[tuple[str, str], ...]  # (name, dotted path of its class)
    contracts: tuple[Contract, ...]
    snapshot: dict[str, Any]
    inputs: int = 0  # sequence numbers: messages of this capture before this segment
    derived: int = 0
    format: int = FORMAT
    release: str = __version__
    machine: dict[str, str] = msgspec.field(default_factory=machine_facts)


class SegmentEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Written when a segment is closed in order."""

    inputs: int
    derived: int


def frame(kind: int, content: bytes | bytearray) -> bytes:
    """`content` compressed and framed."""
    payload = zstandard.ZstdCompressor(level=_LEVEL).compress(content)
    crc = zlib.crc32(payload, zlib.crc32(struct.pack("<BI", kind, len(payload))))
    return _FRAME.pack(kind, len(payload), crc) + payload


class Block(msgspec.Struct, frozen=True):
    """One whole block as read: its kind and its decompressed content."""

    kind: int
    content: bytes


def unframe(data: memoryview, at: int) -> tuple[Block, int] | None:
    """The block that begins at `at` and the offset behind it; None if it is cut off or damaged."""
    if at + _FRAME.size > len(data):
        return None
    kind, length, crc = _FRAME.unpack_from(data, at)
    start = at + _FRAME.size
    if length > MAX_BLOCK or start + length > len(data):
        return None
    payload = data[start : start + length]
    if zlib.crc32(payload, zlib.crc32(struct.pack("<BI", kind, length))) != crc:
        return None
    try:
        return Block(kind, zstandard.ZstdDecompressor().decompress(bytes(payload))), start + length
    except zstandard.ZstdError as error:
        raise CaptureError(f"a block with a valid check sum does not decompress: {error}") from error
