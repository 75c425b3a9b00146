"""The plug-in boundary: what a scorer from outside returns is checked before the engine believes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from zmart_stream.domain.errors import PluginFaultError
from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.scoring.base import FloatArray, Scorer, TouchParts, moving


def checked_touch(scorer: Scorer, moves: Moves) -> TouchParts:
    """The scorer's `touch` for one kind of input, returning plain floats for the weighted parts.

    A scorer may also return the values of all parts that move, weighted or not. Raises PluginFaultError on anything
    else than numbers of the right count.
    """
    weighted = moving(scorer.parts, moves)
    every = [i for i, part in enumerate(scorer.parts) if part.moves == moves]
    kept = tuple(every.index(i) for i in weighted)

    def touch(contract: ContractState) -> tuple[float, ...]:
        values = _numbers(scorer, scorer.touch(contract, moves))
        if len(values) == len(weighted):
            return values
        if len(values) == len(every):
            return tuple([values[i] for i in kept])
        raise PluginFaultError(f"{scorer.name}: touch returned {len(values)} values for {len(weighted)} parts")

    return touch


def _numbers(scorer: Scorer, values: Any) -> tuple[float, ...]:
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, dict)):
        raise PluginFaultError(f"{scorer.name}: touch returned {type(values).__name__}, not a tuple of floats")
    numbers = tuple(values)
    if not all(isinstance(value, (float, int, np.floating, np.integer)) for value in numbers):
        raise PluginFaultError(f"{scorer.name}: touch returned values that are no numbers")
    return tuple([float(value) for value in numbers])


def checked_close(scorer: Scorer, bars: BarView) -> FloatArray:
    """The scorer's `close` as float64 of shape (parts, rows), a copy. Raises PluginFaultError on anything else."""
    values: Any = scorer.close(bars)
    raw = np.array(values)
    expected = (len(scorer.parts), len(bars.rows))
    if raw.shape != expected or raw.dtype.kind not in "fiu":
        raise PluginFaultError(f"{scorer.name}: close returned {raw.dtype} of shape {raw.shape}, not floats {expected}")
    return raw.astype(np.float64)
