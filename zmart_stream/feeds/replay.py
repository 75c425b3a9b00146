"""A capture played back, and the proof that the core still derives from it what it derived then."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from zmart_stream.capture.format import SegmentHead
from zmart_stream.capture.reader import CaptureReader, Segment
from zmart_stream.domain.message import Message
from zmart_stream.domain.messages import to_json

_SHOWN = 600


class Core(Protocol):
    """What playing back needs of an engine."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of a segment's head."""
        ...

    def process(self, message: Message) -> Sequence[Message]:
        """Take one input, return all that follows."""
        ...


class ReplayFeed:
    """The inputs of a capture in the order the core took them."""

    def __init__(self, reader: CaptureReader) -> None:
        self._segments = reader.segments()
        self._first = next(self._segments, None)

    @property
    def head(self) -> SegmentHead | None:
        """The first segment's head: settings and the state to begin with; None if nothing can be replayed."""
        return self._first.head if self._first is not None else None

    def __iter__(self) -> Iterator[Message]:
        """All inputs, segment after segment. Runs once."""
        if self._first is None:
            return
        for segment in (self._first, *self._segments):
            for record in segment.records():
                if record.is_input:
                    yield from record.messages


class VerifyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison found."""

    identical: bool
    derived: int  # messages compared and equal
    tail_not_recorded: int = 0  # derived anew after the last recorded one of segments that were cut off
    first_difference: str | None = None

    def __str__(self) -> str:
        if not self.identical:
            return f"different after {self.derived} derived messages: {self.first_difference}"
        tail = f" ({self.tail_not_recorded} at the tail not recorded)" if self.tail_not_recorded else ""
        return f"identical: {self.derived} derived messages{tail}"


def verify(directory: str | os.PathLike[str], make_engine: Callable[[SegmentHead], Core]) -> VerifyResult:
    """Replay each segment from its own head and compare what is derived with what is recorded, one by one.

    `make_engine` builds a core with the head's settings; its state is restored here. Raises CaptureError if a segment
    cannot be read and SnapshotError if a head cannot be restored.
    """
    compared = tail = 0
    for segment in CaptureReader(directory).segments():
        found = _verify_segment(segment, make_engine(segment.head))
        compared += found.derived
        tail += found.tail_not_recorded
        if found.first_difference is not None:
            where = f"{segment.path.name}: {found.first_difference}"
            return VerifyResult(identical=False, derived=compared, tail_not_recorded=tail, first_difference=where)
    return VerifyResult(identical=True, derived=compared, tail_not_recorded=tail)


def _verify_segment(segment: Segment, core: Core) -> VerifyResult:
    core.restore(segment.head.snapshot)
    comparison = _Comparison()
    for record in segment.records():
        if record.is_input:
            for message in record.messages:
                comparison.derived.extend(core.process(message))
        else:
            comparison.recorded.extend(record.messages)
        difference = comparison.advance()
        if difference is not None:
            return VerifyResult(identical=False, derived=comparison.equal, first_difference=difference)
    missing = comparison.unmatched(is_whole=segment.is_whole)
    return VerifyResult(
        identical=missing is None,
        derived=comparison.equal,
        tail_not_recorded=len(comparison.derived) if missing is None else 0,
        first_difference=missing,
    )


class _Comparison:
    """Two streams that must be one; whichever is ahead waits."""

    def __init__(self) -> None:
        self.derived: deque[Message] = deque()
        self.recorded: deque[Message] = deque()
        self.equal = 0

    def advance(self) -> str | None:
        """Compare as far as both have come; the first difference in words."""
        while self.derived and self.recorded:
            ours, theirs = self.derived.popleft(), self.recorded.popleft()
            if not _same(ours, theirs):
                return f"derived message {self.equal + 1}: recorded {_shown(theirs)}, now {_shown(ours)}"
            self.equal += 1
        return None

    def unmatched(self, *, is_whole: bool) -> str | None:
        """What is wrong with what is left over once the segment has ended."""
        if self.recorded:
            return f"derived message {self.equal + 1}: recorded {_shown(self.recorded[0])}, now nothing"
        if self.derived and is_whole:
            return f"derived message {self.equal + 1}: recorded nothing, now {_shown(self.derived[0])}"
        return None


def _same(ours: Message, theirs: Message) -> bool:
    # nan is unequal to itself, its bytes are not; and equal bytes are what the record promises
    return ours == theirs or _pack(ours) == _pack(theirs)


_pack = msgspec.msgpack.Encoder(order="deterministic").encode


def _shown(message: Message) -> str:
    text = to_json(message).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
