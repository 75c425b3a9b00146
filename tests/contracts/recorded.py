"""Recorded perpetuals as hour bars for contract tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tests.contracts.small_market import Floats


@cache
def recorded_hours(shared_data: Path) -> dict[str, Floats]:
    """Symbol -> hour bars (open, high, low, close, volume, turnover) of the recorded five-minute perpetuals."""
    table: Any = pq.read_table(shared_data / "binance_perp_5m" / "ohlcv_5m.parquet")
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    bars = {}
    for symbol in sorted(set(columns["symbol"].tolist())):
        mine = columns["symbol"] == symbol
        order = np.argsort(columns["ts_ms"][mine])
        fields = [columns[f][mine][order] for f in ("open", "high", "low", "close", "volume")]
        bars[f"{symbol}M"] = _hours(np.column_stack(fields).astype(float))
    return bars


def _hours(bars: Floats) -> Floats:
    """Twelve five-minute bars each."""
    bars = bars[: len(bars) // 12 * 12].reshape(-1, 12, 5)
    close, volume = bars[:, -1, 3], bars[:, :, 4].sum(axis=1)
    rows = [bars[:, 0, 0], bars[:, :, 1].max(axis=1), bars[:, :, 2].min(axis=1), close, volume, volume * close]
    return np.column_stack(rows)
