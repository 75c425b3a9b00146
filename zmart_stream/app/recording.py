"""The capture beside a running core: one head a segment, a new segment at the close of an hour."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zmart_stream.capture.format import SUFFIX, SegmentHead
from zmart_stream.capture.writer import CaptureWriter
from zmart_stream.domain.message import Message
from zmart_stream.engine.engine import Engine


def head_of(engine: Engine) -> SegmentHead:
    """What a segment that begins now needs to replay alone."""
    return SegmentHead(
        ts=engine.now,
        session=engine.status()["session"],
        settings=engine.settings,
        revision=engine.revision,
        scorers=tuple((c.name, c.path or "") for c in engine.settings.scoring.components),
        contracts=engine.contracts(),
        snapshot=engine.snapshot(full=True),
    )


class Recorder:
    """Writes off the loop, in order; segments are pruned to `keep` (0: all)."""

    def __init__(self, folder: Path, engine: Engine, *, segment_bytes: int, keep: int = 0) -> None:
        """Begin the first segment with the core's present state."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="capture")
        self._writer = CaptureWriter(folder, executor=self._executor, segment_bytes=segment_bytes)
        self._engine = engine
        self._folder = folder
        self._keep = keep
        self._hour = engine.market.hour_start
        self._writer.head(head_of(engine))

    def input(self, message: Message) -> None:
        """Record what the core is about to take."""
        self._writer.inputs((message,))

    def derived(self, messages: Sequence[Message]) -> None:
        """Record what followed."""
        self._writer.derived(messages)

    def closed(self) -> None:
        """A bar closed: begin a new segment when it was an hour's, or when the present one is large."""
        hour = self._engine.market.hour_start
        if hour != self._hour or self._writer.wants_cut:
            self._hour = hour
            self._writer.head(head_of(self._engine))
            if self._keep:
                self._executor.submit(_prune, self._folder, self._keep)

    def flush(self) -> None:
        """Send what is packed on its way to the file."""
        self._writer.flush()

    def close(self) -> None:
        """End the segment and wait for the disk."""
        self._writer.close()
        self._executor.shutdown()


def _prune(folder: Path, keep: int) -> None:
    """Delete the oldest segments beyond `keep`; each of the others replays alone."""
    segments = sorted(folder.glob(f"*{SUFFIX}"))
    for old in segments[: max(0, len(segments) - keep)]:
        old.unlink(missing_ok=True)
