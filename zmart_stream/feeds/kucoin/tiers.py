"""Which contracts get instrument and level2Depth5 besides ticker and execution. Pure; times are handed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice


class Tiers:
    """Book and best candidates: in at rank <= `in_rank`, out after `out_after_s` seconds beyond `out_rank`."""

    def __init__(self, *, in_rank: int, out_rank: int, out_after_s: float) -> None:
        """Ranks count from 1; between the two ranks a contract stays as it is."""
        self.in_rank = in_rank
        self.out_rank = max(in_rank, out_rank)
        self.out_after_s = out_after_s
        self._beyond_since: dict[str, float | None] = {}

    @property
    def members(self) -> list[str]:
        """Present members, in order of entry."""
        return list(self._beyond_since)

    def update(self, ranking: Iterable[str], held: Sequence[str], market: Sequence[str], at: float) -> list[str]:
        """Members at `at` (seconds), given ranking (best first), the book and the contracts that are followed.

        Of the ranking no more is asked for than `out_rank` contracts that are followed.
        """
        followed = dict.fromkeys(market)
        ranked = list(islice((symbol for symbol in ranking if symbol in followed), self.out_rank))
        near = dict.fromkeys(ranked)
        near.update(dict.fromkeys(symbol for symbol in held if symbol in followed))
        for symbol in [*held, *ranked[: self.in_rank]]:
            if symbol in followed:
                self._beyond_since[symbol] = None
        for symbol in self.members:
            if symbol not in followed:
                del self._beyond_since[symbol]
            elif symbol in near:
                self._beyond_since[symbol] = None
            elif (since := self._beyond_since[symbol]) is None:
                self._beyond_since[symbol] = at
            elif at - since >= self.out_after_s:
                del self._beyond_since[symbol]
        return self.members
