"""Which bars to ask for, and what a reply left open: pure arithmetic on spans of bar starts (ns)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zmart_stream.domain.market import DAY_S, HOUR_S, BarRow

SECOND = 1_000_000_000

DOUBTED_H = 24
"""Stored hours that a restart checks; repairs that fail for longer than a day are a venue's outage, and logged."""

LEAST_CAP = 100
"""No venue document names a smaller maximum of rows a reply than 200."""


class Span(NamedTuple):
    """Bar starts in [since, until), ns."""

    since: int
    until: int

    def bars(self, interval_s: int) -> int:
        """How many intervals start in it (aligned ends)."""
        return max(0, (self.until - self.since) // (interval_s * SECOND))


def floor(ts: int, interval_s: int) -> int:
    """Start of the interval that contains `ts`."""
    step = interval_s * SECOND
    return ts - ts % step


class Page(NamedTuple):
    """One kline reply: the bars inside the span asked for, and how many rows came in all."""

    rows: tuple[BarRow, ...]
    received: int


def gaps(page: Page, span: Span, interval_s: int) -> list[Span]:
    """What must still be asked for of `span` after `page` came, newest first.

    Empty intervals are left out by the venue, so missing rows alone prove nothing; only a reply that the venue's
    maximum of rows may have cut (published maxima are round numbers) leaves its ends open. Which end is cut is not
    documented, nor is whether a bar that starts at the span's end belongs to the reply.
    """
    rows, received = page
    if not rows or received < LEAST_CAP or received % 10 or len(rows) >= span.bars(interval_s):
        return []
    head = Span(span.since, rows[0][0])
    tail = Span(rows[-1][0] + interval_s * SECOND, span.until)
    return [part for part in (tail, head) if part.since < part.until]


def without(span: Span, open_ends: Sequence[Span]) -> Span:
    """What of `span` is known when `open_ends` (head, tail or both of it) are not."""
    since, until = span
    for part in open_ends:
        if part.since == span.since:
            since = part.until
        else:
            until = part.since
    return Span(since, until)


class Wanted(NamedTuple):
    """History to load of one contract: hour bars, and day bars if any are missing."""

    hours: Span | None
    days: Span | None


def wanted_history(
    now: int, *, window_hours: int, window_days: int, listed_at: int | None, known: int | None
) -> Wanted:
    """What a start at market time `now` needs: the windows with the running candle, or the gap since `known`.

    `known` is the start of the last stored closed hour bar. The newest stored ones are asked for again, in the same
    call: a process that was killed knew of doubts that storage did not hear of. Today's day bar is the sum of today's
    hours, so days are asked for again only if a UTC day began since.
    """
    hour_end = floor(now, HOUR_S) + HOUR_S * SECOND
    day_end = floor(now, DAY_S) + DAY_S * SECOND
    hours = Span(hour_end - (window_hours + 1) * HOUR_S * SECOND, hour_end)
    days = Span(day_end - (window_days + 1) * DAY_S * SECOND, day_end)
    if listed_at is not None:
        hours = Span(max(hours.since, min(floor(listed_at, HOUR_S), hours.until)), hours.until)
        days = Span(max(days.since, min(floor(listed_at, DAY_S), days.until)), days.until)
    if known is None:
        return Wanted(hours if hours.since < hours.until else None, days if days.since < days.until else None)
    after = Span(max(hours.since, known + (1 - DOUBTED_H) * HOUR_S * SECOND), hour_end)
    new_day = floor(known, DAY_S) < floor(now, DAY_S)
    missing_days = Span(max(days.since, floor(known, DAY_S)), day_end) if new_day else None
    return Wanted(after if after.since < after.until else None, missing_days)


def newest(span: Span, interval_s: int, cap: int | None) -> tuple[Span, Span | None]:
    """The newest `cap` intervals of `span`, to be asked first, and the older rest."""
    if cap is None or span.bars(interval_s) <= cap:
        return span, None
    cut = span.until - cap * interval_s * SECOND
    return Span(cut, span.until), Span(span.since, cut)
