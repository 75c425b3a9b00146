"""Writes a capture: messages are packed as they come, compressed and written block by block."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import BinaryIO

import msgspec

from zmart_stream.capture.format import DERIVED, END, HEAD, INPUTS, MAGIC, SUFFIX, SegmentEnd, SegmentHead, frame
from zmart_stream.domain.errors import CaptureError
from zmart_stream.domain.message import Message

_MAX_WAITING = 64
"""Blocks handed to the executor and not yet on file; beyond them `flush` waits for the oldest, so nothing is lost."""

_pack = msgspec.msgpack.Encoder().encode


class CaptureWriter:
    """One capture directory. First `head`, then any mix of `inputs` and `derived`; `flush` sends blocks to the file.

    With an `executor` (of one worker, or blocks would overtake each other) compressing and writing happen there, and a
    failure there is raised by a later call here. At `segment_bytes` on file `wants_cut` asks for a new segment.
    Raises CaptureError when used out of order, OSError when the disk refuses.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        executor: Executor | None = None,
        block_bytes: int = 1 << 20,
        segment_bytes: int = 256 << 20,
    ) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._number = _last_number(self._directory)
        self._executor = executor
        self._block_bytes = block_bytes
        self._segment_bytes = segment_bytes
        self._waiting: deque[Future[None]] = deque()
        self._segment: _SegmentFile | None = None
        self._inputs = _Buffer()
        self._derived = _Buffer()
        self.total_inputs = 0
        self.total_derived = 0

    @property
    def wants_cut(self) -> bool:
        """Whether the segment has grown so large that the next close should begin a new one."""
        return self._segment is not None and self._segment.written >= self._segment_bytes

    def head(self, head: SegmentHead) -> None:
        """Begin a new segment and end the present one; what was derived from its inputs must have been told before."""
        self._end_segment()
        self._number += 1
        self._segment = segment = _SegmentFile(self._directory / f"{self._number:06d}{SUFFIX}")
        counted = msgspec.structs.replace(head, inputs=self.total_inputs, derived=self.total_derived)
        self._submit(lambda: segment.begin(counted))

    def inputs(self, messages: Iterable[Message]) -> None:
        """Record inputs in the order the core takes them."""
        self._inputs.extend(messages)
        if self._inputs.size >= self._block_bytes:
            self.flush()

    def input(self, message: Message) -> None:
        """Record one input."""
        self.inputs((message,))

    def derived(self, messages: Iterable[Message]) -> None:
        """Record what the core derived from inputs already recorded."""
        self._derived.extend(messages)
        if self._derived.size >= self._block_bytes:
            self.flush()

    def flush(self) -> None:
        """Send what is packed on its way to the file: inputs before what was derived from them."""
        segment = self._segment
        if segment is None:
            raise CaptureError("a capture needs a head before its messages")
        self._raise_failures()
        self.total_inputs += self._send(segment, INPUTS, self._inputs)
        self.total_derived += self._send(segment, DERIVED, self._derived)

    def close(self) -> None:
        """End the segment and wait until it is on disk, said to be whole. Blocks."""
        self._end_segment()
        while self._waiting:
            self._waiting.popleft().result()

    def _end_segment(self) -> None:
        segment = self._segment
        if segment is not None:
            self.flush()
            self._segment = None
            self._submit(segment.end)

    def _send(self, segment: _SegmentFile, kind: int, buffer: _Buffer) -> int:
        if not buffer.count:
            return 0
        content, count = buffer.take()
        self._submit(lambda: segment.block(kind, content, count))
        return count

    def _submit(self, work: Callable[[], None]) -> None:
        if self._executor is None:
            work()
            return
        while len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._executor.submit(work))

    def _raise_failures(self) -> None:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()


class _SegmentFile:
    """The file of one segment; its methods run in order, here or in the executor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._counts = {INPUTS: 0, DERIVED: 0}
        self.written = 0

    def begin(self, head: SegmentHead) -> None:
        self._file = self._path.open("xb", buffering=0)
        self._write(MAGIC + frame(HEAD, _pack(head)))

    def block(self, kind: int, content: bytes, count: int) -> None:
        self._counts[kind] += count
        self._write(frame(kind, content))

    def end(self) -> None:
        self._write(frame(END, _pack(SegmentEnd(inputs=self._counts[INPUTS], derived=self._counts[DERIVED]))))
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _write(self, data: bytes) -> None:
        if self._file is None:
            raise CaptureError(f"{self._path.name}: the segment is not open")
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.written += len(data)


class _Buffer:
    """A msgpack array in the making: elements packed now, their count in front when it is taken."""

    def __init__(self) -> None:
        self._packed = bytearray()
        self.count = 0

    @property
    def size(self) -> int:
        return len(self._packed)

    def extend(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._packed += _pack(message)
            self.count += 1

    def take(self) -> tuple[bytes, int]:
        count, packed = self.count, self._packed
        self._packed = bytearray()
        self.count = 0
        return b"\xdd" + count.to_bytes(4, "big") + packed, count


def _last_number(directory: Path) -> int:
    return max((int(path.stem) for path in directory.glob(f"*{SUFFIX}") if path.stem.isdigit()), default=0)
