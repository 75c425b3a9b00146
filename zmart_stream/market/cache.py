"""The rolling-window cache: what the market said, per contract and per bar; the engine calls, nothing calls up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from zmart_stream.domain.bars import BarBlock, BarsAmended, RepairWanted
from zmart_stream.domain.contract import Contract
from zmart_stream.domain.market import DAY_S, HOUR_S, Bars, Coverage
from zmart_stream.domain.message import Message
from zmart_stream.domain.settings import MarketSettings
from zmart_stream.market import archive
from zmart_stream.market.bars import DAY, FIELDS, HOUR, Field, FloatArray, IntArray, merged
from zmart_stream.market.columns import BarView, DayColumns, HourColumns, RingColumns
from zmart_stream.market.comovement import Comovement
from zmart_stream.market.contract_state import NEVER, ContractState
from zmart_stream.market.covariance import mean_return
from zmart_stream.market.drawdowns import Drawdowns
from zmart_stream.market.figures import WEEK, Recent, day_columns, hour_columns, recent, today_bar
from zmart_stream.market.handback import hand_back_days, hand_back_hours, hand_back_row_days, hand_back_row_hours
from zmart_stream.market.history import Amendment, follow_price, load_days, load_hours, put_back
from zmart_stream.market.indicators import rsi_path
from zmart_stream.market.roster import Roster
from zmart_stream.market.series import Series, packed, unpacked
from zmart_stream.market.trail import Trace

_FORMING = attrgetter("h_open", "h_high", "h_low", "h_close", "h_lots", "h_turnover", "h_buy", "h_sell", "h_count")


class MarketCache(Roster):
    """All contracts: `states` by row, `by_symbol`, rings of hour and day bars, the forming hour from `hour_start` (ns).

    Handlers take one message each and return the contract whose figures a score reads have changed, or None.
    The first listing starts the clock: `hour_start` is the hour of its `ts`.
    """

    def __init__(
        self,
        settings: MarketSettings,
        *,
        probe_usdt: float,
        sectors: dict[str, str],
        ew_half_life_s: float = 60.0,
    ) -> None:
        super().__init__(settings, probe_usdt=probe_usdt, sectors=sectors, ew_half_life_s=ew_half_life_s)
        self.hours = Series(interval_s=HOUR_S, slots=settings.window_hours)
        self.days = Series(interval_s=DAY_S, slots=settings.window_days)
        self.comovement = Comovement(self.hours.trail)
        self._drawdowns = Drawdowns(self.hours.ring, WEEK - 1)
        self._amended: list[Amendment] = []
        self._pending = np.zeros(64, dtype=np.bool_)  # rows with a closed hour that waits for its repair
        self._pending_known = True  # False after a refill, until somebody asks
        self._close_of_day: DayColumns | None = None  # the day figures of a close that also ended a day
        self._recent: Recent | None = None  # of all rows, while the rings are what they were computed from

    def start(self, ts: int) -> None:
        """The forming hour is that of `ts` (ns)."""
        super().start(ts)
        self.hours.ring.start_at(self.hour_start)
        self.days.ring.start_at(self.day_start)

    def add(self, contract: Contract) -> ContractState:
        """A new row for `contract`."""
        state = super().add(contract)
        count = len(self.states)
        self.hours.grow(count)
        self.days.grow(count)
        if count > len(self._pending):
            self._pending = np.concatenate((self._pending, np.zeros(count, dtype=np.bool_)))
        self._changed_rings()
        return state

    def load(self, m: Bars) -> ContractState | None:
        """History, refill or repair of one contract: bars replaced, its live state = anchor + ring, scalars renewed."""
        s = self._known(m.symbol)
        if s is None or m.interval_s not in (HOUR_S, DAY_S):
            return None
        if m.interval_s == HOUR_S:
            amended = load_hours(s, m, self.hours, self.days)
            hand_back_row_hours(s, self.hours, self.day_start)
            follow_price(s)
            self._pending[s.row] = bool((self.hours.ring.column(s.row)[Field.WHOLE] == 0.0).any())
            if s.trade_lost < 0:  # trades known from history alone age from it
                s.trade_lost = m.as_of
                self.freshness.judge(s, m.ts)
        else:
            amended = load_days(s, m, self.days)
        if m.interval_s == DAY_S or len(amended) > 1:
            hand_back_row_days(s, self.days)
        self._amended += amended
        self._changed_rings()
        return s

    def coverage(self, m: Coverage) -> ContractState | None:
        """Ticker or execution begins to be complete, or is lost; hours closed before a loss was seen are in doubt."""
        if m.topic == "execution" and m.since is None:
            for symbol in m.symbols:
                state = self.by_symbol.get(symbol)
                if state is not None and state.trade_lost == 0:
                    self._doubt(state, m.ts if m.heard is None else m.heard)
        return super().coverage(m)

    def _fell_silent(self, s: ContractState) -> None:
        super()._fell_silent(s)
        self._doubt(s, max(s.trade_ts, s.exec_since))

    def _came_late(self, s: ContractState, event: int) -> None:
        start = event // HOUR * HOUR
        self._doubt(s, start, start + HOUR)

    def _doubt(self, state: ContractState, since: int, until: int = NEVER) -> None:
        """Closed hours of `state` from that of `since` to before `until` (ns) wait for their repair."""
        ring = self.hours.ring
        since = max(since // HOUR * HOUR, ring.start_of(0))
        if since < min(until, ring.end):
            first = ring.slot(since)
            whole = ring.column(state.row)[Field.WHOLE, first : ring.slot(until) if until < ring.end else None]
            whole[whole == 1.0] = 0.0
            self._pending_known = False
            self._changed_rings()

    def take_amended(self) -> list[BarsAmended]:
        """Bars that `load` changed since the last call, for storage."""
        messages = [amendment.message() for amendment in self._amended]
        self._amended.clear()
        return [message for message in messages if message is not None]

    def forget_amended(self) -> None:
        """Nobody wants to know: `bars_stored` will tell all of it."""
        self._amended.clear()

    def _changed_rings(self) -> None:
        self._close_of_day = self._recent = None
        self._drawdowns.forget()

    def _recently(self) -> Recent:
        """What both a close's columns and the contracts' slots are made of, of all rows; computed once a close."""
        if self._recent is None:
            today = today_bar(self.hours, None, self.day_start)
            self._recent = Recent(self.hours.trail.window(Trace.RETURN), self._drawdowns.newest(), today)
        return self._recent

    @property
    def day_start(self) -> int:
        """Start (ns) of the UTC day of the forming hour."""
        return self.hour_start // DAY * DAY

    def close_hour(self, ts: int) -> list[Message]:
        """Commit the forming hour of every contract, at UTC midnight also the day; the successor is forming then.

        Gives the blocks for storage and a `RepairWanted` for every contract with hours that were not seen whole, from
        the oldest of them on, so that a repair that never came is asked for again.
        """
        start, end = self.hour_start, self.hour_start + HOUR
        day = self.day_start
        self.hours.commit(self._forming(start))
        self.hour_start, self.now = end, ts
        self._close_of_day = self._recent = None
        out: list[Message] = [b for b in (self._newest(self.hours, ts),) if b is not None]
        unknown_days: list[int] = []
        if end % DAY == 0:
            self._close_of_day = day_columns(self.days, None, today_bar(self.hours, None, day))
            bars = self.days.commit(merged([self.hours.ring.window(field, 24) for field in Field]))
            unknown_days = np.flatnonzero(np.isnan(bars[Field.WHOLE])).tolist()
            out += [b for b in (self._newest(self.days, ts),) if b is not None]
            hand_back_days(self.states, self.days, None)
        hand_back_hours(self.states, self.hours, None, self._recently())
        for s in self.states:
            s.open_next()
            s.elapsed = 0.0
            self._mark_whole(s)
        self.refresh_universe(ts)
        return out + self._repairs(unknown_days, day, ts)

    def _forming(self, start: int) -> FloatArray:
        bars = np.empty((FIELDS, len(self.states)))
        flat = np.fromiter(chain.from_iterable(map(_FORMING, self.states)), np.float64, Field.WHOLE * len(self.states))
        bars[: Field.WHOLE] = flat.reshape(-1, Field.WHOLE).T
        bars[Field.WHOLE] = [s.exec_since <= start and not s.exec_mute for s in self.states]
        return bars

    def _newest(self, series: Series, ts: int) -> BarBlock | None:
        return series.ring.block(series.ring.slots - 1, self.rows.symbols, ts)

    def _repairs(self, unknown_days: list[int], day: int, ts: int) -> list[Message]:
        gaps = self._mark_pending()
        waiting = np.flatnonzero(self._pending)
        out: list[Message] = []
        for row, oldest in zip(waiting.tolist(), np.argmax(gaps[:, waiting], axis=0).tolist(), strict=True):
            if self._fetched(row):
                since = self.hours.ring.start_of(oldest)
                symbol = self.rows.symbols[row]
                out.append(RepairWanted(ts=ts, symbol=symbol, interval_s=HOUR_S, since=since, until=self.hour_start))
        for row in unknown_days:
            if self._fetched(row):
                symbol = self.rows.symbols[row]
                out.append(RepairWanted(ts=ts, symbol=symbol, interval_s=DAY_S, since=day, until=day + DAY))
        return out

    def _mark_pending(self) -> npt.NDArray[np.bool_]:
        """Which closed hours wait for their repair, shape (slots, rows)."""
        gaps: npt.NDArray[np.bool_] = self.hours.ring.window(Field.WHOLE) == 0.0
        self._pending[: len(self.states)] = gaps.any(axis=0)
        self._pending_known = True
        return gaps

    def _fetched(self, row: int) -> bool:
        """Whether the feed serves this contract: only then is there somebody to repair its bars."""
        state = self.states[row]
        return state.contract.is_linear_usdt_crypto and not state.delisted

    def unrepaired(self) -> int:
        """Contracts of the universe with a closed hour that still waits for its repair."""
        if not self._pending_known:
            self._mark_pending()
        return sum(self.states[row].in_universe for row in np.flatnonzero(self._pending).tolist())

    def recompute(self, rows: Sequence[int] | None = None) -> list[float]:
        """Live states of `rows` (None: all) from anchor + ring; by row the largest relative difference to before."""
        if rows is None:
            drifts: list[float] = np.maximum(self.hours.recompute_all(), self.days.recompute_all()).tolist()
            hand_back_days(self.states, self.days, None)
            hand_back_hours(self.states, self.hours, None, self._recently())
        else:
            drifts = [max(self.hours.recompute(row), self.days.recompute(row)) for row in rows]
            for row in rows:
                hand_back_row_days(self.states[row], self.days)
                hand_back_row_hours(self.states[row], self.hours, self.day_start)
        for state in self.states if rows is None else [self.states[row] for row in rows]:
            follow_price(state)
        return drifts

    def view(self, rows: IntArray | None = None) -> BarView:
        """What `close(bars)` reads: all rows (None) or some."""

        def hour() -> HourColumns:
            member = np.array([s.in_universe for s in self.states], dtype=np.bool_)
            market = mean_return(self.hours.trail.window(Trace.RETURN), member)
            return hour_columns(self.hours, rows, self._known_of(rows), market)

        def day() -> DayColumns:
            closed = self._close_of_day if rows is None else None
            return closed or day_columns(self.days, rows, self._known_of(rows).today)

        return BarView(
            np.arange(len(self.states)) if rows is None else rows,
            list(self.states) if rows is None else [self.states[row] for row in rows.tolist()],
            rings=(RingColumns(self.hours.ring, rows), RingColumns(self.days.ring, rows)),
            make_hour=hour,
            make_day=day,
        )

    def _known_of(self, rows: IntArray | None) -> Recent:
        return self._recently() if rows is None else recent(self.hours, rows, self.day_start)

    def day_rsi(self, rows: IntArray) -> FloatArray:
        """RSI(14) after each closed UTC day of the ring, shape (days, rows), oldest first; nan before bar 15."""
        return rsi_path(self.days.anchor[:, rows], self.days.ring.window(Field.CLOSE)[:, rows])

    def bars_stored(self, ts: int) -> list[BarBlock]:
        """The rings' whole content as blocks, for storage after warm-up; `ts` (ns) is their message time."""
        symbols = self.rows.symbols
        blocks = [s.ring.block(slot, symbols, ts) for s in (self.hours, self.days) for slot in range(s.ring.slots)]
        return [block for block in blocks if block is not None]

    def load_block(self, block: BarBlock) -> None:
        """Refill the rings from storage; symbols that are not listed and intervals outside the window are left out."""
        series = self.hours if block.interval_s == HOUR_S else self.days
        known = [(i, self.by_symbol[symbol].row) for i, symbol in enumerate(block.symbols) if symbol in self.by_symbol]
        series.ring.take(block, [i for i, _ in known], [row for _, row in known])
        self._refilled()

    def load_amended(self, m: BarsAmended) -> None:
        """Refill the rings from storage, after the blocks."""
        s = self.by_symbol.get(m.symbol)
        if s is not None:
            put_back(s, m, self.hours if m.interval_s == HOUR_S else self.days)
            self._refilled()

    def _refilled(self) -> None:
        """The rings came from storage: what is computed of them is anew; a day's close was in the snapshot."""
        self.hours.trail.forget()
        self._drawdowns.forget()
        self._recent = None
        self._pending_known = False

    def day_closed(self) -> dict[str, Any] | None:
        """The figures of a close that also ended a day, while they are what `view` gives, for the snapshot."""
        day = self._close_of_day
        return None if day is None else {f.name: packed(getattr(day, f.name)) for f in fields(DayColumns)}

    def take_day_closed(self, data: dict[str, Any] | None) -> None:
        """Inverse of `day_closed`."""
        self._close_of_day = None if data is None else DayColumns(**{name: unpacked(x) for name, x in data.items()})

    def snapshot(self, *, full: bool) -> dict[str, Any]:
        """Everything as msgpack-able values; without `full` the rings are left to storage."""
        return archive.snapshot(self, full=full)

    def restore(self, data: dict[str, Any]) -> None:
        """Inverse of `snapshot` on an empty cache; raises SnapshotError when it does not fit."""
        archive.restore(self, data)
        self._refilled()
