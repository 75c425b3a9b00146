"""What has been seen already: the venue repeats frames on resubscription, and connections overlap on purpose."""

from __future__ import annotations

from collections import Counter, deque

from zmart_stream.domain.market import Depth, FundingSettled

Table = dict[str, tuple[int, int]]

SAME_SETTLEMENT_NS = 600_000_000_000
"""Two reports of a settlement closer than this are one: intervals are an hour at least."""

REMEMBERED = 256
"""Trades of a contract whose sequence is kept one by one: a repetition among them is told from one that came late.

Several seconds of a busy contract, so that neither end's standstill makes a late trade look like a repetition.
"""


class Sequences:
    """Highest (sequence, venue time) per symbol and topic, shared by all connections.

    Ticker and depth share the book's counter, execution has its own; both only rise. A lower sequence is a repetition,
    or of a trade one that came late, unless its venue time is later than the last one's by more than `restart_ns`:
    then the venue counts anew.
    """

    def __init__(self, restart_ns: int) -> None:
        """`restart_ns` in venue time."""
        self.restart_ns = restart_ns
        self.repeated: Counter[str] = Counter()
        self.tickers: Table = {}
        self.trades: Table = {}
        self._recent: dict[str, deque[int]] = {}
        self._depths: Table = {}
        self._times: dict[tuple[str, str], int] = {}
        self._settled: dict[str, int] = {}

    def fresh(self, table: Table, symbol: str, sequence: int, ts_event: int) -> bool:
        """True, and remembered, if `sequence` is the newest for `symbol` in `table`: an older picture tells nothing."""
        last = table.get(symbol)
        if last is not None and sequence <= last[0] and ts_event <= last[1] + self.restart_ns:
            self.repeated["ticker"] += 1
            return False
        table[symbol] = (sequence, ts_event)
        return True

    def fresh_trade(self, symbol: str, sequence: int, ts_event: int) -> bool:
        """True, and remembered, if this trade was not seen yet; one that others overtook counts as well."""
        last = self.trades.get(symbol)
        if last is None or sequence > last[0]:
            self.trades[symbol] = (sequence, ts_event)
            recent = self._recent.get(symbol)
            if recent is None:
                recent = self._recent[symbol] = deque(maxlen=REMEMBERED)
            recent.append(sequence)
            return True
        recent = self._recent[symbol]
        if ts_event > last[1] + self.restart_ns:
            recent.clear()
            self.trades[symbol] = (sequence, ts_event)
        elif sequence in recent or sequence < min(recent):
            self.repeated["trade"] += 1
            return False
        else:
            self.repeated["trade_late"] += 1
        recent.append(sequence)
        return True

    def fresh_depth(self, depth: Depth) -> bool:
        """True if the picture is new, or the same picture confirmed at a later time."""
        last = self._depths.get(depth.symbol)
        if last is not None and depth.ts_event <= last[1] + self.restart_ns:
            older = depth.sequence is not None and depth.sequence < last[0]
            if older or depth.ts_event <= last[1]:
                self.repeated["depth"] += 1
                return False
        self._depths[depth.symbol] = (depth.sequence or 0, depth.ts_event)
        return True

    def fresh_time(self, kind: str, symbol: str, ts_event: int) -> bool:
        """True if `ts_event` is later than the last one of this kind and symbol (topics without a sequence)."""
        key = (kind, symbol)
        if ts_event <= self._times.get(key, 0):
            self.repeated[kind] += 1
            return False
        self._times[key] = ts_event
        return True

    def fresh_settlement(self, settled: FundingSettled) -> bool:
        """True for the first report of a settlement, whichever topic brought it."""
        last = self._settled.get(settled.symbol, 0)
        if settled.ts_event < last + SAME_SETTLEMENT_NS:
            self.repeated["settlement"] += 1
            return False
        self._settled[settled.symbol] = settled.ts_event
        return True

    def settled_at(self, symbol: str) -> int:
        """Time of the last settlement that a topic brought; 0 if none did."""
        return self._settled.get(symbol, 0)

    def forget(self, symbol: str) -> None:
        """Drop what is known of a contract that left the venue's list."""
        for table in (self.tickers, self.trades, self._depths):
            table.pop(symbol, None)
        self._recent.pop(symbol, None)
        self._settled.pop(symbol, None)
        for kind in ("mark", "estimate"):
            self._times.pop((kind, symbol), None)
