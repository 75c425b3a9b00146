"""What the rules remember from close to close: streaks, swaps of the last day, and who may not come back yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from zmart_stream.portfolio.caps import Obstacle

DAY_NS = 86_400 * 1_000_000_000


class Memory:
    """Small, plain and complete: the rules keep nothing else. It survives a restart with the snapshot."""

    def __init__(self) -> None:
        self.filled = False  # the first fill is done
        self.shut: dict[str, int] = {}  # closes in a row at which a holding was not eligible
        self.low: dict[str, int] = {}  # closes in a row at which a holding was below the exit score
        self.pairs: dict[tuple[str, str], int] = {}  # (candidate, holding): closes in a row with the margin
        self.waiting: dict[tuple[str, str], Obstacle] = {}  # pairs with all their closes: what still stops the swap
        self.fill_streak = 0  # closes in a row with a free place and a best candidate above the entry score
        self.vacated = 0  # free places that a removal left
        self.swaps: list[int] = []  # ns of the machine's replacements and fills after removals
        self.barred: dict[str, int | None] = {}  # symbol -> end of its re-entry time (ns); None: operator only

    def is_barred(self, symbol: str, ts: int) -> bool:
        """Whether the machine may not take `symbol` at `ts`."""
        if symbol not in self.barred:
            return False
        until = self.barred[symbol]
        return until is None or ts < until

    def is_barred_for_good(self, symbol: str) -> bool:
        """Whether only an operator may bring `symbol` back."""
        return symbol in self.barred and self.barred[symbol] is None

    def allow(self, symbol: str) -> None:
        """End the bar that an operator's removal left; a re-entry time goes on."""
        if self.is_barred_for_good(symbol):
            del self.barred[symbol]

    def swaps_in_day(self, ts: int) -> int:
        """Swaps in the 24 hours that end at `ts`."""
        return sum(1 for at in self.swaps if at > ts - DAY_NS)

    def forget_expired(self, ts: int) -> None:
        """Drop swaps older than a day and re-entry times that are over."""
        self.swaps = [at for at in self.swaps if at > ts - DAY_NS]
        self.barred = {symbol: until for symbol, until in self.barred.items() if until is None or ts < until}

    def left(self, symbol: str, until: int | None) -> None:
        """A holding left: its streaks end, and it is barred until `until` (ns), None for ever."""
        self.shut.pop(symbol, None)
        self.low.pop(symbol, None)
        self.pairs = {pair: count for pair, count in self.pairs.items() if symbol not in pair}
        self.waiting = {pair: obstacle for pair, obstacle in self.waiting.items() if symbol not in pair}
        self.barred[symbol] = until

    def entered(self, symbol: str, free: int) -> None:
        """A contract came in and `free` places remain."""
        self.pairs = {pair: count for pair, count in self.pairs.items() if symbol not in pair}
        self.waiting = {pair: obstacle for pair, obstacle in self.waiting.items() if symbol not in pair}
        self.barred.pop(symbol, None)
        self.vacated = min(self.vacated, free)

    def stop_waiting(self) -> None:
        """The machine does not act: closes in a row towards a swap or a fill end."""
        self.pairs, self.waiting, self.fill_streak = {}, {}, 0

    def keep_streaks_of(self, held: Sequence[str]) -> None:
        """Drop what is remembered of holdings that are none, and of candidates that are held."""
        self.shut = {symbol: count for symbol, count in self.shut.items() if symbol in held}
        self.low = {symbol: count for symbol, count in self.low.items() if symbol in held}
        self.pairs = {pair: count for pair, count in self.pairs.items() if pair[1] in held and pair[0] not in held}
        self.waiting = {pair: why for pair, why in self.waiting.items() if pair in self.pairs}

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {
            "filled": self.filled,
            "shut": dict(self.shut),
            "low": dict(self.low),
            "pairs": [[candidate, holding, count] for (candidate, holding), count in self.pairs.items()],
            "waiting": [[*pair, msgspec.to_builtins(obstacle)] for pair, obstacle in self.waiting.items()],
            "fill_streak": self.fill_streak,
            "vacated": self.vacated,
            "swaps": list(self.swaps),
            "barred": dict(self.barred),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self.filled = state["filled"]
        self.shut = dict(state["shut"])
        self.low = dict(state["low"])
        self.pairs = {(candidate, holding): count for candidate, holding, count in state["pairs"]}
        self.waiting = {
            (candidate, holding): msgspec.convert(obstacle, Obstacle)
            for candidate, holding, obstacle in state.get("waiting", ())
        }
        self.fill_streak = state["fill_streak"]
        self.vacated = state["vacated"]
        self.swaps = list(state["swaps"])
        self.barred = dict(state["barred"])
