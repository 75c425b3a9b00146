"""Max drawdown of a sliding window for every row, as a queue of two stacks (numbers.md §2).

The joins are those of `windows.drawdown`; as division and subtraction are monotone, every way of joining gives the same
value bit for bit.
"""

from __future__ import annotations

import numpy as np

from zmart_stream.market.bars import BarRing, Field, FloatArray
from zmart_stream.market.windows import Ends, drawdown_of, join

_KEPT = (Field.HIGH, Field.LOW, Field.CLOSE)


class Drawdowns:
    """(high, low, max drawdown) of the newest `bars` bars of `ring`, whose other bars do not change unless told.

    `front[i]`: all bars from the i-th of the window at `_split` on, joined; `back`: all bars closed since.
    """

    def __init__(self, ring: BarRing, bars: int) -> None:
        self._ring = ring
        self._bars = bars
        self._split = 0  # end (ns) of the newest bar in `front`, 0: nothing is known
        self._end = 0  # of the newest bar in `back`
        self._front: FloatArray = np.empty((3, bars, 0))
        self._back: Ends | None = None

    def forget(self) -> None:
        """Bars changed, or rows were added."""
        self._split = 0

    def newest(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """One value per row; nan where no bar is known."""
        ring = self._ring
        since = (ring.end - self._split) // ring.interval
        if not self._split or since >= self._bars:
            self._build()
            since = 0
        for bar in range((ring.end - self._end) // ring.interval, 0, -1):
            high, low, close = (ring.window(field, bar)[0] for field in _KEPT)
            one = (high, low, close / high)
            self._back = one if self._back is None else join(self._back, one)
        self._end = ring.end
        front: Ends = (self._front[0, since], self._front[1, since], self._front[2, since])
        return drawdown_of(front if self._back is None else join(front, self._back))

    def _build(self) -> None:
        """All bars into `front`, the newest first."""
        ring = self._ring
        high, low, close = (ring.window(field, self._bars) for field in _KEPT)
        if self._front.shape[2] != ring.rows:
            self._front = np.empty((3, self._bars, ring.rows))
        self._front[:] = high, low, close / high
        for slot in range(self._bars - 2, -1, -1):
            one: Ends = (self._front[0, slot], self._front[1, slot], self._front[2, slot])
            rest: Ends = (self._front[0, slot + 1], self._front[1, slot + 1], self._front[2, slot + 1])
            self._front[:, slot] = join(one, rest)
        self._split = self._end = ring.end
        self._back = None
