"""Every built-in scorer keeps the contract, on random streams and on recorded bars."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.checks import check_scorer
from tests.contracts.recorded import recorded_hours
from zmart_stream.scoring import SCORERS


@pytest.mark.parametrize("name", list(SCORERS))
@pytest.mark.parametrize("seed", [1, 2])
def test_the_contract_on_random_streams(name: str, seed: int) -> None:
    check_scorer(SCORERS[name], seed=seed)


@pytest.mark.parametrize("name", list(SCORERS))
def test_the_contract_on_recorded_bars(name: str, shared_data: Path) -> None:
    check_scorer(SCORERS[name], recorded=recorded_hours(shared_data), hours=26)
