"""Closed bars on their way to storage, and what is missing of them."""

from __future__ import annotations

from zmart_stream.domain.market import BarRow, Topic
from zmart_stream.domain.message import Message


class BarBlock(Message, frozen=True, kw_only=True, gc=False):
    """One closed interval of every row, stored once.

    `columns` is a C-ordered little-endian float64 array of shape (10, len(symbols)):
    open, high, low, close, lots, turnover, taker buy lots, taker sell lots, trade count, whole (1/0).
    """

    interval_s: int
    start: int
    symbols: tuple[str, ...]
    columns: bytes


class BarsAmended(Message, frozen=True, kw_only=True, gc=False):
    """Bars of one contract that replace (or add to) what the blocks say."""

    symbol: str
    interval_s: int
    rows: tuple[BarRow, ...]


class RepairWanted(Message, frozen=True, kw_only=True, gc=False):
    """Bars of one contract with start in [since, until) were not seen whole: fetch them again."""

    symbol: str
    interval_s: int
    since: int
    until: int


class TopicSilent(Message, frozen=True, kw_only=True, gc=False):
    """The poll shows movement that the topic did not bring: subscribe again."""

    symbol: str
    topic: Topic
