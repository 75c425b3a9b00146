"""Repeats and owners against a plain list of everything that came; the memory is bounded."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from zmart_stream.domain.signals import Decision, Plan, Signal
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
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_the_first_answer_again_exactly_when_the_key_or_the_content_was_there(calls: list[Any]) -> None:
    register, ts, past = Register(), 0, list[Signal]()
    for n, (seconds, owner, kind, key, symbol, restart) in enumerate(calls):
        ts += seconds * NS
        sent = signal(n, ts, owner=owner, source=f"bot-{owner}", signal_type=kind, idempotency_key=key, symbol=symbol)
        by_key = [s for s in past if key is not None and (s.owner, s.idempotency_key) == (owner, key)]
        by_content = [s for s in past if content_of(s) == content_of(sent) and ts - s.received < 60 * NS]
        expected = (by_key[-1].id, "key") if by_key else (by_content[-1].id, "content") if by_content else None
        found = register.repeated(sent, 60 * NS)
        assert (None if found is None else (found[0].id, found[1])) == expected
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
    assert register.repeated(signal(9, MOST_ANSWERS, signal_type="T0", idempotency_key="k0"), 60 * NS) is None
    found = register.repeated(signal(9, MOST_ANSWERS, idempotency_key="k600"), 60 * NS)
    assert found is not None
    assert found[0].id == f"{600:08d}"
    for n in range(2 * MOST_ANSWERS):
        register.put(signal(10**6 + n, NS + n, signal_type=f"T{n}"), 60 * NS)
    assert len(register) == 2 * MOST_ANSWERS, "a flood without keys drives no key out"
    assert register.repeated(signal(9, 3600 * NS, idempotency_key="k600"), 60 * NS) is not None
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
    register.ended("00000001", "acted")
    restored = Register()
    restored.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(register.snapshot())))
    answer = restored.get("00000001")
    assert answer is not None
    assert (answer.status, answer.approved, answer.p, answer.action, answer.symbol) == ("acted", True, 0.7, "ADD", "C1")
    assert restored.snapshot() == register.snapshot()
    assert [restored.repeated(signal(9, 9, idempotency_key=f"k{n}"), 0) is not None for n in range(4)] == [
        True,
        True,
        True,
        False,
    ]
