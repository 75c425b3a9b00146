"""The buckets: what they let through, how long they make one wait, how much they remember."""

import pytest

from zmart_stream.api.limits import Buckets
from zmart_stream.domain.errors import RequestError


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills_evenly() -> None:
    clock = Hand()
    buckets = Buckets(60, clock=clock)
    for _ in range(60):
        buckets.take("a", "requests")
    with pytest.raises(RequestError) as refused:
        buckets.take("a", "requests")
    assert refused.value.code == "rate_limited"
    assert refused.value.facts == {"retry_after_s": 1}
    buckets.take("b", "requests")
    clock.now += 1.0
    buckets.take("a", "requests")
    with pytest.raises(RequestError):
        buckets.take("a", "requests")
    clock.now += 3600.0
    for _ in range(60):
        buckets.take("a", "requests")
    with pytest.raises(RequestError):
        buckets.take("a", "requests")


def test_asking_while_refused_does_not_prolong_the_wait() -> None:
    clock = Hand()
    buckets = Buckets(5, clock=clock)
    for _ in range(5):
        buckets.take("a", "tokens")
    for _ in range(100):
        with pytest.raises(RequestError) as refused:
            buckets.take("a", "tokens")
    assert refused.value.facts == {"retry_after_s": 12}
    clock.now += 12.0
    buckets.take("a", "tokens")


def test_a_flood_of_callers_does_not_grow_without_bound_nor_free_the_busiest() -> None:
    buckets = Buckets(2, keys=10, clock=Hand())
    for number in range(1000):
        buckets.take(f"caller {number}", "requests")
        if number < 2:
            buckets.take("busy", "requests")
        else:
            with pytest.raises(RequestError):
                buckets.take("busy", "requests")
    assert len(buckets._buckets) == 10
