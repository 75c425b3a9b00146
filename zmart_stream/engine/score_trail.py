"""What scores were at the last closes of the decision interval: the change that agents look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT = 5
"""Closes kept: the newest and the four before it."""


class ScoreTrail:
    """Scores by name ("composite" and components) and row at the newest closes; single precision, nan = absent."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._closes: list[NDArray[np.float32]] = []  # newest last, shape (names, rows)

    def put(self, names: Sequence[str], scores: NDArray[np.float64]) -> None:
        """A close: `scores` has shape (names, rows). Other names than before begin anew."""
        if tuple(names) != self._names:
            self._names, self._closes = tuple(names), []
        self._closes = [*self._closes, scores.astype(np.float32)][-KEPT:]

    def column(self, name: str, closes: int) -> NDArray[np.float32] | None:
        """The scores `closes` closes before the newest, shape (rows then known,); None if they are not known."""
        if name not in self._names or not 0 <= closes < len(self._closes):
            return None
        found: NDArray[np.float32] = self._closes[-1 - closes][self._names.index(name)]
        return found

    def before(self, row: int, name: str, closes: int) -> float | None:
        """The score `closes` closes before the newest; None if it is not known."""
        scores = self.column(name, closes)
        if scores is None:
            return None
        value = float(scores[row]) if row < len(scores) else float("nan")
        return value if value == value else None

    def snapshot(self) -> dict[str, Any]:
        """Names and closes."""
        return {
            "names": list(self._names),
            "closes": [[scores.shape[1], scores.tobytes()] for scores in self._closes],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self._names = tuple(state["names"])
        self._closes = [np.frombuffer(data, dtype=np.float32).reshape(-1, rows) for rows, data in state["closes"]]
