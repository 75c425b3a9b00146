"""Bus, timers, ids."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from zmart_stream.domain.errors import CascadeError
from zmart_stream.domain.market import Tick, WarmUp
from zmart_stream.domain.message import Message
from zmart_stream.domain.portfolio import BookReady, HoldChanged
from zmart_stream.engine.bus import Bus
from zmart_stream.engine.ids import IdSource, symbol_id
from zmart_stream.engine.timers import NEVER, Timers


def test_a_message_is_through_with_all_that_follows_before_the_next_is_drawn() -> None:
    bus = Bus()
    seen: list[str] = []

    def held(message: WarmUp) -> list[Message]:
        seen.append("warm-up")
        return [HoldChanged(ts=message.ts, on=True, reason="")]

    def given() -> Iterator[Message]:
        yield Tick(ts=1)
        seen.append("drawn")
        yield BookReady(ts=1, size=9)

    bus.subscribe(Tick, lambda m: [WarmUp(ts=m.ts, done=1, of=2)])
    bus.subscribe(Tick, lambda m: [BookReady(ts=m.ts, size=len(seen))])
    bus.subscribe(WarmUp, held)
    told = bus.cascade(given())
    assert [type(m).__name__ for m in told] == ["Tick", "WarmUp", "HoldChanged", "BookReady", "BookReady"]
    assert told[3] == BookReady(ts=1, size=1), "the second handler is asked when the first one's words are through"
    assert seen == ["warm-up", "drawn"]


def test_an_answer_comes_last_whoever_gives_it() -> None:
    bus = Bus(last=BookReady)
    bus.subscribe(Tick, lambda m: [BookReady(ts=m.ts, size=1), WarmUp(ts=m.ts, done=1, of=2)])
    told = bus.cascade([Tick(ts=1), HoldChanged(ts=1, on=True, reason="")])
    assert [type(m).__name__ for m in told] == ["Tick", "WarmUp", "HoldChanged", "BookReady"]


def test_a_class_below_itself_is_refused() -> None:
    bus = Bus()
    bus.subscribe(Tick, lambda m: [WarmUp(ts=m.ts, done=1, of=2)])
    bus.subscribe(WarmUp, lambda m: [Tick(ts=m.ts)])
    with pytest.raises(CascadeError, match="Tick > WarmUp > Tick"):
        bus.cascade([Tick(ts=1)])


def test_a_class_twice_side_by_side_is_no_loop() -> None:
    bus = Bus()
    bus.subscribe(Tick, lambda m: [WarmUp(ts=m.ts, done=1, of=2)])
    told: list[Message] = bus.cascade([Tick(ts=1), Tick(ts=2)])
    assert [m.ts for m in told if isinstance(m, WarmUp)] == [1, 2]


def test_timers_go_off_in_order_of_time_then_of_name() -> None:
    timers = Timers(("close", "sweep"))
    assert timers.pop(NEVER - 1) is None
    timers.set("sweep", 10)
    timers.set("close", 10)
    assert timers.next_due == 10
    assert timers.pop(9) is None
    assert timers.pop(10) == ("close", 10)
    timers.set("close", 5)
    assert timers.pop(20) == ("close", 5)
    assert timers.pop(20) == ("sweep", 10)
    assert timers.next_due == NEVER
    with pytest.raises(KeyError):
        timers.set("other", 1)


def test_ids_are_version_7_and_sort_by_time_then_sequence() -> None:
    source = IdSource(session=7)
    ts = 1_750_000_000_123_456_789
    made = [source.new(ts), source.new(ts), source.new(ts + 1_000_000)]
    assert made == sorted(made)
    assert source.last == made[-1]
    for text in made:
        parsed = UUID(text)
        assert parsed.version == 7
        assert parsed.variant == "specified in RFC 4122"
        assert parsed.int >> 80 in (ts // 1_000_000, ts // 1_000_000 + 1)


def test_ids_of_two_sessions_never_meet_and_a_restored_source_goes_on() -> None:
    one, two = IdSource(session=1), IdSource(session=2)
    assert not {one.new(5) for _ in range(100)} & {two.new(5) for _ in range(100)}
    other = IdSource(session=0)
    other.restore(one.snapshot())
    assert other.new(6) == one.new(6)


def test_a_symbols_id_is_its_own_for_ever() -> None:
    assert symbol_id("XBTUSDTM") == symbol_id("XBTUSDTM") != symbol_id("ETHUSDTM")
    assert UUID(symbol_id("XBTUSDTM")).version == 5
