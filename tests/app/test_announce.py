"""What the log says of what the core derived."""

from __future__ import annotations

from structlog.testing import capture_logs

from zmart_stream.app.announce import announce
from zmart_stream.domain.portfolio import WeightsKept


def test_limits_that_conflict_are_told() -> None:
    with capture_logs() as logs:
        announce([WeightsKept(ts=1, reason="max_sector_weight 60: 5 holdings can take 85.00 of the 100.00")])
    assert logs == [
        {
            "event": "book.weights_kept",
            "log_level": "warning",
            "reason": "max_sector_weight 60: 5 holdings can take 85.00 of the 100.00",
        }
    ]
