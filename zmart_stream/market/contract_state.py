"""One contract's slots: plain floats, updated message by message; nan means absent.

Return everywhere in the market and scoring packages = simple return, close / previous close - 1.
Daily EW volatility = sqrt(24) x hourly EW volatility (`sqrt(ew_var)`); annualised = sqrt(8760) x hourly.
"""

from __future__ import annotations

from enum import IntEnum
from math import nan
from typing import Any

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.market import Levels

NEVER = 2**63 - 1
"""A time that does not come: coverage that is not there."""


class Moves(IntEnum):
    """What changed, and so which parts move; indexes the per-state freshness list."""

    TRADE = 0
    TICKER = 1
    DEPTH = 2
    MARK = 3
    POLL = 4
    SETTLEMENT = 5
    BAR = 6
    DAY = 7


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# nan until something is known
_ABSENT = _names(
    # last quotes and prices
    "price last bid ask bid_lots ask_lots mark index funding_rate turnover_24h_row volume_24h_row last_price_row "
    # forming hour bar, its successor, today's closed hours
    "h_open h_high h_low h_close n_open n_high n_low n_close d_open d_high d_low d_close "
    # handed back at each hour close
    "prev_close ew_mean ew_var ew_gain max_ret_167 dd_high dd_low dd_167 turnover_24th base_close_24 base_close_25 "
    "hour_rsi_gain hour_rsi_loss "
    # handed back at each day close
    "rsi_gain rsi_loss rsi_prev ema12 ema26 atr boll_mean19 boll_m2_19 "
    "day_turnover_7 day_turnover_20 day_turnover_30 "
    # polled, settled, quoted
    "oi_change oi_span_h basis basis_ew spread_bps spread_ew_bps depth_ln depth_ew_ln impact_bps "
    "funding_mean_ann funding_span_h"
)
_ZERO = _names(
    "h_lots h_turnover h_buy h_sell h_count h_whole n_lots n_turnover n_buy n_sell n_count n_whole "
    "d_turnover turnover_23 buy_23 sell_23 hours_seen days_seen elapsed"
)
_TIMES = _names(
    "h_ts h_first h_as_of n_ts n_first n_as_of ticker_ts trade_ts depth_ts depth_event mark_ts poll_ts settled_ts "
    "spread_ts basis_ts depth_ew_ts listed_at ticker_lost trade_lost ticker_silent trade_silent "
    "moved_before moved_once fresh_until"
)
_OTHERS = _names(
    "symbol row contract status multiplier inverse in_universe delisted halted live watch price_is_mid "
    "bids asks depth_source impact_extrapolated exec_since ticker_since "
    "exec_mute ticker_gap trade_gap depth_gap mark_gap poll_gap settlements oi_first fresh"
)


