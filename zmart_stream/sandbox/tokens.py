"""Bullet tokens: opaque, with a life, and a venue that can end them early."""

from __future__ import annotations

import base64
import random
from typing import Literal

Verdict = Literal["valid", "expired", "invalid"]


class Tokens:
    """Every token issued by this venue and when (monotonic seconds)."""

    def __init__(self, life_s: float, seed: int) -> None:
        """Tokens live `life_s` real seconds."""
        self._life = life_s
        self._random = random.Random(f"tokens {seed}")
        self._issued: dict[str, float] = {}

    def issue(self, now: float) -> str:
        """A new token with the characters real ones have, `-`, `_`, `=` and `.` among them."""
        head = base64.urlsafe_b64encode(self._random.randbytes(118)).decode()
        tail = base64.urlsafe_b64encode(self._random.randbytes(16)).decode()
        token = f"2neAiu-{head[:80]}_{head[80:]}.{tail}"
        self._issued[token] = now
        for old in [key for key, when in self._issued.items() if now - when > self._life + 3600]:
            del self._issued[old]
        return token

    def judge(self, token: str, now: float) -> Verdict:
        """Whether a connection may open with `token` now."""
        issued = self._issued.get(token)
        if issued is None:
            return "invalid"
        return "valid" if now - issued < self._life else "expired"

    def expire_all(self) -> int:
        """End the life of every token issued so far; returns their number."""
        for token in self._issued:
            self._issued[token] = -1e18
        return len(self._issued)
