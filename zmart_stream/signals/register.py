"""Who said what before: sources and their owners, keys, and signals of the last minute, so that nothing acts twice."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from zmart_stream.domain.signals import Action, Problem, Signal, Status

NS = 1_000_000_000
KEPT_NS = 86_400 * NS
"""How long a key is remembered."""

MOST_ANSWERS = 20_000
"""Signals remembered at most; 200 a second fill a dedupe window of a minute with 12 000."""

MOST_SOURCES = 200
"""Source names of one owner."""

MOST_SOURCES_OF_ALL = 2000
Content = tuple[str, str, str, str, str]


class Answer(msgspec.Struct, kw_only=True, gc=False):
    """What a signal was answered, as it stands by now."""

    id: str
    first: int  # ns
    owner: str
    key: str | None
    content: Content
    status: Status
    approved: bool | None = None
    p: float | None = None
    action: Action | None = None
    symbol: str | None = None


def content_of(signal: Signal) -> Content:
    """What makes two signals the same: owner, source, contract, type, direction."""
    return (signal.owner, signal.source, signal.symbol or "", signal.signal_type, signal.direction)


class Register:
    """Bounded: the newest `MOST_ANSWERS` signals of the last day; owners of sources are kept for good."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}  # source -> owner
        self._counts: dict[str, int] = {}  # owner -> its sources
        self._answers: dict[str, Answer] = {}  # by id, oldest first
        self._keys: dict[tuple[str, str], str] = {}
        self._contents: dict[Content, str] = {}

    def refusal(self, source: str, owner: str) -> Problem | None:
        """Why `owner` may not speak as `source`, None if it may."""
        holder = self._owners.get(source)
        if holder == owner:
            return None
        if holder is not None:
            rule = "a source that no other token has used before"
            return Problem(field="source_name", value=source, rule=rule, code="source_taken")
        if self._counts.get(owner, 0) >= MOST_SOURCES or len(self._owners) >= MOST_SOURCES_OF_ALL:
            rule = f"at most {MOST_SOURCES} sources of one token, {MOST_SOURCES_OF_ALL} in all"
            return Problem(field="source_name", value=source, rule=rule, code="too_many_sources")
        return None

    def repeated(self, signal: Signal, dedupe_ns: int) -> tuple[Answer, Literal["key", "content"]] | None:
        """The signal that `signal` repeats: the same key of the same owner, or the same content within `dedupe_ns`."""
        if signal.idempotency_key is not None:
            found = self._answers.get(self._keys.get((signal.owner, signal.idempotency_key), ""))
            if found is not None and signal.received - found.first < KEPT_NS:
                return found, "key"
        found = self._answers.get(self._contents.get(content_of(signal), ""))
        if found is not None and signal.received - found.first < dedupe_ns:
            return found, "content"
        return None

    def put(self, signal: Signal) -> None:
        """Remember an accepted signal."""
        if signal.source not in self._owners:
            self._owners[signal.source] = signal.owner
            self._counts[signal.owner] = self._counts.get(signal.owner, 0) + 1
        content = content_of(signal)
        self._answers[signal.id] = Answer(
            id=signal.id,
            first=signal.received,
            owner=signal.owner,
            key=signal.idempotency_key,
            content=content,
            status="received",
        )
        self._contents[content] = signal.id
        if signal.idempotency_key is not None:
            self._keys[signal.owner, signal.idempotency_key] = signal.id
        self._forget(signal.received)

    def get(self, signal_id: str) -> Answer | None:
        """Where a signal stands, None once it is forgotten."""
        return self._answers.get(signal_id)

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {
            "owners": dict(self._owners),
            "answers": [msgspec.to_builtins(answer) for answer in self._answers.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot."""
        self._owners = dict(state["owners"])
        self._counts = {}
        for owner in self._owners.values():
            self._counts[owner] = self._counts.get(owner, 0) + 1
        answers = [msgspec.convert(answer, Answer) for answer in state["answers"]]
        self._answers = {answer.id: answer for answer in answers}
        self._contents = {answer.content: answer.id for answer in answers}
        self._keys = {(answer.owner, answer.key): answer.id for answer in answers if answer.key is not None}

    def _forget(self, now: int) -> None:
        """Drop the oldest while there are too many or they are too old."""
        while self._answers:
            oldest = next(iter(self._answers.values()))
            if len(self._answers) <= MOST_ANSWERS and now - oldest.first < KEPT_NS:
                return
            del self._answers[oldest.id]
            if self._contents.get(oldest.content) == oldest.id:
                del self._contents[oldest.content]
            if oldest.key is not None and self._keys.get((oldest.owner, oldest.key)) == oldest.id:
                del self._keys[oldest.owner, oldest.key]
