"""Typed REST replies: contract rows, klines, funding rates, books; lenient about form, strict about meaning."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import msgspec

from zmart_stream.domain.contract import Contract
from zmart_stream.domain.errors import MalformedMessageError
from zmart_stream.domain.market import BarRow, ContractStats, Levels
from zmart_stream.domain.sectors import sector_of
from zmart_stream.feeds.kucoin.frames import DECODE_ERRORS, Row, refused
from zmart_stream.feeds.kucoin.wire import MOST_LOTS, levels

MS = 1_000_000
MOST_NS = 1 << 62
MOST_TEXT = 32
"""Characters of a contract's names and kinds."""

ROWS_AT_ONCE = 64
"""Contract rows that are read before others have the loop."""

_SYMBOL = re.compile(r"[A-Z0-9]{2,24}", re.ASCII)


class ContractRow(msgspec.Struct, gc=False):
    """The fields of a contract row that we use; every key but the first six is optional, as is every value."""

    symbol: str
    type: str
    multiplier: float
    tickSize: float
    status: str
    isInverse: bool
    rootSymbol: str | None = None
    baseCurrency: str | None = None
    quoteCurrency: str | None = None
    settleCurrency: str | None = None
    firstOpenDate: int | None = None
    expireDate: int | None = None
    lotSize: float | None = None
    maxLeverage: int | None = None
    makerFeeRate: float | None = None
    takerFeeRate: float | None = None
    marketType: str | None = None
    marketStage: str | None = None
    fundingFeeRate: float | None = None
    fundingRateGranularity: int | None = None
    currentFundingRateGranularity: int | None = None
    nextFundingRateDateTime: int | None = None
    openInterest: float | None = None
    volumeOf24h: float | None = None
    turnoverOf24h: float | None = None
    lastTradePrice: float | None = None
    markPrice: float | None = None
    indexPrice: float | None = None


class FundingRow(msgspec.Struct, gc=False):
    """One settled rate; the venue spells the time in lower case here."""

    timepoint: int
    fundingRate: float


class BookReply(msgspec.Struct, gc=False):
    """A REST order book; prices are numbers today and were text."""

    sequence: int
    bids: tuple[Row, ...] | None
    asks: tuple[Row, ...] | None
    ts: int


class Server(msgspec.Struct, gc=False):
    """A websocket server of a token reply; intervals in ms."""

    endpoint: str
    pingInterval: int = 18_000
    pingTimeout: int = 10_000


class TokenReply(msgspec.Struct, gc=False):
    """A websocket token."""

    token: str
    instanceServers: list[Server]


class StatusReply(msgspec.Struct, gc=False):
    """The venue's service status."""

    status: str
    msg: str | None = None


def number(value: float | None) -> float | None:
    """`value` if it is a finite number of at least 0, else None: absent, never a default."""
    return value if value is not None and 0.0 <= value < math.inf else None


def price(value: float | None) -> float | None:
    """`value` if it is a finite number above 0, else None."""
    return value if value is not None and 0.0 < value < math.inf else None


def time_ns(ms: int | None) -> int | None:
    """Epoch ms as ns; None if absent or absurd."""
    return ms * MS if ms is not None and 0 < ms * MS < MOST_NS else None


def interval_s(row: ContractRow) -> int | None:
    """The funding interval in force; old majors carry only the older field."""
    ms = row.currentFundingRateGranularity or row.fundingRateGranularity
    return ms // 1000 if ms is not None and 60_000 <= ms <= 30 * 86_400_000 else None


def contract_of(row: ContractRow) -> Contract:
    """The static facts of `row`. Raises MalformedMessageError when names, multiplier or tick cannot be."""
    _check_names(row)
    if not math.isfinite(row.multiplier) or row.multiplier == 0 or (row.multiplier < 0 and not row.isInverse):
        raise MalformedMessageError("out_of_range", f"{row.symbol} multiplier {row.multiplier}")
    if price(row.tickSize) is None:
        raise MalformedMessageError("out_of_range", f"{row.symbol} tickSize {row.tickSize}")
    base = row.baseCurrency or ""
    return Contract(
        symbol=row.symbol,
        base=base,
        quote=row.quoteCurrency or "",
        settle=row.settleCurrency or "",
        root_symbol=row.rootSymbol or "",
        kind=row.type,
        multiplier=row.multiplier,
        lot_size=price(row.lotSize) or 1.0,
        tick_size=row.tickSize,
        max_leverage=row.maxLeverage or 1,
        is_inverse=row.isInverse,
        status=row.status,
        market_type=row.marketType or "CRYPTO",
        market_stage=row.marketStage or "NORMAL",
        taker_fee=6e-4 if (taker := number(row.takerFeeRate)) is None else taker,
        maker_fee=2e-4 if (maker := number(row.makerFeeRate)) is None else maker,
        listed_at=time_ns(row.firstOpenDate),
        expires_at=time_ns(row.expireDate),
        funding_interval_s=interval_s(row),
        sector=sector_of(base),
    )


