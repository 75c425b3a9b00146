"""The session's rules with injected times: heartbeat, subscriptions, errors, repetitions, overlap."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zmart_stream.domain.market import Depth, FundingSettled, Ticker, Trade
from zmart_stream.feeds.kucoin.sequences import Sequences
from zmart_stream.feeds.kucoin.session import Fate, Malformed, Overfull, Refused, Session, Subscribed
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.feeds.kucoin.subscriptions import Key
from zmart_stream.feeds.kucoin.wire import Wire

NOW = 1_793_940_000_000_000_000
SECOND = 1_000_000_000
SETTINGS = FeedSettings()


class Talk:
    """A session and a clock in whole hands."""

    def __init__(self, *, sequences: Sequences | None = None, settings: FeedSettings = SETTINGS) -> None:
        self.at = 100.0
        self.session = Session(
            settings=settings,
            wire=Wire(ahead_ns=settings.ahead_ns, behind_ns=settings.behind_ns),
            sequences=sequences or Sequences(settings.restart_ns),
            at=self.at,
            ping_s=18.0,
            pong_s=10.0,
        )

    def hear(self, *frames: dict[str, Any], after: float = 0.0) -> list[Any]:
        self.at += after
        return self.session.receive([json.dumps(frame).encode() for frame in frames], NOW, self.at)

    def say(self, after: float = 0.0) -> list[dict[str, Any]]:
        self.at += after
        return [json.loads(frame) for frame in self.session.tick(self.at)]

    def opened(self, *keys: Key) -> list[dict[str, Any]]:
        self.hear({"id": "c", "type": "welcome"})
        self.session.subscriptions.want(keys)
        return self.say()

    def ack_all(self, frames: list[dict[str, Any]]) -> None:
        self.hear(*({"id": frame["id"], "type": "ack"} for frame in frames))

    def error(self, code: int, text: str, request: str = "5f3a") -> None:
        self.hear({"id": request, "type": "error", "code": code, "data": text})


def trade(sequence: int, ts: int = NOW, symbol: str = "A") -> dict[str, Any]:
    data = {"sequence": sequence, "side": "buy", "size": 1, "price": "1", "ts": ts}
    return {"topic": f"/contractMarket/execution:{symbol}", "type": "message", "subject": "match", "data": data}


def ticker(sequence: int, ts: int = NOW, symbol: str = "A") -> dict[str, Any]:
    sides = {"bestBidPrice": "1", "bestBidSize": 1, "bestAskPrice": "2", "bestAskSize": 1}
    data = {"sequence": sequence, "ts": ts, **sides}
    return {"topic": f"/contractMarket/tickerV2:{symbol}", "type": "message", "subject": "tickerV2", "data": data}


def depth(sequence: int, ts_ms: int) -> dict[str, Any]:
    data = {"sequence": sequence, "timestamp": ts_ms, "ts": ts_ms, "bids": [["1", 1]], "asks": [["2", 1]]}
    return {"topic": "/contractMarket/level2Depth5:A", "type": "message", "subject": "level2", "data": data}


# --- opening


def test_nothing_is_sent_before_the_welcome() -> None:
    talk = Talk()
    talk.session.subscriptions.want([("ticker", "A")])
    assert talk.say(after=5.0) == []
    talk.hear({"id": "c", "type": "welcome"})
    assert [frame["type"] for frame in talk.say()] == ["subscribe"]


def test_a_missing_welcome_ends_the_session() -> None:
    talk = Talk()
    talk.say(after=SETTINGS.welcome_timeout_s + 0.1)
    assert talk.session.fate == Fate("no_welcome", "redial")


# --- heartbeat


def test_pings_come_every_eighteen_seconds_at_most_and_a_pong_satisfies() -> None:
    talk = Talk()
    talk.opened()
    pinged: list[float] = []
    for sequence in range(1, 241):
        for frame in talk.say(after=0.25):
            assert frame["type"] == "ping"
            pinged.append(talk.at)
            talk.hear({"id": frame["id"], "type": "pong", "timestamp": 1})
        talk.hear(trade(sequence))
    assert talk.session.fate is None
    assert len(pinged) == 3
    assert max(b - a for a, b in zip([100.0, *pinged], [*pinged, talk.at], strict=True)) <= 18.0


def test_data_without_pong_ends_the_session_after_the_pong_timeout() -> None:
    talk = Talk()
    talk.opened()
    pinged = None
    while talk.session.fate is None:
        if talk.say(after=0.25):
            pinged = talk.at
        talk.hear(trade(1))
        assert talk.at < 200
    assert talk.session.fate == Fate("no_pong", "redial")
    assert pinged is not None
    assert 10.0 < talk.at - pinged < 10.6


def test_a_dead_line_is_given_up_within_ten_seconds_of_its_last_frame() -> None:
    talk = Talk()
    talk.opened()
    talk.hear(trade(1), after=1.0)
    last = talk.at
    while talk.session.fate is None:
        talk.say(after=0.25)
        assert talk.at < 200
    assert talk.session.fate == Fate("silent", "redial")
    assert talk.at - last <= 10.0


def test_a_quiet_market_is_no_dead_line() -> None:
    talk = Talk()
    talk.opened()
    for _ in range(1200):
        for frame in talk.say(after=0.25):
            talk.hear({"id": frame["id"], "type": "pong"})
    assert talk.session.fate is None


def test_our_own_pause_is_not_held_against_the_venue() -> None:
    talk = Talk()
    talk.opened()
    for _ in range(200):
        talk.session.excuse(talk.at)
        talk.say(after=0.25)
    assert talk.session.fate is None


# --- subscriptions


def test_subscriptions_go_out_in_hundreds_within_half_the_message_budget_and_are_acknowledged() -> None:
    talk = Talk()
    symbols = [f"S{i}" for i in range(6050)]
    frames = talk.opened(*(("ticker", symbol) for symbol in symbols))
    assert len(frames) == 45  # 50 in 10 s, five of them kept for pings
    assert len(frames[0]["topic"].removeprefix("/contractMarket/tickerV2:").split(",")) == 100
    assert frames[0]["response"] is True
    talk.ack_all(frames)
    assert talk.session.events[0] == Subscribed("ticker", tuple(symbols[:100]))
    assert talk.say(after=4.0) == []
    later = talk.say(after=6.1)
    talk.ack_all([frame for frame in later if frame["type"] == "subscribe"])
    assert len(talk.session.subscriptions.acknowledged) == 6050
    assert talk.session.subscriptions.complete


def test_an_ack_that_stays_out_is_asked_for_again_and_then_ends_the_session() -> None:
    talk = Talk()
    seen = [talk.opened(("ticker", "A"))[0]["id"]]
    while talk.session.fate is None:
        for frame in talk.say(after=0.5):
            if frame["type"] == "ping":
                talk.hear({"id": frame["id"], "type": "pong"})
            else:
                seen.append(frame["id"])
        assert talk.at < 200
    assert talk.session.fate == Fate("no_ack", "redial")
    assert len(seen) == len(set(seen)) == SETTINGS.ack_tries


def test_unsubscribing_stops_the_messages_at_once() -> None:
    talk = Talk()
    talk.ack_all(talk.opened(("execution", "A"), ("execution", "B")))
    talk.session.subscriptions.unwant([("execution", "A")])
    assert [f["topic"] for f in talk.say()] == ["/contractMarket/execution:A"]
    assert [m.symbol for m in talk.hear(trade(1), trade(1, symbol="B"), trade(1, symbol="C"))] == ["B"]


def test_renewing_unsubscribes_and_subscribes() -> None:
    talk = Talk()
    talk.ack_all(talk.opened(("ticker", "A")))
    talk.session.events.clear()
    talk.session.subscriptions.renew([("ticker", "A")])
    frames = talk.say()
    assert [frame["type"] for frame in frames] == ["unsubscribe", "subscribe"]
    assert not talk.session.subscriptions.acknowledged
    talk.ack_all(frames)
    assert list(talk.session.events) == [Subscribed("ticker", ("A",))]


# --- errors


def test_a_refused_list_is_halved_until_the_offender_is_alone() -> None:
    talk = Talk()
    frames = talk.opened(*(("ticker", symbol) for symbol in "ABCDE"))
    for _ in range(10):
        for frame in frames:
            symbols = frame["topic"].partition(":")[2].split(",")
            if "D" in symbols:
                talk.error(404, "topic does not exist", frame["id"])
            else:
                talk.ack_all([frame])
        frames = talk.say()
    assert {key[1] for key in talk.session.subscriptions.acknowledged} == {"A", "B", "C", "E"}
    assert [e for e in talk.session.events if isinstance(e, Refused)] == [
        Refused("ticker", ("D",), 404, "topic does not exist")
    ]


def test_509_per_time_means_smaller_frames() -> None:
    talk = Talk()
    frames = talk.opened(*(("ticker", f"S{i}") for i in range(100)))
    talk.error(509, "exceed max subscription count limitation of 50 per time", frames[0]["id"])
    again = talk.say()
    assert [len(f["topic"].split(",")) for f in again] == [50, 50]


def test_509_per_session_gives_the_rest_back() -> None:
    talk = Talk()
    frames = talk.opened(*(("ticker", f"S{i}") for i in range(100)), *(("execution", f"S{i}") for i in range(100)))
    talk.ack_all(frames[:1])
    talk.session.events.clear()
    talk.error(509, "exceed max subscription count limitation of 150 per session", frames[1]["id"])
    event = talk.session.events.popleft()
    assert isinstance(event, Overfull)
    assert event.held == 100
    assert len(event.keys) == 100
    assert talk.session.fate is None


@pytest.mark.parametrize(
    ("code", "text", "fate"),
    [
        (401, "token is expired", Fate("token", "redial")),
        (400, "ping timeout", Fate("ping_timeout", "redial")),
        (509, "exceed max permits per second", Fate("permits", "slow")),
        (509, "service busy, please retry later", Fate("busy", "slow")),
        (509, "exceed max session count limitation of 50", Fate("sessions", "slow")),
        (415, "type is not supported", None),
        (400, "Unrecognized token 'x'", None),
        (777, "new", None),
    ],
)
def test_connection_level_errors_lead_where_they_should(code: int, text: str, fate: Fate | None) -> None:
    talk = Talk()
    talk.opened(("ticker", "A"))
    talk.error(code, text)
    assert talk.session.fate == fate


def test_a_busy_venue_is_asked_again_later() -> None:
    talk = Talk()
    frame = talk.opened(("ticker", "A"))[0]
    talk.error(500, "system error", frame["id"])
    assert talk.say(after=1.0) == []
    assert "subscribe" in [f["type"] for f in talk.say(after=5.0)]


def test_unknown_frames_are_ignored_and_bad_ones_reported() -> None:
    talk = Talk()
    talk.opened()
    talk.hear({"type": "notice", "data": {"anything": 1}}, {"type": "message", "topic": "/new:A", "data": 1})
    assert not talk.session.events
    talk.session.receive([b"{"], NOW, talk.at)
    event = talk.session.events.popleft()
    assert isinstance(event, Malformed)
    assert (event.reason, event.sample) == ("bad_json", b"{")
    assert talk.session.fate is None


# --- repetitions


def test_replayed_trades_are_dropped_late_ones_count_and_a_new_numbering_is_believed() -> None:
    sequences = Sequences(SETTINGS.restart_ns)
    talk = Talk(sequences=sequences)
    talk.opened(("execution", "A"))
    got = talk.hear(
        trade(5, NOW),
        trade(7, NOW + 1),
        trade(5, NOW),
        trade(7, NOW + 1),
        trade(6, NOW),
        trade(6, NOW),
        trade(4, NOW + 9 * SECOND),
        trade(8, NOW + 2),
    )
    assert [m.sequence for m in got] == [5, 7, 6, 8]
    assert sequences.repeated == {"trade": 4, "trade_late": 1}
    assert [m.sequence for m in talk.hear(trade(1, NOW + 11 * SECOND), trade(2, NOW + 11 * SECOND))] == [1, 2]


def test_a_trade_that_two_hundred_others_overtook_still_counts_once() -> None:
    """Seconds of a busy contract, as a venue that stood still for a moment may send them before it."""
    sequences = Sequences(SETTINGS.restart_ns)
    talk = Talk(sequences=sequences)
    talk.opened(("execution", "A"))
    others = [trade(number, NOW + number) for number in range(1, 402, 2)]
    got = talk.hear(*others, trade(2, NOW + 2), trade(2, NOW + 2))
    assert [m.sequence for m in got[-2:]] == [401, 2]
    assert sequences.repeated == {"trade": 1, "trade_late": 1}


def test_the_same_frames_over_two_connections_count_once() -> None:
    sequences = Sequences(SETTINGS.restart_ns)
    one, two = Talk(sequences=sequences), Talk(sequences=sequences)
    for talk in (one, two):
        talk.opened(("ticker", "A"), ("execution", "A"))
    got = [*one.hear(ticker(1), ticker(2)), *two.hear(ticker(2), ticker(3)), *one.hear(ticker(3), ticker(4))]
    assert [m.sequence for m in got] == [1, 2, 3, 4]


def test_a_depth_picture_confirmed_later_is_news_and_an_older_one_is_not() -> None:
    talk = Talk()
    talk.opened(("depth", "A"))
    ms = NOW // 1_000_000
    got = talk.hear(depth(5, ms), depth(5, ms), depth(5, ms + 100), depth(4, ms + 200), depth(6, ms + 300))
    assert [(m.sequence, m.ts_event // 1_000_000 - ms) for m in got if isinstance(m, Depth)] == [
        (5, 0),
        (5, 100),
        (6, 300),
    ]


def test_a_settlement_counts_once_whichever_topic_brings_it() -> None:
    talk = Talk()
    talk.opened(("announcement", ""), ("instrument", "A"))
    ms = NOW // 1_000_000
    by_instrument = {
        "topic": "/contract/instrument:A",
        "type": "message",
        "subject": "funding.rate",
        "data": {"granularity": 28800000, "fundingRate": 1e-5, "timestamp": ms},
    }
    announced = {
        "topic": "/contract/announcement",
        "type": "message",
        "subject": "funding.begin",
        "data": {"symbol": "A", "fundingTime": ms, "fundingRate": 1e-5, "timestamp": ms},
    }
    got = talk.hear(announced, by_instrument, {**announced, "subject": "funding.end"})
    assert [type(m) for m in got] == [FundingSettled]


def test_a_successor_holds_its_trades_until_the_older_connection_is_done() -> None:
    sequences = Sequences(SETTINGS.restart_ns)
    old, new = Talk(sequences=sequences), Talk(sequences=sequences)
    new.session.hold_trades()
    for talk in (old, new):
        talk.opened(("execution", "A"), ("ticker", "A"))
    got = old.hear(trade(1))
    # the successor is ahead: without holding, trade 2 of the older connection would be taken for a repetition
    got += new.hear(trade(3), ticker(9))
    got += old.hear(trade(2))
    got += new.session.release_trades()
    got += new.hear(trade(4))
    assert [m.sequence for m in got if isinstance(m, Trade)] == [1, 2, 3, 4]
    assert [m.sequence for m in got if isinstance(m, Ticker)] == [9]
