"""The Scorer contract: raw part values for all contracts at a close, for one contract within a bar.

A scorer knows nothing of percentiles, weights of components, ages or the composite: it returns raw values,
oriented so that larger is better, and nan where an input is missing. The engine maps, blends and judges age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves

FloatArray = NDArray[np.float64]
TouchPart = Callable[[ContractState], float]
TouchParts = Callable[[ContractState], tuple[float, ...]]
ClosePart = Callable[[BarView], FloatArray]

AT_CLOSE = (Moves.BAR, Moves.DAY)
"""Parts that move with these are computed by `close` alone."""


def same(x: float) -> float:
    """The identity: a raw value that already is in its own unit."""
    return x


def percent(x: float) -> float:
    """A fraction, in percent."""
    return 100.0 * x


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a component.

    `moves` says which input it moves with: BAR and DAY parts change only in `close`, all others in `touch` too.
    `location` and `scale` place a raw value (through `to_reference`) on the normal curve while fewer than 8 contracts
    of the universe have one. `seen` names the slot of ContractState that counts what the part has seen (bars, hours)
    and `needed` how much it needs for full maturity; with `half` it is nan below half of that.
    `unit` and `to_unit` give the raw value as a person reads it, `text` the sentence with {pct}.
    """

    name: str
    weight: float
    moves: Moves
    location: float
    scale: float
    text: str
    unit: str = ""
    seen: str = ""
    needed: float = 0.0
    half: bool = False
    to_unit: Callable[[float], float] = same
    to_reference: Callable[[float], float] = same


class Scorer(Protocol):
    """What a component is made of."""

    name: str
    parts: tuple[Part, ...]

    def close(self, bars: BarView) -> FloatArray:
        """Raw values of all parts, shape (len(parts), rows of `bars`): every window ends with the bar just closed."""
        ...

    def touch(self, contract: ContractState, moves: Moves) -> tuple[float, ...]:
        """Raw values of the parts that move with `moves` and have a weight, in the order of `parts`.

        At the last price of a bar they equal what `close` gives for that bar within 1e-12: the window is that of
        `close` with the forming bar in place of the one just closed.
        """
        ...


class PartScorer:
    """A scorer made of one function per part: `touches` for one contract, `closes` for all rows.

    A part without an entry in `closes` is computed at a close by its touch function, contract by contract: right for
    figures that do not depend on bars. A part without an entry in `touches` (BAR, DAY) needs one in `closes`.
    """

    name: str
    parts: tuple[Part, ...]
    touches: Mapping[str, TouchPart]
    closes: Mapping[str, ClosePart]
    fused: Mapping[tuple[str, ...], TouchParts] = {}
    """Functions that give several parts at once, by the parts' names in order: for what runs at every trade."""
    _planned: tuple[Part, ...] = ()
    _readers: tuple[TouchParts, ...] = ()

    def touch(self, contract: ContractState, moves: Moves) -> tuple[float, ...]:
        """Raw values of the weighted parts that move with `moves`."""
        return self.reader(moves)(contract)

    def reader(self, moves: Moves) -> TouchParts:
        """`touch` for one kind of input, to be kept by whoever calls it often."""
        if self._planned is not self.parts:
            self._readers = tuple(self._read(each) for each in Moves)
            self._planned = self.parts
        return self._readers[moves]

    def _read(self, moves: Moves) -> TouchParts:
        """Anew whenever the parts were given other weights."""
        names = () if moves in AT_CLOSE else tuple(self.parts[i].name for i in moving(self.parts, moves))
        return self.fused.get(names) or together([self.touches[name] for name in names])

    def touch_all(self, contract: ContractState) -> dict[str, float]:
        """Raw values of all parts that have a touch function, those without weight included."""
        return {name: part(contract) for name, part in self.touches.items()}

    def close(self, bars: BarView) -> FloatArray:
        """Raw values of all parts, shape (len(parts), rows)."""
        raw = np.empty((len(self.parts), len(bars.rows)))
        for row, part in zip(raw, self.parts, strict=True):
            whole = self.closes.get(part.name)
            row[:] = each(self.touches[part.name], bars.contracts) if whole is None else whole(bars)
        return raw


def together(touches: Sequence[TouchPart]) -> TouchParts:
    """One function for the values of all of `touches`; few are called one by one, a comprehension is a call itself."""
    match touches:
        case [a]:
            return lambda contract: (a(contract),)
        case [a, b]:
            return lambda contract: (a(contract), b(contract))
        case [a, b, c]:
            return lambda contract: (a(contract), b(contract), c(contract))
        case [a, b, c, d]:
            return lambda contract: (a(contract), b(contract), c(contract), d(contract))
    return lambda contract: tuple([touch(contract) for touch in touches])


def slot(name: str, *, sign: float = 1.0) -> ClosePart:
    """`sign` × a slot of every contract: the close of a part that is no more than that."""
    read = attrgetter(name)
    return lambda bars: sign * np.fromiter(map(read, bars.contracts), np.float64, len(bars.contracts))


def each(touch: TouchPart, contracts: Iterable[ContractState]) -> FloatArray:
    """One value per contract, shape (contracts,)."""
    return np.array([touch(contract) for contract in contracts], dtype=np.float64)


def with_weights(parts: tuple[Part, ...], weights: Mapping[str, float]) -> tuple[Part, ...]:
    """The parts, with other weights where `weights` names one. Names must exist (the registry checks)."""
    return tuple(msgspec.structs.replace(p, weight=float(weights.get(p.name, p.weight))) for p in parts)


def moving(parts: tuple[Part, ...], moves: Moves) -> tuple[int, ...]:
    """Indexes of the weighted parts that move with `moves`."""
    return tuple(i for i, part in enumerate(parts) if part.moves == moves and part.weight > 0)
