"""How coins and their factors move: log levels by steps of 16 days → days → hours, drawn for many of them at once.

The steps are a slowly mean-reverting walk; days are a bridge between two steps and hours a bridge between two days, so
that any block of 16 days is drawn from its own keys and the steps alone. Volatility has regimes and clusters.
Sums are taken in a fixed order, so that a row does not depend on which others are drawn with it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from zmart_stream.sandbox.calendar import HORIZON_DAYS
from zmart_stream.sandbox.keyed import FloatArray, HashArray, IntArray, normals, uniforms

BLOCK_DAYS = 16
BLOCK_HOURS = BLOCK_DAYS * 24
_EDGES = (HORIZON_DAYS // BLOCK_DAYS + 8) // 8 * 8  # rows of whole vector registers
_REVERSION = 0.9965**BLOCK_DAYS  # of a walk per step
_REGIME, _CLUSTER = 0.40, 0.28  # of log volatility: from block to block, and within a few days
_CLUSTER_DAYS = 4
_JUMP_SHARE, _JUMP_SIZE = 0.03, 2.2
_STEP_VOL = np.sqrt(BLOCK_DAYS * (1.0 + _JUMP_SHARE * (_JUMP_SIZE**2 - 1.0)))  # of a step in daily volatilities
_TREND = 0.10  # drift of a block in daily volatilities
_HOURS = np.arange(24) / 24.0
HOUR_SHAPE = 1.0 + 0.35 * np.cos(2 * np.pi * (_HOURS - 0.62)) + 0.15 * np.cos(4 * np.pi * (_HOURS - 0.35))
"""Typical volatility of the 24 hours of a day."""


class Motion(NamedTuple):
    """K walks in one block: level at the 25 hour boundaries of each day, volatility of its 24 hours."""

    level: FloatArray  # (K, BLOCK_DAYS, 25)
    volatility: FloatArray  # (K, BLOCK_DAYS, 24)


class _Steps(NamedTuple):
    """One walk from its origin to the horizon."""

    level: FloatArray  # at each edge between blocks
    regime: FloatArray  # of volatility, there


def _total(values: FloatArray) -> FloatArray:
    """Sums along the last axis in a fixed order, whatever stands beside them."""
    return np.cumsum(values, axis=-1)[..., -1:]


def _smoothly(nodes: FloatArray, length: int) -> FloatArray:
    """`length` points between each two neighbouring nodes of a row, by the smoothstep."""
    share = (np.arange(length) + 0.5) / length
    share = share * share * (3.0 - 2.0 * share)
    left, right = nodes[:, :-1, None], nodes[:, 1:, None]
    return (left + (right - left) * share).reshape(len(nodes), -1)


def _bridged(start: FloatArray, end: FloatArray, moves: FloatArray, volatility: FloatArray) -> FloatArray:
    """Levels (..., n + 1) from `start` to `end` (..., 1) by n moves, what is missing spread by their variance."""
    share = volatility * volatility
    share /= _total(share)
    moves = moves + share * (end - start - _total(moves))
    level = np.empty((*moves.shape[:-1], moves.shape[-1] + 1))
    level[..., :1], level[..., -1:] = start, end
    level[..., 1:-1] = start + np.cumsum(moves, axis=-1)[..., :-1]
    return level


def _drawn(keys: HashArray, volatility: FloatArray, steps: list[_Steps], block: int) -> Motion:
    """K walks in `block`; keys and daily volatility (K, 1)."""
    regime = np.stack([step.regime[block : block + 2] for step in steps])
    edges = np.stack([step.level[block : block + 2] for step in steps])
    nodes = block * (BLOCK_DAYS // _CLUSTER_DAYS) + np.arange(BLOCK_DAYS // _CLUSTER_DAYS + 1, dtype=np.int64)
    days = block * BLOCK_DAYS + np.arange(BLOCK_DAYS, dtype=np.int64)
    jump = np.where(uniforms(keys ^ np.uint64(3), days) < _JUMP_SHARE, _JUMP_SIZE, 1.0)
    cluster = _smoothly(normals(keys ^ np.uint64(2), nodes), _CLUSTER_DAYS)
    daily = volatility * np.exp(_REGIME * _smoothly(regime, BLOCK_DAYS) + _CLUSTER * cluster) * jump
    level = _bridged(edges[:, :1], edges[:, 1:], daily * normals(keys ^ np.uint64(9), days), daily)
    return _hourly(keys[:, :, None], level[:, :, None], daily[:, :, None], days[:, None] * 24 + np.arange(24))


def _hourly(keys: HashArray, level: FloatArray, daily: FloatArray, hours: IntArray) -> Motion:
    """The hours between days; keys (K, 1, 1), level and volatility of days (K, ·, 1)."""
    spell = np.exp(0.38 * normals(keys ^ np.uint64(6), hours[:, ::6] // 6))
    pace = HOUR_SHAPE * np.repeat(spell, 6, axis=2)
    volatility = daily * pace / np.sqrt(_total(pace * pace))
    moves = volatility * normals(keys ^ np.uint64(8), hours)
    return Motion(_bridged(level[:, :-1], level[:, 1:], moves, volatility), volatility)


def _steps(keys: HashArray, volatility: FloatArray) -> list[_Steps]:
    """Every step of K walks; keys and daily volatility (K, 1)."""
    edges = np.arange(_EDGES, dtype=np.int64)
    regime = normals(keys ^ np.uint64(1), edges)
    sigma = volatility * _STEP_VOL * np.exp(_REGIME * 0.5 * (regime + np.roll(regime, -1, axis=1)))
    drift = _TREND * BLOCK_DAYS * volatility * normals(keys ^ np.uint64(4), edges)
    # y[i + 1] = step[i] + r · y[i] as a plain sum of step[i] / r^i: r^-258 is harmless
    worth = _REVERSION**edges
    level = np.zeros(regime.shape)
    level[:, 1:] = (np.cumsum((sigma * normals(keys ^ np.uint64(5), edges) + drift) / worth, axis=1) * worth)[:, :-1]
    return [_Steps(*rows) for rows in zip(level, regime, strict=True)]


class Walks:
    """Draws motions, and remembers the steps of every walk and the motions asked to be kept."""

    def __init__(self, kept: int) -> None:
        """`kept` motions are remembered."""
        self._steps: dict[tuple[int, float], _Steps] = {}
        self._kept: OrderedDict[tuple[int, int], Motion] = OrderedDict()
        self._room = kept

    def motions(self, keys: list[int], volatility: list[float], block: int) -> Motion:
        """The walks of `keys` with these daily volatilities in a block of 16 days, drawn together."""
        walks = list(zip(keys, volatility, strict=True))
        column, size = np.array(keys, dtype=np.uint64)[:, None], np.array(volatility)[:, None]
        new = [at for at, walk in enumerate(walks) if walk not in self._steps]
        if new:
            self._steps.update(zip((walks[at] for at in new), _steps(column[new], size[new]), strict=True))
        return _drawn(column, size, [self._steps[walk] for walk in walks], block)

    def shared(self, keys: list[int], volatility: float, block: int) -> Motion:
        """The same for walks that many contracts share: `keys` may repeat, each is drawn once."""
        missing = [key for key in dict.fromkeys(keys) if (key, block) not in self._kept]
        if missing:
            drawn = self.motions(missing, [volatility] * len(missing), block)
            rows = (Motion(level[None].copy(), sigma[None].copy()) for level, sigma in zip(*drawn, strict=True))
            self._kept.update(((key, block), motion) for key, motion in zip(missing, rows, strict=True))
        found = [self._kept[key, block] for key in keys]
        while len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return Motion(*(np.concatenate(column) for column in zip(*found, strict=True)))
