"""Who said what before: sources and their owners, keys, and signals of the last minute, so that nothing acts twice."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from zmart_stream.domain.signals import Action, Decision, Problem, Signal, SignalEnded, Status
from zmart_stream.signals.packed import joined, opened, packed

NS = 1_000_000_000
KEPT_NS = 86_400 * NS
"""How long a key is remembered."""

MOST_ANSWERS = 20_000
"""Signals with a key remembered at most, and as many without; 200 a second fill a window of a minute with 12 000."""

MOST_SOURCES = 200
"""Source names of one owner."""

MOST_SOURCES_OF_ALL = 2000
Content = tuple[str, str, str, str, str]
Key = tuple[str, str, str]
"""Owner, source, idempotency key: two bots of one token may count alike."""


class Answer(msgspec.Struct, kw_only=True, array_like=True, gc=False):
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
    symbol_out: str | None = None
    spoke: int | None = None
    veto: str | None = None
    dissent: float | None = None
    verdict: str = ""  # the decision's reason
    reason: str = ""  # of the newest step
    detail: str = ""
    change_id: str | None = None


_answer = msgspec.msgpack.Decoder(Answer).decode


def content_of(signal: Signal) -> Content:
    """What makes two signals the same: owner, source, contract, type, direction."""
    return (signal.owner, signal.source, signal.symbol or "", signal.signal_type, signal.direction)


class Register:
    """Bounded: keys of the last day and signals without one of the dedupe window, the newest `MOST_ANSWERS` of each.

    Owners of sources are kept for good. An answer is kept as it goes into a snapshot, and read when it is asked for.
    """

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}  # source -> owner
        self._counts: dict[str, int] = {}  # owner -> its sources
        self._answers: dict[str, bytes] = {}  # by id, in the order of arrival
        self._keyed: deque[tuple[int, str]] = deque()  # (first, id), oldest first
        self._others: deque[tuple[int, str]] = deque()
        self._keys: dict[Key, str] = {}
        self._contents: dict[Content, str] = {}

    def __len__(self) -> int:
        return len(self._answers)

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

    def release(self, source: str) -> bool:
        """Let `source` go to whoever uses it next; False if it is nobody's."""
        holder = self._owners.pop(source, None)
        if holder is None:
            return False
        self._counts[holder] -= 1
        return True

    def keyed(self, key: Key, ts: int) -> Answer | None:
        """The signal that came with `key` within the day before `ts` (ns)."""
        found = self.get(self._keys.get(key, ""))
        return found if found is not None and ts - found.first < KEPT_NS else None

    def same(self, signal: Signal, dedupe_ns: int) -> Answer | None:
        """The signal of the same content that came within `dedupe_ns` before `signal`."""
        found = self.get(self._contents.get(content_of(signal), ""))
        return found if found is not None and signal.received - found.first < dedupe_ns else None

    def put(self, signal: Signal, dedupe_ns: int) -> None:
        """Remember an accepted signal, and drop what is past `dedupe_ns`, a day or the bound."""
        if signal.source not in self._owners:
            self._owners[signal.source] = signal.owner
            self._counts[signal.owner] = self._counts.get(signal.owner, 0) + 1
        answer = Answer(
            id=signal.id,
            first=signal.received,
            owner=signal.owner,
            key=signal.idempotency_key,
            content=content_of(signal),
            status="received",
        )
        self._answers[answer.id] = packed(answer)
        self._index(answer)
        self._forget(self._keyed, signal.received - KEPT_NS)
        self._forget(self._others, signal.received - dedupe_ns)

    def get(self, signal_id: str) -> Answer | None:
        """Where a signal stands, None once it is forgotten."""
        row = self._answers.get(signal_id)
        return None if row is None else _answer(row)

    def decided(self, signal_id: str, status: Status, decision: Decision) -> None:
        """A signal was decided."""
        answer, plan = self.get(signal_id), decision.plan
        if answer is not None:
            answer.status, answer.approved, answer.p = status, decision.approved, decision.p
            answer.action, answer.symbol, answer.symbol_out = plan.action, plan.symbol, plan.symbol_out
            answer.spoke, answer.veto, answer.dissent = decision.spoke, decision.veto, decision.dissent
            answer.verdict = answer.reason = decision.reason
            self._answers[signal_id] = packed(answer)

    def ended(self, message: SignalEnded) -> None:
        """A signal is through."""
        answer = self.get(message.signal_id)
        if answer is not None:
            answer.status, answer.change_id = message.status, message.change_id
            answer.reason, answer.detail = message.reason, message.detail
            self._answers[message.signal_id] = packed(answer)

    def snapshot(self) -> dict[str, Any]:
        """All of it as built-in values."""
        return {"owners": dict(self._owners), "answers": joined(self._answers.values())}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a snapshot. Raises msgspec.ValidationError for rows that are none."""
        for kept in (self._counts, self._answers, self._keyed, self._others, self._keys, self._contents):
            kept.clear()
        self._owners = dict(state["owners"])
        for owner in self._owners.values():
            self._counts[owner] = self._counts.get(owner, 0) + 1
        for answer in opened(state["answers"], Answer):
            self._answers[answer.id] = packed(answer)
            self._index(answer)

    def _index(self, answer: Answer) -> None:
        self._contents[answer.content] = answer.id
        if answer.key is None:
            self._others.append((answer.first, answer.id))
        else:
            self._keys[answer.owner, answer.content[1], answer.key] = answer.id
            self._keyed.append((answer.first, answer.id))

    def _forget(self, order: deque[tuple[int, str]], until: int) -> None:
        """Drop the oldest while there are too many or they came at `until` (ns) or before."""
        while order and (len(order) > MOST_ANSWERS or order[0][0] <= until):
            dropped = _answer(self._answers.pop(order.popleft()[1]))
            if self._contents.get(dropped.content) == dropped.id:
                del self._contents[dropped.content]
            if dropped.key is None:
                continue
            key = dropped.owner, dropped.content[1], dropped.key
            if self._keys.get(key) == dropped.id:
                del self._keys[key]
