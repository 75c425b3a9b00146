"""What the venue says about contracts: listings, coverage, polls, funding; and who is in the universe."""

from __future__ import annotations

from math import nan

from zmart_stream.domain.bars import TopicSilent
from zmart_stream.domain.contract import Contract
from zmart_stream.domain.market import (
    ContractStats,
    Coverage,
    FundingEstimate,
    FundingHistory,
    FundingSettled,
    Listing,
)
from zmart_stream.domain.sectors import placed
from zmart_stream.domain.settings import MarketSettings
from zmart_stream.market import polled
from zmart_stream.market.bars import HOUR
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.market.freshness import next_gap
from zmart_stream.market.rows import Rows
from zmart_stream.market.tape import PER_HOUR, Tape


class Roster(Tape):
    """The contracts there are, with the facts that come by poll, announcement and listing."""

    def __init__(
        self, settings: MarketSettings, *, probe_usdt: float, sectors: dict[str, str], ew_half_life_s: float
    ) -> None:
        super().__init__(settings, probe_usdt=probe_usdt, ew_half_life_s=ew_half_life_s)
        self.sectors = sectors
        self.now = 0
        self.rows = Rows()
        self.interest = polled.OpenInterest()
        self._silent: list[TopicSilent] = []

    def listing(self, m: Listing) -> ContractState | None:
        """A contract appears, changes or leaves; the first one starts the clock."""
        if not self.hour_start:
            self.start(m.ts)
        s = self.by_symbol.get(m.contract.symbol)
        if s is None:
            s = self.add(m.contract)
        self.now = m.ts
        s.describe(m.contract)
        s.delisted = m.change == "delisted"
        s.in_universe = polled.in_universe(s, self.settings, m.ts)
        self.freshness.judge(s, m.ts)
        return s

    def add(self, contract: Contract) -> ContractState:
        """A new row for `contract`."""
        row = self.rows.add(contract.symbol)
        state = ContractState(row, contract)
        self.freshness.start(state)
        self.states.append(state)
        self.by_symbol[contract.symbol] = state
        count = len(self.states)
        self.interest.grow(count)
        return state

    def start(self, ts: int) -> None:
        """The forming hour is that of `ts` (ns)."""
        self.hour_start = ts // HOUR * HOUR

    def sector(self, state: ContractState) -> str | None:
        """The contract's sector: as the settings place its base, else its own."""
        return placed(state.contract.base, state.contract.sector, self.sectors)

    def coverage(self, m: Coverage) -> ContractState | None:
        """Ticker or execution begins to be complete, or is lost, for many contracts: see `sweep` for what changed."""
        for symbol in m.symbols:
            s = self.by_symbol.get(symbol)
            if s is not None:
                self.freshness.covered(s, m.topic, m.since, m.ts)
                self._mark_whole(s)
        return None

    def sweep(self, now: int) -> list[ContractState]:
        """Contracts whose freshness changed since the last sweep, or that are stale at `now`; row order."""
        return self.freshness.sweep(self.states, now)

    def take_silent(self) -> list[TopicSilent]:
        """Topics found silent by `stats` since the last call."""
        found, self._silent = self._silent, []
        return found

    def refresh_universe(self, now: int) -> int:
        """Judge every contract's membership at `now`; how many are in."""
        settings = self.settings
        for s in self.states:
            s.in_universe = polled.in_universe(s, settings, now)
        return sum(s.in_universe for s in self.states)

    def elapse(self, now: int) -> None:
        """Bring `elapsed` of every contract to `now`, before all of them are re-touched at once."""
        share = min(1.0, max(0.0, (now - self.hour_start) * PER_HOUR))
        for s in self.states:
            s.elapsed = share

    def reconfigure(self, settings: MarketSettings, *, probe_usdt: float, sectors: dict[str, str]) -> None:
        """Use other thresholds; windows are those of the start, as rings are not resized while running."""
        self.settings, self.probe_usdt, self.sectors = settings, probe_usdt, sectors
        self.freshness.reconfigure(settings)
        self.refresh_universe(self.now)

    def stats(self, m: ContractStats) -> ContractState | None:
        """A contracts poll's row: status, the gate's turnover, open interest, mark and index, silence, universe.

        Moves POLL, and MARK when the row has mark and index. Topics found silent wait in `take_silent`.
        """
        s = self._known(m.symbol)
        if s is None:
            return None
        ts, before = m.ts, s.poll_ts
        moved = self._row_moved(s, m)
        if before:
            s.poll_gap = next_gap(s.poll_gap, ts - before)
        else:
            s.fresh_until = 0
        s.poll_ts = self.now = ts
        s.status, s.halted = m.status, m.status != "Open"
        s.multiplier = m.multiplier
        s.turnover_24h_row = nan if m.turnover_24h is None else m.turnover_24h
        s.funding_rate = nan if m.funding_rate is None else m.funding_rate
        if m.open_interest is not None:
            self.interest.put(s, ts, m.open_interest if s.inverse else m.open_interest * s.multiplier)
        if m.mark is not None and m.index is not None:
            self._mark(s, m.mark, m.index, ts)
        if s.price_is_mid and not s.price > 0.0 and m.last_price is not None:
            s.price = m.last_price
        s.in_universe = polled.in_universe(s, self.settings, ts)
        muted = s.exec_mute
        self._silent += self.freshness.polled(s, moved=moved, before=before, now=ts)
        if s.exec_mute and not muted:
            self._fell_silent(s)
        if s.fresh[Moves.POLL] < 1.0 or s.fresh[Moves.MARK] < 1.0 or s.live == s.halted:
            self.freshness.judge(s, ts)
        return s

    def _fell_silent(self, s: ContractState) -> None:
        """The trades of `s` did not come that the poll shows."""
        self._mark_whole(s)

    @staticmethod
    def _row_moved(s: ContractState, m: ContractStats) -> bool:
        """Whether the row shows a trade since the last poll: another price, or more volume (less is age)."""
        last = nan if m.last_price is None else m.last_price
        volume = nan if m.volume_24h is None else m.volume_24h
        moved = last < s.last_price_row or last > s.last_price_row or volume > s.volume_24h_row
        s.last_price_row, s.volume_24h_row = last, volume
        return moved

    def funding_estimate(self, m: FundingEstimate) -> ContractState | None:
        """The running estimate: shown, read by no part."""
        s = self._known(m.symbol)
        if s is not None:
            s.funding_rate = m.rate
        return None

    def funding_settled(self, m: FundingSettled) -> ContractState | None:
        """A settlement."""
        return self._settle(m.symbol, ((m.ts_event, m.rate),), m.interval_s, m.ts)

    def funding_history(self, m: FundingHistory) -> ContractState | None:
        """Past settlements."""
        return self._settle(m.symbol, m.settlements, None, m.ts)

    def _settle(
        self, symbol: str, settlements: tuple[tuple[int, float], ...], interval_s: int | None, ts: int
    ) -> ContractState | None:
        s = self._known(symbol)
        if s is None or not settlements:
            return None
        polled.settle(s, settlements, interval_s)
        self.freshness.judge(s, ts)
        return s
