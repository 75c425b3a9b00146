"""Who is told of what; and what a start keeps to itself."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from tests.notify.samples import T0, change, decided, hold
from zmart_stream.app.settings_notify import Kind
from zmart_stream.domain.commands import PluginDisabled, Reconfigured
from zmart_stream.domain.events import told
from zmart_stream.domain.market import FeedState, VenueStatus
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, HoldChanged, PortfolioChange
from zmart_stream.domain.scores import ScoreChanged
from zmart_stream.domain.signals import SignalEnded
from zmart_stream.notify.events import KINDS, TYPES, notice
from zmart_stream.notify.routing import LastHold, Router
from zmart_stream.notify.settings import Rules

ALL = Rules(importance="low")
SCORE = ScoreChanged(ts=T0, symbol="XBTUSDTM", score=60.0, previous=50.0, confidence=1.0, components=())
PLUGIN = PluginDisabled(ts=T0, kind="agent", name="mine", reason="3 failures in a row")
UP = FeedState(ts=T0, connection="ws-1", state="up")
CLOSED = VenueStatus(ts=T0, status="close", reason="maintenance")
CONFIG = Reconfigured(ts=T0, revision=4, changed=("portfolio.max_symbols",))
ENDED = SignalEnded(ts=T0, signal_id="s1", status="no_action", reason="book_full", detail="all places are taken")


def router(rules: Rules = ALL, last: LastHold | None = None, *, started: bool = True) -> Router:
    """One endpoint's; by default long after the start."""
    made = Router({"bot": rules}, last)
    if started:
        made.route([BookReady(ts=T0, size=1)])
    return made


def routed(by: Router, *messages: Message) -> list[str]:
    """Types of what is told, of stored and unstored messages alike."""
    filled = [*by.route(messages), *by.route(messages, unstored=True)]
    return [entry.event_type for one in filled for entry in one.entries]


@pytest.mark.parametrize(
    ("message", "kind", "importance", "text"),
    [
        (change(1), "portfolio_change", "normal", "A1USDTM joins the book at rank 1 with 12.50 %: fill"),
        (
            change(1, kind="replace", reason="replace", symbol_out="ETHUSDTM", who="anna", note="news"),
            "portfolio_change",
            "normal",
            "A1USDTM replaces ETHUSDTM at rank 1 with 12.50 %: replace, by anna (news)",
        ),
        (
            change(1, kind="remove", reason="not_eligible", symbol_in=None, symbol_out="ETHUSDTM"),
            "portfolio_change",
            "normal",
            "ETHUSDTM leaves the book: not eligible",
        ),
        (
            change(1, kind="reweight", reason="daily", symbol_in=None),
            "portfolio_change",
            "low",
            "The book changes: reweight, daily",
        ),
        (
            decided(approved=True),
            "decision",
            "normal",
            "Signal BREAKOUT BUY of scanner about XBTUSDTM is approved (61%): replace XBTUSDTM",
        ),
        (
            decided(approved=False),
            "decision",
            "low",
            "Signal BREAKOUT BUY of scanner about XBTUSDTM is declined: below threshold (61%)",
        ),
        (ENDED, "signal", "low", "A signal led to nothing: all places are taken"),
        (hold(True, "gap: 3 bars"), "hold", "high", "The book holds: gap: 3 bars"),
        (hold(False, "gap ended"), "hold", "high", "The book acts again: gap ended"),
        (UP, "feed_state", "low", "Connection ws-1 is up"),
        (CLOSED, "feed_state", "high", "The venue's service is close: maintenance"),
        (CONFIG, "config", "low", "Settings changed (revision 4): portfolio.max_symbols"),
        (PLUGIN, "plugin", "high", "The agent mine is left out: 3 failures in a row"),
    ],
)
def test_what_is_told_in_words_and_how_much_it_matters(message: Message, kind: str, importance: str, text: str) -> None:
    made = notice(message)
    assert made is not None
    assert (made.kind, made.importance, made.text) == (kind, importance, text)
    assert made.id.startswith(f"{kind}_")
    body = json.loads(made.payload())
    assert body["type"] == kind
    shared = told(message)
    if shared is not None:
        assert {**body["data"], "timestamp": body["timestamp"]} == json.loads(json.dumps(shared.fields))


def test_the_settings_know_every_type_and_scores_are_none_of_them() -> None:
    assert get_args(Kind) == TYPES
    assert ScoreChanged not in KINDS
    assert notice(SCORE) is None


def test_an_endpoint_hears_of_its_types_contracts_and_what_matters_enough() -> None:
    every = [change(1), change(2), decided(approved=False), hold(True, "paused"), PLUGIN, UP, SCORE]
    stored = ["portfolio_change", "portfolio_change", "decision", "hold"]
    assert routed(router(), *every) == [*stored, "plugin", "feed_state"]
    assert routed(router(Rules(types=frozenset({"hold", "plugin"}))), *every) == ["hold", "plugin"]
    assert routed(router(Rules(importance="high")), *every) == ["hold", "plugin"]
    one = router(Rules(symbols=frozenset({"A2USDTM"})))
    assert routed(one, *every) == ["portfolio_change", "hold", "plugin"], "what is about no contract passes"


def test_ids_are_stable_and_times_never_run_back() -> None:
    by = Router({"a": ALL, "b": ALL}, newest=2**62)
    rows = [entry for one in by.route([change(1), change(2)]) for entry in one.entries]
    assert [(entry.endpoint, entry.event_id) for entry in rows] == [
        (name, f"portfolio_change_c{number}") for number in (1, 2) for name in ("a", "b")
    ]
    assert [entry.created for entry in rows] == [2**62 + n for n in range(1, 5)]
    again = [entry for one in Router({"a": ALL, "b": ALL}).route([change(1), change(2)]) for entry in one.entries]
    assert [entry.id for entry in again] == [entry.id for entry in rows]
    assert len({entry.id for entry in rows}) == 4


STARTS = [UP, hold(True, "gap: bars are missing"), VenueStatus(ts=T0, status="open"), hold(False, "gap ended")]


@pytest.mark.parametrize(
    ("last", "messages", "heard"),
    [
        (None, [*STARTS, Reconfigured(ts=T0, revision=2, changed=())], []),
        (None, [*STARTS, UP, hold(True, "universe_live"), CLOSED], ["feed_state", "hold", "feed_state"]),
        (None, [hold(True, "gap"), change(1), hold(True, "gap")], ["portfolio_change", "hold"]),
        (None, [hold(True, "paused"), hold(False, "paused ended")], ["hold", "hold"]),
        (LastHold(on=True, reason="universe_live: 3 of 9"), STARTS, ["hold"]),
        (LastHold(on=True, reason="paused"), [hold(True, "paused: as before"), *STARTS], ["hold"]),
        (LastHold(on=True, reason="paused"), [hold(True, "storage: disk full")], ["hold"]),
        (LastHold(on=False, reason="gap ended"), STARTS, []),
    ],
)
def test_a_start_tells_nothing_that_was_known_before(
    last: LastHold | None, messages: list[HoldChanged | PortfolioChange], heard: list[str]
) -> None:
    by = router(last=last, started=False)
    assert [kind for message in messages for kind in routed(by, message)] == heard
