"""A contract's composite as it stands and as the world was told of it, under the stale rule (numbers.md §3)."""

from __future__ import annotations

from math import nan

from zmart_stream.market.contract_state import ContractState
from zmart_stream.scoring.composite import NEUTRAL, ordered_sum

HALF_DIGIT = 5e-7
"""Published figures have six digits: what would round up to a threshold reaches it."""

FRESH, STALE, WHOLE, ASLEEP = range(4)
"""How a message of the contract is taken, `Mark.pace`: everything is fresh and present; something is stale; look at
everything at each message; look at nothing, as there can be no composite before bars are loaded."""


class Mark:
    """One contract's composite and what the world was told of it.

    `pulls` per component; `value` the composite as computed and limited by the stale rule (nan = none), `blended` the
    same before the stale rule and the least confidence; `confidence` C; `lid` the last fresh composite while `stale`;
    `counted` the list of freshness it was computed with; `told` the last published score rounded to 1e-6 (nan = none).
    """

    __slots__ = ("blended", "confidence", "counted", "lid", "pace", "pulls", "stale", "told", "value")

    def __init__(self, components: int) -> None:
        self.pulls: list[float] = [0.0] * components
        self.value = nan
        self.blended = nan
        self.confidence = 0.0
        self.lid = nan
        self.stale = False
        self.counted: list[float] = []
        self.told = nan
        self.pace = WHOLE


def settle(mark: Mark, contract: ContractState, confidence: float, stale: bool, least: float) -> None:
    """Turn pulls into the composite under the stale rule and the least confidence.

    While any input is stale the composite is the lower of what is computed and the last fresh one; if there was no
    fresh one, the first computed takes its place.
    """
    mark.confidence = confidence
    mark.blended = NEUTRAL + ordered_sum(mark.pulls)
    mark.counted = contract.fresh
    known = confidence > 0.0 and confidence >= least - HALF_DIGIT
    if stale and not mark.stale:
        mark.lid = mark.value
    mark.stale = stale
    if not known:
        mark.value, mark.pace = nan, WHOLE
        return
    if not stale:
        mark.value, mark.lid = mark.blended, nan
        return
    if mark.lid != mark.lid:
        mark.lid = mark.blended
    mark.value = min(mark.blended, mark.lid)


def changed(mark: Mark, step: float) -> bool:
    """True if the composite appeared, vanished, or moved by `step` or more from what was published."""
    value, told = mark.value, mark.told
    if value != value or told != told:
        return (value == value) != (told == told)
    return abs(round(round(value, 6) - told, 6)) >= step
