"""Age and expected gap per contract and topic: fresh, stale, silent, live (numbers.md §3).

Tickers and trades may rightly pause, so they age only while coverage is lost, or while the contracts poll shows
movement that the topic did not bring (silent). Everything else ages by its own gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from zmart_stream.domain.bars import TopicSilent
from zmart_stream.domain.settings import MarketSettings
from zmart_stream.market.bars import NS, FloatArray
from zmart_stream.market.contract_state import NEVER, ContractState, Moves

GAP_SHARE = 0.125
"""Weight of the newest gap in its EW mean; one gap counts at most three expected ones, an outage is no cadence."""
PATIENCE = 3.0
"""Expected gaps that may pass before an input is stale."""
DEFAULT_FUNDING_S = 28800
MANY = 24
"""From so many contracts on, columns are cheaper than one after the other."""
Times = npt.NDArray[np.int64]
_TIMES = attrgetter(
    *"trade_ts trade_lost trade_silent ticker_ts ticker_lost ticker_silent depth_ts mark_ts poll_ts settled_ts".split()
)
_TOPIC_OF = (0, 1, 2, 3, 4, 5, 0, 0)
"""Topic behind each of Moves: bars and days age with the trades."""
_GAPS = attrgetter(*"trade_gap ticker_gap depth_gap mark_gap poll_gap".split())


def next_gap(expected: float, gap: int) -> float:
    """EW mean of gaps (ns) after another one."""
    limit = PATIENCE * expected
    return expected + GAP_SHARE * ((gap if gap < limit else limit) - expected)


def freshness(age: float, expected: float) -> float:
    """1 up to three expected gaps, halving for each further three."""
    limit = PATIENCE * expected
    return 1.0 if age <= limit else float(2.0 ** -((age - limit) / limit))


class Freshness:
    """Judges contracts: sets `fresh`, `fresh_until`, `live`, `watch`; knows whose freshness changed since the sweep."""

    def __init__(self, settings: MarketSettings) -> None:
        self.reconfigure(settings)
        self._changed: dict[int, ContractState] = {}

    def reconfigure(self, settings: MarketSettings) -> None:
        """Use these floors."""
        self.ticker_floor = settings.gap_floor_ticker_s * NS
        self.trade_floor = settings.gap_floor_execution_s * NS
        self.mark_floor = settings.gap_floor_instrument_s * NS
        self.poll_floor = settings.gap_floor_poll_s * NS
        self.depth_floor = settings.gap_floor_depth_s * NS

    def start(self, state: ContractState) -> None:
        """Expect the floors until a topic has shown its own cadence."""
        state.ticker_gap, state.trade_gap = self.ticker_floor, self.trade_floor
        state.mark_gap, state.poll_gap, state.depth_gap = self.mark_floor, self.poll_floor, self.depth_floor

    def judge(self, state: ContractState, now: int) -> None:
        """Set the freshness of every topic at `now`."""
        funding = (state.contract.funding_interval_s or DEFAULT_FUNDING_S) * NS
        trade, trade_due = _paused(
            (state.trade_gap, self.trade_floor), state.trade_ts, state.trade_lost, state.trade_silent, now
        )
        ticker, ticker_due = _paused(
            (state.ticker_gap, self.ticker_floor), state.ticker_ts, state.ticker_lost, state.ticker_silent, now
        )
        depth, depth_due = _aged((state.depth_gap, self.depth_floor), state.depth_ts, now)
        mark, mark_due = _aged((state.mark_gap, self.mark_floor), state.mark_ts, now)
        poll, poll_due = _aged((state.poll_gap, self.poll_floor), state.poll_ts, now)
        settled, settled_due = _aged((funding, funding), state.settled_ts, now)
        fresh = [trade, ticker, depth, mark, poll, settled, trade, trade]
        until = min(trade_due, ticker_due, depth_due, mark_due, poll_due, settled_due)
        state.fresh_until = NEVER if state.delisted else until
        spoke = (state.ticker_lost != -1 or state.ticker_ts > 0) and (state.trade_lost != -1 or state.trade_ts > 0)
        live = spoke and trade >= 1.0 and ticker >= 1.0 and not state.halted and not state.delisted
        if live != state.live or fresh != state.fresh:
            state.fresh, state.live = fresh, live  # a new list: the scores know by it what they were computed with
            self._changed[state.row] = state
        state.watch = min(fresh) < 1.0 or state.exec_mute or not (live or state.halted or state.delisted)

    def heard(self, state: ContractState, moves: Moves, now: int) -> None:
        """A topic of a watched contract spoke: judged at once only where that can make it fresh, or live.

        How far other topics have aged is for the sweep: a contract with one stale topic shall not cost a judgement a
        message.
        """
        fresh = state.fresh
        if moves == Moves.TRADE:
            state.trade_silent = 0
        elif moves == Moves.TICKER:
            state.ticker_silent = 0
        waits = not state.live and fresh[Moves.TRADE] >= 1.0 and fresh[Moves.TICKER] >= 1.0
        if fresh[moves] < 1.0 or waits:
            self.judge(state, now)

    def covered(self, state: ContractState, topic: str, since: int | None, now: int) -> None:
        """Coverage of `ticker` or `execution` begins (`since`, ns) or is lost as of `now` (None)."""
        if topic == "execution":
            state.exec_since = NEVER if since is None else since
            state.trade_lost = now if since is None else 0
            state.trade_silent = 0
        elif topic == "ticker":
            state.ticker_since = NEVER if since is None else since
            state.ticker_lost = now if since is None else 0
            state.ticker_silent = 0
        else:
            return
        self.judge(state, now)

    def polled(self, state: ContractState, *, moved: bool, before: int, now: int) -> list[TopicSilent]:
        """A contracts poll at `now` showed movement or none since the poll at `before`; which topics are silent now.

        Silent: two polls in a row showed movement and the covered topic brought nothing since before the first. It is
        said again at each such poll: whoever subscribes anew may have had reason to wait.
        """
        if not moved or not before:
            state.moved_once = 0
            return []
        first, run_began = state.moved_once, state.moved_before
        state.moved_before, state.moved_once = before, now
        if not first:
            return []
        silent = []
        if not state.ticker_lost and max(state.ticker_since, state.ticker_ts) <= run_began:
            state.ticker_silent = state.ticker_silent or first
            silent.append(TopicSilent(ts=now, symbol=state.symbol, topic="ticker"))
        if not state.trade_lost and max(state.exec_since, state.trade_ts) <= run_began:
            state.trade_silent = state.trade_silent or first
            state.exec_mute = True  # a venue that leaves a subscription dead may leave the next one dead as well
            silent.append(TopicSilent(ts=now, symbol=state.symbol, topic="execution"))
        if silent:
            self.judge(state, now)
        return silent

    def unswept(self) -> list[int]:
        """Rows, ascending, whose freshness changed since the last sweep: part of the state between two sweeps."""
        return sorted(self._changed)

    def put_unswept(self, states: Sequence[ContractState]) -> None:
        """Inverse of `unswept`."""
        self._changed = {state.row: state for state in states}

    def sweep(self, states: Sequence[ContractState], now: int) -> list[ContractState]:
        """Contracts, in row order, whose freshness changed since the last sweep or that are stale at `now`."""
        due = [state for state in states if now > state.fresh_until]
        if len(due) < MANY:
            for state in due:
                self.judge(state, now)
                if min(state.fresh) < 1.0:
                    self._changed[state.row] = state
        else:
            self._judge_many(due, now)
        changed = [self._changed[row] for row in sorted(self._changed)]
        self._changed.clear()
        return changed

    def _judge_many(self, states: Sequence[ContractState], now: int) -> None:
        """`judge` for many contracts at once, the same bit for bit; who is stale counts as changed."""
        times = np.fromiter(chain.from_iterable(map(_TIMES, states)), np.int64, 10 * len(states)).reshape(-1, 10).T
        gaps = np.fromiter(chain.from_iterable(map(_GAPS, states)), np.float64, 5 * len(states)).reshape(-1, 5).T
        funding = [float((state.contract.funding_interval_s or DEFAULT_FUNDING_S) * NS) for state in states]
        aged = (
            _paused_all(gaps[0], self.trade_floor, times[0:3], now),
            _paused_all(gaps[1], self.ticker_floor, times[3:6], now),
            _aged_all(gaps[2], self.depth_floor, times[6], now),
            _aged_all(gaps[3], self.mark_floor, times[7], now),
            _aged_all(gaps[4], self.poll_floor, times[8], now),
            _aged_all(np.array(funding), 0.0, times[9], now),
        )
        fresh = np.stack([aged[k][0] for k in _TOPIC_OF])
        until = np.minimum.reduce([due for _, due in aged])
        spoke = ((times[1] != -1) | (times[0] > 0)) & ((times[4] != -1) | (times[3] > 0))
        followed = spoke & (fresh[Moves.TRADE] >= 1.0) & (fresh[Moves.TICKER] >= 1.0)
        aging = np.logical_or.reduce(fresh < 1.0, axis=0)
        columns = (fresh.T.tolist(), until.tolist(), followed.tolist(), aging.tolist())
        changed = self._changed
        for state, row, due, sound, stale in zip(states, *columns, strict=True):
            closed = state.halted or state.delisted
            live = sound and not closed
            if stale or live != state.live or row != state.fresh:
                state.fresh, state.live = row, live
                changed[state.row] = state
            state.fresh_until = NEVER if state.delisted else due
            state.watch = stale or state.exec_mute or not (live or closed)


def _aged_all(gap: FloatArray, floor: float, spoke: Times, now: int) -> tuple[FloatArray, Times]:
    """`_aged` for many contracts; without a floor the gap is fixed."""
    limit = PATIENCE * np.maximum(gap, floor)
    wait = np.array(PATIENCE * floor) if floor else limit
    due = np.where(spoke != 0, spoke + wait.astype(np.int64), NEVER)
    return _halved((now - spoke) - limit, limit, (spoke != 0) & (now - spoke > limit)), due


def _paused_all(gap: FloatArray, floor: float, times: Times, now: int) -> tuple[FloatArray, Times]:
    """`_paused` for many contracts; `times`: spoke, lost, silent."""
    spoke, lost, silent = times
    fresh, due = _aged_all(gap, floor, np.where(lost > 0, np.maximum(spoke, lost), spoke), now)
    quiet = (lost == 0) & (silent != 0)
    limit = PATIENCE * np.maximum(gap, floor)
    age = limit + (now - silent)
    fresh = np.where(lost != 0, fresh, _halved(age - limit, limit, quiet & (age > limit)))
    return fresh, np.where(lost != 0, due, np.where(quiet, silent, NEVER))


def _halved(beyond: FloatArray, limit: FloatArray, stale: npt.NDArray[np.bool_]) -> FloatArray:
    """1, where `stale` halved for each `limit` in `beyond`; powers are Python's, as NumPy's may differ in a digit."""
    fresh = np.ones(len(limit))
    fresh[stale] = [2.0**-spans for spans in (beyond[stale] / limit[stale]).tolist()]
    return fresh


def _aged(gaps: tuple[float, float], spoke: int, now: int) -> tuple[float, int]:
    """(freshness, time before which it is surely 1) of a topic that should keep speaking; `gaps`: own EW, floor.

    A topic never heard is absent, not stale. The time counts the floor alone, as the own gap may shrink meanwhile.
    """
    if not spoke:
        return 1.0, NEVER
    return freshness(now - spoke, max(gaps)), spoke + int(PATIENCE * gaps[1])


def _paused(gaps: tuple[float, float], spoke: int, lost: int, silent: int, now: int) -> tuple[float, int]:
    """As `_aged` for a topic that may pause: it ages from its loss, or is stale at once when it was found silent."""
    if lost > 0:
        return _aged(gaps, max(spoke, lost), now)
    if lost < 0:
        return _aged(gaps, spoke, now)
    if silent:
        return freshness(PATIENCE * max(gaps) + (now - silent), max(gaps)), silent
    return 1.0, NEVER