def _check_names(row: ContractRow) -> None:
    """They go into logs, terminals, pages and the database: nothing but names may. Raises MalformedMessageError."""
    if not _SYMBOL.fullmatch(row.symbol):
        raise MalformedMessageError("bad_symbol", ascii(row.symbol[:MOST_TEXT]))
    others = (row.type, row.status, row.rootSymbol, row.baseCurrency, row.quoteCurrency, row.settleCurrency)
    for text in (*others, row.marketType, row.marketStage):
        if text and (len(text) > MOST_TEXT or not text.isprintable()):
            raise MalformedMessageError("out_of_range", f"{row.symbol} {text[:MOST_TEXT]!a}")


def stats_of(row: ContractRow, now: int) -> ContractStats:
    """The moving figures of `row`, learned at market time `now`; the row itself carries no time."""
    rate = row.fundingFeeRate
    return ContractStats(
        ts=now,
        ts_event=now,
        symbol=row.symbol,
        status=row.status,
        open_interest=number(row.openInterest),
        turnover_24h=number(row.turnoverOf24h),
        volume_24h=number(row.volumeOf24h),
        last_price=price(row.lastTradePrice),
        mark=price(row.markPrice),
        index=price(row.indexPrice),
        multiplier=row.multiplier,
        funding_rate=rate if rate is not None and -1.0 < rate < 1.0 else None,
        funding_interval_s=interval_s(row),
        next_funding=time_ns(row.nextFundingRateDateTime),
    )


def bar_rows(rows: Iterable[list[float | None]], multiplier: float, interval_ns: int) -> tuple[BarRow, ...]:
    """Kline rows, 6 or 7 columns, as bars ascending by start, each start once.

    Missing turnover is lots × multiplier × (o+h+l+c)/4. Raises MalformedMessageError.
    """
    bars: dict[int, BarRow] = {}
    for row in rows:
        if len(row) < 6:
            raise MalformedMessageError("missing_field", f"kline of {len(row)} columns")
        start_ms, o, h, low, c, lots = (math.nan if value is None else value for value in row[:6])
        turnover = row[6] if len(row) > 6 else None
        if not (0 < start_ms < MOST_NS / MS and start_ms == int(start_ms) and int(start_ms) * MS % interval_ns == 0):
            raise MalformedMessageError("implausible_time", f"kline start {start_ms}")
        if not (0.0 < low <= o <= h < math.inf and low <= c <= h and 0.0 <= lots < MOST_LOTS):
            raise MalformedMessageError("out_of_range", f"kline {row[:7]}")
        if turnover is None:
            turnover = lots * abs(multiplier) * (o + h + low + c) / 4
        if not 0.0 <= turnover < math.inf:
            raise MalformedMessageError("out_of_range", f"kline turnover {turnover}")
        start = int(start_ms) * MS
        bars[start] = (start, o, h, low, c, float(lots), turnover)
    return tuple(bars[start] for start in sorted(bars))


def settlements(rows: Iterable[FundingRow]) -> tuple[tuple[int, float], ...]:
    """Settled rates ascending by time in ns. Raises MalformedMessageError."""
    found: dict[int, float] = {}
    for row in rows:
        at = time_ns(row.timepoint)
        if at is None or not -1.0 < row.fundingRate < 1.0:
            raise MalformedMessageError("out_of_range", f"funding {row.fundingRate} at {row.timepoint}")
        found[at] = row.fundingRate
    return tuple((at, found[at]) for at in sorted(found))


def book_levels(reply: BookReply) -> tuple[Levels, Levels]:
    """Bids and asks of a REST book, best first. Raises MalformedMessageError."""
    return levels(reply.bids, descending=True), levels(reply.asks, descending=False)


class ContractRows:
    """Decodes a `contracts/active` reply row by row, so that one bad row costs one contract, not the poll."""

    def __init__(self) -> None:
        self._raw_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
        self._row = msgspec.json.Decoder(ContractRow, strict=False).decode

    def split(self, data: msgspec.Raw) -> list[msgspec.Raw]:
        """The rows as bytes, to be read some at a time. Raises MalformedMessageError for no list."""
        try:
            return self._raw_rows(data)
        except DECODE_ERRORS as error:
            raise refused(error) from None

    def read(self, raws: Sequence[msgspec.Raw]) -> tuple[list[ContractRow], list[MalformedMessageError]]:
        """The rows that can be read and what is wrong with the others."""
        rows: list[ContractRow] = []
        errors: list[MalformedMessageError] = []
        for raw in raws:
            try:
                rows.append(self._row(raw))
            except DECODE_ERRORS as error:
                errors.append(refused(error))
        return rows, errors
