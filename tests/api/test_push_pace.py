"""A crowd that listens: served a little at a time, everybody, and whatever one of them does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from tests.api.desk import SAFETY_S
from tests.api.listening import feed
from zmart_stream.api.limits import PushLimits
from zmart_stream.api.push import events, pace
from zmart_stream.api.push.batches import Batch
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.listener import Listener
from zmart_stream.api.push.pace import Pace
from zmart_stream.api.push.wants import Wants

CROWD = 60


def listener(hub: Hub) -> Listener:
    wants = Wants()
    wants.add((), ())
    return Listener(hub, wants, "")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SAFETY_S):
        while not condition():  # noqa: ASYNC110 - what it waits for are counts, not events
            await asyncio.sleep(0)


async def end(hub: Hub, tasks: list[asyncio.Task[None]]) -> None:
    hub.close()
    await asyncio.gather(*tasks)


def test_telling_does_not_depend_on_how_many_listen() -> None:
    """No client is touched when an event is told: it is made into bytes once and put into the ring."""

    async def scenario() -> None:
        hub, heard = Hub(PushLimits(ring=64)), list[Batch]()
        ears = [listener(hub) for _ in range(CROWD)]
        tasks = [asyncio.create_task(ear.follow(lambda batch: heard.append(batch) or True, SAFETY_S)) for ear in ears]
        await asyncio.sleep(0)
        for n in range(1000):
            hub.publish("hold", (), {"n": n})
        assert not heard
        await until(lambda: len(heard) == CROWD)
        assert all(batch is heard[0] for batch in heard)
        assert [event.number for event in heard[0].events] == list(range(937, 1001))
        assert heard[0].dropped == 936
        assert hub.dropped == 936 * CROWD
        await end(hub, tasks)

    asyncio.run(scenario())


def test_others_have_turns_of_the_loop_while_a_crowd_is_served() -> None:
    async def scenario() -> None:
        hub, served, most = Hub(), [0], 0

        def take(_batch: Batch) -> bool:
            served[0] += 1
            until_s = time.perf_counter() + 0.4 * pace.SLICE_S
            while time.perf_counter() < until_s:
                pass
            return True

        tasks = [asyncio.create_task(listener(hub).follow(take, SAFETY_S)) for _ in range(CROWD)]
        await asyncio.sleep(0)
        events.tell(hub, [feed("x")])
        seen = 0
        async with asyncio.timeout(SAFETY_S):
            while seen < CROWD:
                await asyncio.sleep(0)
                most, seen = max(most, served[0] - seen), served[0]
        assert 1 <= most <= 3, "each takes two fifths of a slice"
        await end(hub, tasks)

    asyncio.run(scenario())


def test_what_is_told_while_a_crowd_is_served_reaches_all_of_it(seed: int) -> None:
    """Also those who had their turn before it was told, and without anything told after it."""
    chance = random.Random(seed)

    async def scenario() -> None:
        hub, numbers = Hub(), [list[int]() for _ in range(CROWD)]

        def taking(heard: list[int]) -> Callable[[Batch], bool]:
            def take(batch: Batch) -> bool:
                heard.extend(event.number for event in batch.events)
                if hub.ring.next <= 20 and chance.random() < 0.2:
                    hub.publish("hold", (), {})
                return True

            return take

        tasks = [asyncio.create_task(listener(hub).follow(taking(heard), SAFETY_S)) for heard in numbers]
        await asyncio.sleep(0)
        events.tell(hub, [feed("x")])
        await until(lambda: hub.ring.next > 20 and all(len(heard) == hub.ring.next - 1 for heard in numbers))
        assert all(heard == list(range(1, hub.ring.next)) for heard in numbers)
        await end(hub, tasks)

    asyncio.run(scenario())


def test_who_has_no_room_is_passed_over_until_it_comes_back() -> None:
    async def scenario() -> None:
        hub, heard = Hub(PushLimits(ring=8)), list[Batch]()
        ear = listener(hub)
        task = asyncio.create_task(ear.follow(lambda batch: bool(heard.append(batch)), SAFETY_S))
        await asyncio.sleep(0)
        events.tell(hub, [feed("x")])
        await asyncio.wait_for(task, SAFETY_S)
        events.tell(hub, [feed("y") for _ in range(20)])
        other = list[Batch]()
        tasks = [asyncio.create_task(listener(hub).follow(lambda batch: other.append(batch) or True, SAFETY_S))]
        await asyncio.sleep(0)
        events.tell(hub, [feed("z")])
        await until(lambda: bool(other))
        assert len(heard) == 1, "it is not served while it does not follow"
        await ear.follow(lambda batch: bool(heard.append(batch)), SAFETY_S)
        assert (heard[1].dropped, [event.number for event in heard[1].events]) == (13, list(range(15, 23)))
        await end(hub, tasks)

    asyncio.run(scenario())


def test_a_fault_at_one_client_is_told_and_leaves_the_others_their_turns() -> None:
    async def scenario() -> None:
        hub, heard, faults = Hub(), list[Batch](), list[object]()
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context["exception"]))

        def fail(_batch: Batch) -> bool:
            raise RuntimeError("a fault")

        takes = [lambda batch: heard.append(batch) or True, fail, lambda batch: heard.append(batch) or True]
        tasks = [asyncio.create_task(listener(hub).follow(take, SAFETY_S)) for take in takes]
        await asyncio.sleep(0)
        for count in (2, 4):
            events.tell(hub, [feed("x")])
            await until(lambda count=count: len(heard) == count)
        assert [str(fault) for fault in faults] == ["a fault", "a fault"]
        await end(hub, tasks)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("of", "each_s", "share"),
    [
        (8, 50e-6, pace.MOST_SHARE),
        (1000, 150e-6, pace.ROUND_S / 0.15 - 1.0),
        (5000, 400e-6, pace.LEAST_SHARE),
    ],
)
def test_a_crowd_gets_a_share_of_the_loop_that_is_bounded_both_ways(of: int, each_s: float, share: float) -> None:
    """Rounds are spread over ROUND_S; a few clients do not wait that long, and too many do not get all of the loop."""
    found, now, rests = Pace(), 1000.0, list[float]()
    for _ in range(500):
        took = 2 * each_s
        rests.append(found.rest_s(now, now + took, 2, of))
        now += took + rests[-1]
    assert rests[-1] == pytest.approx(2 * each_s * share)


def test_what_a_slice_was_late_counts_as_rest() -> None:
    found, now = Pace(), 1000.0
    for _ in range(500):
        rest = found.rest_s(now, now + 1e-3, 20, 20)
        now += 1e-3 + rest
    late = 5e-3
    assert found.rest_s(now + late, now + late + 1e-3, 20, 20) == pytest.approx(rest - late)
    later = now + 60.0
    assert found.rest_s(later, later + 1e-3, 20, 20) == pytest.approx(pace.LEAST_SHARE * 1e-3), "but never all of it"
