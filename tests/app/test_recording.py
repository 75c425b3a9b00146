"""A recording keeps as many segments as it is told to."""

from zmart_stream.app.recording import Recorder
from zmart_stream.capture.reader import CaptureReader
from zmart_stream.domain.market import Tick
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.engine.engine import Engine
from zmart_stream.scoring.registry import build_scorers

HOUR = 3_600_000_000_000


def test_oldest_segments_go_and_the_rest_can_be_read(tmp_path):
    settings = CoreSettings()
    engine = Engine(settings, build_scorers(settings.scoring))
    recorder = Recorder(tmp_path, engine, segment_bytes=1 << 20, keep=3)
    for hour in range(1, 7):
        recorder.input(Tick(ts=hour))
        engine.market.hour_start = hour * HOUR  # as a close leaves it
        recorder.closed()
    recorder.close()
    segments = list(CaptureReader(tmp_path).segments())
    assert [segment.path.name[:6] for segment in segments] == ["000005", "000006", "000007"]
    assert segments[0].head.inputs == 4
    assert [m.ts for s in segments for r in s.records() for m in r.messages] == [5, 6]
