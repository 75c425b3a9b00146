"""The feed against a real sandbox venue in another process: warm-up, coverage, faults, overlap, quotas."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.feeds.kucoin.venue import Follower, Venue, following, venue
from zmart_stream.domain.bars import RepairWanted, TopicSilent
from zmart_stream.domain.errors import FeedError
from zmart_stream.domain.market import (
    DAY_S,
    HOUR_S,
    Bars,
    ContractStats,
    Coverage,
    Depth,
    FeedState,
    FundingHistory,
    FundingSettled,
    Listing,
    MarkIndex,
    Ticker,
    Trade,
    VenueStatus,
    WarmUp,
)
from zmart_stream.feeds.kucoin.rest import KucoinRest
from zmart_stream.feeds.kucoin.settings import FeedSettings

SECOND = 1_000_000_000
HOUR = HOUR_S * SECOND


@pytest.fixture(scope="module")
def shared_venue() -> Iterator[Venue]:
    """A venue at twenty times real time that repeats trades on every subscription; its faults end by themselves."""
    with venue(speed=20, unknowns={"replayed_trades": 20}) as running:
        yield running


@pytest.fixture
def place(shared_venue: Venue) -> Venue:
    """The shared venue, once no fault of an earlier test is in force."""
    asyncio.run(shared_venue.until_well())
    return shared_venue


def repeated_trades(follower: Follower) -> list[tuple[str, int]]:
    seen = Counter((trade.symbol, trade.sequence) for trade in follower.basket.of(Trade))
    return [key for key, times in seen.items() if times > 1]


def loaded(follower: Follower, symbol: str, interval_s: int) -> list[Bars]:
    return [bars for bars in follower.basket.of(Bars) if (bars.symbol, bars.interval_s) == (symbol, interval_s)]


def starts(follower: Follower, symbol: str, interval_s: int) -> list[int]:
    return sorted({row[0] for bars in loaded(follower, symbol, interval_s) for row in bars.rows})


# --- start


@pytest.mark.parametrize(
    "unknowns",
    [
        {"kline_cap": 500, "kline_end": "inclusive"},
        {"kline_cap": 200, "kline_keeps": "oldest", "kline_end": "exclusive", "kline_columns": 6, "empty_side": "null"},
        {"kline_cap": 200, "kline_keeps": "newest", "number_style": "plain", "kline_end": "inclusive"},
    ],
    ids=["500", "200 oldest", "200 newest"],
)
def test_a_start_loads_the_windows_and_covers_every_topic(unknowns: dict[str, Any]) -> None:
    async def scenario(place: Venue) -> None:
        async with following(place) as follower:
            basket = follower.basket
            await basket.until(follower.warm, 60)
            await follower.until_complete()
            followed = follower.followed
            await basket.until(lambda: {funding.symbol for funding in basket.of(FundingHistory)} == followed)
            each = len(followed)
            assert each >= 12
            topics = Counter(topic for topic, _ in follower.covered())
            assert topics == {"ticker": each, "execution": each, "depth": 5, "instrument": 5, "announcement": 1}
            assert {stats.symbol for stats in basket.of(ContractStats)} >= followed
            progress = basket.of(WarmUp)
            assert [p.done for p in progress] == sorted(p.done for p in progress)
            assert (progress[-1].done, progress[-1].of, progress[-1].ended) == (each, each, True)
            old = max(sorted(followed), key=lambda symbol: len(starts(follower, symbol, DAY_S)))
            hours = starts(follower, old, HOUR_S)
            assert len(hours) == 241
            assert hours[-1] - hours[0] == 240 * HOUR
            assert len(starts(follower, old, DAY_S)) == 61
            spans = sorted((bars.since, bars.until) for bars in loaded(follower, old, HOUR_S))
            assert all(one[1] == two[0] for one, two in itertools.pairwise(spans))
            kinds = {Ticker, Trade, Depth, MarkIndex, VenueStatus}
            await basket.until(lambda: all(basket.of(kind) for kind in kinds))
            await basket.until(lambda: "rest" in {depth.source for depth in basket.of(Depth)})
            figures = follower.feed.stats()
            assert figures["malformed"] == {}
            assert figures["rest"]["counts"].get("limited", 0) == 0

    with venue(unknowns=unknowns) as running:
        asyncio.run(scenario(running))


def test_a_restart_fetches_the_gap_and_a_day_before_it(place: Venue) -> None:
    async def scenario() -> None:
        async with following(place) as first:
            await first.basket.until(first.warm, 60)
            await first.until_complete()
            now = first.basket.of(WarmUp)[-1].ts
            market = first.followed
        last_closed = now - now % HOUR - 3 * HOUR
        async with following(place, known=dict.fromkeys(market, last_closed)) as again:
            await again.basket.until(again.warm, 60)
            hourly = [bars for bars in again.basket.of(Bars) if bars.interval_s == HOUR_S]
            first_of = {bars.symbol: bars.since for bars in reversed(hourly)}  # an hour that ends meanwhile comes later
            assert set(first_of) == market
            assert set(first_of.values()) == {last_closed - 23 * HOUR}, "a day of what is known is checked"
            midnight = last_closed // (DAY_S * SECOND) != again.basket.of(WarmUp)[0].ts // (DAY_S * SECOND)
            assert any(bars.interval_s == DAY_S for bars in again.basket.of(Bars)) is midnight

    asyncio.run(scenario())


def test_a_venue_of_its_own_authority_is_trusted_by_ca_file_alone() -> None:
    async def scenario(place: Venue) -> None:
        ca_file = next(line.split(": ", 1)[1].strip() for line in place.lines if line.startswith("ca file"))
        async with following(place, ca_file=ca_file) as follower:
            await follower.until_complete()
            await follower.basket.until(lambda: follower.basket.of(Ticker))
        async with KucoinRest(FeedSettings(rest_url=place.url)) as stranger:
            with pytest.raises(FeedError):
                await stranger.server_time()

    with venue(contracts=4, tls=True) as running:
        asyncio.run(scenario(running))


# --- faults


FAULTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "reset": ({}, {"reset", "eof"}),
    "close": ({}, {"closed 1000 Bye"}),
    "half_open": ({"duration": 4}, {"silent", "no_pong"}),
    "no_pong": ({"duration": 3}, {"no_pong"}),
    # these two show at a dial: a reset asks for one
    "service_busy": ({"duration": 1}, {"reset", "eof"}),
    "token_expiry": ({}, {"reset", "eof"}),
}
QUICK = {"quiet_probe_s": 1.0, "quiet_drop_s": 1.0, "pong_timeout_s": 1.0, "ping_every_s": 1.0}


@pytest.mark.parametrize("kind", FAULTS)
def test_after_a_fault_every_topic_is_back_and_no_trade_came_twice(place: Venue, kind: str) -> None:
    more, reasons = FAULTS[kind]

    async def scenario() -> None:
        async with following(place, **QUICK) as follower:
            basket = follower.basket
            await follower.until_complete()
            await basket.until(lambda: len(basket.of(Trade)) > 50)
            await place.fault(kind, **more)
            if "reset" in reasons and kind != "reset":
                await place.fault("reset")
            await basket.until(lambda: any(coverage.since is None for coverage in basket.of(Coverage)))
            await basket.until(lambda: any(state.state == "down" for state in basket.of(FeedState)))
            seen = len(basket.of(Trade))
            await follower.until_complete()
            await basket.until(lambda: len(basket.of(Trade)) > seen + 50)
            assert repeated_trades(follower) == []
            assert follower.feed.stats()["repeated"]["trade"] > 0
            assert reasons & set(follower.feed.stats()["reconnects"])

    asyncio.run(scenario())


def test_hostile_and_repeated_frames_are_survived_and_counted(place: Venue) -> None:
    async def scenario() -> None:
        async with following(place) as follower:
            basket = follower.basket
            await follower.until_complete()
            for form in ("bad_json", "nan", "negative_price", "huge_number", "wrong_types", "missing_fields"):
                await place.fault("hostile", form=form)
            await place.fault("duplicate", duration=2)
            await basket.until(lambda: len(follower.feed.stats()["malformed"]) >= 4)
            replayed = follower.feed.stats()["repeated"].get("trade", 0)
            await basket.until(lambda: follower.feed.stats()["repeated"].get("trade", 0) > replayed + 20)
            assert repeated_trades(follower) == []
            assert follower.feed.stats()["reconnects"] == {}

    asyncio.run(scenario())


def test_a_planned_overlap_loses_no_coverage_and_no_trade(place: Venue) -> None:
    def tape(follower: Follower, begin: int, end: int) -> set[tuple[str, int]]:
        return {(t.symbol, t.sequence) for t in follower.basket.of(Trade) if begin < t.ts_event < end}

    async def scenario() -> None:
        async with following(place, life_s=1.0, overlap_s=0.3) as young, following(place) as old:
            await young.until_complete()
            await old.until_complete()
            begin = max(c.ts for c in (*young.basket.of(Coverage), *old.basket.of(Coverage))) + 10 * SECOND
            await young.basket.until(lambda: young.feed.stats()["connections"][0]["connects"] >= 4, 60)
            await old.basket.until(lambda: sum(trade.ts_event > begin for trade in old.basket.of(Trade)) > 150, 60)
            end = min(max(trade.ts_event for trade in each.basket.of(Trade)) for each in (young, old))
            # what one brought by now, a busy machine may still owe the other
            await old.basket.until(lambda: tape(young, begin, end) == tape(old, begin, end))
            assert all(coverage.since is not None for coverage in young.basket.of(Coverage))
            assert repeated_trades(young) == []
            assert len(tape(old, begin, end)) > 50
            assert young.feed.stats()["reconnects"] == {}

    asyncio.run(scenario())


def test_an_outage_and_a_429_storm_are_waited_out(place: Venue) -> None:
    async def scenario() -> None:
        async with following(place) as follower:
            basket = follower.basket
            await follower.until_complete()
            await basket.until(follower.warm, 60)
            symbol = min(follower.followed)
            await place.fault("storm_429", duration=2, headers=False)
            await place.fault("outage", duration=3)
            await basket.until(lambda: not follower.covered())
            await basket.until(lambda: follower.feed.stats()["rest"]["state"] == "down")
            now = basket.messages[-1].ts
            since = now - now % HOUR - 2 * HOUR
            asked = len(basket.of(Bars))
            for begin in (since, since + HOUR):
                follower.feed.repair(
                    RepairWanted(ts=now, symbol=symbol, interval_s=HOUR_S, since=begin, until=begin + HOUR)
                )
            await follower.until_complete()
            await basket.until(lambda: len(basket.of(Bars)) > asked, 60)
            repaired = basket.of(Bars)[asked]
            assert (repaired.symbol, repaired.since, repaired.until) == (symbol, since, since + 2 * HOUR)
            assert [row[0] for row in repaired.rows] == [since, since + HOUR]
            await basket.until(lambda: follower.feed.stats()["rest"]["state"] == "up")

    asyncio.run(scenario())


# --- what is followed


def test_pauses_and_the_service_status_become_messages(place: Venue) -> None:
    async def scenario() -> None:
        async with following(place) as follower:
            basket = follower.basket
            await follower.until_complete()
            symbol = min(follower.followed)

            def changes() -> list[str]:
                return [li.contract.status for li in basket.of(Listing) if li.contract.symbol == symbol]

            def statuses() -> list[str]:
                return [status.status for status in basket.of(VenueStatus)]

            await place.insist(lambda: len(changes()) > 1, "pause", symbols=[symbol], duration=3)
            await place.insist(lambda: len(statuses()) > 1, "service_status", status="cancelonly", duration=3)
            await basket.until(lambda: len(changes()) > 2 and len(statuses()) > 2)
            assert changes()[:3] == ["Open", "Paused", "Open"]
            assert statuses()[:3] == ["open", "cancelonly", "open"]
            await basket.until(lambda: ("ticker", symbol) in follower.covered())
            told = [c.since is None for c in basket.of(Coverage) if c.topic == "ticker" and symbol in c.symbols]
            assert told[:3] == [False, True, False], "a paused contract is not followed"

    asyncio.run(scenario())


def test_a_held_contract_gets_depth_and_a_silent_topic_is_subscribed_again(place: Venue) -> None:
    async def scenario() -> None:
        held: list[str] = []
        async with following(place, held=held) as follower:
            basket = follower.basket
            await follower.until_complete()
            symbol = next(s for s in sorted(follower.followed) if ("depth", s) not in follower.covered())
            held.append(symbol)
            await basket.until(lambda: {("depth", symbol), ("instrument", symbol)} <= follower.covered())
            told = len(basket.of(Coverage))
            for _ in range(3):
                follower.feed.resubscribe(TopicSilent(ts=0, symbol=symbol, topic="ticker"))
            await basket.until(lambda: len(basket.of(Coverage)) >= told + 2)
            await follower.until_complete()
            news = [(c.topic, c.symbols, c.since is None) for c in basket.of(Coverage)[told:]]
            assert news == [("ticker", (symbol,), True), ("ticker", (symbol,), False)]

    asyncio.run(scenario())


def test_a_venue_that_takes_fewer_subscriptions_gets_more_connections() -> None:
    async def scenario(place: Venue) -> None:
        async with following(place, topics_per_connection=60, depth_in_rank=3, depth_out_rank=4) as follower:
            await follower.until_complete()
            state = await place.state()
            topics = [topic for connection in state["connections"] for topic in connection["subscriptions"]]
            assert max(len(connection["subscriptions"]) for connection in state["connections"]) <= 20
            assert len(topics) == len(set(topics)) == len(follower.covered())

    limits = {"subscriptions": 20, "topics_per_frame": 10, "dials": 100}
    with venue(contracts=12, limits=limits, quota_factor=1.0) as running:
        asyncio.run(scenario(running))


def test_settlements_that_no_topic_tells_are_asked_for() -> None:
    async def scenario(place: Venue) -> None:
        async with following(place, settlement_wait_s=0.5, depth_in_rank=0, depth_out_rank=0) as follower:
            basket = follower.basket
            await basket.until(follower.warm, 60)
            await basket.until(lambda: len(basket.of(FundingHistory)) > 2 * len(follower.followed), 60)
            last: dict[str, int] = {}
            for history in basket.of(FundingHistory):
                assert history.settlements[-1][0] >= last.get(history.symbol, 0)
                last[history.symbol] = history.settlements[-1][0]
            assert basket.of(FundingSettled) == []

    with venue(contracts=4, speed=7200, unknowns={"announcements": False}) as running:
        asyncio.run(scenario(running))


def test_the_published_quotas_are_kept() -> None:
    async def scenario(place: Venue) -> None:
        true = {"quota_factor": 1.0, "contracts_every_s": 10.0, "status_every_s": 10.0}
        async with following(place, **true) as follower:
            await follower.basket.until(follower.warm, 60)
            state = await place.state()
            # the client that read the venue's time before spent two of it
            assert 400 < max(state["weight_most"].values()) <= 0.8 * 2000 + 2
            assert follower.feed.stats()["rest"]["counts"].get("limited", 0) == 0

    with venue(quota_factor=1.0, contracts=80) as running:
        asyncio.run(scenario(running))
