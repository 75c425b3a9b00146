"""Engine.process(message) -> its cascade. No clock, no I/O: the same messages give the same results, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from zmart_stream.domain import commands as asked
from zmart_stream.domain import market as said
from zmart_stream.domain.bars import BarBlock
from zmart_stream.domain.errors import SnapshotError
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import EquityMarked, Portfolio, PortfolioChange
from zmart_stream.domain.scores import ScoreChanged, ScoresClosed
from zmart_stream.domain.settings import CoreSettings
from zmart_stream.domain.signals import SubmitSignal
from zmart_stream.engine.bus import Bus
from zmart_stream.engine.commands import BuildScorers, Commands
from zmart_stream.engine.intake import Intake
from zmart_stream.engine.judging import TIMER as SIGNALS_TIMER
from zmart_stream.engine.judging import BuildJudges, Judging, built_in_judges
from zmart_stream.engine.reads import Reads
from zmart_stream.engine.stages import Stages
from zmart_stream.engine.timers import NEVER, Timers
from zmart_stream.engine.warmup import NS, Start
from zmart_stream.market.contract_state import Moves
from zmart_stream.portfolio.book import check_book
from zmart_stream.scoring.base import Scorer
from zmart_stream.scoring.registry import build_scorers as build_named

FORMAT = 3
HOUR_NS = 3600 * NS


class Engine(Reads):
    """The deterministic core.

    `session` numbers the runs over one store (ids depend on it), `revision` is the configuration's. `build_scorers`
    makes the scorers of a later `Reconfigure` and raises ConfigError; by default the built-in and dotted-path ones.
    """

    def __init__(
        self,
        settings: CoreSettings,
        scorers: Sequence[Scorer],
        *,
        session: int = 0,
        revision: int = 0,
        build_scorers: BuildScorers | None = None,
        build_judges: BuildJudges = built_in_judges,
    ) -> None:
        stages = Stages(settings, scorers, session=session, revision=revision)
        super().__init__(stages, Start(settings.portfolio.first_fill_after_s))
        self.market, self.scoring = stages.market, stages.scoring
        self.symbols, self.manager = stages.symbols, stages.manager
        self._timers = Timers(("start", "close", "first_fill", "sweep", SIGNALS_TIMER))
        self._timers.set("start", 0)
        self._intake = Intake(stages, self._start)
        self.judging = Judging(
            stages, self._start, build_judges(settings.signals), timers=self._timers, now=lambda: self.now
        )
        self._commands = Commands(stages, self.judging, build_scorers or build_named, build_judges)
        self._bus = Bus(last=asked.CommandDone)
        self._bus.subscribe(ScoreChanged, self._score_changed)
        self.judging.subscribe(self._bus)
        self._sweep_ns = max(1, int(settings.market.sweep_s * NS))
        self._grace_ns = int(settings.market.close_grace_s * NS)
        self._bar_ns = settings.market.bar_s * NS
        self._touch = stages.scoring.touch  # bound once: the path of every tick
        self._next_end = 0
        self._handlers = self._table()

    def process(self, message: Message) -> list[Message]:
        """Take one input; everything that follows from it, in order. Raises KeyError for what is no input."""
        ts = message.ts
        if ts >= self._timers.next_due:
            return self._cascade(chain(self._advance(ts), self._taken(message)))
        if ts > self.now:  # noqa: PLR1730 - max() costs three times the comparison, here for every message
            self.now = ts
        found = self._handlers[type(message)](message)
        return self._cascade(found) if found else []

    # -- time --------------------------------------------------------------------------------------------------------

    def _advance(self, ts: int) -> Iterator[Message]:
        """Let every timer due up to `ts` act, in order of time, each when what the one before it said is through."""
        while (popped := self._timers.pop(ts)) is not None:
            name, due = popped
            self.now = max(self.now, due)
            if name == "start":
                self._begin(ts)
            elif name == "close":
                yield from self._close(due)
            elif name == "sweep":
                yield from self._sweep(due)
                # sweeps that nobody could have seen between two messages are passed over: closes sweep by themselves
                self._timers.set("sweep", max(due + self._sweep_ns, ts // self._sweep_ns * self._sweep_ns))
            elif name == SIGNALS_TIMER:
                yield from self.judging.advance(ts)
            else:
                yield from self._fill_first(due)
        self.now = max(self.now, ts)

    def _begin(self, ts: int) -> None:
        """The session's first message: timers start, those restored go on."""
        self._start.begin(ts)
        if self._timers.due("close") == NEVER:
            step = min(self._bar_ns, HOUR_NS)
            self._next_end = (ts // step + 1) * step
            self._timers.set("close", self._next_end + self._grace_ns)
        self._timers.set("sweep", (ts // self._sweep_ns + 1) * self._sweep_ns)
        after = self.settings.portfolio.first_fill_after_s * NS
        if 0 <= after < NEVER:
            self._timers.set("first_fill", ts + int(after))

    def _sweep(self, now: int) -> list[Message]:
        """Score what was loaded; judge ages, the universe after a poll, the hold, whether the first fill may come."""
        told: list[Message] = list(self.scoring.catch_up(now))
        told += self.scoring.refresh(self.market.sweep(now), now)
        if self._intake.take_polled():
            self.market.refresh_universe(now)
            if not self._start.closed and not self._start.keeps_sections and self.scoring.counts_doubled():
                self.scoring.freeze_doubled(now)
                told += self.scoring.publish(now)
        told += self._intake.take_notices(now)
        told += self._judge_hold(now)
        told += self._fill_first(now)
        self.judging.arm()
        return told

    def _close(self, due: int) -> list[Message]:
        """An interval ended: bars are committed, cross-sections frozen, scores told, the book judged."""
        end = self._next_end
        self._next_end += min(self._bar_ns, HOUR_NS)
        self._timers.set("close", self._next_end + self._grace_ns)
        is_hour, is_decision = end % HOUR_NS == 0, end % self._bar_ns == 0
        told = self.manager.mark(due, end) if is_hour else []
        told += self._sweep(due)
        if is_hour and 0 < self.market.hour_start < end:
            blocks = self.market.close_hour(due)
            told += [block for block in blocks if self._start.bars_told or not isinstance(block, BarBlock)]
            self.scoring.bars_closed(due)
        elif is_decision:
            self.market.elapse(due)
            self.market.refresh_universe(due)
            self.scoring.touch_rows(due)
        if is_decision:
            self.scoring.freeze(due)
            self._start.close()
        told += self._published(due)
        return told + (self._decide(end, due) if is_decision else [])

    def _decide(self, end: int, due: int) -> list[Message]:
        """The rules of the book, and the scores for the record."""
        hold = self.symbols.hold
        judged = self._start.may_judge(due)
        if judged:
            hold.close(self.market.unrepaired())
            self._hold_unseen_close()
        told = self._hold_changed(due)
        standings = self._stages.standings(due)
        if judged:
            composed = self.symbols.close(due, standings)
            told += [*composed, *self.manager.close(due, end, composed, standings)]
        rows = self._stages.ranked(standings)
        ranks = {row: rank for rank, row in enumerate(rows, start=1)}
        held = [self.market.by_symbol.get(holding.symbol) for holding in self.symbols.portfolio.holdings]
        wanted = [state.row for state in held if state is not None]
        wanted += rows[: self.settings.portfolio.depth_candidates]
        scored = [row for row in dict.fromkeys(wanted) if self.scoring.published(row)[0] is not None]
        closed = tuple([self.scoring.score_row(row, ranks.get(row)) for row in scored])
        self.judging.note_scores()
        return [*told, ScoresClosed(ts=due, end=end, rows=closed)]

    # -- the start of a session, and the hold -----------------------------------------------------------------------

    def _fill_first(self, now: int) -> list[Message]:
        """The first fill: 90 % of the universe has a composite after warm-up, or `first_fill_after` passed."""
        if not self.symbols.wants_first_fill or not self._start.may_judge(now):
            return []
        share = self.settings.portfolio.first_fill_share
        if not self._start.waited(now) and self._stages.scored_share() < share:
            return []
        standings = self._stages.standings(now)
        return self._stages.followed(now, self.symbols.first_fill(now, standings), standings)

    def _score_changed(self, change: ScoreChanged) -> Iterable[Message]:
        """A composite appeared: it may be the one that the first fill waits for."""
        if change.previous is None and self.symbols.wants_first_fill and self._start.ended:
            return self._fill_first(self.now)
        return ()

    def _judge_hold(self, now: int) -> list[Message]:
        """Hold while too little of the universe is live; what was missed meanwhile is waited for."""
        if not self._start.may_judge(now):
            return self._hold_changed(now)
        live, contracts = self._stages.live_share()
        hold = self.symbols.hold
        if live < self.settings.portfolio.live_share * contracts or not contracts:
            hold.begin("universe_live", f"{live} of {contracts} contracts are live")
        else:
            hold.end_outage("universe_live", keeps_gap=self.symbols.memory.filled)
        return self._hold_changed(now)

    def _hold_unseen_close(self) -> None:
        """An outage reached this close before it made anything stale: the bar that ended was not seen whole."""
        followed, contracts = self._stages.followed_share()
        if followed < self.settings.portfolio.live_share * contracts and self.symbols.memory.filled:
            self.symbols.hold.begin("gap", f"{contracts - followed} of {contracts} contracts were cut off at a close")

    def _hold_changed(self, now: int) -> list[Message]:
        changed = self.symbols.hold.changed(now)
        return [] if changed is None else [changed]

    def _warm_up(self, message: said.WarmUp) -> list[Message]:
        """Warm-up came further: freeze each tenth; at its end the bars go to storage once, and the book may fill."""
        told: list[Message] = []
        if self._start.progress(message):
            self.market.refresh_universe(self.now)
            self.scoring.freeze(self.now)
            told += self._published(self.now)
        if self._start.ended and not self._start.bars_told:
            self._start.bars_told = True
            told += self.market.bars_stored(self.now)
        if self._start.ended:
            told += self._judge_hold(self.now)
            told += self._fill_first(self.now)
        return told

    def _venue_status(self, message: said.VenueStatus) -> list[Message]:
        """The venue opens or closes."""
        self.venue_status = message.status
        hold = self.symbols.hold
        if message.status == "open":
            hold.end_outage("venue_status", keeps_gap=self.symbols.memory.filled)
        else:
            hold.end("venue_status")
            hold.begin("venue_status", message.reason or message.status)
        return self._hold_changed(message.ts)

    # -- messages ----------------------------------------------------------------------------------------------------

    def _table(self) -> dict[type[Message], Callable[[Any], Iterable[Message] | None]]:
        intake, commands = self._intake, self._commands
        return {
            said.Ticker: self._ticker,
            said.Trade: self._trade,
            said.Depth: intake.depth,
            said.MarkIndex: intake.mark_index,
            said.FundingEstimate: intake.funding_estimate,
            said.FundingSettled: intake.funding_settled,
            said.FundingHistory: intake.funding_history,
            said.ContractStats: intake.stats,
            said.Listing: intake.listing,
            said.Bars: intake.bars,
            said.Coverage: intake.coverage,
            said.FeedState: self._feed_state,
            said.VenueStatus: self._venue_status,
            said.WarmUp: self._warm_up,
            said.Tick: self._nothing,
            asked.AddHolding: commands.book,
            asked.RemoveHolding: commands.book,
            asked.ReplaceHolding: commands.book,
            asked.PinHolding: commands.book,
            asked.UnpinHolding: commands.book,
            asked.BlockSymbol: commands.book,
            asked.UnblockSymbol: commands.book,
            asked.Rebalance: commands.rebalance,
            asked.Pause: commands.pause,
            asked.Resume: commands.resume,
            asked.ReleaseSource: commands.release_source,
            asked.Recalculate: commands.recalculate,
            asked.Reconfigure: self._reconfigure,
            asked.DisablePlugin: commands.disable,
            asked.StorageDegraded: commands.degraded,
            asked.StorageRecovered: commands.recovered,
            SubmitSignal: self.judging.submit,
        }

    def _ticker(self, message: said.Ticker) -> tuple[ScoreChanged] | None:
        state = self.market.ticker(message)
        if state is None:
            return None
        change = self._touch(state, Moves.TICKER, message.ts)
        return None if change is None else (change,)

    def _trade(self, message: said.Trade) -> tuple[ScoreChanged] | None:
        state = self.market.trade(message)
        if state is None:
            return None
        change = self._touch(state, Moves.TRADE, message.ts)
        return None if change is None else (change,)

    def _taken(self, message: Message) -> Iterator[Message]:
        yield from self._handlers[type(message)](message) or ()

    def _feed_state(self, message: said.FeedState) -> None:
        self.connections[message.connection] = (message.state, message.reason)

    def _nothing(self, message: Message) -> None:
        """Time passed, and that was said already."""

    def _reconfigure(self, command: asked.Reconfigure) -> list[Message]:
        told = self._commands.reconfigure(command)
        self._sweep_ns = max(1, int(self.settings.market.sweep_s * NS))
        return told

    def _published(self, now: int) -> list[Message]:
        """Scores that moved, and plug-ins that were left out meanwhile."""
        told: list[Message] = list(self.scoring.publish(now))
        return told + self._intake.take_notices(now)

    def _cascade(self, found: Iterable[Message]) -> list[Message]:
        told = self._bus.cascade(found)
        return told + self._bus.cascade(self._intake.take_notices(self.now)) if self.scoring.notices else told

    # -- state -------------------------------------------------------------------------------------------------------

    def snapshot(self, full: bool) -> dict[str, Any]:
        """The whole state as msgpack-able values, copied; without `full` the bars are left to storage."""
        return {
            "format": FORMAT,
            "now": self.now,
            "next_end": self._next_end,
            "revision": self._stages.revision,
            "venue_status": self.venue_status,
            "polled": self._intake.polled,
            "notices": [msgspec.to_builtins(notice) for notice in self.scoring.notices],
            "market": self.market.snapshot(full=full),
            "scoring": self.scoring.snapshot(),
            "symbols": self.symbols.snapshot(),
            "manager": self.manager.snapshot(),
            "ids": self._stages.ids.snapshot(),
            "signals": self.judging.snapshot(),
            "timers": self._timers.snapshot(),
            "start": self._start.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on exactly where `snapshot` was taken, on a new engine. Raises SnapshotError if it does not fit."""
        if state.get("format") != FORMAT:
            raise SnapshotError(f"engine: format {state.get('format')}, this release restores {FORMAT}")
        self.market.restore(state["market"])
        self.scoring.restore(state["scoring"])
        self.symbols.restore(state["symbols"])
        if "manager" in state:
            self.manager.restore(state["manager"])
        self._stages.ids.restore(state["ids"])
        self.judging.restore(state["signals"])
        self._timers.restore(state["timers"])
        self._start.restore(state["start"])
        self.now, self._next_end = state["now"], state["next_end"]
        self._stages.revision, self.venue_status = state["revision"], state["venue_status"]
        self._intake.polled = state["polled"]
        self.scoring.notices[:] = [msgspec.convert(notice, asked.PluginDisabled) for notice in state["notices"]]

    def restore_ledger(self, state: dict[str, Any], point: EquityMarked | None) -> bool:
        """Take only the ledger of a snapshot whose rest does not fit; False: it does not fit either.

        Then the ledger opens anew with the equity of the newest stored `point`, and older trades are not for it.
        """
        return self.manager.recover(state.get("manager"), point)

    def restore_book(
        self, portfolio: Portfolio, changes: Iterable[PortfolioChange] = (), ledger: Iterable[Message] = ()
    ) -> None:
        """Take the stored book over the snapshot's; `changes` from storage, oldest first, older ones are passed over.

        `ledger`: the BookTraded and FundingPaid that were stored after the snapshot (without one: all of them), oldest
        first; those it knows are passed over. Raises BrokenBookError if the stored book breaks a rule it must keep.
        """
        check_book(portfolio, max(self.settings.portfolio.max_symbols, len(portfolio.holdings)))
        self.symbols.adopt(portfolio, [change for change in changes if change.id > self._stages.ids.last])
        self.manager.replay(ledger)

    def restore_signals(self, stored: Iterable[Message]) -> None:
        """Take over the messages of signals that were stored after the snapshot, oldest first.

        SignalReceived, SignalRejected, SignalEvaluated, SignalDecided, SignalEnded, SignalSettled; those it knows are
        passed over, and nothing acts twice. Beside them ReleaseSource, later than the snapshot alone.
        """
        self.judging.adopt(stored, after=self._stages.ids.last)

    def restart(self, session: int) -> None:
        """A new run on what was restored: nothing is covered, the book waits for the gap's repair."""
        self._stages.ids.begin(session)
        self._start.again()
        self._timers.set("start", 0)
        symbols = tuple(state.symbol for state in self.market.states)
        for topic in ("ticker", "execution"):
            self.market.coverage(said.Coverage(ts=self.now, topic=topic, symbols=symbols, since=None, reason="restart"))
        if self.symbols.memory.filled:
            self.symbols.hold.begin("gap", "what was missed before the restart is being fetched")
