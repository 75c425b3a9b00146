"""Listings, delistings and expiries of the synthetic market: functions of the calendar, not of when a venue starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from zmart_stream.sandbox.contracts import DAY_NS, HOUR_NS

ORIGIN_DAY = 18993  # 2022-01-01, days since the epoch
HORIZON_DAYS = 4128  # up to 2033-04-20
_FIRST_LISTINGS = (ORIGIN_DAY + 31) * DAY_NS
_LISTING_SPAN_DAYS = 700
_LISTING_HOUR = 8
_DAYS_BETWEEN = 2.5  # between two listings, and between two delistings
_SHORTEST_LIFE_DAYS = 30
NOTICE_NS = 5 * DAY_NS  # a delisting is announced so long ahead
_QUARTER_CODES = {3: "H", 6: "M", 9: "U", 12: "Z"}


class Life(NamedTuple):
    """One generation of a slot: listed at `begin`, gone at `end` (ns)."""

    generation: int
    begin: int
    end: int


def old_listing(chance: float) -> int:
    """Listing time (ns) of a contract that stays, for a uniform `chance`."""
    days = int(chance * _LISTING_SPAN_DAYS)
    return _FIRST_LISTINGS + days * DAY_NS + _LISTING_HOUR * HOUR_NS


def slot_life(slot: int, slots: int, now: int) -> Life:
    """The generation of a changing slot at `now`: when one contract is delisted the next is listed."""
    length = int(max(slots * _DAYS_BETWEEN, _SHORTEST_LIFE_DAYS) * 24) * HOUR_NS
    offset = ORIGIN_DAY * DAY_NS + slot * length // slots // HOUR_NS * HOUR_NS
    generation = (now - offset) // length
    begin = offset + generation * length
    return Life(generation, begin, begin + length)


def quarter_expiry(number: int) -> datetime:
    """Last Friday 08:00 UTC of quarter `number` (year × 4 + 0..3)."""
    year, quarter = divmod(number, 4)
    month = quarter * 3 + 3
    following = datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC)
    last = following - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - 4) % 7)


def ns_of(moment: datetime) -> int:
    """Nanoseconds since the epoch of a whole second."""
    return int(moment.timestamp()) * 1_000_000_000


def quarter_at(now: int) -> int:
    """Number of the first quarter whose contract has not expired at `now` (ns)."""
    day = datetime.fromtimestamp(now // 1_000_000_000, tz=UTC)
    number = day.year * 4 + (day.month - 1) // 3
    return number + 1 if ns_of(quarter_expiry(number)) <= now else number


def quarter_code(number: int) -> str:
    """Month code and year of a quarter, e.g. Z26."""
    year, quarter = divmod(number, 4)
    return f"{_QUARTER_CODES[quarter * 3 + 3]}{year % 100:02d}"
