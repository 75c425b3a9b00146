"""Shapes of the venue's frames and the decoders made for them; what a value means is judged in `wire`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import msgspec

from zmart_stream.domain.errors import MalformedMessageError

Raw = msgspec.Raw
Row = tuple[float, int]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class TickerData(msgspec.Struct, gc=False):
    """`data` of tickerV2."""

    sequence: Sequence
    ts: int
    bestBidPrice: float | None = None
    bestAskPrice: float | None = None
    bestBidSize: int | None = None
    bestAskSize: int | None = None


class TradeData(msgspec.Struct, gc=False):
    """`data` of execution."""

    sequence: Sequence
    ts: int
    price: float
    size: int
    side: Literal["buy", "sell"]


class DepthData(msgspec.Struct, gc=False):
    """`data` of level2Depth5."""

    bids: tuple[Row, ...] | None
    asks: tuple[Row, ...] | None
    sequence: Sequence | None = None
    ts: int | None = None
    timestamp: int | None = None


class InstrumentData(msgspec.Struct, gc=False):
    """`data` of both subjects of instrument."""

    timestamp: int
    granularity: int | None = None
    markPrice: float | None = None
    indexPrice: float | None = None
    fundingRate: float | None = None


class AnnouncementData(msgspec.Struct, gc=False):
    """`data` of announcement."""

    symbol: str
    fundingTime: int
    fundingRate: float


class TickerFrame(msgspec.Struct, gc=False):
    """A push of tickerV2."""

    topic: str
    data: TickerData


class TradeFrame(msgspec.Struct, gc=False):
    """A push of execution."""

    topic: str
    data: TradeData


class DepthFrame(msgspec.Struct, gc=False):
    """A push of level2Depth5."""

    topic: str
    data: DepthData


class InstrumentFrame(msgspec.Struct, gc=False):
    """A push of instrument; the symbol is in the topic alone."""

    topic: str
    subject: str
    data: InstrumentData


class AnnouncementFrame(msgspec.Struct, gc=False):
    """A push of announcement."""

    topic: str
    subject: str
    data: AnnouncementData


class Envelope(msgspec.Struct, gc=False):
    """Any frame: a push or a control frame."""

    type: str = ""
    topic: str = ""
    id: Raw = Raw(b"")
    code: Raw = Raw(b"")
    data: Raw = Raw(b"")


class Control(NamedTuple):
    """A frame that is not market data: welcome, pong, ack, error, or something we need not know."""

    type: str
    id: str
    code: int
    detail: str


decode_ticker = msgspec.json.Decoder(TickerFrame, strict=False).decode
decode_trade = msgspec.json.Decoder(TradeFrame, strict=False).decode
decode_depth = msgspec.json.Decoder(DepthFrame, strict=False).decode
decode_instrument = msgspec.json.Decoder(InstrumentFrame, strict=False).decode
decode_announcement = msgspec.json.Decoder(AnnouncementFrame, strict=False).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode
_text: Callable[[Raw], str | int | float | bool | None]
_text = msgspec.json.Decoder(str | int | float | bool | None).decode


def refused(error: Exception) -> MalformedMessageError:
    """Our error for what a decoder raised: a stable reason and the decoder's words."""
    text = str(error)
    if isinstance(error, RecursionError):
        return MalformedMessageError("too_deep", "nesting")
    if "out of range" in text or "Expected `int` >=" in text or "Expected `int` <=" in text:
        return MalformedMessageError("out_of_range", text)
    if isinstance(error, msgspec.ValidationError):
        if "missing required field" in text:
            return MalformedMessageError("missing_field", text)
        return MalformedMessageError("unknown_side" if "enum" in text else "bad_type", text)
    return MalformedMessageError("bad_json", text)


DECODE_ERRORS: tuple[type[Exception], ...] = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)


def control_of(envelope: Envelope) -> Control:
    """The control frame in `envelope`; id and code may be text, number or absent."""
    code = scalar(envelope.code)
    detail = scalar(envelope.data)
    return Control(
        type=envelope.type,
        id=str(scalar(envelope.id) or ""),
        code=int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else 0,
        detail=str(detail or "")[:200],
    )


def control_in(frame: bytes) -> Control | None:
    """The control frame that quotes a topic in its text and so was first taken for a push; None if it is a push."""
    try:
        envelope = decode_envelope(frame)
    except DECODE_ERRORS:
        return None
    return None if envelope.type in ("", "message") else control_of(envelope)


def scalar(raw: Raw) -> str | int | float | bool | None:
    """The scalar in `raw`; None when it is absent, an object or an array."""
    if not memoryview(raw):
        return None
    try:
        return _text(raw)
    except msgspec.ValidationError:
        return None
