"""What a client wants to hear: event types, and for each all contracts or some."""

from __future__ import annotations

from collections.abc import Sequence

from zmart_stream.api.names import nearest
from zmart_stream.api.push.ring import Event
from zmart_stream.domain.errors import RequestError

TYPES = ("score_update", "portfolio_change", "signal", "decision", "feed_state", "hold", "config")
"""Every type of event; docs/api.md has their fields."""


class Wants:
    """A client's choice. It cannot outgrow the types times the listed contracts."""

    def __init__(self) -> None:
        """Nothing."""
        self._by_type: dict[str, set[str] | None] = {}
        self.key = ""
        """The same for all who want the same."""

    def add(self, types: Sequence[str], symbols: Sequence[str]) -> None:
        """Want these types, without any: all; of these contracts, without any: of all. Raises RequestError."""
        for kind in known_types(types):
            present = self._by_type.setdefault(kind, set())
            if not symbols:
                self._by_type[kind] = None
            elif present is not None:
                present.update(symbols)
        self.key = repr(self.told())

    def remove(self, types: Sequence[str], symbols: Sequence[str]) -> None:
        """Want these no longer. Raises RequestError where contracts are named of a type that is wanted of all."""
        kinds = known_types(types)
        if symbols and any(kind in self._by_type and self._by_type[kind] is None for kind in kinds):
            raise RequestError("bad_request", "a type that is wanted of all contracts is left as a whole")
        for kind in kinds:
            left = self._by_type.get(kind)
            if left is not None and symbols:
                left.difference_update(symbols)
            if not symbols or not left:
                self._by_type.pop(kind, None)
        self.key = repr(self.told())

    def has(self, event: Event) -> bool:
        """Whether the event is wanted; one that is about no contract passes any choice of them."""
        if event.kind not in self._by_type:
            return False
        symbols = self._by_type[event.kind]
        return symbols is None or not event.symbols or not symbols.isdisjoint(event.symbols)

    def told(self) -> dict[str, list[str] | None]:
        """The choice, JSON-ready: contracts by type, None for all."""
        return {
            kind: None if symbols is None else sorted(symbols)
            for kind in TYPES
            if kind in self._by_type
            for symbols in (self._by_type[kind],)
        }


def known_types(types: Sequence[str]) -> Sequence[str]:
    """The types meant, all without any. Raises RequestError bad_query, naming the nearest there is."""
    for kind in types:
        if kind not in TYPES:
            shown = kind[:32] if kind.isprintable() else "that"
            near = nearest(shown, TYPES)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(TYPES)}"
            raise RequestError("bad_query", f"there is no event type {shown}; {hint}", parameter="types")
    return types or TYPES
