"""What every test may ask for: recorded market data beside the checkout, and a seed that a failure prints."""

import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

CHECKOUT = Path(__file__).resolve().parent.parent

# examples take as long as the machine needs: no test asserts a time
settings.register_profile("zmart", deadline=None)
settings.load_profile("zmart")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded market data beside the checkout; tests that need it skip where it is absent."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the recorded market data in ../shared/data beside the checkout")
    return folder


@pytest.fixture
def seed() -> int:
    """A fresh seed, printed so that a failure can be run again with ZMART_TEST_SEED=<seed>."""
    value = int(os.environ.get("ZMART_TEST_SEED") or secrets.randbits(32))
    print(f"seed: run again with ZMART_TEST_SEED={value}")
    return value


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A daemon that is run within a test sets up the logs for the whole process, onto a stream that ends with the test.

    Whatever logs in a later test would fail with it.
    """
    was_configured, before, root = structlog.is_configured(), structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    if was_configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()
    # of pytest's own handlers, which come and go around a test, none is put back
    root.handlers[:] = [handler for handler in root.handlers if type(handler) is not logging.StreamHandler]
    root.handlers += [handler for handler in handlers if type(handler) is logging.StreamHandler]
    root.setLevel(level)
