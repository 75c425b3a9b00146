"""Killed at any instant under load and started again: the book, its history and its ranks are what was told."""

from __future__ import annotations

import random
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.service import stored
from tests.service.harness import HOUR_NS, Daemon, Json, Sandbox, ending

PLACES = 5
TUNED = "[portfolio]\nmax_symbols = 5\nmax_per_sector = 50\n"
FILLING = TUNED + "entry_score = 0\nexit_score = 0\n"
LEAVING = TUNED + "entry_score = 99\nexit_score = 99\nexit_confirm = 100\n"
"""Every close counts towards every holding's exit, which is far away: a streak that a restart must keep."""


def book_of(document: Json) -> list[tuple[Any, ...]]:
    """A book as history or the API tell it."""
    return [(row["id"], row["symbol"], row["rank"], row["weight"]) for row in document["holdings"]]


def said(line: Json) -> tuple[Any, ...]:
    return line["kind"], line["reason"], line["symbol_in"], line["symbol_out"], line["holdings"]


def kept(row: Json) -> tuple[Any, ...]:
    return row["action_type"], row["reason"], row["symbol_in"], row["symbol_out"], len(row["after"]["holdings"])


class Story:
    """What several lives of one daemon told, against what is on disk."""

    def __init__(self, folder: Path, kills: int, seed: int) -> None:
        self.folder, self.kills, self.rng = folder, kills, random.Random(seed)
        self.file = folder / "zmart.toml"
        self.file.write_text(FILLING)
        self.venue = Sandbox(folder, contracts=24, speed=360, quota_factor=10)
        self.lows: dict[str, int] = {}
        self.rows = 0  # of history that earlier lives left
        self.scored = 0

    def life(self, number: int) -> Daemon:
        sets = ("market.min_turnover_usdt=0", "feed.backoff_max=1")
        arguments = ("--config", str(self.file))
        return Daemon(self.folder, *arguments, venue=self.venue, sets=sets, name=f"life-{number}")

    def begin(self) -> Daemon:
        """The first life: a full book, then settings under which every holding is on its way out."""
        daemon = self.life(0)
        daemon.book_ready(PLACES)
        self.file.write_text(LEAVING)
        daemon.send(signal.SIGHUP)
        daemon.event("config.reloaded")
        daemon.until("a streak on disk", lambda: self.streak(daemon) >= 2)
        self.scored = len(daemon.rankings())
        return daemon

    def streak(self, daemon: Daemon) -> int:
        low = stored.newest_snapshot(daemon.state)[1]["symbols"]["memory"]["low"]
        return min(low.values(), default=0)

    def kill(self, daemon: Daemon) -> None:
        """End a life at once, at a moment nobody chose."""
        time.sleep(self.rng.uniform(0.0, 6.0))
        seen = book_of(daemon.portfolio())
        daemon.kill()
        rows = stored.history(daemon.state)
        told = [said(line) for line in daemon.logged("book.changed")]
        assert [kept(row) for row in rows[self.rows :]][: len(told)] == told, "what was told is not what is kept"
        ever = [book_of(row["after"]) for row in rows[max(0, self.rows - 1) :]]
        assert seen in ever, "a book was shown that history does not know"
        self.rows = len(rows)
        sequence, snapshot = stored.newest_snapshot(daemon.state)
        low = snapshot["symbols"]["memory"]["low"]
        then = next(row["after"] for row in reversed(rows) if row["sequence"] < sequence)
        # a signal of a detector, judged between two closes, may have taken one out since
        assert set(low) == {holding["symbol"] for holding in then["holdings"]}
        assert all(low.get(symbol, count) >= count for symbol, count in self.lows.items()), "a streak was forgotten"
        self.lows = low

    def again(self, number: int) -> Daemon:
        """The next life: what it knows is what was told, and what it may have changed since it was started."""
        daemon = self.life(number)
        shown = book_of(daemon.portfolio())
        assert shown in [book_of(row["after"]) for row in stored.history(daemon.state)[self.rows - 1 :]]
        assert daemon.status()["book"]["ready"]
        assert len(daemon.rankings()) >= self.scored - 2
        return daemon

    def check_history(self, state: Path) -> None:
        rows = stored.history(state)
        assert len({row["id"] for row in rows}) == len(rows)
        assert [row["sequence"] for row in rows] == sorted({row["sequence"] for row in rows})
        assert [row["ts_ns"] for row in rows] == sorted(row["ts_ns"] for row in rows)
        filled = [row["reason"] for row in rows if row["reason"] in ("first_fill", "fill")]
        assert (len(filled), filled[0]) == (PLACES, "first_fill")
        for earlier, later in pairwise(rows):
            assert book_of(later["before"]) == book_of(earlier["after"])
            assert book_of(later["after"]) != book_of(later["before"]), "a row that changed nothing"

    def run(self) -> int:
        """All lives; the exit code of the last, which was asked to stop."""
        daemon = self.begin()
        for number in range(1, self.kills + 1):
            with ending(daemon):
                self.kill(daemon)
            daemon = self.again(number)
        with ending(daemon):
            before = min(self.lows.values())
            daemon.until("streaks to go on", lambda: self.streak(daemon) > before)
            self.check_history(daemon.state)
            newest = max(start for _, start in stored.bars(daemon.state, 0, 1 << 62))
            symbols = sorted({row["symbol"] for row in daemon.rankings()})
            stored.agreed(daemon, self.venue, symbols, newest - 40 * HOUR_NS, newest)
            return daemon.stop()


def test_three_kills_under_load(tmp_path: Path, seed: int) -> None:
    story = Story(tmp_path, 3, seed)
    with ending(story.venue):
        assert story.run() == 0


@pytest.mark.torture
def test_twenty_kills_under_load(tmp_path: Path, seed: int) -> None:
    story = Story(tmp_path, 20, seed)
    with ending(story.venue):
        assert story.run() == 0
