"""Whether the daemon is ready to be asked: a judgement on plain facts, with its reasons.

Ready means that fresh data is served and that what is told is on disk. It is not the same as alive: a venue that is
silent makes the daemon not ready, never dead, since starting it again would not help.
"""

from __future__ import annotations


def not_ready(*, universe: int, live: int, live_share: float, database_fault: str) -> list[str]:
    """Why fresh data is not served; empty when it is.

    `live` of the `universe`'s contracts have fresh inputs, `live_share` (0..1) of it must; `database_fault` is why
    commits fail, empty while they succeed.
    """
    reasons = []
    if not universe:
        reasons.append("no contracts known yet")
    elif live < live_share * universe:
        reasons.append(f"the feed is not fresh: {live} of {universe} contracts are live")
    if database_fault:
        reasons.append(f"the database cannot be written: {database_fault}")
    return reasons
