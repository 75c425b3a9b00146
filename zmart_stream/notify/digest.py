"""Many entries as one: how many of what, the texts, and as much of each as fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec

from zmart_stream.domain.outbox import OutboxEntry
from zmart_stream.notify.events import DIGEST, body
from zmart_stream.notify.settings import IMPORTANCE, Importance

MOST_BYTES = 128 << 10
"""Of the whole events in a digest; of further ones it has the text alone."""

MOST_EVENTS = 500
"""Events that are named at all; further ones are counted."""

MOST_LINES = 20
"""Lines of the text for people."""

_DIGESTS = UUID("d0a3f3a1-5f6e-5a0b-8f0d-6d2c1b7e4f90")


class _Body(msgspec.Struct, frozen=True):
    """An entry's payload as it was made; of a digest `data` has `count`, `by_type`, `omitted` and `events`."""

    type: str
    timestamp: str
    id: str
    text: str
    importance: Importance
    data: dict[str, Any]


def digest_of(entries: Sequence[OutboxEntry]) -> tuple[str, str]:
    """Id and payload of one message that stands for `entries`, at least one, in their order.

    A digest among them is opened: its events are told, not it.
    """
    counts: Counter[str] = Counter()
    events: list[dict[str, Any]] = []
    omitted = 0
    bodies = [msgspec.json.decode(entry.payload, type=_Body) for entry in entries]
    for said in bodies:
        if said.type == DIGEST:
            counts.update(said.data["by_type"])
            events += said.data["events"]
            omitted += said.data["omitted"]
        else:
            counts[said.type] += 1
            events.append(msgspec.to_builtins(said))
    shown, left = events[:MOST_EVENTS], max(0, len(events) - MOST_EVENTS)
    data = {
        "count": counts.total(),
        "by_type": dict(sorted(counts.items())),
        "first": bodies[0].timestamp,
        "omitted": omitted + left,
        "events": _fitted(shown),
    }
    name = uuid5(_DIGESTS, " ".join(entry.id for entry in entries))
    highest = max((said.importance for said in bodies), key=IMPORTANCE.index)
    text = _words(data)
    event_id = f"{DIGEST}_{name}"
    return event_id, body(DIGEST, bodies[-1].timestamp, data, id=event_id, importance=highest, text=text)


def _fitted(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first ones whole, as far as they fit; of the others what they say."""
    fitted, size = [], 0
    for event in events:
        size += len(msgspec.json.encode(event))
        kept = event if size <= MOST_BYTES else {name: value for name, value in event.items() if name != "data"}
        fitted.append(kept)
    return fitted


def _words(data: dict[str, Any]) -> str:
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in data["by_type"].items())
    texts = [f"- {event['text']}" for event in data["events"]]
    lines = [f"{data['count']} events at once ({kinds}):", *texts[:MOST_LINES]]
    if (more := data["count"] - len(texts[:MOST_LINES])) > 0:
        lines.append(f"- and {more} more")
    return "\n".join(lines)
