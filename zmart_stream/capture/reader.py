"""Reads a capture: segments in order, each up to its last whole block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from zmart_stream.capture.format import (
    DERIVED,
    END,
    FORMAT,
    HEAD,
    INPUTS,
    MAGIC,
    SUFFIX,
    SegmentEnd,
    SegmentHead,
    unframe,
)
from zmart_stream.domain.errors import CaptureError, TornSegmentError
from zmart_stream.domain.message import Message
from zmart_stream.domain.messages import Derived, Input

T = TypeVar("T")
_decode_head = msgspec.msgpack.Decoder(SegmentHead).decode
_decode_end = msgspec.msgpack.Decoder(SegmentEnd).decode
_decode_inputs = msgspec.msgpack.Decoder(list[Input]).decode
_decode_derived = msgspec.msgpack.Decoder(list[Derived]).decode


class Record(msgspec.Struct, frozen=True):
    """One block of messages: inputs as the core took them, or what it derived."""

    is_input: bool
    messages: tuple[Message, ...]


class Segment:
    """One file. `head` is read at once; `records` runs through the rest and then knows whether it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = memoryview(path.read_bytes())
        if len(self._data) < len(MAGIC):
            raise TornSegmentError(f"{path.name}: cut before its first block")
        if self._data[: len(MAGIC) - 1] != MAGIC[:-1]:
            raise CaptureError(f"{path.name}: not a capture segment")
        if self._data[len(MAGIC) - 1] != FORMAT:
            raise CaptureError(f"{path.name}: format {self._data[len(MAGIC) - 1]}, this release reads {FORMAT}")
        first = unframe(self._data, len(MAGIC))
        if first is None:
            raise TornSegmentError(f"{path.name}: cut within its head")
        if first[0].kind != HEAD:
            raise CaptureError(f"{path.name}: does not begin with a head")
        self.head: SegmentHead = _decode(path, _decode_head, first[0].content)
        self._body = first[1]
        self.end: SegmentEnd | None = None

    def records(self) -> Iterator[Record]:
        """The blocks of messages in file order, up to the last whole one; afterwards `is_whole` is known."""
        at = self._body
        while (found := unframe(self._data, at)) is not None:
            block, at = found
            if block.kind == INPUTS:
                yield Record(is_input=True, messages=tuple(_decode(self.path, _decode_inputs, block.content)))
            elif block.kind == DERIVED:
                yield Record(is_input=False, messages=tuple(_decode(self.path, _decode_derived, block.content)))
            elif block.kind == END:
                self.end = _decode(self.path, _decode_end, block.content)
                return
            else:
                raise CaptureError(f"{self.path.name}: unknown block kind {block.kind}")

    @property
    def is_whole(self) -> bool:
        """Whether the segment was closed in order; meaningful after `records` ran to its end."""
        return self.end is not None


class CaptureReader:
    """A capture directory. Raises CaptureError when it holds no segment, or one that this release cannot read."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self.paths = tuple(sorted(self._directory.glob(f"*{SUFFIX}")))
        if not self.paths:
            raise CaptureError(f"{self._directory}: no capture segment (*{SUFFIX})")

    def segments(self) -> Iterator[Segment]:
        """The segments in order; one that was cut before its first message is passed over."""
        for path in self.paths:
            try:
                segment = Segment(path)
            except TornSegmentError:
                continue
            yield segment


def _decode(path: Path, decode: Callable[[bytes], T], content: bytes) -> T:
    try:
        return decode(content)
    except msgspec.MsgspecError as error:
        raise CaptureError(f"{path.name}: a block of another release: {error}") from error
