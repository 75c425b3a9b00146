"""The session's report, and how large the measurements are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.bench.market import Market
from tests.bench.report import Report


class Size(NamedTuple):
    """How much is measured: whole for figures to keep, small to see that all of it works."""

    repeats: int
    messages: int  # of each repeat
    closes: int
    settle_s: float
    paced_s: float
    flat_out: int  # frames
    requests_s: float
    close_after_s: float  # from the start of the daemon to a bar's end
    flood_s: float  # of signals


WHOLE = Size(9, 7000, 14, 12.0, 8.0, 200_000, 10.0, 70.0, 60.0)
SMALL = Size(3, 2100, 3, 12.0, 2.0, 20_000, 2.0, 40.0, 10.0)


@pytest.fixture(scope="session")
def size() -> Size:
    """WHOLE, or SMALL with ZMART_BENCH_QUICK=1."""
    return SMALL if os.environ.get("ZMART_BENCH_QUICK") == "1" else WHOLE


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """Printed when the session ends."""
    found = Report()
    yield found
    found.finish()


@pytest.fixture(scope="session")
def market() -> Market:
    return Market()
