"""Typed frames: bytes in, domain messages out; strings become numbers here and nowhere else.

The decoders are lenient about form (numbers as text or as JSON numbers, ints that look like floats, more keys than
we know) and strict about meaning: finite, positive, plausible time, known side, sizes that fit 53 bits.
"""

from __future__ import annotations

import math

from zmart_stream.domain.errors import MalformedMessageError
from zmart_stream.domain.market import (
    Depth,
    FundingEstimate,
    FundingSettled,
    Levels,
    MarkIndex,
    Side,
    Ticker,
    Topic,
    Trade,
)
from zmart_stream.domain.message import Message
from zmart_stream.feeds.kucoin.frames import (
    DECODE_ERRORS,
    AnnouncementFrame,
    Control,
    InstrumentFrame,
    Row,
    control_in,
    control_of,
    decode_announcement,
    decode_depth,
    decode_envelope,
    decode_instrument,
    decode_ticker,
    decode_trade,
    refused,
)

PREFIX: dict[Topic, str] = {
    "ticker": "/contractMarket/tickerV2",
    "execution": "/contractMarket/execution",
    "depth": "/contractMarket/level2Depth5",
    "instrument": "/contract/instrument",
    "announcement": "/contract/announcement",
}
TOPIC_OF: dict[str, Topic] = {prefix: topic for topic, prefix in PREFIX.items()}


def _heads(topic: Topic) -> tuple[bytes, ...]:
    """How nearly every push of `topic` begins; key order is not promised: other frames take the way by the envelope."""
    return tuple(head + PREFIX[topic].encode() + b":" for head in (b'{"topic":"', b'{"type":"message","topic":"'))


TICKER_HEADS = _heads("ticker")
TRADE_HEADS = _heads("execution")
DEPTH_HEADS = _heads("depth")

INFINITY = math.inf
MOST_LOTS = 1 << 53
MOST_SEQUENCE = (1 << 63) - 1
OLDEST_NS = 1_483_228_800_000_000_000  # 2017-01-01: no futures venue of this name before
MINUTE_MS = 60_000
MOST_LEVELS = 50


def to_ns(ts: int) -> int:
    """Venue time in s, ms, µs or ns, told apart by its size, in ns; exact, never through a float."""
    if ts >= 10**17:
        return ts
    if ts >= 10**14:
        return ts * 1_000
    if ts >= 10**11:
        return ts * 1_000_000
    return ts * 1_000_000_000


def _fault_of(value: float) -> str:
    return "out_of_range" if math.isfinite(value) else "not_finite"


def side_of_book(price: float | None, lots: int | None) -> tuple[float, int]:
    """`(price, lots)` of a book side, `(0, 0)` when it is empty. Raises MalformedMessageError."""
    if not price or not lots:
        if (price is None or 0.0 <= price < INFINITY) and (lots is None or 0 <= lots < MOST_LOTS):
            return 0.0, 0
        raise MalformedMessageError("out_of_range", f"{price} x {lots}")
    if not 0.0 < price < INFINITY:
        raise MalformedMessageError(_fault_of(price), f"price {price}")
    if not 0 < lots < MOST_LOTS:
        raise MalformedMessageError("out_of_range", f"lots {lots}")
    return price, lots


def levels(rows: tuple[Row, ...] | None, *, descending: bool) -> Levels:
    """Book rows, best first, without emptied levels. Raises MalformedMessageError."""
    rows = rows or ()
    for price, lots in rows:
        if not (0.0 < price < INFINITY and 0 <= lots < MOST_LOTS):
            raise MalformedMessageError(_fault_of(price), f"level {price} x {lots}")
    # old records list asks from the far end and may carry emptied levels
    return tuple(sorted([row for row in rows if row[1]], reverse=descending)[:MOST_LEVELS])


def positive(value: float | None, name: str) -> float:
    """`value` if it is a finite number above 0. Raises MalformedMessageError."""
    if value is None:
        raise MalformedMessageError("missing_field", name)
    if not 0.0 < value < INFINITY:
        raise MalformedMessageError(_fault_of(value), f"{name} {value}")
    return value


def believable_rate(rate: float | None) -> float:
    """`rate` if it can be a funding rate: a finite fraction within ±1. Raises MalformedMessageError."""
    if rate is None:
        raise MalformedMessageError("missing_field", "fundingRate")
    if not -1.0 < rate < 1.0:
        raise MalformedMessageError(_fault_of(rate), f"fundingRate {rate}")
    return rate


