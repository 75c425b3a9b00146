"""What others may read of the running core: built-in values, nothing that could be changed."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.signals import Status
from zmart_stream.domain.standing import Standing
from zmart_stream.engine.judging import Judging
from zmart_stream.engine.stages import Stages, known
from zmart_stream.engine.warmup import Start
from zmart_stream.market.contract_state import ContractState
from zmart_stream.portfolio.eligibility import failing
from zmart_stream.scoring.registry import components

T = TypeVar("T")

COMPOSITE = "COMPOSITE"
AT_ONCE = 64
"""Contracts in one step of a ranking: about as long as a turn of the core."""

_KINDS = {"MARKET_STRUCTURE": "STRUCTURE"}
"""The guide's name of a component, where it is not ours in upper case."""


class Reads:
    """Answers at the market time of the last message, `as_of` (ns). Times are ns; who shows them formats them."""

    judging: Judging

    def __init__(self, stages: Stages, start: Start) -> None:
        self._stages = stages
        self._start = start
        self.now = 0
        self.venue_status = "open"
        self.connections: dict[str, tuple[str, str]] = {}

    @property
    def settings(self) -> CoreSettings:
        """The settings in force."""
        return self._stages.settings

    @property
    def revision(self) -> int:
        """The configuration revision in force."""
        return self._stages.revision

    def contracts(self) -> tuple[Contract, ...]:
        """The contract table, in row order."""
        return tuple(state.contract for state in self._stages.market.states)

    def standings(self, now: int | None = None) -> dict[str, Standing]:
        """Every known contract as the book's rules see it at `now` (ns; default: the last message's time)."""
        return self._stages.standings(self.now if now is None else now)

    def standing(self, symbol: str) -> Standing:
        """One contract as the book's rules see it now. Raises KeyError for an unknown one."""
        return self._stages.standing(self._stages.market.by_symbol[symbol], self.now)

    def age_s(self, symbol: str) -> float | None:
        """Seconds since a contract's ticker spoke; None before it did. Raises KeyError for an unknown one."""
        return _age_s(self._stages.market.by_symbol[symbol], self.now)

    def ranked_symbols(self) -> Iterator[str]:
        """Eligible contracts, best first, each judged when it is asked for: who needs the first few pays for a few."""
        stages = self._stages
        for row in stages.scoring.best_first():
            standing = stages.standing(stages.market.states[row], self.now)
            if stages.symbols.is_eligible(standing):
                yield standing.symbol

    def rankings(self, kind: str = COMPOSITE) -> list[dict[str, Any]]:
        """Every contract with a score of that kind, best first; rank None where not eligible.

        `kind`: COMPOSITE or a component's name in upper case. Raises KeyError for another.
        """
        return drained(self.ranking_steps(kind))

    def ranking_steps(self, kind: str = COMPOSITE) -> Generator[None, None, list[dict[str, Any]]]:
        """`rankings` in steps of some 2 ms, between which the core may go on: each row is of the moment it was read."""
        wanted = _KINDS.get(kind.upper(), kind.upper())
        if wanted != COMPOSITE and wanted not in self._component_names():
            raise KeyError(kind)
        scored: list[dict[str, Any]] = []
        for rows in self._ranking_rows(wanted):
            scored += rows
            yield
        scored.sort(key=lambda row: (-row["score"], -(row["turnover_24h"] or 0.0), row["symbol"]))
        rank = 0
        for row in scored:
            rank += row["eligible"]
            row["rank"] = rank if row["eligible"] else None
        return scored

    def explain(self, symbol: str) -> dict[str, Any]:
        """Parts and contributions, rank, gates, holding, and the smallest change that would move it in or out.

        Raises KeyError for an unknown symbol.
        """
        stages = self._stages
        state = stages.market.by_symbol[symbol]
        standings = self.standings()
        standing = standings[symbol]
        rows = stages.ranked(standings)
        holding = stages.symbols.holding(symbol)
        return {
            **stages.scoring.explain_row(state.row, self.now),
            "as_of": self.now,
            "rank": rows.index(state.row) + 1 if state.row in rows else None,
            "ranked": len(rows),
            "eligible": stages.symbols.is_eligible(standing),
            "gates": [msgspec.to_builtins(gate) for gate in stages.symbols.gates(standing)],
            "holding": None if holding is None else msgspec.to_builtins(holding),
            "rules": stages.symbols.facts(self.now, symbol),
            "hold": stages.symbols.hold.reason or None,
            "change": self._change(state, standings),
        }

    @property
    def warm_up(self) -> dict[str, Any]:
        """How much history is there: `done`, `of`, `ended`."""
        return {"done": self._start.done, "of": self._start.of, "ended": self._start.ended}

    @property
    def weights_kept(self) -> str:
        """What limits conflict, so that the weights stay as they were; empty while none do."""
        return self._stages.manager.memory.kept

    def portfolio(self) -> dict[str, Any]:
        """The book as the core has it: holdings, cash, why cash, hold."""
        symbols = self._stages.symbols
        return {
            "as_of": self.now,
            **msgspec.to_builtins(symbols.portfolio),
            "why_cash": [msgspec.to_builtins(reason) for reason in symbols.cash_reasons],
            "hold": symbols.hold.reason or None,
        }

    def status(self) -> dict[str, Any]:
        """Where the core stands: warm-up, universe, book, hold, venue, plug-ins, counters."""
        stages = self._stages
        live, contracts = stages.live_share()
        scored = [state.row for state in stages.market.states if known(stages.scoring.composite(state.row)) is not None]
        return {
            "as_of": self.now,
            "session": stages.ids.session,
            "revision": stages.revision,
            "warm_up": self.warm_up,
            "contracts": len(stages.market.states),
            "universe": contracts,
            "live": live,
            "scored": len(scored),
            "book": {
                "size": len(stages.symbols.portfolio.holdings),
                "places": self.settings.portfolio.max_symbols,
                "ready": stages.symbols.memory.filled,
                "swaps_24h": stages.symbols.memory.swaps_in_day(self.now),
            },
            "hold": {"on": stages.symbols.hold.on, "reason": stages.symbols.hold.reason},
            "venue_status": self.venue_status,
            "connections": {name: {"state": s, "reason": why} for name, (s, why) in self.connections.items()},
            "unrepaired": stages.market.unrepaired(),
            "counts": dict(stages.market.counts),
            "plugins": {
                "failures": dict(stages.scoring.failures),
                "disabled": dict(stages.scoring.disabled),
                **self.judging.plugins(),
            },
        }

    def statistics(self) -> dict[str, Any]:
        """The book and its money at a glance: see `Reports.statistics` for the keys."""
        return self._stages.reports.statistics(self.now, self.standings())

    def positions(self) -> dict[str, dict[str, Any]]:
        """Each holding's money by symbol: see `Reports._position` for the keys."""
        return self._stages.reports.positions()

    def metrics(self, window: str = "all") -> dict[str, Any]:
        """Risk and performance over 1d, 7d, 30d or all: see `Analyses.metrics`. Raises KeyError for another window."""
        return self._stages.analyses.metrics(window, self.now)

    def attribution(self, window: str = "all") -> dict[str, Any]:
        """Where the return came from: see `Analyses.attribution`. Raises KeyError for another window."""
        return self._stages.analyses.attribution(window, self.now)

    def equity(self, since: int | None = None, until: int | None = None) -> dict[str, Any]:
        """The ledger's points of the last 8 days in [since, until], ns: see `Reports.equity`."""
        return self._stages.reports.equity(since, until, self.now)

    def optimise(self, name: str | None = None) -> dict[str, Any]:
        """What one optimiser, or each, would do now: see `Analyses.optimise`. Raises KeyError for an unknown name."""
        return self._stages.analyses.optimise(name, self.now, self.standings())

    def swaps(self) -> dict[str, Any]:
        """What swaps earned against not swapping, and what a point earned: see `Reports.swaps`."""
        return self._stages.reports.swaps(self.now)

    def signals(self, statuses: Sequence[Status] | None = None) -> list[dict[str, Any]]:
        """Signals that wait and the newest that are through, newest first; None: in any state.

        Each: signal, status, steps (status, ts, reason), problems, plan, opinions, decision, ended, settled. Older
        ones, and the data of those that are through, are in the store.
        """
        records = self.judging.processor.book.records.of(None if statuses is None else tuple(statuses))
        return [msgspec.to_builtins(record) for record in records]

    def signal(self, signal_id: str) -> dict[str, Any]:
        """One of them. Raises KeyError for one that is not here (any more)."""
        record = self.judging.processor.book.records.get(signal_id)
        if record is None:
            raise KeyError(signal_id)
        shown: dict[str, Any] = msgspec.to_builtins(record)
        return shown

    def signal_statistics(self) -> dict[str, Any]:
        """Counts in all, by source and by type, of reasons; durations of each stage in market time; what waits."""
        book = self.judging.processor.book
        return {
            "as_of": self.now,
            **book.statistics.shown(),
            "waiting": len(book.waiting),
            "waits_for": self.judging.view.waits_for() or None,
            "outcomes": {"awaited": len(book.outcomes), "unmeasured": book.outcomes.unmeasured},
            "detectors": {"in_force": self.judging.watch.names, "crowded_out": self.judging.watch.crowded_out},
            "agents": self.judging.processor.panel.names,
        }

    def scorecards(self) -> dict[str, Any]:
        """Of sources, agents and the consensus: hits, misses, Brier score, calibration by decile."""
        return {"as_of": self.now, **self.judging.processor.book.cards.shown(self.now)}

    def _component_names(self) -> list[str]:
        return [component.name.upper() for component in components(self.settings.scoring)]

    def _ranking_rows(self, wanted: str) -> Iterator[list[dict[str, Any]]]:
        """Contracts with the wanted score, `AT_ONCE` in a step, not ranked yet."""
        stages, states = self._stages, tuple(self._stages.market.states)
        for start in range(0, len(states), AT_ONCE):
            some = states[start : start + AT_ONCE]
            scores = stages.scoring.component_scores(start, start + len(some))
            yield self._rows_of(some, {name.upper(): column for name, column in scores.items()}, wanted)

    def _rows_of(
        self, states: Sequence[ContractState], columns: dict[str, list[float | None]], wanted: str
    ) -> list[dict[str, Any]]:
        """The rows of some contracts, in columns' order; the failing gates are those that `explain` shows."""
        stages, symbols = self._stages, self._stages.symbols
        standings = {state.symbol: stages.standing(state, self.now) for state in states}
        held = {holding.symbol: True for holding in symbols.portfolio.holdings}
        found = []
        for k, (state, is_eligible) in enumerate(zip(states, symbols.eligible(standings), strict=True)):
            standing = standings[state.symbol]
            scores = {name: column[k] for name, column in columns.items()}
            score = standing.score if wanted == COMPOSITE else scores[wanted]
            if score is None:
                continue
            found.append(
                {
                    "symbol": state.symbol,
                    "score": score,
                    "rank": None,
                    "composite": standing.score,
                    "confidence": standing.confidence,
                    "components": scores,
                    "eligible": is_eligible,
                    "failed_gates": [] if is_eligible else [gate.name for gate in failing(symbols.gates(standing))],
                    "in_book": state.symbol in held,
                    "sector": standing.sector,
                    "price": known(state.price),
                    "turnover_24h": standing.turnover,
                    "spread_bps": standing.spread_bps,
                    "live": standing.live,
                    "age_s": _age_s(state, self.now),
                }
            )
        return found

    def _change(self, state: ContractState, standings: dict[str, Standing]) -> dict[str, Any]:
        """The score that would move the contract across the book's border, and the one part that could bring it."""
        outlook = self._stages.symbols.outlook(self.now, standings, state.symbol)
        part = None
        if outlook.target is not None and standings[state.symbol].score is not None:
            part = self._stages.scoring.smallest_change(state.row, outlook.target)
        return {**msgspec.to_builtins(outlook), "part": "none" if part is None else part}


def _age_s(state: ContractState, now: int) -> float | None:
    return max(0, now - state.ticker_ts) / 1e9 if state.ticker_ts else None


def drained(steps: Generator[None, None, T]) -> T:
    """What steps come to, without a pause between them."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: T = done.value
            return found
