"""What follows a place is read once for all who stand there and want the same, and is what each would read alone."""

from __future__ import annotations

import random

from tests.api.listening import feed, score
from zmart_stream.api.limits import PushLimits
from zmart_stream.api.push import batches, events
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.push.wants import TYPES, Wants

SYMBOLS = ("XBTUSDTM", "ETHUSDTM", "SOLUSDTM")


def wanting(types: tuple[str, ...] = (), symbols: tuple[str, ...] = ()) -> Wants:
    found = Wants()
    found.add(types, symbols)
    return found


def test_clients_at_one_place_that_want_the_same_share_one_batch() -> None:
    hub = Hub()
    events.tell(hub, [score(symbol, float(k)) for k, symbol in enumerate(SYMBOLS)])
    first = hub.batches.after(1, wanting())
    assert hub.batches.after(1, wanting()) is first
    assert first.sse == b"".join(event.sse for event in first.events)
    one = hub.batches.after(1, wanting(("score_update",), SYMBOLS[1:2]))
    assert [event.symbols for event in one.events] == [(SYMBOLS[1],)]
    assert [event.number for event in hub.batches.after(2, wanting()).events] == [2, 3]
    events.tell(hub, [feed("again")])
    assert [event.number for event in hub.batches.after(1, wanting()).events] == [1, 2, 3, 4]


def test_a_choice_has_the_key_of_what_is_wanted_however_it_came_about() -> None:
    changed = wanting(("score_update",), SYMBOLS[:2])
    changed.remove(("score_update",), SYMBOLS[:1])
    assert changed.key == wanting(("score_update",), SYMBOLS[1:2]).key
    assert len({changed.key, wanting().key, Wants().key, wanting(("score_update",)).key}) == 4


def test_whoever_reads_in_batches_gets_all_that_is_wanted_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    hub = Hub(PushLimits(ring=64))
    choices = [((), ()), (("score_update",), SYMBOLS[:1]), (("feed_state", "hold"), ()), (TYPES[:1], SYMBOLS[1:])]
    clients = [[wanting(*chance.choice(choices)), 1, 0, []] for _ in range(40)]
    told = 0
    for _ in range(300):
        count = chance.randrange(8)
        some = [score(chance.choice(SYMBOLS), 1.0) if chance.random() < 0.8 else feed("x") for _ in range(count)]
        events.tell(hub, some)
        told += count
        for client in clients:
            if chance.random() < 0.3:
                batch = hub.batches.after(client[1], client[0])
                client[1] = batch.place
                client[2] += batch.dropped
                client[3] += batch.events
    assert hub.ring.next == told + 1
    for wants, place, dropped, got in clients:
        numbers = [event.number for event in got]
        assert numbers == sorted(set(numbers))
        assert all(wants.has(event) for event in got)
        if wants.key == wanting().key:
            assert len(got) + dropped == place - 1


def test_a_large_batch_serves_while_little_was_told_since() -> None:
    hub = Hub()
    events.tell(hub, [feed("x") for _ in range(80)])
    first = hub.batches.after(1, wanting())
    events.tell(hub, [feed("y") for _ in range(80 // batches.FRESH_SHARE)])
    assert hub.batches.after(1, wanting()) is first
    rest = hub.batches.after(first.place, wanting())
    assert [event.number for event in rest.events] == list(range(81, 91)), "and what was told since comes next"
    events.tell(hub, [feed("z")])
    assert len(hub.batches.after(1, wanting()).events) == 91


def test_a_full_batch_is_read_once_however_much_is_told_after_it() -> None:
    hub = Hub()
    events.tell(hub, [feed("x" * 1000) for _ in range(500)])
    full = hub.batches.after(1, wanting())
    assert full.place < hub.ring.next
    assert len(full.sse) <= batches.MOST_BYTES < len(full.sse) + 2000
    events.tell(hub, [feed("y") for _ in range(500)])
    assert hub.batches.after(1, wanting()) is full


def test_both_forms_of_a_batch_are_its_events() -> None:
    hub = Hub()
    events.tell(hub, [feed("x" * 300), score(SYMBOLS[0], 1.0)])
    batch = hub.batches.after(1, wanting())
    assert batch.chunk == f"{len(batch.sse):x}\r\n".encode() + batch.sse + b"\r\n"
    assert batch.frames == b"".join(event.frame for event in batch.events)


def test_few_batches_are_kept() -> None:
    hub = Hub()
    events.tell(hub, [feed("x" * 1000) for _ in range(200)])
    for place in range(1, 100):
        hub.batches.after(place, wanting())
    assert len(hub.batches._kept) <= batches.MOST_KEPT
    events.tell(hub, [feed("y") for _ in range(100)])
    hub.batches.after(201, wanting())
    assert len(hub.batches._kept) == 1, "what is out of date goes when the next is read"
