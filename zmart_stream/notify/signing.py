"""Standard Webhooks: secrets, and the headers that prove who sent a body and when."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
TOLERANCE_S = 300
"""Receivers refuse a message whose time is further off than that."""


def key_of(secret: str) -> bytes:
    """The key of a secret as people keep it: `whsec_` and base64 of 24 to 64 bytes. Raises ValueError."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"a secret begins with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"a secret has {LEAST_BYTES} to {MOST_BYTES} bytes, this one {len(key)}")
    return key


def headers(keys: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Id, time of the attempt (Unix seconds) and one signature a key, over `id.time.body`."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature(key, message_id, at_s, body)}" for key in keys),
    }


def signature(key: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """base64 of HMAC-SHA256."""
    signed = f"{message_id}.{at_s}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
