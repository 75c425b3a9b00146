"""Nothing outlives the tests."""

from collections.abc import Iterator

import pytest

from tests.service.harness import STARTED


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    for process in STARTED:
        if process.alive:
            process.kill()