class ContractState:
    """Everything a score reads about one contract between two closes. Written by `MarketCache` alone.

    Identity: `symbol`, `row`, `contract`, `status` (the venue's word), `multiplier` (base coins per lot),
    `inverse`, `listed_at` (ns, 0 unknown), `in_universe` (numbers.md §1), `delisted`, `halted` (status not Open),
    `live` (ticker and trades are covered, not silent, not stale, and the contract is not halted).

    `price`: what the scores read: the last trade known (a history's close counts as one); the mid, then the
    contract row's last price, only before any trade (`price_is_mid`); between a bar's end and its close the old
    bar's last trade. `last`: the newest trade of all. `elapsed`: share of the forming hour gone at the last trade
    (or `MarketCache.elapse`), 0..1: 24 h turnover = turnover_23 + h_turnover + (1 - elapsed) * turnover_24th.

    `h_*`: forming hour bar, nan / 0 while it has no trade; `h_whole` 1.0 if its trades are complete since its start;
    `h_buy`/`h_sell`/`h_count` are nan once the venue's running candle was taken over (klines have no taker split).
    `n_*`: its successor, which only accumulates until the close. `d_*`: today's closed hours (readers add `h_*`),
    d_open/high/low nan without a traded hour.

    Hour windows, of closed bars: `prev_close`; `ew_mean`, `ew_var` of returns, half-life 72 h, and `ew_gain`, the
    weight the next return gets: d = r - mean; var' = (1 - gain) * (var + gain * d * d); `max_ret_167`;
    (`dd_high`, `dd_low`, `dd_167`) of the newest 167 bars, the drawdown monoid of `indicators.join_drawdown`;
    `turnover_23` the newest 23 bars, `turnover_24th` the one before; `base_close_24` the close from which the return
    over 23 closed bars + the forming one counts, `base_close_25` the one before it; `buy_23`/`sell_23` lots where the
    split is known;
    `hour_rsi_gain`/`hour_rsi_loss` (state of RSI(14) on hours, previous close = `prev_close`); `hours_seen`.

    Day windows, of closed UTC days: `rsi_gain`, `rsi_loss`, `rsi_prev` (close of the newest closed day, also ATR's
    previous close), `ema12`, `ema26`, `atr`, all as the `provisional_*` functions of `indicators` take them together
    with `days_seen`; `boll_mean19`, `boll_m2_19` (sum of squared deviations) of the newest 19 closes;
    `day_turnover_7/20/30` means over the newest days, over those there are, 7 and 30 nan below 7 days.

    Others: `oi_change` ln(OI / OI 72 h ago), nan below 12 h, `oi_span_h`; `basis_ew` of mark/index - 1, half-life 8 h;
    `spread_ew_bps`, `depth_ew_ln` (thinner side's five levels, ln USDT), `impact_bps` (>= 0, capped at 500) with
    `impact_extrapolated`; `funding_mean_ann` and `funding_span_h`.

    Freshness: `fresh[moves]` 1.0 = fresh. Times are ns, 0 = never.
    """

    __slots__ = (*_ABSENT, *_ZERO, *_TIMES, *_OTHERS)

    symbol: str
    row: int
    contract: Contract
    status: str
    multiplier: float
    inverse: bool
    listed_at: int
    in_universe: bool
    delisted: bool
    halted: bool
    live: bool
    watch: bool  # something is stale or not live yet: the next message must judge freshness anew

    price: float
    price_is_mid: bool
    last: float
    bid: float
    ask: float
    bid_lots: float
    ask_lots: float
    mark: float
    index: float
    funding_rate: float
    turnover_24h_row: float
    volume_24h_row: float
    last_price_row: float
    bids: Levels
    asks: Levels
    depth_source: str

    h_open: float
    h_high: float
    h_low: float
    h_close: float
    h_lots: float
    h_turnover: float
    h_buy: float
    h_sell: float
    h_count: float
    h_whole: float
    h_ts: int  # venue time of the bar's newest trade
    h_first: int  # and of the trade that opened it; 0: the venue's candle did
    h_as_of: int  # the running candle taken over holds every trade up to here
    n_open: float
    n_high: float
    n_low: float
    n_close: float
    n_lots: float
    n_turnover: float
    n_buy: float
    n_sell: float
    n_count: float
    n_whole: float
    n_ts: int
    n_first: int
    n_as_of: int
    d_open: float
    d_high: float
    d_low: float
    d_close: float
    d_turnover: float
    elapsed: float

    prev_close: float
    ew_mean: float
    ew_var: float
    ew_gain: float
    max_ret_167: float
    dd_high: float
    dd_low: float
    dd_167: float
    turnover_23: float
    turnover_24th: float
    base_close_24: float
    base_close_25: float
    buy_23: float
    sell_23: float
    hour_rsi_gain: float
    hour_rsi_loss: float
    hours_seen: float

    rsi_gain: float
    rsi_loss: float
    rsi_prev: float
    ema12: float
    ema26: float
    atr: float
    boll_mean19: float
    boll_m2_19: float
    day_turnover_7: float
    day_turnover_20: float
    day_turnover_30: float
    days_seen: float

    oi_change: float
    oi_span_h: float
    oi_first: int  # grid index of the oldest open-interest point still in the window, 0 none
    basis: float
    basis_ew: float
    basis_ts: int
    spread_bps: float
    spread_ew_bps: float
    spread_ts: int
    depth_ln: float
    depth_ew_ln: float
    depth_ew_ts: int
    impact_bps: float
    impact_extrapolated: bool
    settlements: list[tuple[int, float, float]]  # (time ns, rate, interval in hours), ascending
    funding_mean_ann: float
    funding_span_h: float

    fresh: list[float]
    fresh_until: int  # nothing can be stale before
    exec_since: int  # trades are complete from here on; NEVER while they are not
    exec_mute: bool  # found silent, and no trade since: the coverage that is told proves nothing
    ticker_since: int
    ticker_lost: int  # when coverage was lost, 0 while covered, -1 before the first coverage
    trade_lost: int
    ticker_silent: int  # since when the poll shows what the topic does not bring, 0 = it is not silent
    trade_silent: int
    ticker_ts: int
    ticker_gap: float  # EW of gaps, ns
    trade_ts: int
    trade_gap: float
    depth_ts: int
    depth_event: int
    depth_gap: float
    mark_ts: int
    mark_gap: float
    poll_ts: int
    poll_gap: float
    settled_ts: int
    moved_before: int  # the poll before the first of the present run of polls that showed movement
    moved_once: int  # that first poll, 0 = none

    def __init__(self, row: int, contract: Contract) -> None:
        for name in _ABSENT:
            setattr(self, name, nan)
        for name in _ZERO:
            setattr(self, name, 0.0)
        for name in _TIMES:
            setattr(self, name, 0)
        self.row = row
        self.delisted = self.live = self.in_universe = self.impact_extrapolated = self.exec_mute = False
        self.price_is_mid = self.watch = True
        self.bids = self.asks = ()
        self.depth_source = ""
        self.settlements = []
        self.oi_first = 0
        self.fresh = [1.0] * len(Moves)
        self.exec_since = self.ticker_since = NEVER
        self.ticker_lost = self.trade_lost = -1
        self.ticker_gap = self.trade_gap = self.depth_gap = self.mark_gap = self.poll_gap = 0.0
        self.describe(contract)

    def describe(self, contract: Contract) -> None:
        """Take over the static facts of `contract`."""
        self.contract = contract
        self.symbol = contract.symbol
        self.status = contract.status
        self.multiplier = contract.multiplier
        self.inverse = contract.is_inverse
        self.listed_at = contract.listed_at or 0
        self.halted = contract.status != "Open"

    def age_ns(self, moves: Moves, now: int) -> int | None:
        """Time since the input behind `moves` last spoke, in ns; None if it never did."""
        spoke = (
            self.trade_ts,
            self.ticker_ts,
            self.depth_ts,
            self.mark_ts,
            self.poll_ts,
            self.settled_ts,
            self.trade_ts,
            self.trade_ts,
        )[moves]
        return max(0, now - spoke) if spoke else None

    def sees(self, start: int) -> bool:
        """Whether the bar that starts at `start` (ns) can be built from trades, none of them missing so far."""
        return self.exec_since <= start and not self.exec_mute

    def notional(self, lots: float, price: float) -> float:
        """Quote-currency value of `lots` at `price`."""
        return lots if self.inverse else lots * self.multiplier * price

    def today(self) -> tuple[float, float, float, float]:
        """(high, low, close, turnover) of the UTC day with the forming hour, price-only while nothing traded."""
        high, low, price = self.d_high, self.d_low, self.price
        if self.h_close > 0.0:  # false for nan: `not (x <= y)` below takes a first value over nan
            high = high if self.h_high <= high else self.h_high
            low = low if self.h_low >= low else self.h_low
        if not high > 0.0:
            high = low = price
        return high, low, price, self.d_turnover + self.h_turnover

    def open_next(self) -> None:
        """The successor becomes the forming bar, an empty one its successor; price follows a trade in it."""
        self.h_open, self.h_high, self.h_low, self.h_close = self.n_open, self.n_high, self.n_low, self.n_close
        self.h_lots, self.h_turnover = self.n_lots, self.n_turnover
        self.h_buy, self.h_sell, self.h_count = self.n_buy, self.n_sell, self.n_count
        self.h_ts, self.h_first, self.h_as_of = self.n_ts, self.n_first, self.n_as_of
        self.n_open = self.n_high = self.n_low = self.n_close = nan
        self.n_lots = self.n_turnover = self.n_buy = self.n_sell = self.n_count = 0.0
        self.n_ts = self.n_first = self.n_as_of = 0
        if self.h_close > 0.0:
            self.price = self.h_close
            self.price_is_mid = False

    def dump(self) -> list[Any]:
        """Every slot but identity and contract, in the order of `DUMPED`, msgpack-able."""
        return [getattr(self, name) for name in DUMPED]


DUMPED = tuple(name for name in ContractState.__slots__ if name not in ("symbol", "row", "contract"))
"""Slots that a snapshot carries."""

FLAGS = _names("inverse in_universe delisted halted live watch price_is_mid impact_extrapolated exec_mute")
COUNTS = (*_TIMES, "exec_since", "ticker_since", "oi_first", *FLAGS)
"""Slots of whole numbers; flags are 0 or 1 in a column."""
LOOSE = _names("status bids asks depth_source settlements bid_lots ask_lots")
"""Slots that make no column: words, levels, and lots as the venue gave them."""
FIGURES = tuple(name for name in DUMPED if name not in (*COUNTS, *LOOSE, "fresh"))
"""Slots of floats."""
