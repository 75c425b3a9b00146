"""Who hears which topic: a frame is built once and the same bytes go to every subscriber."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from zmart_stream.sandbox.wsframe import frame


class Listener(Protocol):
    """A connection as the hub sees it."""

    index: int
    out: list[bytes]


class Channel:
    """One topic with one symbol and those who follow it."""

    __slots__ = ("kind", "pushed", "scheduled", "subscribers", "symbol", "topic", "tunnels")

    def __init__(self, topic: str, kind: str, symbol: str) -> None:
        """A channel without subscribers; `kind` is the topic's name, for candles with the type."""
        self.topic = topic
        self.kind = kind
        self.symbol = symbol
        self.subscribers: dict[int, Listener] = {}
        self.tunnels: dict[int, str] = {}
        self.scheduled = False
        self.pushed = 0


Disturb = Callable[[Listener, Channel, bytes], None]


class Hub:
    """Channels by topic, and the one way a push reaches connections."""

    def __init__(self) -> None:
        """No channels."""
        self.channels: dict[str, Channel] = {}
        self.disturb: Disturb | None = None
        """Set while stream faults are in force: decides what a listener gets in place of the frame."""

    def channel(self, topic: str, kind: str, symbol: str) -> Channel:
        """The channel of `topic`, made on first use."""
        channel = self.channels.get(topic)
        if channel is None:
            channel = self.channels[topic] = Channel(topic, kind, symbol)
        return channel

    def drop(self, listener: Listener) -> list[Channel]:
        """Forget a connection; the channels that lost their last subscriber."""
        left = []
        for channel in self.channels.values():
            if channel.subscribers.pop(listener.index, None) is not None:
                channel.tunnels.pop(listener.index, None)
                if not channel.subscribers:
                    left.append(channel)
        return left

    def emit(self, channel: Channel, payload: bytes) -> None:
        """Queue `payload` for every subscriber; the publisher flushes once per step."""
        channel.pushed += 1
        data = frame(payload)
        if self.disturb is None and not channel.tunnels:
            for listener in channel.subscribers.values():
                listener.out.append(data)
            return
        for listener in list(channel.subscribers.values()):
            tunnel = channel.tunnels.get(listener.index)
            sent = data if tunnel is None else frame(b'{"tunnelId":"%b",' % tunnel.encode() + payload[1:])
            if self.disturb is None:
                listener.out.append(sent)
            else:
                self.disturb(listener, channel, sent)
