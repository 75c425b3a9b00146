"""Repeats and owners against a plain list of everything that came; the memory is bounded."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from zmart_stream.domain.signals import Decision, Plan, Signal, SignalEnded
from zmart_stream.signals import register as module
from zmart_stream.signals.register import MOST_ANSWERS, MOST_SOURCES, Register, content_of

NS = 1_000_000_000
DAY = 86_400 * NS


def signal(n: int, ts: int, **other: Any) -> Signal:
    plain = Signal(
        id=f"{n:08d}",
        source="bot",
        owner="t",
        who="anna",
        signal_type="X",
        strength=0.5,
        confidence=0.5,
        direction="BUY",
        symbol=None,
        received=ts,
        expires=ts + NS,
    )
    return msgspec.structs.replace(plain, **other)


def repeated(register: Register, sent: Signal, dedupe_ns: int) -> tuple[str, str] | None:
    """Id of the signal that `sent` repeats, and by what."""
    key = sent.idempotency_key
    by_key = None if key is None else register.keyed((sent.owner, sent.source, key), sent.received)
    if by_key is not None:
        return by_key.id, "key"
    by_content = register.same(sent, dedupe_ns)
    return None if by_content is None else (by_content.id, "content")


def decision(plan: Plan) -> Decision:
    return Decision(
        approved=True,
        reason="approved",
        p=0.7,
        approve_at=0.55,
        prior=0.6,
        confidence=0.5,
        is_calibrated=False,
        spoke=3,
        quorum=3,
        veto=None,
        dissent=0.1,
        weights={},
        plan=plan,
    )


@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 50),
            st.sampled_from(["t", "u"]),
            st.sampled_from(["A", "B"]),
            st.sampled_from([None, "k", "l"]),
            st.sampled_from([None, "C1"]),
            st.sampled_from(["bot", "other"]),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_the_first_answer_again_exactly_when_the_key_or_the_content_was_there(calls: list[Any]) -> None:
    register, ts, past = Register(), 0, list[Signal]()
    for n, (seconds, owner, kind, key, symbol, bot, restart) in enumerate(calls):
        ts += seconds * NS
        source = f"{bot}-{owner}"
        sent = signal(n, ts, owner=owner, source=source, signal_type=kind, idempotency_key=key, symbol=symbol)
        by_key = [s for s in past if key is not None and (s.source, s.idempotency_key) == (source, key)]
        by_content = [s for s in past if content_of(s) == content_of(sent) and ts - s.received < 60 * NS]
        expected = (by_key[-1].id, "key") if by_key else (by_content[-1].id, "content") if by_content else None
        found = repeated(register, sent, 60 * NS)
        assert found == expected
        if found is None:
            assert register.refusal(sent.source, owner) is None
            register.put(sent, 60 * NS)
            past.append(sent)
        if restart:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(register.snapshot()))
            register = Register()
            register.restore(state)


def test_a_source_is_its_first_owners_also_after_a_restart() -> None:
    register = Register()
    register.put(signal(1, 0), 60 * NS)
    for _ in range(2):
        refusal = register.refusal("bot", "u")
        assert refusal is not None
        assert (refusal.field, refusal.value, refusal.code) == ("source_name", "bot", "source_taken")
        assert register.refusal("bot", "t") is None
        state = register.snapshot()
        register = Register()
        register.restore(state)


def test_one_token_cannot_take_all_names() -> None:
    register = Register()
    for n in range(MOST_SOURCES):
        assert register.refusal(f"s{n}", "t") is None
        register.put(signal(n, n, source=f"s{n}"), 60 * NS)
    refusal = register.refusal("one more", "t")
    assert refusal is not None
    assert refusal.code == "too_many_sources"
    assert register.refusal("one more", "u") is None
    assert register.refusal("s0", "t") is None


def test_memory_is_bounded_by_count_by_a_day_and_by_the_window() -> None:
    register = Register()
    for n in range(MOST_ANSWERS + 500):
        register.put(signal(n, n, signal_type=f"T{n}", idempotency_key=f"k{n}"), 60 * NS)
    assert len(register) == MOST_ANSWERS
    assert repeated(register, signal(9, MOST_ANSWERS, signal_type="T0", idempotency_key="k0"), 60 * NS) is None
    assert repeated(register, signal(9, MOST_ANSWERS, idempotency_key="k600"), 60 * NS) == (f"{600:08d}", "key")
    for n in range(2 * MOST_ANSWERS):
        register.put(signal(10**6 + n, NS + n, signal_type=f"T{n}"), 60 * NS)
    assert len(register) == 2 * MOST_ANSWERS, "a flood without keys drives no key out"
    assert repeated(register, signal(9, 3600 * NS, idempotency_key="k600"), 60 * NS) is not None
    register.put(signal(10**7, 62 * NS), 60 * NS)
    assert len(register) == MOST_ANSWERS + 1
    register.put(signal(10**8, module.KEPT_NS * 2), 60 * NS)
    assert len(register) == 1


def test_a_snapshot_says_how_each_signal_stands_by_now_also_in_the_second() -> None:
    register = Register()
    plan = Plan(action="ADD", symbol="C1")
    for n in range(3):
        register.put(signal(n, n, idempotency_key=f"k{n}"), 60 * NS)
    register.decided("00000001", "approved", decision(plan))
    register.snapshot()
    register.ended(SignalEnded(ts=9, signal_id="00000001", status="acted", reason="add", change_id="c"))
    restored = Register()
    restored.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(register.snapshot())))
    answer = restored.get("00000001")
    assert answer is not None
    assert (answer.status, answer.approved, answer.p, answer.action, answer.symbol) == ("acted", True, 0.7, "ADD", "C1")
    assert (answer.verdict, answer.reason, answer.change_id, answer.spoke) == ("approved", "add", "c", 3)
    assert restored.snapshot() == register.snapshot()
    assert [repeated(restored, signal(9, 9, idempotency_key=f"k{n}"), 0) is not None for n in range(4)] == [
        True,
        True,
        True,
        False,
    ]
