"""One client's connection: what it said, what it hears, and when the venue cuts it."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import time
from typing import Any, Protocol

import msgspec

from zmart_stream.sandbox.control import TYPES, Refusal, Request, Target, read_request, read_topic
from zmart_stream.sandbox.hub import Channel
from zmart_stream.sandbox.quota import RateCounter
from zmart_stream.sandbox.settings import Limits, Transport, Unknowns
from zmart_stream.sandbox.wsframe import PING, PONG, close_frame, deflated, frame

_DEFLATE_ABOVE = 1024
_CLOSE_WAIT_S = 0.5
_STALL_S = 60.0
_STALL_POLL_S = 0.05


class Floor(Protocol):
    """What a session asks of the venue behind it."""

    def subscribe(self, session: Session, target: Target, tunnel: str | None) -> None:
        """Add `session` to a topic."""
        ...

    def unsubscribe(self, session: Session, target: Target) -> None:
        """Take `session` off a topic."""
        ...

    def venue_us(self) -> int:
        """Venue time in µs."""
        ...


class Rules:
    """The settings that sessions obey, with the limits already multiplied."""

    def __init__(self, limits: Limits, transport: Transport, unknowns: Unknowns) -> None:
        """Keep the three groups together."""
        self.limits = limits
        self.transport = transport
        self.unknowns = unknowns


class Session:
    """State of one open connection; everything it sends goes through `out` and `flush`."""

    def __init__(self, index: int, connect_id: str, transport: asyncio.Transport, rules: Rules, floor: Floor) -> None:
        """A connection that has not been welcomed yet."""
        self.index = index
        self.connect_id = connect_id
        self.out: list[bytes] = []
        self.channels: dict[str, Channel] = {}
        self.tunnels: dict[str, None] = {}
        self.frozen = False
        self.mute_pong = False
        self.closing = False
        self.stalled = False
        self.welcomed = False
        self.window_bits = 0
        self.sent = self.dropped = self.received = 0
        self.acked: int | None = None
        self._transport = transport
        self._rules = rules
        self._floor = floor
        self._messages = RateCounter(rules.limits.messages, rules.limits.messages_window_s)
        self._heard = time.monotonic()
        self._opened = self._heard
        self._timers: list[asyncio.TimerHandle] = []
        self._random = random.Random(f"session {index}")

    def open(self) -> None:
        """Welcome the client and start the timers of the connection."""
        self.welcomed = True
        self.send({"id": self.connect_id, "type": "welcome"})
        loop = asyncio.get_running_loop()
        transport = self._rules.transport
        self._timers = [
            loop.call_later(transport.idle_cut_s, self._check_idle),
            loop.call_later(transport.connection_life_s, self.close, transport.life_cut_code, "Bye"),
        ]

    def receive(self, text: str) -> None:
        """Answer one text frame of the client."""
        self.received += 1
        self._heard = time.monotonic()
        if self.frozen or self.closing:
            return
        if not self.welcomed:
            if self._rules.transport.speaks_first == "close":
                self.close(1000, "Bye")
            return
        if not self._messages.admit(self._heard):
            self.error(Refusal(509, "exceed max permits per second"), None)
            self.close(1000, "Bye")
            return
        request = read_request(text)
        if isinstance(request, Refusal):
            self.error(request, None)
            if self._rules.unknowns.bad_json_closes:
                self.close(1000, "Bye")
        else:
            self._answer(request)
        self.flush()

    def control(self, payload: bytes) -> None:
        """Answer a protocol-level ping; it does not keep the connection alive."""
        if self._rules.unknowns.answers_protocol_pings and not self.frozen and not self.closing:
            self._write(frame(payload, PONG))

    def send(self, body: dict[str, Any]) -> None:
        """Send one control frame at once, behind what is queued."""
        self.out.append(frame(msgspec.json.encode(body)))
        self.flush()

    def error(self, refusal: Refusal, request_id: Any) -> None:
        """Send an error frame; without a request it carries an id of the server's."""
        number = f"{self._random.getrandbits(96):024x}" if request_id is None else request_id
        self.send({"id": number, "type": "error", "code": refusal.code, "data": refusal.text})

    def flush(self) -> None:
        """Hand what is queued to the socket in one write; a reader too slow loses it."""
        if not self.out:
            return
        frames, self.out[:] = list(self.out), []
        if self.frozen or self.closing or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > self._rules.transport.slow_reader_bytes:
            self.dropped += len(frames)
            return
        self.sent += len(frames)
        if self.window_bits:
            bits = self.window_bits
            frames = [deflated(data, bits) if len(data) > _DEFLATE_ABOVE else data for data in frames]
        self._write(b"".join(frames))

    def pace(self, venue_ns: int) -> None:
        """Ask, by a protocol ping, to be told when the client has read up to `venue_ns`."""
        if not self.frozen and not self.closing:
            self._write(frame(venue_ns.to_bytes(8, "big"), PING))

    def write_raw(self, data: bytes) -> None:
        """Send bytes as they are, frame or not; for hostile faults."""
        self._write(data)

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and give up the connection."""
        if self.closing:
            return
        self.flush()
        self.closing = True
        self._write(close_frame(code, reason))
        self._timers.append(asyncio.get_running_loop().call_later(_CLOSE_WAIT_S, self._transport.close))

    async def finish(self) -> None:
        """The client said goodbye or is gone: answer and end, unless a fault keeps the connection hanging."""
        waited_until = time.monotonic() + _STALL_S
        # a transport tells nobody that it closes
        while (self.stalled or self.frozen) and not self._transport.is_closing() and time.monotonic() < waited_until:  # noqa: ASYNC110 - two flags, looked at rarely
            await asyncio.sleep(_STALL_POLL_S)
        if not self.closing:
            self._write(close_frame(1000, ""))
        self._transport.close()

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        self.closing = True
        held = self._transport.get_extra_info("socket")
        if held is not None and held.fileno() >= 0:
            with socket.socket(fileno=os.dup(held.fileno())) as twin:
                twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def ended(self) -> None:
        """The connection is gone: stop its timers."""
        self.closing = True
        for timer in self._timers:
            timer.cancel()

    def state(self) -> dict[str, Any]:
        """Figures for `/_sandbox/state`."""
        return {
            "index": self.index,
            "connect_id": self.connect_id,
            "age_s": round(time.monotonic() - self._opened, 3),
            "subscriptions": list(self.channels),
            "frames_sent": self.sent,
            "frames_dropped": self.dropped,
            "frames_received": self.received,
            "half_open": self.frozen,
            "compressed": bool(self.window_bits),
        }

    def _answer(self, request: Request) -> None:
        if request.type == "ping":
            if not self.mute_pong:
                self._pong(request.id)
            return
        targets = self._judge(request)
        if isinstance(targets, Refusal):
            if request.response or not self._rules.unknowns.errors_need_response:
                self.error(targets, request.id)
            return
        if request.response:
            self.send({"id": request.id, "type": "ack"})
        for target in targets:
            if request.type == "subscribe":
                self._floor.subscribe(self, target, request.tunnel)
            else:
                self._floor.unsubscribe(self, target)

    def _pong(self, request_id: Any) -> None:
        body = {"id": request_id, "type": "pong"}
        if self._rules.unknowns.pong_timestamp:
            body["timestamp"] = self._floor.venue_us()
        self.send(body)

    def _judge(self, request: Request) -> list[Target] | Refusal:
        """What the request is about, or why it is refused; opens and closes tunnels."""
        if request.type not in TYPES:
            return Refusal(415, "type is not supported")
        if request.type in ("openTunnel", "closeTunnel"):
            return self._tunnel(request) or []
        targets = read_topic(request, self._rules.limits.topics_per_frame)
        if isinstance(targets, Refusal) or request.type == "unsubscribe":
            return targets
        limit = self._rules.limits.subscriptions
        new = sum(target.topic not in self.channels for target in targets)
        if limit and len(self.channels) + new > limit:
            return Refusal(509, f"exceed max subscription count limitation of {limit} per session")
        if request.tunnel is not None and request.tunnel not in self.tunnels:
            return Refusal(404, "tunnel does not exist")
        return targets

    def _tunnel(self, request: Request) -> Refusal | None:
        if request.tunnel is None:
            return Refusal(400, "tunnelId is required")
        if request.type == "closeTunnel":
            self.tunnels.pop(request.tunnel, None)
            return None
        if len(self.tunnels) >= self._rules.limits.tunnels:
            return Refusal(509, f"exceed max tunnel count limitation of {self._rules.limits.tunnels}")
        self.tunnels[request.tunnel] = None
        return None

    def _check_idle(self) -> None:
        idle_cut = self._rules.transport.idle_cut_s
        left = self._heard + idle_cut - time.monotonic()
        if self.frozen:
            left = max(left, idle_cut)
        if left <= 0:
            self._cut_idle()
        elif not self.closing:
            self._timers[0] = asyncio.get_running_loop().call_later(left, self._check_idle)

    def _cut_idle(self) -> None:
        form = self._rules.transport.idle_cut_form
        if form == "seeded":
            form = ("error", "close", "drop")[self.index % 3]
        if form == "drop":
            self._transport.abort()
            return
        if form == "error":
            self.send({"type": "error", "code": 400, "data": "ping timeout"})
        self.close(1000, "Bye")

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)
