"""Basis and funding: the premium of the perpetual over its index, and the rates that follow it."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from zmart_stream.sandbox.contracts import HOUR_MS, MS, Contract
from zmart_stream.sandbox.keyed import FloatArray, IntArray, normal_at, smooth, smooth_at, uniform_at
from zmart_stream.sandbox.market import FundingState

_SLOW_MS, _FAST_MS = 12 * HOUR_MS, HOUR_MS // 2
_POINTS = 4  # of the premium, averaged over an interval
_INTEREST = 1e-4  # per 8 h
_BAND = 5e-5  # narrower than the venue's, so that calm contracts do not all pay the interest rate
_REFERENCE_MS = 8 * HOUR_MS
_DECIMALS = 6


class Funding(Protocol):
    """What a market asks about funding."""

    def premium(self, contract: Contract, now: int) -> float:
        """Perpetual over index − 1 at `now` (ns)."""
        ...

    def state(self, contract: Contract, now: int) -> FundingState | None:
        """The funding clock at `now` (ns), None for dated contracts."""
        ...

    def settlements(self, contract: Contract, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
        """Settled (ms, rate) in [start_ms, end_ms], ascending."""
        ...


class ModelFunding:
    """Funding of keyed smooth premiums: the rate is the interval's mean premium, damped towards the interest rate."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._settled: dict[str, tuple[int, float]] = {}
        self._states: dict[str, tuple[int, FundingState]] = {}

    def premium(self, contract: Contract, now: int) -> float:
        """Perpetual over index − 1 at `now` (ns)."""
        level, slow, fast = _scales(contract)
        at = now // MS
        return (
            level
            + slow * smooth_at(_slow_key(contract), at, _SLOW_MS)
            + fast * smooth_at(contract.key ^ 0x5FA57, at, _FAST_MS)
        )

    def state(self, contract: Contract, now: int) -> FundingState | None:
        """The funding clock at `now` (ns), None for dated contracts."""
        if contract.dated:
            return None
        told = self._states.get(contract.symbol)
        if told is None or told[0] != now // MS:
            told = self._states[contract.symbol] = (now // MS, self._state(contract, now // MS))
        return told[1]

    def _state(self, contract: Contract, at: int) -> FundingState:
        """The clock at `at` (ms)."""
        interval = contract.interval_ms
        last = (at - contract.grid_ms) // interval * interval + contract.grid_ms
        known = self._settled.get(contract.symbol)
        if known is None or known[0] != last:
            known = self._settled[contract.symbol] = (last, self._rate(contract, last - interval, last))
        return FundingState(
            rate=self._rate(contract, last, at),
            last_rate=known[1],
            last_time=last * MS,
            next_time=(last + interval) * MS,
            interval=interval * MS,
            cap=contract.cap,
            floor=-contract.cap,
        )

    def settlements(self, contract: Contract, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
        """Settled (ms, rate) in [start_ms, end_ms] since the listing, ascending."""
        if contract.dated:
            return []
        interval = contract.interval_ms
        start = max(start_ms, contract.listed // MS + 1)
        first = -((contract.grid_ms - start) // interval) * interval + contract.grid_ms
        times = np.arange(first, end_ms + 1, interval, dtype=np.int64)
        points = times[:, None] - interval + _marks(interval)
        level, slow, _ = _scales(contract)
        drawn = np.cumsum(smooth(_slow_key(contract), points, _SLOW_MS), axis=1)[:, -1]
        rates = [_damped(contract, premium) for premium in (level + slow * (drawn / _POINTS)).tolist()]
        return list(zip(times.tolist(), rates, strict=True))

    def _rate(self, contract: Contract, start: int, now: int) -> float:
        """Rate of the interval from `start` (ms) as it looks at `now` (ms)."""
        level, slow, _ = _scales(contract)
        key, total = _slow_key(contract), 0.0
        for mark in _marks(now - start).tolist():
            total += smooth_at(key, start + mark, _SLOW_MS)
        return _damped(contract, level + slow * (total / _POINTS))


def _marks(span: int) -> IntArray:
    """Where in an interval of `span` ms the premium is read."""
    return np.arange(1, _POINTS + 1, dtype=np.int64) * span // _POINTS


@lru_cache(maxsize=4096)
def _scales(contract: Contract) -> tuple[float, float, float]:
    """Mean premium, size of its slow and of its fast part; wider on thinner contracts."""
    width = 1e-4 + 0.4e-4 * contract.spread_bps**0.7
    return (
        0.5e-4 + width * 0.6 * normal_at(contract.key, 101),
        width * (0.5 + uniform_at(contract.key, 102)),
        0.3 * width,
    )


def _slow_key(contract: Contract) -> int:
    """Key of the slow part of the premium."""
    return contract.key ^ 0x510


def _damped(contract: Contract, premium: float) -> float:
    rate = premium + min(max(_INTEREST - premium, -_BAND), _BAND)
    rate *= contract.interval_ms / _REFERENCE_MS
    return round(min(max(rate, -contract.cap), contract.cap), _DECIMALS)


class RecordedFunding(ModelFunding):
    """Settled rates from a record; the running estimate moves from the last towards the next recorded one."""

    def __init__(self, rates: dict[str, tuple[IntArray, FloatArray]], anchors: dict[str, tuple[IntArray, FloatArray]]):
        """`rates`: symbol → (ms, rate) ascending; `anchors`: symbol → (ms, premium) of the recorded mark prices."""
        super().__init__()
        self._rates = rates
        self._anchors = anchors

    def premium(self, contract: Contract, now: int) -> float:
        """The recorded premium between its 8 h marks, with the model's fast part; else the model's."""
        anchors = self._anchors.get(contract.symbol)
        if anchors is None:
            return super().premium(contract, now)
        fast = _scales(contract)[2] * smooth_at(contract.key ^ 0x5FA57, now // MS, _FAST_MS)
        return float(np.interp(now // MS, *anchors)) + 0.5 * fast

    def state(self, contract: Contract, now: int) -> FundingState | None:
        """The recorded clock while the record lasts on both sides of `now`, else the model's."""
        record = self._rates.get(contract.symbol)
        at = now // MS
        place = 0 if record is None else int(np.searchsorted(record[0], at, side="right"))
        if record is None or place == 0 or place == len(record[0]):
            return super().state(contract, now)
        last, following = int(record[0][place - 1]), int(record[0][place])
        settled, coming = float(record[1][place - 1]), float(record[1][place])
        share = (at - last) / (following - last)
        noise = 2e-5 * (1.0 - share) * smooth_at(_slow_key(contract), at, HOUR_MS)
        cap = max(contract.cap, abs(settled), abs(coming))
        return FundingState(
            rate=round(settled + (coming - settled) * share + noise, _DECIMALS),
            last_rate=settled,
            last_time=last * MS,
            next_time=following * MS,
            interval=(following - last) * MS,
            cap=cap,
            floor=-cap,
        )

    def settlements(self, contract: Contract, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
        """The recorded settlements in [start_ms, end_ms]; the model's where there is no record."""
        record = self._rates.get(contract.symbol)
        if record is None:
            return super().settlements(contract, start_ms, end_ms)
        inside = (record[0] >= start_ms) & (record[0] <= end_ms)
        return list(zip(record[0][inside].tolist(), record[1][inside].tolist(), strict=True))
