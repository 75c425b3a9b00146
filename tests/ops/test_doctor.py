"""Judgements on plain facts: where a need begins to be told, where it is a fault, and that each has a way out."""

from __future__ import annotations

import pytest

from zmart_stream.ops import doctor


@pytest.mark.parametrize(
    ("share", "level"),
    [(0.5, "ok"), (0.15, "ok"), (0.1499, "warning"), (0.05, "warning"), (0.0499, "fault"), (0, "fault")],
)
def test_disk(share: float, level: str) -> None:
    found = doctor.disk(int(share * 10**12), 10**12, "/state")
    assert found.level == level
    assert bool(found.way_out) == (level != "ok")
    assert f"({share:.0%}) free at /state" in found.text


@pytest.mark.parametrize(("skew", "level"), [(0.9, "ok"), (-1.5, "warning"), (4.9, "warning"), (-5.1, "fault")])
def test_clock(skew: float, level: str) -> None:
    found = doctor.clock(skew)
    assert found.level == level
    assert f"{abs(skew):.2f} s {'ahead of' if skew > 0 else 'behind'} the venue's" in found.text


def test_schema_ballast_and_size() -> None:
    assert doctor.schema("0002", "0002") is None
    assert [doctor.schema(found, "0002").level for found in (None, "", "0001", "0003")] == ["ok", "ok", "ok", "fault"]  # type: ignore[union-attr]  # none of these is the head
    assert doctor.ballast(0, 0) is None
    assert doctor.ballast(10, 10) is None
    given_up = doctor.ballast(32_000_000, 0)
    assert given_up is not None
    assert given_up.text.startswith("32 MB of the ballast")
    assert doctor.size(10, 10) is None
    larger = doctor.size(11, 10)
    assert larger is not None
    assert (larger.level, larger.way_out != "") == ("warning", True)


def test_only_a_fault_is_unhealthy() -> None:
    warned = [doctor.good("a", "b"), doctor.warning("a", "b", "c")]
    assert doctor.is_healthy(warned)
    assert not doctor.is_healthy([*warned, doctor.fault("a", "b", "c")])
