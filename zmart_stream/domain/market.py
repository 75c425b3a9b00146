"""What the venue says, as messages."""

from __future__ import annotations

from typing import Literal

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.message import Message

Topic = Literal["ticker", "execution", "depth", "instrument", "announcement"]
Side = Literal["buy", "sell"]
Levels = tuple[tuple[float, int], ...]
BarRow = tuple[int, float, float, float, float, float, float]
"""start ns, open, high, low, close, lots, turnover (quote currency)."""

HOUR_S = 3600
DAY_S = 86400


class Ticker(Message, frozen=True, kw_only=True, gc=False):
    """Best bid and ask. An empty side has price 0 and 0 lots."""

    ts_event: int
    symbol: str
    sequence: int
    bid: float
    bid_lots: int
    ask: float
    ask_lots: int


class Trade(Message, frozen=True, kw_only=True, gc=False):
    """One match; `side` is the taker's."""

    ts_event: int
    symbol: str
    sequence: int
    price: float
    lots: int
    side: Side


class Depth(Message, frozen=True, kw_only=True, gc=False):
    """The best levels a side, `(price, lots)`; bids descending, asks ascending; a side may be empty."""

    ts_event: int
    symbol: str
    sequence: int | None
    bids: Levels
    asks: Levels
    source: Literal["stream", "rest"]


class MarkIndex(Message, frozen=True, kw_only=True, gc=False):
    """Mark and index price."""

    ts_event: int
    symbol: str
    mark: float
    index: float


class FundingEstimate(Message, frozen=True, kw_only=True, gc=False):
    """The running estimate of the present interval's rate (fraction per interval)."""

    ts_event: int
    symbol: str
    rate: float


class FundingSettled(Message, frozen=True, kw_only=True, gc=False):
    """A settlement: `ts_event` is the settlement time; `interval_s` None = the contract's own interval."""

    ts_event: int
    symbol: str
    rate: float
    interval_s: int | None = None


class FundingHistory(Message, frozen=True, kw_only=True, gc=False):
    """Past settlements, ascending: `(settlement time ns, rate)`."""

    symbol: str
    settlements: tuple[tuple[int, float], ...]


class ContractStats(Message, frozen=True, kw_only=True, gc=False):
    """The moving figures of one contract row of the `contracts/active` poll."""

    ts_event: int
    symbol: str
    status: str
    open_interest: float | None  # lots
    turnover_24h: float | None  # quote currency
    volume_24h: float | None  # base coins
    last_price: float | None
    mark: float | None
    index: float | None
    multiplier: float
    funding_rate: float | None = None  # running estimate
    funding_interval_s: int | None = None
    next_funding: int | None = None  # ns


class Listing(Message, frozen=True, kw_only=True, gc=False):
    """A contract appeared, changed its static facts or its status, or left the venue's list."""

    contract: Contract
    change: Literal["listed", "changed", "delisted"]


class Bars(Message, frozen=True, kw_only=True, gc=False):
    """REST history of one contract, ascending by start; intervals without trades are absent and mean volume 0.

    It covers every interval whose start lies in [since, until). A row whose end is after `as_of` is the
    venue's running candle at `as_of` (market time of the reply).
    """

    symbol: str
    interval_s: int  # HOUR_S or DAY_S
    since: int
    until: int
    as_of: int
    rows: tuple[BarRow, ...]


class Coverage(Message, frozen=True, kw_only=True, gc=False):
    """From `since` (venue time, ns) on, `topic` is complete for `symbols`; None: it is lost as of now.

    A loss is noticed late: `heard` is the market time at which the connection still brought something (None: `ts`).
    """

    topic: Topic
    symbols: tuple[str, ...]
    since: int | None
    reason: str = ""
    heard: int | None = None


class FeedState(Message, frozen=True, kw_only=True, gc=False):
    """A connection (or "rest") changed state."""

    connection: str
    state: Literal["up", "down", "degraded"]
    reason: str = ""


class VenueStatus(Message, frozen=True, kw_only=True, gc=False):
    """The venue's service status."""

    status: Literal["open", "close", "cancelonly"]
    reason: str = ""


class WarmUp(Message, frozen=True, kw_only=True, gc=False):
    """History loading: `done` of `of` contracts have their bars; `ended`: nothing more will come of itself."""

    done: int
    of: int
    ended: bool = False


class Tick(Message, frozen=True, kw_only=True, gc=False):
    """Time passed and nothing else came."""
