"""Symbol <-> row: append-only, so that a row means the same contract for the life of the process."""

from __future__ import annotations


class Rows:
    """Rows of the columns, handed out in the order in which contracts were first listed."""

    __slots__ = ("_index", "symbols")

    def __init__(self) -> None:
        self.symbols: list[str] = []
        self._index: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._index

    def add(self, symbol: str) -> int:
        """The row of `symbol`, a new one at the end if it has none."""
        row = self._index.get(symbol)
        if row is None:
            row = self._index[symbol] = len(self.symbols)
            self.symbols.append(symbol)
        return row

    def find(self, symbol: str) -> int | None:
        """The row of `symbol`, None if it was never listed."""
        return self._index.get(symbol)
