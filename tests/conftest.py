"""What every test may ask for: recorded market data beside the checkout, and a seed that a failure prints."""

import os
import secrets
from pathlib import Path

import pytest
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
