"""Ticks into slots: quotes, trades, depth, marks of one contract at a time, in plain floats."""

from __future__ import annotations

from math import exp2, nan

from zmart_stream.domain.market import Depth, MarkIndex, Ticker, Trade
from zmart_stream.domain.settings import MarketSettings
from zmart_stream.market import book
from zmart_stream.market.bars import HOUR, NS
from zmart_stream.market.contract_state import ContractState, Moves
from zmart_stream.market.freshness import GAP_SHARE, PATIENCE, Freshness, next_gap

BASIS_HALF_LIFE = 8.0 * HOUR
PER_HOUR = 1.0 / HOUR


class Tape:
    """Contracts by row and symbol, and the handlers that run for every tick. `MarketCache` is built on it.

    `counts`: trades dropped as `late`, `early` (beyond the successor), `contained` (in a running candle taken over),
    messages of `unknown` symbols.
    """

    def __init__(self, settings: MarketSettings, *, probe_usdt: float, ew_half_life_s: float) -> None:
        self.settings = settings
        self.probe_usdt = probe_usdt
        self.states: list[ContractState] = []
        self.by_symbol: dict[str, ContractState] = {}
        self.hour_start = 0
        self.counts = {"late": 0, "early": 0, "contained": 0, "unknown": 0}
        self.freshness = Freshness(settings)
        self._half_life = ew_half_life_s * NS

    def ticker(self, m: Ticker) -> ContractState | None:
        """Quotes and the time-weighted spread."""
        s = self.by_symbol.get(m.symbol)
        if s is None:
            self.counts["unknown"] += 1
            return None
        ts = m.ts
        spoke = s.ticker_ts
        if spoke:
            gap, expected = ts - spoke, s.ticker_gap
            limit = PATIENCE * expected
            s.ticker_gap = expected + GAP_SHARE * ((gap if gap < limit else limit) - expected)
        s.ticker_ts = ts
        s.bid = bid = m.bid
        s.ask = ask = m.ask
        s.bid_lots = m.bid_lots
        s.ask_lots = m.ask_lots
        old, ew = s.spread_bps, s.spread_ew_bps
        if 0.0 < bid <= ask:
            s.spread_bps = new = (ask - bid) / (ask + bid) * 2e4
            if ew >= 0.0:  # the old spread held until now
                ew = old + (ew - old) * exp2((s.spread_ts - ts) / self._half_life)
                s.spread_ew_bps = ew if ew > 1e-12 else 0.0
            else:
                s.spread_ew_bps = new
            if s.price_is_mid:
                s.price = (bid + ask) / 2.0
        else:
            s.spread_bps = s.spread_ew_bps = nan
        s.spread_ts = ts
        if s.watch:
            self.freshness.heard(s, Moves.TICKER, ts)
        return s

    def trade(self, m: Trade) -> ContractState | None:
        """A trade in the forming bar; one in its successor only accumulates and moves no score: None."""
        s = self.by_symbol.get(m.symbol)
        if s is None:
            self.counts["unknown"] += 1
            return None
        ts, spoke = m.ts, s.trade_ts
        if spoke:
            gap, expected = ts - spoke, s.trade_gap
            limit = PATIENCE * expected
            s.trade_gap = expected + GAP_SHARE * ((gap if gap < limit else limit) - expected)
        s.trade_ts = ts
        if s.watch:
            self._heard_trade(s, m)
        event = m.ts_event
        start = self.hour_start
        if not 0 <= event - start < HOUR:
            self._beside(s, m)
            return None
        if event <= s.h_as_of:
            self.counts["contained"] += 1
            return None
        price, lots = m.price, m.lots
        if event >= s.h_ts:
            s.h_ts = event
            s.h_close = s.price = s.last = price
        elif event < s.h_first:  # it came late and was the bar's first
            s.h_first, s.h_open = event, price
        if s.h_high >= price:
            s.h_low = s.h_low if s.h_low <= price else price
        elif s.h_high > 0.0:
            s.h_high = price
        else:
            s.h_open = s.h_high = s.h_low = price
            s.h_first, s.price_is_mid = event, False
        s.h_lots += lots
        s.h_turnover += lots if s.inverse else lots * s.multiplier * price
        s.h_count += 1.0
        if m.side == "buy":
            s.h_buy += lots
        else:
            s.h_sell += lots
        share = (ts - start) * PER_HOUR
        s.elapsed = share if share < 1.0 else 1.0
        return s

    def _beside(self, s: ContractState, m: Trade) -> None:
        """A trade outside the forming bar: into the successor, or counted and added to none: its bar is not whole."""
        event = m.ts_event
        if event < self.hour_start:
            self.counts["late"] += 1
            if s.exec_since <= event:  # one from before the coverage is in the history that was fetched
                self._came_late(s, event)
        elif event >= self.hour_start + 2 * HOUR:
            self.counts["early"] += 1
            s.exec_since = max(s.exec_since, event + 1)
            self._mark_whole(s)
        elif event <= s.n_as_of:
            self.counts["contained"] += 1
        else:
            self._succeed(s, m)

    def _heard_trade(self, s: ContractState, m: Trade) -> None:
        """A trade of a watched contract; from the first one after a silence on nothing is missing."""
        if s.exec_mute and not s.trade_lost:
            s.exec_mute, s.exec_since = False, max(s.exec_since, m.ts, m.ts_event)
            self._mark_whole(s)
            self.freshness.judge(s, m.ts)
        self.freshness.heard(s, Moves.TRADE, m.ts)

    def _came_late(self, s: ContractState, event: int) -> None:
        """A trade at `event` (ns) belongs to a bar that is closed."""

    def _mark_whole(self, s: ContractState) -> None:
        s.h_whole = 1.0 if s.sees(self.hour_start) else 0.0
        s.n_whole = 1.0 if s.sees(self.hour_start + HOUR) else 0.0

    def _succeed(self, s: ContractState, m: Trade) -> None:
        price, lots = m.price, m.lots
        if m.ts_event >= s.n_ts:
            s.n_ts = m.ts_event
            s.n_close = s.last = price
        if not s.n_open > 0.0 or m.ts_event < s.n_first:
            s.n_open, s.n_first = price, m.ts_event
        s.n_high = s.n_high if s.n_high >= price else price
        s.n_low = s.n_low if s.n_low <= price else price
        s.n_lots += lots
        s.n_turnover += s.notional(lots, price)
        s.n_count += 1.0
        if m.side == "buy":
            s.n_buy += lots
        else:
            s.n_sell += lots

    def depth(self, m: Depth) -> ContractState | None:
        """The best five levels: thinner side, impact. A reply older than what is known is nothing new."""
        s = self._known(m.symbol)
        if s is None or m.ts_event < s.depth_event:
            return None
        ts = m.ts
        if s.depth_ts:
            s.depth_gap = next_gap(s.depth_gap, ts - s.depth_ts)
        else:
            s.fresh_until = 0  # from now on it can go stale
        s.depth_ts, s.depth_event, s.depth_source = ts, m.ts_event, m.source
        s.bids, s.asks = m.bids[: book.LEVELS], m.asks[: book.LEVELS]
        per_lot = 1.0 if s.inverse else s.multiplier
        new = book.thin_side_ln(s.bids, s.asks, per_lot)
        ew = book.held(s.depth_ew_ln, s.depth_ln, ts - s.depth_ew_ts, self._half_life)
        s.depth_ln, s.depth_ew_ts = new, ts
        s.depth_ew_ln = (ew if ew == ew else new) if new == new else nan
        s.impact_bps, s.impact_extrapolated = book.impact_bps(s.bids, s.asks, per_lot, self.probe_usdt)
        if s.fresh[Moves.DEPTH] < 1.0:
            self.freshness.judge(s, ts)
        return s

    def mark_index(self, m: MarkIndex) -> ContractState | None:
        """Mark and index of the instrument topic."""
        s = self._known(m.symbol)
        if s is not None:
            self._mark(s, m.mark, m.index, m.ts)
            if s.fresh[Moves.MARK] < 1.0:
                self.freshness.judge(s, m.ts)
        return s

    def _mark(self, s: ContractState, mark: float, index: float, ts: int) -> None:
        if s.mark_ts:
            s.mark_gap = next_gap(s.mark_gap, ts - s.mark_ts)
        else:
            s.fresh_until = 0
        s.mark_ts, s.mark, s.index = ts, mark, index
        new = mark / index - 1.0 if mark > 0.0 and index > 0.0 else nan
        ew = book.held(s.basis_ew, s.basis, ts - s.basis_ts, BASIS_HALF_LIFE)
        s.basis, s.basis_ts = new, ts
        s.basis_ew = (ew if ew == ew else new) if new == new else nan

    def _known(self, symbol: str) -> ContractState | None:
        state = self.by_symbol.get(symbol)
        if state is None:
            self.counts["unknown"] += 1
        return state
