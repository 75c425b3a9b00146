"""What is captured is read back, in order, and a file cut anywhere up to its last whole block."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zmart_stream.capture.format import DERIVED, INPUTS, SUFFIX, SegmentHead, frame, machine_facts, unframe
from zmart_stream.capture.reader import CaptureReader
from zmart_stream.capture.writer import CaptureWriter
from zmart_stream.domain.contract import Contract
from zmart_stream.domain.errors import CaptureError
from zmart_stream.domain.market import Tick, Ticker
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, HoldChanged
from zmart_stream.domain.settings import CoreSettings, PortfolioSettings

CONTRACT = Contract(
    symbol="XBTUSDTM",
    base="XBT",
    quote="USDT",
    settle="USDT",
    root_symbol="USDT",
    kind="FFWCSX",
    multiplier=0.001,
    tick_size=0.1,
    status="Open",
)


def head(ts: int = 7) -> SegmentHead:
    return SegmentHead(
        ts=ts,
        session=3,
        settings=CoreSettings(portfolio=PortfolioSettings(max_symbols=8)),
        revision=2,
        scorers=(("risk", "zmart_stream.scoring.risk:RiskScorer"),),
        contracts=(CONTRACT,),
        snapshot={"now": 1, "rings": b"\x00\xff" * 40, "gap": float("inf")},
    )


def ticker(n: int) -> Ticker:
    return Ticker(ts=n, ts_event=n, symbol="XBTUSDTM", sequence=n, bid=1.5, bid_lots=n, ask=2.5, ask_lots=2)


def write(directory: Path, count: int, executor: ThreadPoolExecutor | None = None, **options: int) -> CaptureWriter:
    writer = CaptureWriter(directory, executor=executor, **options)
    writer.head(head())
    for n in range(count):
        writer.inputs([ticker(n), Tick(ts=n)])
        if n % 3 == 0:
            writer.derived([BookReady(ts=n, size=n)])
        if n % 10 == 9:
            writer.flush()
    return writer


def read(directory: Path) -> tuple[list[Message], list[Message], list[bool]]:
    inputs: list[Message] = []
    derived: list[Message] = []
    whole = []
    for segment in CaptureReader(directory).segments():
        for record in segment.records():
            (inputs if record.is_input else derived).extend(record.messages)
        whole.append(segment.is_whole)
    return inputs, derived, whole


@pytest.mark.parametrize("threads", [0, 1])
def test_what_is_written_is_read(tmp_path: Path, threads: int) -> None:
    executor = ThreadPoolExecutor(1) if threads else None
    writer = write(tmp_path, 50, executor)
    writer.close()
    inputs, derived, whole = read(tmp_path)
    assert inputs == [m for n in range(50) for m in (ticker(n), Tick(ts=n))]
    assert derived == [BookReady(ts=n, size=n) for n in range(0, 50, 3)]
    assert whole == [True]
    found = next(CaptureReader(tmp_path).segments()).head
    assert (found.settings, found.contracts, found.scorers) == (head().settings, (CONTRACT,), head().scorers)
    assert found.snapshot["rings"] == b"\x00\xff" * 40
    assert found.machine == machine_facts()
    assert found.machine["numpy"]


def test_rotation_numbers_segments_and_counts_on(tmp_path: Path) -> None:
    writer = write(tmp_path, 20)
    writer.head(head(8))
    writer.inputs([Tick(ts=99)])
    writer.close()
    second = write(tmp_path, 1)
    second.close()
    heads = [segment.head for segment in CaptureReader(tmp_path).segments()]
    assert [(h.inputs, h.derived) for h in heads] == [(0, 0), (40, 7), (0, 0)]
    assert [path.name for path in CaptureReader(tmp_path).paths] == ["000001.zcap", "000002.zcap", "000003.zcap"]


def test_a_block_fills_and_goes_without_being_asked(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path, block_bytes=500, segment_bytes=1)
    writer.head(head())
    writer.inputs(ticker(n) for n in range(100))
    assert len(read(tmp_path)[0]) == 100
    assert writer.wants_cut
    writer.close()


def test_inputs_are_on_file_before_what_follows_from_them(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path)
    writer.head(head())
    writer.inputs([Tick(ts=1)])
    writer.derived([HoldChanged(ts=1, on=True, reason="paused")])
    writer.flush()
    kinds = [record.is_input for s in CaptureReader(tmp_path).segments() for record in s.records()]
    assert kinds == [True, False]
    writer.close()


def test_a_file_cut_anywhere_is_readable_to_its_last_whole_block(tmp_path: Path) -> None:
    source = tmp_path / "whole"
    write(source, 100).close()
    data = (source / f"000001{SUFFIX}").read_bytes()
    inputs, derived, _ = read(source)
    seed = random.randrange(2**32)
    print("seed", seed)
    cut_dir = tmp_path / "cut"
    cut_dir.mkdir()
    cuts = [0, 1, 8, 20, *random.Random(seed).sample(range(len(data)), 300), len(data) - 1]
    seen = set()
    for cut in cuts:
        (cut_dir / f"000001{SUFFIX}").write_bytes(data[:cut])
        some, follows, whole = read(cut_dir)
        assert some == inputs[: len(some)]
        assert follows == derived[: len(follows)]
        assert len(some) % 20 == 0
        assert True not in whole
        assert all(m.ts <= some[-1].ts for m in follows)
        seen.add(len(some))
    assert len(seen) > 5


def test_a_damaged_block_ends_the_segment(tmp_path: Path) -> None:
    write(tmp_path, 100).close()
    path = tmp_path / f"000001{SUFFIX}"
    data = bytearray(path.read_bytes())
    data[-200] ^= 0xFF
    path.write_bytes(data)
    inputs, _, whole = read(tmp_path)
    assert 0 < len(inputs) < 200
    assert whole == [False]


def test_frames_hold_kind_and_content() -> None:
    data = memoryview(frame(INPUTS, b"a" * 1000) + frame(DERIVED, b""))
    first = unframe(data, 0)
    assert first is not None
    assert (first[0].kind, first[0].content) == (INPUTS, b"a" * 1000)
    second = unframe(data, first[1])
    assert second is not None
    assert (second[0].kind, second[0].content, second[1]) == (DERIVED, b"", len(data))
    assert unframe(data, len(data)) is None


@pytest.mark.parametrize("content", [b"not a capture at all", b"ZMCAP\x00\x00\x63" + b"x" * 50])
def test_what_is_no_capture_of_this_format_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"000001{SUFFIX}").write_bytes(content)
    with pytest.raises(CaptureError):
        list(CaptureReader(tmp_path).segments())


def test_an_empty_directory_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(CaptureError):
        CaptureReader(tmp_path)


def test_order_of_use_is_checked(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path)
    writer.inputs([Tick(ts=1)])
    with pytest.raises(CaptureError):
        writer.flush()


def test_a_failed_write_is_raised_by_a_later_call(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        writer = CaptureWriter(tmp_path / "d", executor=executor)
        (tmp_path / "d" / f"000001{SUFFIX}").write_bytes(b"in the way")
        writer.head(head())
        with pytest.raises(FileExistsError):
            writer.close()


def test_kill_9_leaves_what_was_flushed(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.capture.test_capture import write, ticker\n"
        "writer = write(Path(sys.argv[1]), 50)\n"
        "print('flushed', flush=True)\n"
        "while True:\n"
        "    writer.inputs([ticker(1)])\n"
        "    writer.flush()\n"
    )
    root = Path(__file__).parents[2]
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
    assert child.stdout is not None
    assert child.stdout.readline() == b"flushed\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    inputs, derived, whole = read(tmp_path)
    assert inputs[:100] == [m for n in range(50) for m in (ticker(n), Tick(ts=n))]
    assert len(derived) == 17
    assert whole == [False]
