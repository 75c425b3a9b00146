"""Every message travels through msgpack and JSON and comes back the same."""

import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zmart_stream.domain import messages
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxFilled, OutboxMoved

INPUTS = typing.get_args(messages.Input)
DERIVED = typing.get_args(messages.Derived)


def hints(kind: type) -> dict[str, object]:
    found = typing.get_type_hints(kind)
    return {field.name: found[field.name] for field in msgspec.structs.fields(kind)}


SCALARS: dict[object, st.SearchStrategy[object]] = {
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(-(2**62), 2**62),
    str: st.text(max_size=8),
    bool: st.booleans(),
    bytes: st.binary(max_size=8),
    type(None): st.none(),
    typing.Any: st.integers(0, 9),
}


def of_type(hint: object) -> st.SearchStrategy[object]:
    if hint in SCALARS:
        return SCALARS[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(args)
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(of_type(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(of_type, args))
    if origin is dict:
        return st.dictionaries(of_type(args[0]), of_type(args[1]), max_size=2)
    if isinstance(hint, type):
        return st.deferred(lambda: plain(hint))
    return st.one_of(*map(of_type, args))  # a union


def plain(kind: type[Message]) -> st.SearchStrategy[Message]:
    return st.builds(kind, **{name: of_type(hint) for name, hint in hints(kind).items()})


@pytest.mark.parametrize("kind", INPUTS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_inputs_round_trip(kind, data):
    message = data.draw(plain(kind))
    assert messages.unpack_input(messages.pack(message)) == message
    assert messages.input_from_json(messages.to_json(message)) == message


@pytest.mark.parametrize("kind", DERIVED, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_derived_round_trip(kind, data):
    message = data.draw(plain(kind))
    assert messages.unpack_derived(messages.pack(message)) == message
    assert messages.derived_from_json(messages.to_json(message)) == message


def test_every_concrete_message_is_input_or_derived():
    def concrete(base: type) -> set[type]:
        below = base.__subclasses__()
        return {base} if not below else set().union(*map(concrete, below))

    own = {kind for kind in concrete(Message) if kind.__module__.startswith("zmart_stream.domain.")}
    assert own == {*INPUTS, *DERIVED, OutboxFilled, OutboxMoved}, "those two go to storage and never to the core"


def test_messages_are_frozen():
    tick = messages.market.Tick(ts=1)
    with pytest.raises(AttributeError):
        tick.ts = 2
