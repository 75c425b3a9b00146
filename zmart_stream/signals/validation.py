"""What a submitted signal must be: one pure check, used by the processor (rejected) and by the API (its 4xx)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from zmart_stream.domain.events import iso
from zmart_stream.domain.signals import DETECTOR_SOURCE, MACHINE, Figure, Problem, SubmitSignal

NS = 1_000_000_000
TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
MOST_NAME = 64
MOST_KEY = 128
MOST_EXPIRY_S = 7 * 86400.0
DEEPEST = 16
LAST_NS = 253_402_300_800 * NS
"""End of the year 9999."""
SHOWN = 80
"""Characters of a wrong value that are repeated to the sender and stored."""

FindSymbol = Callable[[str], str | None]
"""The contract of a symbol or a UUID, None if there is none."""


def problems(command: SubmitSignal, find: FindSymbol, *, max_data_bytes: int = 16384) -> list[Problem]:
    """Everything that is wrong with `command`, each with field, value and rule; an empty list: it is valid."""
    return [
        *_name(command),
        *_type(command),
        *_share("signal_strength", command.signal_strength),
        *_share("confidence_level", command.confidence_level),
        *_symbol(command, find),
        *_direction(command),
        *_data(command, max_data_bytes),
        *_key(command),
        *_expiry(command),
    ]


def symbol_of(command: SubmitSignal, find: FindSymbol) -> str | None:
    """The contract that a valid command names, None for a market signal."""
    named = command.symbol if command.symbol is not None else command.symbol_id
    return None if named is None else find(named)


def shown(value: object) -> Figure:
    """A value as it may be repeated: cut, and never anything but a scalar."""
    if isinstance(value, int):
        return value if is_storable(value) else f"{value:.3e}"
    if value is None or isinstance(value, float):
        return value if value is None or value - value == 0.0 else str(value)
    text = writable(str(value))
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def writable(text: str) -> str:
    """`text` with a question mark for what no encoding can write: a header's bytes may come as such."""
    return text.encode(errors="replace").decode()


def is_storable(number: int) -> bool:
    """Whether 64 bits hold it, as snapshots and captures have them."""
    return -(1 << 63) <= number < 1 << 63


def _name(command: SubmitSignal) -> list[Problem]:
    name = command.source_name
    if not _is_word(name, MOST_NAME):
        rule = f"1 to {MOST_NAME} printable characters without a space at either end"
        return [Problem(field="source_name", value=shown(name), rule=rule)]
    if name.startswith(DETECTOR_SOURCE) and command.owner != MACHINE:
        rule = f"names that begin with {DETECTOR_SOURCE!r} belong to the built-in detectors"
        return [Problem(field="source_name", value=shown(name), rule=rule, code="source_taken")]
    return []


def _type(command: SubmitSignal) -> list[Problem]:
    if TYPE.fullmatch(command.signal_type):
        return []
    rule = "upper case letters, digits and _, at most 32, a letter first"
    return [Problem(field="signal_type", value=shown(command.signal_type), rule=rule)]


def _share(field: str, value: float) -> list[Problem]:
    return [] if 0.0 <= value <= 1.0 else [Problem(field=field, value=shown(value), rule="a number from 0 to 1")]


def _symbol(command: SubmitSignal, find: FindSymbol) -> list[Problem]:
    named = {"symbol": command.symbol, "symbol_id": command.symbol_id}
    found = {field: find(value) for field, value in named.items() if value is not None}
    unknown = [
        Problem(field=field, value=shown(named[field]), rule="a listed contract", code="unknown_symbol")
        for field, symbol in found.items()
        if symbol is None
    ]
    if not unknown and len(found) == 2 and found["symbol"] != found["symbol_id"]:
        rule = "the same contract as symbol, if both are given"
        return [Problem(field="symbol_id", value=shown(command.symbol_id), rule=rule)]
    return unknown


def _direction(command: SubmitSignal) -> list[Problem]:
    if command.signal_direction in (None, "BUY", "SELL"):
        return []
    return [Problem(field="signal_direction", value=shown(command.signal_direction), rule="BUY or SELL")]


def _data(command: SubmitSignal, limit: int) -> list[Problem]:
    if _depth_exceeds(command.signal_data, DEEPEST):
        return [Problem(field="signal_data", value=None, rule=f"at most {DEEPEST} levels deep")]
    size = data_bytes(command.signal_data)
    if size > limit:
        rule = f"a JSON object of at most {limit} bytes"
        return [Problem(field="signal_data", value=size, rule=rule, code="too_large")]
    if not all(map(is_storable, _integers(command.signal_data))):
        return [Problem(field="signal_data", value=None, rule="whole numbers of 64 bits")]
    return []


def _key(command: SubmitSignal) -> list[Problem]:
    key = command.idempotency_key
    if key is None or _is_word(key, MOST_KEY):
        return []
    rule = f"1 to {MOST_KEY} printable characters without a space at either end"
    return [Problem(field="idempotency_key", value=shown(key), rule=rule)]


def _expiry(command: SubmitSignal) -> list[Problem]:
    if command.expires_in_s is not None and command.expires_at is not None:
        rule = "either expires_in_s or expires_at"
        return [Problem(field="expires_at", value=_moment(command.expires_at), rule=rule)]
    if command.expires_in_s is not None and not 0.0 < command.expires_in_s <= MOST_EXPIRY_S:
        rule = f"seconds above 0, at most {MOST_EXPIRY_S:.0f}"
        return [Problem(field="expires_in_s", value=shown(command.expires_in_s), rule=rule)]
    if command.expires_at is not None and not 0 < command.expires_at - command.ts <= MOST_EXPIRY_S * NS:
        rule = f"after now in market time, at most {MOST_EXPIRY_S:.0f} s"
        return [Problem(field="expires_at", value=_moment(command.expires_at), rule=rule)]
    return []


def _moment(ns: int) -> Figure:
    """A time as its sender wrote it; far off the calendar, the number."""
    return iso(ns) if 0 <= ns < LAST_NS else shown(ns)


def data_bytes(data: dict[str, Any]) -> int:
    """Size of `data` as compact JSON."""
    return len(msgspec.json.encode(data)) if data else 2


def _is_word(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isprintable() and text.strip() == text


def _depth_exceeds(data: object, deepest: int) -> bool:
    """Whether lists and objects nest deeper than `deepest`; level by level, so that no depth can exhaust the stack."""
    level: list[Any] = [data]
    for _ in range(deepest):
        level = [below for each in level if isinstance(each, dict | list) for below in _below(each)]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _below(container: dict[str, Any] | list[Any]) -> list[Any]:
    return list(container.values()) if isinstance(container, dict) else container


def _integers(data: object) -> Iterator[int]:
    """Every whole number in `data`, which is not too deep."""
    if isinstance(data, dict | list):
        for each in _below(data):
            yield from _integers(each)
    elif isinstance(data, int):
        yield data
