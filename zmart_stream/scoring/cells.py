"""One component's values of every row: columns, and cells of plain floats for the rows that messages touch.

A close writes columns; a contract's cell is opened by its first message and written back when all rows are asked for
again. So a close builds no lists for contracts, and a tick sees no array.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from math import nan

import numpy as np

from zmart_stream.scoring.base import FloatArray

_SINGLE = 5


class Cell:
    """One row of a component.

    `raw` holds finite values or nan; `terms` weight × pct of the weighted parts, 0 where absent; `counted` what the
    parts whose count moves between closes had seen when they were weighed; `there` which weighted parts are present, a
    bit each, `present` their weight; `above` s − 50, 0 if none is; `confidence` c and `gain` w·c / Σ w. `places`
    in their cross-sections are where the weighted parts were last (0: unknown): a value rarely leaves its piece.
    """

    __slots__ = ("above", "confidence", "counted", "gain", "places", "present", "raw", "terms", "there")

    raw: list[float]
    places: list[int]
    terms: list[float]
    counted: list[float]
    there: int
    present: float
    above: float
    confidence: float
    gain: float

    def flat(self) -> Iterable[float]:
        """All values, in the order of the columns."""
        single = (self.there, self.present, self.above, self.confidence, self.gain)
        return chain(self.raw, self.terms, self.counted, single)


class Table:
    """Rows of `parts` raw values, `weighted` terms and `counted` counts; `cells[row]` is None while closed."""

    __slots__ = ("_data", "_ends", "cells")

    def __init__(self, parts: int, weighted: int, counted: int) -> None:
        self._ends = (parts, parts + weighted, parts + weighted + counted)
        self._data: FloatArray = np.zeros((self._ends[2] + _SINGLE, 0))
        self.cells: list[Cell | None] = []

    def open(self, row: int) -> Cell:
        """The cell of `row`: from now on it is what counts."""
        cell = self.cells[row]
        if cell is None:
            parts, terms, counted = self._ends
            values: list[float] = self._data[:, row].tolist()
            cell = self.cells[row] = Cell()
            cell.raw, cell.terms, cell.counted = values[:parts], values[parts:terms], values[terms:counted]
            there, cell.present, cell.above, cell.confidence, cell.gain = values[counted:]
            cell.there = int(there)
            cell.places = [0] * len(cell.terms)
        return cell

    def close(self, rows: Iterable[int] | None = None) -> None:
        """Write the cells of `rows` (None: all) back to the columns."""
        chosen = range(len(self.cells)) if rows is None else rows
        opened = [(row, cell) for row in chosen if (cell := self.cells[row]) is not None]
        if opened:
            values = columns_of([cell.flat() for _, cell in opened], len(self._data))
            self._data[:, [row for row, _ in opened]] = values
            for row, _ in opened:
                self.cells[row] = None

    def add(self, rows: int) -> None:
        """`rows` more: nothing known."""
        known, there = len(self.cells), len(self.cells) + rows
        if there > self._data.shape[1]:
            wider = np.zeros((len(self._data), max(64, 2 * there)))
            wider[:, :known] = self._data[:, :known]
            self._data = wider
        self._empty(slice(known, there))
        self.cells += [None] * rows

    def clear(self, row: int) -> None:
        """Every part of one row is absent."""
        self.cells[row] = None
        self._empty(slice(row, row + 1))

    def _empty(self, rows: slice) -> None:
        parts, terms, counted = self._ends
        self._data[:, rows] = 0.0
        self._data[:parts, rows] = self._data[terms:counted, rows] = nan

    # columns of all rows, views; cells that are open are not in them

    @property
    def raw(self) -> FloatArray:
        """Raw values, shape (parts, rows)."""
        return self._data[: self._ends[0], : len(self.cells)]

    @property
    def terms(self) -> FloatArray:
        """Weight × pct, shape (weighted parts, rows)."""
        return self._data[self._ends[0] : self._ends[1], : len(self.cells)]

    @property
    def counted(self) -> FloatArray:
        """What the parts whose count moves between closes had seen when they were weighed, (such parts, rows)."""
        return self._data[self._ends[1] : self._ends[2], : len(self.cells)]

    @property
    def there(self) -> FloatArray:
        """Which weighted parts are present, a bit each, (rows,)."""
        return self._data[-5, : len(self.cells)]

    @property
    def present(self) -> FloatArray:
        """Weight of the present parts, (rows,)."""
        return self._data[-4, : len(self.cells)]

    @property
    def above(self) -> FloatArray:
        """s − 50, (rows,)."""
        return self._data[-3, : len(self.cells)]

    @property
    def confidence(self) -> FloatArray:
        """c, (rows,)."""
        return self._data[-2, : len(self.cells)]

    @property
    def gain(self) -> FloatArray:
        """w·c / Σ w, (rows,)."""
        return self._data[-1, : len(self.cells)]


def columns_of(rows: Sequence[Iterable[float]], width: int) -> FloatArray:
    """Rows of `width` floats as columns: shape (width, rows), contiguous."""
    flat = np.fromiter(chain.from_iterable(rows), np.float64, width * len(rows))
    columns: FloatArray = np.ascontiguousarray(flat.reshape(-1, width).T)
    return columns
