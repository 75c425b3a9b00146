"""What a daemon's database says, read with a connection that cannot write, and compared with the venue."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.service.harness import HOUR_NS, WAIT_S, Daemon, Sandbox
from zmart_stream.market.bars import Field
from zmart_stream.storage.snapshots import unpack, unpack_block

HOUR_S = 3600
CLOSE_ENOUGH = 1e-9  # of sums of decimal fractions


class Bar(NamedTuple):
    """One closed hour as it is stored."""

    ohlcv: tuple[float, ...]
    whole: float  # 1: built from the stream without a gap; 0: waits for its repair
    stored_at: int  # market ns
    amended: bool


def rows(state: Path, query: str, *values: Any) -> list[sqlite3.Row]:
    """Rows of one query."""
    with closing(sqlite3.connect(f"file:{state / 'zmart.db'}?mode=ro", uri=True, timeout=WAIT_S)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(query, values).fetchall()


Bars = dict[tuple[str, int], Bar]
"""By symbol and start."""


def bars(state: Path, since: int, until: int) -> Bars:
    """Closed hour bars that start in [since, until) ns, by symbol and start, amendments laid over the blocks."""
    found = {}
    blocks = "select * from bar_blocks where interval_s = ? and start_ns >= ? and start_ns < ?"
    for row in rows(state, blocks, HOUR_S, since, until):
        block = unpack_block(row["interval_s"], row["start_ns"], row["ts_ns"], row["payload"])
        columns = np.frombuffer(block.columns).reshape(len(Field), len(block.symbols))
        for at, symbol in enumerate(block.symbols):
            ohlcv = tuple(columns[: Field.LOTS + 1, at].tolist())
            found[symbol, block.start] = Bar(ohlcv, float(columns[Field.WHOLE, at]), block.ts, amended=False)
    amendments = "select * from bar_amendments where interval_s = ? and start_ns >= ? and start_ns < ?"
    for row in rows(state, amendments, HOUR_S, since, until):
        ohlcv = tuple(row[name] for name in ("open", "high", "low", "close", "lots"))
        found[row["symbol"], row["start_ns"]] = Bar(ohlcv, 1.0, row["ts_ns"], amended=True)
    return found


def differences(stored: Bars, venue: Sandbox, symbols: Sequence[str]) -> list[str]:
    """Every closed bar of `symbols` that is not the venue's kline, in words. A kline left out means no trade."""
    starts = sorted({start for _, start in stored})
    wrong = []
    for symbol in symbols:
        klines = venue.klines(symbol, starts[0], starts[-1] + HOUR_NS)
        for start in starts:
            bar = stored.get((symbol, start))
            if bar is None or bar.whole != 1.0:
                wrong.append(f"{symbol} {start}: not known whole ({bar})")
            elif start not in klines:
                if bar.ohlcv[4] != 0.0:
                    wrong.append(f"{symbol} {start}: {bar} where the venue saw no trade")
            elif not np.allclose(bar.ohlcv, klines[start], rtol=CLOSE_ENOUGH, atol=0.0):
                wrong.append(f"{symbol} {start}: {bar}, the venue says {klines[start]}")
    return wrong


def settled(daemon: Daemon, since: int, until: int, wrong: Callable[[Bars], list[str]]) -> Bars:
    """`bars` as soon as nothing is wrong with them.

    Where the machine stood still, trades missed their bar, which is repaired after the next close.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        late = time.monotonic() > deadline
        daemon.check_alive()
        found = bars(daemon.state, since, until)
        problems = wrong(found)
        if not problems:
            return found
        assert not late, f"{len(problems)} bars differ: {problems[:20]}\n{daemon.told()}"
        time.sleep(1.0)


def agreed(daemon: Daemon, venue: Sandbox, symbols: Sequence[str], since: int, until: int) -> Bars:
    """`bars` as soon as each of `symbols` is the venue's kline."""
    return settled(daemon, since, until, lambda found: differences(found, venue, symbols))


def history(state: Path) -> list[dict[str, Any]]:
    """Rows of the book's history in order, documents decoded."""
    found = []
    for row in rows(state, "select * from portfolio_history order by sequence"):
        values = dict(row)
        for name, value in values.items():
            if isinstance(value, str) and value[:1] in ("{", "["):
                values[name] = json.loads(value)
        found.append(values)
    return found


def holds(state: Path) -> list[tuple[int, bool, str]]:
    """(market ns, on, reason) of every hold told, in order."""
    query = "select ts_ns, is_on, reason from holds order by sequence"
    return [(row["ts_ns"], bool(row["is_on"]), row["reason"]) for row in rows(state, query)]


def held(state: Path, since: int) -> list[tuple[int, int | None, str]]:
    """(began, ended or None, first reason) of every hold that began after market time `since` (ns), in order.

    A change of the leading cause does not end a hold; an end whose beginning is older is not one of them.
    """
    found: list[tuple[int, int | None, str]] = []
    for at, is_on, reason in holds(state):
        running = bool(found) and found[-1][1] is None
        if is_on and not running and at > since:
            found.append((at, None, reason))
        elif not is_on and running:
            found[-1] = (found[-1][0], at, found[-1][2])
    return found


def changed_while_held(state: Path, periods: Sequence[tuple[int, int | None, str]]) -> list[dict[str, Any]]:
    """Rows of the book's history that fall into `periods` that have ended."""
    return [
        row
        for row in history(state)
        for began, ended, _ in periods
        if ended is not None and began <= row["ts_ns"] < ended
    ]


def newest_snapshot(state: Path) -> tuple[int, dict[str, Any]]:
    """The newest snapshot of the core: its place among the rows of all tables, and what it says."""
    found = rows(state, "select sequence, payload from snapshots order by sequence desc limit 1")
    return found[0]["sequence"], unpack(found[0]["payload"])
