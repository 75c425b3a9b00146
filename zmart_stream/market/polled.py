"""Figures of the polls: open interest over 72 h, settled funding over 72 h, and who is in the universe."""

from __future__ import annotations

from itertools import pairwise
from math import log, nan

import numpy as np
import numpy.typing as npt

from zmart_stream.domain.settings import MarketSettings
from zmart_stream.market.bars import DAY, HOUR, NS
from zmart_stream.market.contract_state import ContractState

STEP = 300 * NS
MINUTE = 60 * NS
WINDOW = 864  # 72 h of 5-minute points
LEAST_OI_H = 12.0
FUNDING_WINDOW = 72 * HOUR
HOURS_PER_YEAR = 8760.0
USUAL_INTERVALS_H = (1.0, 2.0, 4.0, 8.0)


class OpenInterest:
    """A point every 5 minutes over 72 h for every row, in base coins, so that a changed multiplier changes nothing.

    Single precision: a relative error of 6e-8 in the logarithm is far below one lot's meaning, and a snapshot
    carries the whole ring.
    """

    def __init__(self) -> None:
        self.head = 0  # grid index (time // 5 min) of the newest point
        self.points: npt.NDArray[np.float32] = np.full((WINDOW + 1, 64), np.nan, dtype=np.float32)

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows."""
        if rows > self.points.shape[1]:
            wider = np.full((WINDOW + 1, max(rows, 2 * self.points.shape[1])), np.nan, dtype=np.float32)
            wider[:, : self.points.shape[1]] = self.points
            self.points = wider

    def put(self, state: ContractState, ts: int, base_units: float) -> None:
        """Take a poll's figure at `ts` (ns) and set `oi_change`, `oi_span_h`."""
        grid = ts // STEP
        if grid > self.head:
            for passed in range(max(self.head + 1, grid - WINDOW), grid + 1):
                self.points[passed % (WINDOW + 1)] = np.nan
            self.head = grid
        row, points = state.row, self.points
        points[grid % (WINDOW + 1), row] = base_units
        first = max(state.oi_first or grid, grid - WINDOW)
        while first < grid and not points[first % (WINDOW + 1), row] > 0.0:
            first += 1
        state.oi_first = first
        state.oi_span_h = (grid - first) * STEP / HOUR
        then = float(points[first % (WINDOW + 1), row])
        enough = state.oi_span_h >= LEAST_OI_H and then > 0.0 and base_units > 0.0
        state.oi_change = log(base_units / then) if enough else nan


def settle(state: ContractState, settlements: tuple[tuple[int, float], ...], interval_s: int | None) -> None:
    """Merge `(time ns, rate)` into the contract's settlements and set the funding figures over the newest 72 h.

    The mean is over settlements of rate x 8760 / interval hours of that settlement: the hours since the one before
    where that is a usual interval, else `interval_s`, else the contract's own.
    """
    merged = {at: (rate, hours) for at, rate, hours in state.settlements}
    given = (interval_s or 0) / 3600.0
    for at, rate in settlements:
        minute = (at + MINUTE // 2) // MINUTE * MINUTE  # the announcement and the history differ by milliseconds
        merged[minute] = (rate, given or merged.get(minute, (0.0, 0.0))[1])
    newest = max(merged, default=0)
    kept = sorted((at, *known) for at, known in merged.items() if at > newest - FUNDING_WINDOW - DAY)
    state.settlements = kept
    state.settled_ts = max(state.settled_ts, newest)
    own = (state.contract.funding_interval_s or 28800) / 3600.0
    intervals = [kept[0][2] or own] if kept else []
    for (before, _, _), (at, _, stated) in pairwise(kept):
        between = float(round((at - before) / HOUR))
        intervals.append(stated or (between if between in USUAL_INTERVALS_H else own))
    inside = [
        (rate, hours) for (at, rate, _), hours in zip(kept, intervals, strict=True) if at > newest - FUNDING_WINDOW
    ]
    state.funding_span_h = min(72.0, sum(hours for _, hours in inside))
    annualised = sum(rate * HOURS_PER_YEAR / hours for rate, hours in inside)
    state.funding_mean_ann = annualised / len(inside) if inside else nan


def in_universe(state: ContractState, settings: MarketSettings, now: int) -> bool:
    """numbers.md §1, from the contract row alone: market, stage, status, no expiry, turnover, days listed."""
    contract = state.contract
    return (
        not state.delisted
        and state.status == "Open"
        and state.turnover_24h_row >= settings.min_turnover_usdt
        and state.listed_at > 0
        and now - state.listed_at >= settings.min_listed_days * DAY
        and contract.market_stage == "NORMAL"
        and contract.expires_at is None
        and contract.is_linear_usdt_crypto
    )
