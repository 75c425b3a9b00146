"""The base of every message: a frozen value that knows when we learned it."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Anything that travels through the core.

    `ts` is market time in ns UTC: when *we* learned it. Market facts carry `ts_event` too: when the venue says
    it happened.
    """

    ts: int
