"""What a snapshot remembers by the thousand: each row encoded once, when it is made, and joined when it is taken."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import msgspec

T = TypeVar("T")
_ARRAY = b"\xdd"
"""MessagePack's array with a length of four bytes."""

packed = msgspec.msgpack.Encoder().encode


def joined(rows: Collection[bytes]) -> bytes:
    """One MessagePack array of `rows`, each of which is MessagePack already."""
    return b"".join((_ARRAY, len(rows).to_bytes(4, "big"), *rows))


def opened(array: bytes, kind: type[T]) -> list[T]:
    """Inverse of `joined`, every row a `kind`. Raises msgspec.DecodeError and its ValidationError."""
    return msgspec.msgpack.decode(array, type=list[kind])  # type: ignore[valid-type]  # the caller's, known at run time
