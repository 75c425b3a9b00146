"""What every test may ask for: recorded market data, a seed that a failure prints; and how a whole run is spread."""

import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

CHECKOUT = Path(__file__).resolve().parent.parent

# examples, and making them, take as long as the machine needs: no test asserts a time
settings.register_profile("zmart", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zmart")

SERVICE = "tests/service/"
DAEMONS = 2  # workers that run daemons: two and their venues leave a slow machine time to answer them


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist's classes are untyped here
    """A file stays on one worker; two workers begin with the files that start daemons, the others end with them."""

    def _assign_work_unit(self, node: Any) -> None:
        waits = list(self.assigned_work).index(node) < DAEMONS
        chosen = next((file for file in self.workqueue if file.startswith(SERVICE) is waits), None)
        if chosen is not None:
            self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    """Who runs what, unless another `--dist` was asked for."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Workers of a run of everything, two more than cores since daemons are mostly waited for; 0 for any selection."""
    chosen = config.option
    everything = (
        config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and chosen.markexpr in config.getini("addopts")
        and not (chosen.keyword or chosen.collectonly or config.getoption("lf", False))
        and chosen.capture != "no"
    )
    return min((os.cpu_count() or 1) + DAEMONS, 8) if everything else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names must not change from process to process: workers compare what they found."""
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError(f"an address in a test's name: {unstable[0]}")


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


@pytest.fixture
def no_log_of_the_server(logs_as_they_were: None) -> None:
    """A server that runs in this process logs nothing: where verbs are asked, what they print is looked at."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


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
