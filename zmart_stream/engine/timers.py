"""Timers on event time: due when a message's time reaches them, never by themselves."""

from __future__ import annotations

from collections.abc import Sequence

NEVER = 1 << 62
"""A due time (ns) that no message reaches."""


class Timers:
    """A handful of named timers; of those due at the same instant the one named first in `names` goes first."""

    def __init__(self, names: Sequence[str]) -> None:
        self._due = dict.fromkeys(names, NEVER)
        self.next_due = NEVER

    def set(self, name: str, due: int) -> None:
        """Let `name` fall due at `due` (ns); it forgets its former time. Raises KeyError for an unknown name."""
        if name not in self._due:
            raise KeyError(name)
        self._due[name] = due
        self.next_due = min(self._due.values())

    def cancel(self, name: str) -> None:
        """Let `name` not fall due."""
        self.set(name, NEVER)

    def due(self, name: str) -> int:
        """When `name` falls due (ns), `NEVER` if it is not set."""
        return self._due[name]

    def pop(self, ts: int) -> tuple[str, int] | None:
        """The earliest timer due at or before `ts`, now unset, with its time; None if there is none."""
        if self.next_due > ts:
            return None
        due = self.next_due
        name = next(name for name, at in self._due.items() if at == due)
        self.cancel(name)
        return name, due

    def snapshot(self) -> dict[str, int]:
        """Due times by name."""
        return dict(self._due)

    def restore(self, state: dict[str, int]) -> None:
        """Take the due times of the names known here."""
        for name in self._due:
            self._due[name] = state.get(name, NEVER)
        self.next_due = min(self._due.values())
