"""Delivery as receivers see it: signed, in order, again with the same id until taken, one digest instead of a flood."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec.structs import replace

from tests.notify.receiver import SECRETS, Memory, delivering, hooked, receiving, signed, until
from tests.notify.samples import change
from zmart_stream.domain.errors import RequestError
from zmart_stream.domain.ports import EntriesAsked
from zmart_stream.notify.outbox import Outbox
from zmart_stream.notify.settings import Rules


def tell(outbox: Outbox, store: Memory, *numbers: int) -> None:
    """Changes of the book with what tells of them, in one unit."""
    changes = [change(number) for number in numbers]
    store.put([*changes, *outbox.router.route(changes)])


def test_a_message_is_signed_by_every_secret_and_says_what_a_person_understands() -> None:
    async def scenario() -> None:
        store = Memory()
        async with receiving() as hook, delivering(hooked(hook.url), store) as outbox:
            tell(outbox, store, 1)
            (got,) = await hook.many(1)
            assert all(signed(got, secret) for secret in SECRETS)
            assert "." not in got.id
            assert got.headers["content-type"] == "application/json"
            assert {"type": "portfolio_change", "id": got.id, "importance": "normal"}.items() <= got.body.items()
            assert got.body["text"] == "A1USDTM joins the book at rank 1 with 12.50 %: fill"
            assert got.body["data"]["details"]["after"]["cash"] == 87.5
            await until(lambda: store.states() == ["delivered"])
            assert outbox.facts()["endpoints"][0]["sent"] == 1

    asyncio.run(scenario())


def test_what_is_not_taken_comes_again_with_its_id_and_nothing_overtakes_it() -> None:
    async def scenario() -> None:
        store = Memory()
        async with receiving() as hook, delivering(hooked(hook.url), store) as outbox:
            hook.plan = [500, 429, {"status": 302, "headers": {"Location": "/other"}}, 404]
            tell(outbox, store, 1, 2)
            tell(outbox, store, 3)
            got = await hook.many(7)
            names = [f"portfolio_change_c{number}" for number in (1, 1, 1, 1, 1, 2, 3)]
            assert [one.id for one in got] == names, "a redirect is no delivery, and is not followed"
            assert len({one.raw for one in got[:5]}) == 1
            await until(lambda: store.states() == ["delivered"] * 3)
            (first, *_), _ = await store.entries(EntriesAsked(), 9, 2)
            assert first.attempts == 5

    asyncio.run(scenario())


def test_nothing_is_sent_before_it_is_on_disk() -> None:
    async def scenario() -> None:
        store = Memory()
        store.is_held = True
        async with receiving() as hook, delivering(hooked(hook.url), store) as outbox:
            tell(outbox, store, 1)
            for _ in range(50):
                await asyncio.sleep(0)
            assert not hook.got
            store.commit()
            await hook.many(1)

    asyncio.run(scenario())


def test_a_start_goes_on_with_what_waits_in_order_and_with_the_same_ids() -> None:
    async def scenario() -> None:
        store, later = Memory(), Memory()
        async with receiving() as hook:
            settings = hooked(hook.url)
            first = Outbox(settings, {}, store)
            rows = [entry for one in first.router.route([change(1), change(2)]) for entry in one.entries]
            rows.append(replace(rows[0], id="x", event_id="gone", endpoint="old", created=1))
            tried = replace(rows[0], attempts=3, next_attempt=time.time_ns())
            later.rows = {entry.id: entry for entry in (rows[1], tried, rows[2])}
            async with delivering(settings, later) as outbox:
                tell(outbox, later, 3)  # at once, while the outbox still reads what waits
                got = await hook.many(3)
                assert [one.id for one in got] == [f"portfolio_change_c{number}" for number in (1, 2, 3)]
                await until(lambda: later.states() == ["dead", *["delivered"] * 3])
                assert later.rows["x"].last_error == "there is no endpoint of that name any more"

    asyncio.run(scenario())


def test_after_the_last_attempt_an_entry_is_dead_the_next_goes_on_and_an_operator_resends() -> None:
    async def scenario() -> None:
        store = Memory()
        async with receiving() as hook, delivering(hooked(hook.url, attempts=3), store) as outbox:
            hook.plan = [500, 500, 500, 200, 410]
            tell(outbox, store, 1, 2)
            tell(outbox, store, 3)
            await until(lambda: store.states() == ["dead", "delivered", "dead"])
            assert outbox.facts()["died"] == 2
            rows, total = await outbox.listed(EntriesAsked("dead"), 10, 0)
            assert (total, [row["last_error"] for row in rows]) == (2, ["answered 410", "answered 500"])
            assert await outbox.resend([rows[1]["id"]], None) == 1
            assert [one.id for one in await hook.many(6)][-1] == rows[1]["event_id"]
            assert await outbox.resend([], "bot") == 1
            await hook.many(7)
            await until(lambda: store.states() == ["delivered"] * 3)
            with pytest.raises(RequestError, match="not all of these are dead"):
                await outbox.resend([rows[0]["id"]], None)
            with pytest.raises(RequestError, match="no endpoint has the name 'x'; there are bot"):
                await outbox.resend([], "x")

    asyncio.run(scenario())


def test_an_endpoint_that_fails_is_left_alone_and_one_probe_closes_its_circuit() -> None:
    async def scenario() -> None:
        store = Memory()
        dials = {"failures_to_open": 3, "open_s": 3600.0, "attempts": 3}
        async with receiving() as hook, delivering(hooked(hook.url, **dials), store) as outbox:
            hook.plan = [500, 500, 500]
            tell(outbox, store, 1, 2)
            await hook.many(3)
            await until(lambda: outbox.facts()["endpoints"][0]["circuit"] == "open")
            assert outbox.facts()["pending"] == 1, "the next one waits for the circuit"
            assert len(hook.got) == 3
        async with receiving() as hook:
            again = Memory()
            settings = hooked(hook.url, failures_to_open=1, open_s=0.001)
            async with delivering(settings, again) as outbox:
                hook.plan = [500]
                tell(outbox, again, 1)
                await hook.many(2)
                await until(lambda: outbox.facts()["endpoints"][0]["circuit"] == "closed")

    asyncio.run(scenario())


def test_a_flood_becomes_one_digest_that_is_on_disk_before_it_is_sent() -> None:
    async def scenario() -> None:
        store = Memory()
        rules = Rules(importance="low", most=2, window_s=2.0)
        async with receiving() as hook, delivering(hooked(hook.url, rules), store) as outbox:
            tell(outbox, store, *range(1, 31))
            tell(outbox, store, *range(31, 41))
            one, two, digest = await hook.many(3)
            assert [one.id, two.id] == ["portfolio_change_c1", "portfolio_change_c2"]
            told = digest.body
            assert (told["type"], told["id"]) == ("digest", digest.id)
            assert signed(digest, SECRETS[0])
            assert told["data"]["count"] == 38
            assert [event["id"] for event in told["data"]["events"]] == [
                f"portfolio_change_c{number}" for number in range(3, 41)
            ]
            assert told["text"].splitlines()[0] == "38 events at once (38 portfolio change):"
            assert told["text"].splitlines()[-1] == "- and 18 more"
            await until(lambda: set(store.states()) == {"delivered"})
            assert store.rows[next(i for i, e in store.rows.items() if e.event_id.endswith("_c9"))].attempts == 0
            await asyncio.sleep(2.05)  # the window ends: two that come then are two messages
            tell(outbox, store, 50, 51)
            assert [got.id for got in (await hook.many(5))[3:]] == ["portfolio_change_c50", "portfolio_change_c51"]

    asyncio.run(scenario())


def test_a_backlog_that_grows_too_long_is_folded_and_loses_no_count() -> None:
    async def scenario() -> None:
        store = Memory()
        dials = {"most_pending": 20, "open_s": 3600.0, "failures_to_open": 1}
        async with receiving() as hook:
            settings = hooked(hook.url, **dials)
            async with delivering(settings, store) as outbox:
                hook.plan = [500]
                tell(outbox, store, 0)
                await until(lambda: outbox.facts()["endpoints"][0]["circuit"] == "open")
                for start in range(1, 101, 5):
                    tell(outbox, store, *range(start, start + 5))
                    await asyncio.sleep(0)
                await until(lambda: not store.units and outbox.facts()["pending"] <= 20)
            async with delivering(settings, store):
                hook.got.clear()
                await until(lambda: set(store.states()) == {"delivered"})
                counts = [got.body["data"]["count"] if got.body["type"] == "digest" else 1 for got in hook.got]
                assert sum(counts) == 101
                named = [
                    event["id"]
                    for got in hook.got
                    for event in (got.body["data"]["events"] if got.body["type"] == "digest" else [got.body])
                ]
                assert named == [f"portfolio_change_c{number}" for number in range(101)], "nothing is out of order"

    asyncio.run(scenario())


def test_a_test_goes_through_the_outbox_and_says_how_it_went() -> None:
    async def scenario() -> None:
        store = Memory()
        async with receiving() as hook, delivering(hooked(hook.url), store) as outbox:
            said = await outbox.test("bot", "anna")
            assert (said["state"], said["type"], said["last_error"]) == ("delivered", "test", "")
            assert hook.got[0].body["text"] == "A test of zmart-stream, asked for by anna"
            hook.plan = [503]
            said = await outbox.test("bot", "anna")
            assert (said["state"], said["last_error"]) == ("pending", "answered 503")

    asyncio.run(scenario())


def test_an_attempt_under_way_at_a_stop_is_ended_and_recorded() -> None:
    async def scenario() -> None:
        store = Memory()
        async with receiving() as hook:
            async with delivering(hooked(hook.url), store) as outbox:
                tell(outbox, store, 1, 2)
                await hook.many(1)
            store.commit()
            assert store.states()[0] == "delivered"

    asyncio.run(scenario())
