"""A crowd of bots over kept connections: every signal that was answered is final once, in the list and in the file.

Across a kill in their midst, too: sent again, each gets the id that it had.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.service.harness import FULL_BOOK, PREFIX, WAIT_S, Daemon, ending

SETS = ("sandbox.contracts=16", "sandbox.speed=300", "api.open_loopback=true", *FULL_BOOK)
FINAL = {"declined", "acted", "no_action"}
BOTS = 6
OF_EACH = 24


class Bot(threading.Thread):
    """Posts its signals one after the other, each third of them twice, and keeps the ids; a kill ends it."""

    def __init__(self, daemon: Daemon, number: int, symbols: list[str]) -> None:
        super().__init__(daemon=True)
        self.ids: dict[int, set[str]] = {}
        self.refused: list[str] = []
        self._address = daemon.url.removeprefix("http://")
        self.number = number
        self._symbols = symbols

    def run(self) -> None:
        try:
            with closing(http.client.HTTPConnection(self._address, timeout=WAIT_S)) as line:
                for k in range(OF_EACH):
                    for _ in range(2 if k % 3 == 0 else 1):
                        self._post(line, k)
        except (OSError, http.client.HTTPException):
            return

    def _post(self, line: http.client.HTTPConnection, k: int) -> None:
        body = json.dumps(self._signal(k))
        line.request("POST", f"{PREFIX}/signals", body, {"Content-Type": "application/json"})
        reply = line.getresponse()
        said = reply.read()
        if reply.status != 200:
            self.refused.append(f"{reply.status} {said[:300]!r}")
            return
        self.ids.setdefault(k, set()).add(json.loads(said)["signal_id"])

    def _signal(self, k: int) -> dict[str, Any]:
        return {
            "source_name": f"bot-{self.number}",
            "signal_type": f"T{k}",
            "signal_strength": 0.7,
            "confidence_level": 0.6 + k % 4 / 10,
            "symbol": self._symbols[(self.number + k) % len(self._symbols)],
            "signal_direction": "SELL" if k % 4 == 3 else "BUY",
            "signal_data": {"number": k},
            "idempotency_key": f"{self.number}-{k}",
            "expires_in_s": 604800,  # of market time: should the book hold on a busy machine
        }


def crowd(daemon: Daemon) -> list[Bot]:
    """The bots, at work."""
    symbols = symbols_of(daemon)[:8]
    bots = [Bot(daemon, number, symbols) for number in range(BOTS)]
    for bot in bots:
        bot.start()
    return bots


def symbols_of(daemon: Daemon) -> list[str]:
    """All contracts with a score, in one order for all times."""
    return sorted(row["symbol"] for row in daemon.rankings())


def stored(daemon: Daemon) -> dict[str, tuple[str, str, int]]:
    """Id to key, status and number of steps, of every stored signal of the bots."""
    query = """select s.id, s.idempotency_key, s.status, count(p.sequence) from signals s
               join signal_steps p on p.signal_id = s.id where s.source_name like 'bot-%' group by s.id"""
    with closing(sqlite3.connect(f"file:{daemon.state / 'zmart.db'}?mode=ro", uri=True)) as connection:
        return {str(UUID(row[0])): (row[1], row[2], row[3]) for row in connection.execute(query)}


def listed(daemon: Daemon) -> dict[str, str]:
    """Id to status of everything in `signals/processed` that is a bot's."""
    found: dict[str, str] = {}
    offset = 0
    while rows := daemon.get(f"signals/processed?limit=100&offset={offset}")["signals"]:
        found |= {row["id"]: row["status"] for row in rows if row["source_name"].startswith("bot-")}
        offset += len(rows)
    return found


def test_none_is_lost_and_none_acts_twice_across_a_kill(tmp_path: Path) -> None:
    first = Daemon(tmp_path, "--sandbox", sets=SETS)
    with ending(first):
        first.book_ready()
        first.until("contracts with a score", lambda: len(symbols_of(first)) >= 8)
        bots = crowd(first)
        first.until("a quarter of them answered", lambda: sum(len(bot.ids) for bot in bots) > BOTS * OF_EACH // 4)
        first.kill()
        for bot in bots:
            bot.join(WAIT_S)
        answered = {(bot.number, k): ids for bot in bots for k, ids in bot.ids.items()}
        assert [bot.refused for bot in bots] == [[]] * BOTS
        assert all(len(ids) == 1 for ids in answered.values()), "sent twice, it has one id"
        kept = stored(first)
        assert {next(iter(ids)) for ids in answered.values()} <= set(kept), "what was answered was on disk"
    second = Daemon(tmp_path, "--sandbox", sets=SETS, state=first.state, name="second")
    with ending(second):
        second.book_ready()
        second.until("contracts with a score", lambda: len(symbols_of(second)) >= 8)
        bots = crowd(second)
        for bot in bots:
            bot.join(WAIT_S)
        assert [bot.refused for bot in bots] == [[]] * BOTS
        again = {(bot.number, k): ids for bot in bots for k, ids in bot.ids.items()}
        assert len(again) == BOTS * OF_EACH
        assert {key: again[key] for key in answered} == answered, "sent again after the kill, the first answer"
        second.until("every end", lambda: second.get("signals/pending")["total"] == 0)
        ids = {identity for each in again.values() for identity in each}
        assert len(ids) == BOTS * OF_EACH
        rows, shown = stored(second), listed(second)
        assert ids <= set(rows)
        assert {rows[identity][1] for identity in ids} <= FINAL
        assert all(steps == (3 if status == "declined" else 4) for _, status, steps in (rows[i] for i in ids))
        assert {identity: shown[identity] for identity in ids} == {i: rows[i][1] for i in ids}
        assert len({key for key, _, _ in rows.values()}) == len(rows), "one row a key"
        whole = second.get("portfolio/history?limit=1000")["changes"]
        acts = [change["who"] for change in whole if change["who"].startswith("signal:") and change["symbol_in"]]
        assert len(acts) == len(set(acts))
        assert second.status()["loop"]["lag_p99_ms"] is not None
