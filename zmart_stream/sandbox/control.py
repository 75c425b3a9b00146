"""What a client may say on the socket, read without I/O: control frames, topics, and how bad ones are refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from zmart_stream.sandbox.topics import ANNOUNCEMENT, CANDLE_MINUTES, CONTRACT_MARKET, INSTRUMENT, PER_SYMBOL, PRIVATE


class Refusal(NamedTuple):
    """An error frame: integer code and text."""

    code: int
    text: str


class Target(NamedTuple):
    """One topic with one symbol; `symbol` is empty for the announcement."""

    topic: str
    kind: str
    symbol: str


class Request(NamedTuple):
    """A control frame that could be read."""

    id: Any
    type: str
    topic: str | None
    private: bool
    response: bool
    tunnel: str | None


TYPES = ("ping", "subscribe", "unsubscribe", "openTunnel", "closeTunnel")


def read_request(text: str) -> Request | Refusal:
    """The control frame in `text`."""
    try:
        body = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return Refusal(400, _parser_message(text))
    if not isinstance(body, dict):
        return Refusal(400, "Cannot deserialize the frame: an object is expected")
    topic, tunnel = body.get("topic"), body.get("newTunnelId") or body.get("tunnelId")
    return Request(
        body.get("id"),
        str(body.get("type")),
        topic if isinstance(topic, str) and topic else None,
        body.get("privateChannel") is True,
        body.get("response") is True,
        str(tunnel) if tunnel else None,
    )


def read_topic(request: Request, topics_per_frame: int) -> list[Target] | Refusal:
    """The targets a subscribe or unsubscribe names, in order, or why it is refused."""
    if request.topic is None:
        return Refusal(406, "topic is required")
    if request.private or request.topic.startswith(PRIVATE):
        return Refusal(403, "login is required")
    prefix, _, listed = request.topic.partition(":")
    if prefix == ANNOUNCEMENT:
        return [Target(ANNOUNCEMENT, "announcement", "")]
    kind = "instrument" if prefix == INSTRUMENT else prefix.removeprefix(CONTRACT_MARKET)
    if kind == prefix or (kind not in PER_SYMBOL and kind != "instrument"):
        return Refusal(404, "topic does not exist")
    names = listed.split(",")
    if not all(names):
        return Refusal(400, "topic is invalid")
    if len(names) > topics_per_frame:
        return Refusal(509, f"exceed max subscription count limitation of {topics_per_frame} per time")
    targets = [_target(prefix, kind, name) for name in dict.fromkeys(names)]
    found = [target for target in targets if target is not None]
    return found if len(found) == len(targets) else Refusal(400, "topic is invalid")


def _target(prefix: str, kind: str, name: str) -> Target | None:
    if kind != "limitCandle":
        return Target(f"{prefix}:{name}", kind, name)
    symbol, _, candle = name.rpartition("_")
    if not symbol or candle not in CANDLE_MINUTES:
        return None
    return Target(f"{prefix}:{name}", f"limitCandle_{candle}", symbol)


def _parser_message(text: str) -> str:
    token = (text.split() or [""])[0][:40]
    return f"Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object or token 'null')"
