"""What is built from the stream equals what the venue serves; an outage leaves the book alone until it is repaired."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.service import stored
from tests.service.harness import FULL_BOOK, HOUR_NS, STEP_S, Daemon, Json, Sandbox, ending

SPEED = 900  # four seconds an hour
SLACK_NS = 2 * SPEED * 1_000_000_000  # the venue's clock may be two seconds ahead before anybody notices
WHOLE_HOURS = 3
OUTAGE_HOURS = 6
PROVEN_HOURS = 3  # of it: what surely lies within, though this process may stand still for some hours of market time
TRIES = 5
EAGER = (
    *FULL_BOOK,
    "portfolio.replace_margin=0",
    "portfolio.confirm=1",
    "portfolio.min_hold=0",
    "portfolio.reentry=0",
    "portfolio.max_swaps_per_day=1000",
)
"""A book that changes at nearly every close: what does not change was held."""


class Pair:
    """A venue and a daemon on it."""

    def __init__(self, folder: Path) -> None:
        self.venue = Sandbox(
            folder,
            contracts=24,
            speed=SPEED,
            quota_factor=10,
            transport={"ping_interval_ms": 6000, "ping_timeout_ms": 5000},
        )
        self.daemon = Daemon(folder, venue=self.venue, sets=(*EAGER, "feed.status_poll=5", "feed.backoff_max=2"))

    @property
    def state(self) -> Path:
        return self.daemon.state

    def hour(self) -> int:
        """Start (ns) of the hour that is forming."""
        return nanoseconds(self.daemon.status()["as_of"]) // HOUR_NS * HOUR_NS

    def followed(self) -> list[str]:
        """The contracts whose trades are followed."""
        return [
            row["symbol"]
            for row in self.daemon.get("symbols")["symbols"]
            if row["settle"] == "USDT" and row["market_type"] == "CRYPTO" and row["kind"] == "FFWCSX"
        ]

    def first_whole(self) -> int:
        """Start (ns) of the next hour that is seen whole by whoever is subscribed now."""
        return (nanoseconds(self.daemon.status()["as_of"]) + SLACK_NS) // HOUR_NS * HOUR_NS + HOUR_NS

    def closed_past(self, hour: int) -> None:
        """Wait until the hour that starts at `hour` is on disk."""
        self.daemon.until("an hour on disk", lambda: newest_block(self.state) >= hour)

    def repaired(self) -> Json:
        """Wait until nothing waits for its repair."""
        return self.daemon.repaired()

    def lost(self) -> int:
        """Connections that ended so far."""
        return int(sum(self.daemon.status()["feed"]["reconnects"].values()))

    def holding(self, word: str = "") -> Json:
        """Wait until the book holds for a reason with `word` in it; the book then."""

        def look() -> Json | None:
            book = self.daemon.portfolio()
            return book if book["hold"] and word in str(book["hold_reason"]) else None

        found = self.daemon.until(f"the hold {word}", look)
        assert found is not None
        return found

    def unchanged_to_the_end(self, held: Json) -> None:
        """Wait for the end of a hold; at every look until then the book is as it was."""
        while (book := self.daemon.portfolio())["hold"]:
            assert fingerprint(book) == fingerprint(held)
            self.daemon.check_alive()
            time.sleep(STEP_S)


def nanoseconds(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000) * 1_000_000


def newest_block(state: Path) -> int:
    found = stored.rows(state, "select max(start_ns) as newest from bar_blocks where interval_s = 3600")
    return int(found[0]["newest"] or 0)


def fingerprint(book: Json) -> list[tuple[Any, ...]]:
    """What a hold must not touch."""
    return [(row["id"], row["symbol"], row["rank"], row["weight"], row["since"]) for row in book["holdings"]]


def ended_holds(state: Path, since: int) -> list[tuple[int, int | None, str]]:
    """The holds that began after `since` (ns), [] until the newest of them has ended on disk."""
    periods = stored.held(state, since)
    return periods if periods and periods[-1][1] is not None else []


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("bars"))
    with ending(pair.venue, pair.daemon):
        pair.daemon.book_ready()
        pair.daemon.until("topics", pair.daemon.covered)
        yield pair


def test_every_closed_bar_of_a_gap_free_session_is_the_venues_kline(pair: Pair) -> None:
    followed = pair.followed()
    assert len(followed) >= 20
    fetched = []
    for _ in range(TRIES):
        pair.daemon.until("topics", pair.daemon.covered)
        first = pair.first_whole()
        pair.closed_past(first + (WHOLE_HOURS - 1) * HOUR_NS)
        bars = stored.agreed(pair.daemon, pair.venue, followed, first, first + WHOLE_HOURS * HOUR_NS)
        assert len({start for _, start in bars}) == WHOLE_HOURS
        fetched = [key for key, bar in bars.items() if key[0] in followed and bar.amended]
        if len(fetched) <= pair.daemon.status()["counts"]["late"]:
            return
        # where the machine stood still, a connection or a topic was lost: that was no gap-free session
    pytest.fail(f"bars of gap-free sessions were fetched, not built: {fetched}\n{pair.daemon.told()}")


def test_the_hours_before_are_the_venues_too(pair: Pair) -> None:
    pair.repaired()
    newest = newest_block(pair.state)
    bars = stored.agreed(pair.daemon, pair.venue, pair.followed(), newest - 30 * HOUR_NS, newest + HOUR_NS)
    assert len({start for _, start in bars}) == 31


def test_an_outage_of_several_bars_changes_nothing_until_it_is_repaired(pair: Pair) -> None:
    daemon, state = pair.daemon, pair.state
    pair.repaired()
    daemon.until("a book that acts", lambda: not daemon.portfolio()["hold"])
    hour, quiet = pair.hour(), nanoseconds(daemon.status()["as_of"])
    pair.venue.fault("outage", duration=OUTAGE_HOURS * 3600 / SPEED)
    held = pair.holding()
    assert held["hold_reason"]
    pair.unchanged_to_the_end(held)
    periods = daemon.until("the hold's end on disk", lambda: ended_holds(state, quiet))
    off = periods[0][1]
    assert off is not None
    assert stored.changed_while_held(state, periods) == []
    assert any(line["reason"] for line in daemon.logged("book.holds"))

    followed = pair.followed()
    missed = stored.agreed(daemon, pair.venue, followed, hour, off // HOUR_NS * HOUR_NS)
    assert len({start for _, start in missed}) >= PROVEN_HOURS, "the outage was too short to prove anything"
    within = hour + OUTAGE_HOURS * HOUR_NS
    repaired = [bar for (symbol, at), bar in missed.items() if bar.amended and symbol in followed and at < within]
    assert len(repaired) >= PROVEN_HOURS * len(followed)
    assert max(bar.stored_at for bar in repaired) <= off, "the book acted before the gap was repaired"

    daemon.until("the book to act again", lambda: [row for row in stored.history(state) if row["ts_ns"] >= off])
    first = off // HOUR_NS * HOUR_NS + HOUR_NS
    pair.closed_past(first + HOUR_NS)
    stored.agreed(daemon, pair.venue, followed, first, first + 2 * HOUR_NS)


def test_a_cut_that_nobody_noticed_for_hours_is_repaired_from_its_beginning(pair: Pair) -> None:
    """The venue freezes: until a ping stays unanswered, hours close that look whole."""
    daemon, state = pair.daemon, pair.state
    half = HOUR_NS // 2  # what is left of the hour and its grace is shorter than any unanswered ping
    for _ in range(TRIES):
        pair.repaired()
        daemon.until("half an hour", lambda: nanoseconds(daemon.status()["as_of"]) % HOUR_NS > half)
        hour, lost = pair.hour(), pair.lost()
        pair.venue.send(signal.SIGSTOP)
        try:
            daemon.until("the loss", lambda before=lost: pair.lost() > before)
            closed = newest_block(state)
        finally:
            pair.venue.send(signal.SIGCONT)
        daemon.until("topics", daemon.covered)
        if closed >= hour:
            break
    else:
        pytest.fail("it was noticed within the hour each time: nothing is proven")
    pair.closed_past(pair.hour() + HOUR_NS)
    bars = stored.agreed(daemon, pair.venue, pair.followed(), hour, newest_block(state))
    assert hour in {start for _, start in bars}, "the hour of the cut is not among those compared"


def test_a_closed_venue_is_a_hold_with_the_venues_word(pair: Pair) -> None:
    daemon, state = pair.daemon, pair.state
    daemon.until("a book that acts", lambda: not daemon.portfolio()["hold"])
    before = nanoseconds(daemon.status()["as_of"])
    pair.venue.fault("service_status", status="close")
    held = pair.holding("venue_status")
    pair.closed_past(pair.hour() + HOUR_NS)
    now = daemon.portfolio()
    assert now["hold"]
    assert fingerprint(now) == fingerprint(held)
    pair.venue.fault("service_status", status="open")
    pair.unchanged_to_the_end(held)
    assert daemon.status()["venue"]["status"] == "open"
    periods = daemon.until("the hold's end on disk", lambda: ended_holds(state, before))
    assert any("venue_status" in reason for _, _, reason in periods)
    assert stored.changed_while_held(state, periods) == []
