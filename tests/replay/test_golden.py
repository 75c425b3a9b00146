"""A captured session, replayed, derives what it derived; and what differs is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.engine.stream import HOUR, NS, T0, Session
from zmart_stream.capture.format import SUFFIX, SegmentHead
from zmart_stream.capture.reader import CaptureReader
from zmart_stream.capture.writer import CaptureWriter
from zmart_stream.domain.bars import BarBlock
from zmart_stream.domain.commands import Pause, Recalculate, Reconfigure, RemoveHolding, Resume
from zmart_stream.domain.errors import CaptureError
from zmart_stream.domain.market import Coverage
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import PortfolioChange
from zmart_stream.domain.settings import CoreSettings, MarketSettings, PortfolioSettings, ScoringSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.feeds.replay import ReplayFeed, verify
from zmart_stream.scoring.base import with_weights
from zmart_stream.scoring.registry import build_scorers

SETTINGS = CoreSettings(
    market=MarketSettings(bar_s=900, gap_floor_instrument_s=600.0, gap_floor_poll_s=600.0, gap_floor_depth_s=1e5),
    portfolio=PortfolioSettings(
        max_symbols=6,
        max_correlation=1.1,
        entry_score=40.0,
        min_hold_s=1800.0,
        confirm=2,
        replace_margin=2.0,
        reentry_s=3600.0,
    ),
)


def make(head: SegmentHead) -> Engine:
    return Engine(head.settings, build_scorers(head.settings.scoring), revision=head.revision)


def changed_by_a_hair(head: SegmentHead) -> Engine:
    scorers = build_scorers(head.settings.scoring)
    for scorer in scorers:
        if scorer.name == "risk":
            weights = {part.name: part.weight * (1.001 if part.name == "max" else 1.0) for part in scorer.parts}
            scorer.parts = with_weights(scorer.parts, weights)
    return Engine(head.settings, scorers, revision=head.revision)


def session_messages(seed: int = 21) -> list[Message]:
    """A start, five hours of ticks, and everything an operator and an unkind network do in them."""
    session = Session(seed)
    messages: list[Message] = [*session.start(), *session.run(T0 + 5 * NS, T0 + 5 * HOUR, 5 * NS)]
    symbols = tuple(c.symbol for c in session.contracts)
    faster = msgspec.structs.replace(
        SETTINGS,
        scoring=ScoringSettings(publish_step=0.25),
        portfolio=msgspec.structs.replace(SETTINGS.portfolio, max_symbols=5),
    )
    for share, make_message in (
        (0.2, lambda ts: RemoveHolding(ts=ts, request_id="1", symbol="C00USDTM", who="anna")),
        (0.3, lambda ts: Coverage(ts=ts, topic="execution", symbols=symbols[:12], since=None, reason="reset")),
        (0.35, lambda ts: Coverage(ts=ts, topic="execution", symbols=symbols[:12], since=ts)),
        (0.5, lambda ts: Pause(ts=ts, request_id="2")),
        (0.55, lambda ts: Resume(ts=ts, request_id="3")),
        (0.6, lambda ts: Recalculate(ts=ts, request_id="4")),
        (0.7, lambda ts: Reconfigure(ts=ts, request_id="5", settings=faster, revision=1, changed=("scoring",))),
    ):
        at = int(len(messages) * share)
        messages.insert(at, make_message(messages[at].ts))
    return messages


def head_of(engine: Engine) -> SegmentHead:
    return SegmentHead(
        ts=engine.now,
        session=1,
        settings=engine.settings,
        revision=engine.revision,
        scorers=(),
        contracts=engine.contracts(),
        snapshot=engine.snapshot(full=True),
    )


def capture(directory: Path, messages: Iterable[Message], *, flush_every: int = 100) -> list[Message]:
    """Run the session as the daemon does: each input recorded, then taken; a segment an hour, cut at a close."""
    engine = Engine(SETTINGS, build_scorers(SETTINGS.scoring), session=1)
    writer = CaptureWriter(directory)
    writer.head(head_of(engine))
    told: list[Message] = []
    for n, message in enumerate(messages):
        writer.inputs([message])
        derived = engine.process(message)
        writer.derived(derived)
        told += derived
        if n % flush_every == 0:
            writer.flush()
        if any(isinstance(m, BarBlock) for m in derived):
            writer.head(head_of(engine))
    writer.close()
    return told


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Message], list[Message]]:
    directory = tmp_path_factory.mktemp("golden")
    messages = session_messages()
    return directory, messages, capture(directory, messages)


def test_a_captured_session_replays_identically(golden: tuple[Path, list[Message], Sequence[Message]]) -> None:
    directory, messages, told = golden
    assert len(messages) > 4000
    assert len([m for m in told if isinstance(m, PortfolioChange)]) > 8
    assert len(CaptureReader(directory).paths) == 7
    result = verify(directory, make)
    assert result.identical, str(result)
    assert str(result) == f"identical: {len(told)} derived messages"


def test_one_engine_replays_all_segments_in_a_row(golden: tuple[Path, list[Message], list[Message]]) -> None:
    directory, messages, told = golden
    replay = ReplayFeed(CaptureReader(directory))
    assert replay.head is not None
    engine = make(replay.head)
    engine.restore(replay.head.snapshot)
    inputs = []
    again = []
    for message in replay:
        inputs.append(message)
        again += engine.process(message)
    assert inputs == messages
    assert [msgspec.msgpack.encode(m) for m in again] == [msgspec.msgpack.encode(m) for m in told]


def test_a_changed_scorer_is_found_at_its_first_difference(golden: tuple[Path, list[Message], list[Message]]) -> None:
    result = verify(golden[0], changed_by_a_hair)
    assert not result.identical
    assert result.first_difference is not None
    assert "000001.zcap: derived message" in result.first_difference
    assert "recorded" in str(result)


def test_a_capture_cut_off_is_identical_up_to_its_last_derived(
    golden: tuple[Path, list[Message], list[Message]], tmp_path: Path
) -> None:
    source = sorted(golden[0].glob(f"*{SUFFIX}"))[0].read_bytes()
    notes = set()
    for share in (0.8, 0.9, 0.97, 0.999):
        (tmp_path / f"000001{SUFFIX}").write_bytes(source[: int(len(source) * share)])
        result = verify(tmp_path, make)
        assert result.identical, str(result)
        notes.add(result.tail_not_recorded > 0)
        if result.tail_not_recorded:
            expected = (
                f"identical: {result.derived} derived messages ({result.tail_not_recorded} at the tail not recorded)"
            )
            assert str(result) == expected
    assert True in notes


def test_derived_messages_missing_from_a_whole_segment_are_a_difference(tmp_path: Path) -> None:
    messages = session_messages()[:200]
    engine = Engine(SETTINGS, build_scorers(SETTINGS.scoring), session=1)
    writer = CaptureWriter(tmp_path)
    writer.head(head_of(engine))
    writer.inputs(messages)
    writer.close()
    result = verify(tmp_path, make)
    assert not result.identical
    assert "recorded nothing" in str(result)


def test_nothing_to_verify_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError):
        verify(tmp_path, make)


def test_another_process_derives_the_same(golden: tuple[Path, list[Message], list[Message]]) -> None:
    """Hash seeds, import order and memory layout differ there."""
    code = (
        "import sys\n"
        "from tests.replay.test_golden import make\n"
        "from zmart_stream.feeds.replay import verify\n"
        "print(verify(sys.argv[1], make))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(golden[0])],
        cwd=root,
        env={"PYTHONHASHSEED": "77", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.stdout.strip() == f"identical: {len(golden[2])} derived messages", done.stderr
