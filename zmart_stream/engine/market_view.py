"""The market as detectors and agents see it: `market.views.MarketView` over the core's stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import nan

import numpy as np

from zmart_stream.domain.scores import ComponentScore
from zmart_stream.domain.standing import Standing
from zmart_stream.engine.score_trail import ScoreTrail
from zmart_stream.engine.stages import Stages, known
from zmart_stream.engine.warmup import NS
from zmart_stream.market.bars import DAY, HOUR, BarRing, Field, FloatArray, IntArray
from zmart_stream.market.columns import BarView
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.market.views import BarColumns, PartView


class LazyStandings(Mapping[str, Standing]):
    """Standings of all contracts at one moment, each worked out when it is asked for."""

    def __init__(self, stages: Stages, now: int) -> None:
        self._stages = stages
        self._now = now
        self._known: dict[str, Standing] = {}

    def __getitem__(self, symbol: str) -> Standing:
        found = self._known.get(symbol)
        if found is None:
            found = self._stages.standing(self._stages.market.by_symbol[symbol], self._now)
            self._known[symbol] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages.market.by_symbol)

    def __len__(self) -> int:
        return len(self._stages.market.by_symbol)


class CoreMarket:
    """`market.views.MarketView` over the stages. `now` tells market time."""

    def __init__(self, stages: Stages, trail: ScoreTrail, now: Callable[[], int]) -> None:
        self._stages = stages
        self._trail = trail
        self._now = now
        self._bar_ns = stages.settings.market.bar_s * NS

    @property
    def now(self) -> int:
        """Market time, ns."""
        return self._now()

    def symbols(self) -> list[str]:
        """Contracts of the universe."""
        return [state.symbol for state in self._stages.market.states if state.in_universe]

    def state(self, symbol: str) -> ContractState | None:
        """One contract."""
        return self._stages.market.by_symbol.get(symbol)

    def listed_days(self, symbol: str) -> float | None:
        """Days since its listing."""
        state = self.state(symbol)
        return None if state is None or not state.listed_at else (self.now - state.listed_at) / DAY

    def day_bars(self, symbol: str, count: int) -> BarColumns:
        """Closed UTC days."""
        return self._bars(self._stages.market.days.ring, symbol, count)

    def hour_bars(self, symbol: str, count: int) -> BarColumns:
        """Closed hours."""
        return self._bars(self._stages.market.hours.ring, symbol, count)

    def bars(self) -> BarView:
        """Columns over all contracts."""
        return self._stages.market.view()

    def closed(self, interval_s: int) -> int:
        """Bars that the newest decision's close ended."""
        interval = interval_s * NS
        ring_end = (self._stages.market.hours if interval == HOUR else self._stages.market.days).ring.end
        if ring_end != self.closed_at // interval * interval:
            return 0  # nothing has closed yet
        return ring_end // interval - self.closed_since // interval

    @property
    def closed_at(self) -> int:
        """End of the newest decision interval."""
        return self.now // self._bar_ns * self._bar_ns

    @property
    def closed_since(self) -> int:
        """Its start."""
        return self.closed_at - self._bar_ns

    def day_rsi(self, rows: IntArray) -> FloatArray:
        """RSI(14) of closed days."""
        return self._stages.market.day_rsi(rows).T

    def scores_before(self, name: str, bars: int = 4) -> FloatArray:
        """Scores of all contracts `bars` closes ago."""
        column, found = self._trail.column(name, bars), np.full(len(self._stages.market.states), nan)
        if column is not None:
            found[: len(column)] = column
        return found

    def composite(self, symbol: str) -> float | None:
        """The composite."""
        state = self.state(symbol)
        return None if state is None else known(self._stages.scoring.composite(state.row))

    def component(self, symbol: str, name: str) -> ComponentScore | None:
        """A component now."""
        state = self.state(symbol)
        scores = () if state is None else self._stages.scoring.components(state.row)
        return next((score for score in scores if score.name == name), None)

    def before(self, symbol: str, name: str, bars: int = 4) -> float | None:
        """A score `bars` closes ago."""
        state = self.state(symbol)
        return None if state is None else self._trail.before(state.row, name, bars)

    def part(self, symbol: str, name: str) -> PartView | None:
        """A part of a component."""
        state = self.state(symbol)
        found = None if state is None else self._stages.scoring.part(state.row, name)
        if state is None or found is None:
            return None
        raw, pct, moves = found
        return PartView(raw=raw, pct=pct, freshness=state.fresh[moves], age_s=self.age_s(symbol, moves))

    def freshness(self, symbol: str, moves: Moves) -> float:
        """1 = fresh."""
        state = self.state(symbol)
        return 0.0 if state is None else state.fresh[moves]

    def age_s(self, symbol: str, moves: Moves) -> float | None:
        """Seconds since the input spoke."""
        state = self.state(symbol)
        age = None if state is None else state.age_ns(moves, self.now)
        return None if age is None else age / NS

    def _bars(self, ring: BarRing, symbol: str, count: int) -> BarColumns:
        columns = ring.column(self._stages.market.by_symbol[symbol].row)[:, -count:]
        return BarColumns(
            interval_s=ring.interval_s,
            end=ring.end,
            open=columns[Field.OPEN],
            high=columns[Field.HIGH],
            low=columns[Field.LOW],
            close=columns[Field.CLOSE],
            lots=columns[Field.LOTS],
            turnover=columns[Field.TURNOVER],
        )