class Wire:
    """Decodes frames under the bounds that it was made with."""

    def __init__(self, *, ahead_ns: int, behind_ns: int) -> None:
        """Venue times more than `ahead_ns` after or `behind_ns` before market time are refused."""
        self._ahead = ahead_ns
        self._least = -behind_ns

    def decode(self, frame: bytes, now: int) -> Message | Control | None:
        """The message or control frame in `frame`, learned at market time `now`; None for topics nobody asked for.

        Raises MalformedMessageError, and nothing else.
        """
        try:
            if frame.startswith(TICKER_HEADS):
                return self._decode_ticker(frame, now)
            if frame.startswith(TRADE_HEADS):
                return self._decode_trade(frame, now)
            if frame.startswith(DEPTH_HEADS):
                return self._decode_depth(frame, now)
            return self._decode_other(frame, now)
        except DECODE_ERRORS as error:
            control = control_in(frame)
            if control is None:
                raise refused(error) from None
            return control

    def _decode_ticker(self, frame: bytes, now: int) -> Message | Control | None:
        push = decode_ticker(frame)
        topic = push.topic
        if not topic.startswith("/contractMarket/tickerV2:"):
            return self._decode_other(frame, now)
        data = push.data
        bid, bid_lots, ask, ask_lots = data.bestBidPrice, data.bestBidSize, data.bestAskPrice, data.bestAskSize
        # the whole check of an ordinary frame; anything odd (empty side, nan, too large) takes the long way
        if not (
            bid
            and ask
            and bid_lots
            and ask_lots
            and 0.0 < bid < INFINITY
            and 0.0 < ask < INFINITY
            and 0 < bid_lots < MOST_LOTS
            and 0 < ask_lots < MOST_LOTS
        ):
            bid, bid_lots = side_of_book(bid, bid_lots)
            ask, ask_lots = side_of_book(ask, ask_lots)
        ts = data.ts
        # a time in ms lies far before, too, and is converted there
        if not self._least <= ts - now <= self._ahead:
            ts = self.plausible(ts, now)
        return Ticker(
            ts=now,
            ts_event=ts,
            symbol=topic[25:],
            sequence=data.sequence,
            bid=bid,
            bid_lots=bid_lots,
            ask=ask,
            ask_lots=ask_lots,
        )

    def _decode_trade(self, frame: bytes, now: int) -> Message | Control | None:
        push = decode_trade(frame)
        topic = push.topic
        if not topic.startswith("/contractMarket/execution:"):
            return self._decode_other(frame, now)
        data = push.data
        price, lots = data.price, data.size
        if not (0.0 < price < INFINITY and 0 < lots < MOST_LOTS):
            positive(price, "price")
            raise MalformedMessageError("out_of_range", f"size {lots}")
        ts = data.ts
        # a time in ms lies far before, too, and is converted there
        if not self._least <= ts - now <= self._ahead:
            ts = self.plausible(ts, now)
        side: Side = data.side
        return Trade(ts=now, ts_event=ts, symbol=topic[26:], sequence=data.sequence, price=price, lots=lots, side=side)

    def _decode_other(self, frame: bytes, now: int) -> Message | Control | None:
        envelope = decode_envelope(frame)
        if envelope.type != "message":
            return control_of(envelope)
        prefix, _, symbol = envelope.topic.partition(":")
        topic = TOPIC_OF.get(prefix)
        if topic == "announcement":
            return self._settled(decode_announcement(frame), now)
        if topic is None:
            return None
        if not symbol:
            raise MalformedMessageError("missing_field", "symbol in topic")
        if topic == "instrument":
            return self._instrument(decode_instrument(frame), symbol, now)
        # here only with another key order or escaped slashes, which the quick look at the head missed
        quick = {"ticker": self._decode_ticker, "execution": self._decode_trade, "depth": self._decode_depth}
        return quick[topic](frame, now)

    def _decode_depth(self, frame: bytes, now: int) -> Message | Control | None:
        push = decode_depth(frame)
        topic = push.topic
        if not topic.startswith("/contractMarket/level2Depth5:"):
            return self._decode_other(frame, now)
        data = push.data
        stamp = data.timestamp if data.timestamp is not None else data.ts
        if stamp is None:
            raise MalformedMessageError("missing_field", "timestamp")
        return Depth(
            ts=now,
            ts_event=self.plausible(stamp, now),
            symbol=topic[29:],
            sequence=data.sequence,
            bids=levels(data.bids, descending=True),
            asks=levels(data.asks, descending=False),
            source="stream",
        )

    def _instrument(self, push: InstrumentFrame, symbol: str, now: int) -> Message | None:
        data = push.data
        ts = self.plausible(data.timestamp, now)
        if push.subject == "mark.index.price":
            mark, index = positive(data.markPrice, "markPrice"), positive(data.indexPrice, "indexPrice")
            return MarkIndex(ts=now, ts_event=ts, symbol=symbol, mark=mark, index=index)
        if push.subject != "funding.rate":
            return None
        rate = believable_rate(data.fundingRate)
        if data.granularity is None or data.granularity == MINUTE_MS:
            return FundingEstimate(ts=now, ts_event=ts, symbol=symbol, rate=rate)
        if not MINUTE_MS < data.granularity <= 7 * 86_400_000:
            raise MalformedMessageError("out_of_range", f"granularity {data.granularity}")
        return FundingSettled(ts=now, ts_event=ts, symbol=symbol, rate=rate, interval_s=data.granularity // 1000)

    def _settled(self, push: AnnouncementFrame, now: int) -> FundingSettled | None:
        if push.subject not in ("funding.begin", "funding.end"):
            return None
        data = push.data
        return FundingSettled(
            ts=now,
            ts_event=self.plausible(data.fundingTime, now),
            symbol=data.symbol,
            rate=believable_rate(data.fundingRate),
        )

    def plausible(self, ts: int, now: int) -> int:
        """`ts` in ns, if it can be a venue time at market time `now`. Raises MalformedMessageError."""
        if 0 < ts <= MOST_SEQUENCE:
            ns = to_ns(ts)
            if ns > OLDEST_NS and self._least <= ns - now <= self._ahead:
                return ns
        raise MalformedMessageError("implausible_time", f"{ts} at {now}")
