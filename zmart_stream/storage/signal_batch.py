"""The signals' part of a transaction, what is sent out, and the users."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection

from zmart_stream.domain.commands import CommandDone
from zmart_stream.domain.message import Message
from zmart_stream.domain.outbox import OutboxEntry, OutboxFilled, OutboxMoved
from zmart_stream.domain.signals import (
    SignalDecided,
    SignalEnded,
    SignalEvaluated,
    SignalReceived,
    SignalRejected,
    SignalRepeated,
    SignalSettled,
    Status,
    SubmitSignal,
)
from zmart_stream.storage import signal_rows, statements
from zmart_stream.storage.items import UsersRecorded
from zmart_stream.storage.rows import Row, document, many, plain
from zmart_stream.storage.statements import Statements

_MOVES = ("evaluated", "decided", "ended")
"""In the order of a signal's life, in which their updates are written."""


class SignalBatch:
    """Rows of signals, steps, opinions and outcomes; written after the history that signals refer to."""

    def __init__(self, next_sequence: Callable[[], int], name: Callable[[Iterable[str], int], None]) -> None:
        """`name` makes sure that contracts have a row."""
        self._next = next_sequence
        self._name = name
        self._signals: dict[str, Row] = {}
        self._keys: dict[tuple[str, str, str], Row] = {}
        self._steps: list[Row] = []
        self._opinions: list[Row] = []
        self._moves: dict[str, list[Row]] = {move: [] for move in _MOVES}
        self._outcomes: list[Row] = []
        self._entries: list[Row] = []
        self._moved: list[Row] = []
        self._users: list[Row] = []
        self._requests: set[str] = set()

    def takers(self) -> tuple[tuple[type[Message], Callable[[Any], None]], ...]:
        """Who takes what."""
        return (
            (SubmitSignal, self._submitted),
            (SignalReceived, self._received),
            (SignalRejected, self._received),
            (SignalRepeated, self._repeated),
            (SignalEvaluated, self._evaluated),
            (SignalDecided, self._decided),
            (SignalEnded, self._ended),
            (SignalSettled, self._settled),
            (OutboxFilled, self._filled),
            (OutboxMoved, self._attempted),
            (UsersRecorded, self._recorded),
        )

    def answers(self, done: CommandDone) -> bool:
        """Whether `done` answers a signal: its own row says what became of it."""
        return done.request_id in self._requests

    def execute(self, connection: Connection, to: Statements) -> None:
        """Write it in the caller's transaction."""
        keyed = [
            {"whose": owner, "source": source, "key": key, "other": row["id"]}
            for (owner, source, key), row in self._keys.items()
        ]
        many(connection, statements.RELEASE_KEY, keyed)
        many(connection, to.signal, self._signals.values())
        for rows in self._moves.values():
            if rows:
                many(connection, statements.signal_moves(rows[0].keys() - {"moved"}), rows)
        many(connection, to.step, self._steps)
        many(connection, to.opinion, self._opinions)
        many(connection, to.outcome, self._outcomes)
        many(connection, to.entry, self._entries)
        many(connection, statements.MOVE_ENTRY, self._moved)
        many(connection, to.user, self._users)

    def _submitted(self, command: SubmitSignal) -> None:
        self._requests.add(command.request_id)

    def _received(self, told: SignalReceived | SignalRejected) -> None:
        signal, rejected = told.signal, isinstance(told, SignalRejected)
        if told.request_id is not None:
            self._requests.add(told.request_id)
        if signal.symbol is not None and not rejected:
            self._name((signal.symbol,), told.ts)
        row = signal_rows.received_row(told, self._next())
        self._signals.setdefault(signal.id, row)
        if row["idempotency_key"] is not None and not rejected:
            self._release(row)
        self._step(signal.id, told.ts, row["status"], (row["reason"], ""))

    def _release(self, row: Row) -> None:
        """A key that comes again, past the day for which the core remembers it, is the later signal's."""
        key = row["owner"], row["source_name"], row["idempotency_key"]
        before = self._keys.get(key)
        if before is not None and before["id"] != row["id"]:
            before["idempotency_key"] = None
        self._keys[key] = row

    def _repeated(self, told: SignalRepeated) -> None:
        if told.request_id is not None:
            self._requests.add(told.request_id)

    def _evaluated(self, told: SignalEvaluated) -> None:
        self._opinions += signal_rows.opinion_rows(told)
        self._move("evaluated", told.signal.id, told.ts, "evaluated", signal_rows.evaluated_fields(told))

    def _decided(self, told: SignalDecided) -> None:
        status: Status = "approved" if told.decision.approved else "declined"
        self._move("decided", told.signal.id, told.ts, status, signal_rows.decided_fields(told))

    def _ended(self, told: SignalEnded) -> None:
        self._move("ended", told.signal_id, told.ts, told.status, signal_rows.ended_fields(told))

    def _move(self, move: str, signal: str, ts: int, status: Status, fields: Row) -> None:
        now = {"status": status, "processed_at": ts if signal_rows.is_final(status) else None, **fields}
        row = self._signals.get(signal)
        if row is None:
            self._moves[move].append({"moved": signal, **now})
        elif not signal_rows.is_final(row["status"]):
            row |= now  # most are decided in the cascade they came in: one row, written once
        self._step(signal, ts, status, (fields["reason"], fields.get("detail", "")))

    def _step(self, signal: str, ts: int, status: Status, words: tuple[str, str]) -> None:
        self._steps.append(signal_rows.step_row(signal, ts, status, words, self._next()))

    def _settled(self, told: SignalSettled) -> None:
        self._outcomes.append(signal_rows.outcome_row(told, self._next()))

    def _filled(self, told: OutboxFilled) -> None:
        for entry in told.entries:
            made = {"id": entry.id, "event_id": entry.event_id, "event_type": entry.event_type}
            sent = {"endpoint": entry.endpoint, "payload": plain(entry.payload), "created_ns": entry.created}
            self._entries.append({**made, **sent, **_attempts(entry)})

    def _attempted(self, told: OutboxMoved) -> None:
        self._moved += [{"moved": entry.id, **_attempts(entry)} for entry in told.entries]

    def _recorded(self, told: UsersRecorded) -> None:
        self._users += [
            {
                "id": user.id,
                "name": user.name,
                "scopes": document(user.scopes),
                "token_hash": user.token_hash,
                "created_at": user.created,
                "revoked_at": user.revoked,
            }
            for user in sorted(told.users, key=lambda user: user.revoked is None)
        ]


def _attempts(entry: OutboxEntry) -> Row:
    return {
        "state": entry.state,
        "attempts": entry.attempts,
        "next_attempt_ns": entry.next_attempt,
        "done_ns": entry.done,
        "last_error": plain(entry.last_error),
    }
