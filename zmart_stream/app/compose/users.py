"""The tokens of the token file as the database knows them: its table of users follows the file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from zmart_stream.api.tokens import TokenRecord
from zmart_stream.storage.items import UserRecord, UsersRecorded


def users_recorded(ts: int, records: Sequence[TokenRecord]) -> UsersRecorded:
    """All tokens at market time `ts` (ns), revoked ones first: a name may be theirs and a later one's."""
    ordered = sorted(records, key=lambda record: record.revoked is None)
    return UsersRecorded(ts=ts, users=tuple(map(_user, ordered)))


def _user(record: TokenRecord) -> UserRecord:
    return UserRecord(
        id=record.id,
        name=record.name,
        scopes=record.scopes,
        token_hash=record.sha256,
        created=_ns(record.created),
        revoked=None if record.revoked is None else _ns(record.revoked),
    )


def _ns(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp()) * 1_000_000_000
