"""One socket around a session: dial, read, write, deadline, abort.

The handshake and every unusual frame go through websockets' Sans-I/O protocol; whole, unfragmented text frames, which
is all that the venue sends in practice, are cut out of the bytes here, because the protocol's generator costs ten
times as much a frame (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from zmart_stream.domain.errors import FeedError
from zmart_stream.domain.message import Message
from zmart_stream.domain.ports import Inbox, MarketClock
from zmart_stream.feeds.kucoin.resolver import addresses
from zmart_stream.feeds.kucoin.session import Fate, Session

TURN_S = 0.25
CLOSE_TIMEOUT_S = 1.0
CROWDED_CHECK_S = 0.005
HEAD_END = b"\r\n\r\n"

# the library reports every peer's fault as an error with traceback; the feed reports the reason itself
_library_log = logging.getLogger("zmart_stream.websockets")
_library_log.addHandler(logging.NullHandler())
_library_log.propagate = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a connection is connected to inside the daemon."""

    clock: MarketClock
    inbox: Inbox
    follow_venue: bool  # the clock is the highest venue time seen (speed `max`)
    on_events: Callable[[Connection], None]  # the session has events to take


class Connection(asyncio.Protocol):
    """A dialled socket that feeds `session` and puts its messages into `inbox`."""

    def __init__(
        self,
        session: Session,
        *,
        url: str,
        max_frame_bytes: int,
        wiring: Wiring,
    ) -> None:
        """Not dialled yet. Raises FeedError for an unusable URL."""
        self.session = session
        self.closed: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0
        self.started_at = 0.0
        self._clock = wiring.clock
        self._now = wiring.clock.now
        self._inbox = wiring.inbox
        self._follow_venue = wiring.follow_venue
        self._on_events = wiring.on_events
        try:
            self._library = ClientProtocol(parse_uri(url), max_size=max_frame_bytes, logger=_library_log)
        except InvalidURI as error:
            raise FeedError(f"unusable websocket address: {error}") from None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._upgraded = False
        self._plain = True
        self._look = True  # what `_after` looks at may have changed otherwise than by events and fate
        self._parts: list[bytes] = []
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._reason: Fate | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is up: ask for the upgrade."""
        # not isinstance: uvloop's transports do not derive from asyncio's
        self._transport = cast(asyncio.Transport, transport)
        self.started_at = self._loop.time()
        self._library.send_request(self._library.connect())
        self._flush_library()
        self._timer = self._loop.call_later(TURN_S, self._turn)

    def data_received(self, data: bytes) -> None:
        """Cut the bytes into frames and hand them to the session."""
        if self._reason is not None:
            return
        if not self._upgraded:
            frames = self._handshake(data)
        elif self._plain:
            frames = self._cut(self._buffer + data if self._buffer else data)
        else:
            frames = self._through_library(data)
        if frames:
            self._deliver(frames)
        session = self.session
        if self._look or session.events or session.fate is not None:
            self._after()

    def eof_received(self) -> bool:
        """The peer has closed its half: so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, for whatever reason."""
        if self._timer is not None:
            self._timer.cancel()
        self._finish(self._reason or self.session.fate or Fate("reset" if exc is not None else "eof", "redial"))

    # --- frames

    def _handshake(self, data: bytes) -> list[bytes]:
        """Bytes up to the end of the reply's head are the library's; frames that came along with it are cut."""
        seen = self._buffer + data
        end = seen.find(HEAD_END)
        size = len(data) if end < 0 else end + len(HEAD_END) - len(self._buffer)
        self._buffer = seen[1 - len(HEAD_END) :] if end < 0 else b""
        self._library.receive_data(data[:size])
        if self._library.state is State.CONNECTING and size < len(data):
            self._library.receive_data(data[size:])  # a refusal's body
        self._flush_library()
        if self._library.handshake_exc is not None:
            self._end(Fate(f"upgrade: {str(self._library.handshake_exc)[:80]}", "redial"))
            return []
        if self._library.state is State.CONNECTING:
            return []
        self._upgraded = True
        self._library_frames()  # the reply itself
        return self._cut(data[size:])

    def _cut(self, data: bytes) -> list[bytes]:
        """All messages in `data`: plain frames at once, control frames through the library, one after the other."""
        frames: list[bytes] = []
        while data:
            rest = data[cut_plain(data, frames) :]
            if not rest or is_plain(rest):
                self._buffer = rest
                return frames
            size = control_size(rest)
            if size is None:
                # fragments, large or odd frames: the library has the connection from here on
                self._plain, self._buffer = False, b""
                return frames + self._through_library(rest)
            if size > len(rest):
                self._buffer = rest
                return frames
            frames += self._through_library(rest[:size])
            data = rest[size:] if self._library.state is State.OPEN else b""
        self._buffer = b""
        return frames

    def _through_library(self, data: bytes) -> list[bytes]:
        self._look = True
        self._library.receive_data(data)
        self._flush_library()
        return self._library_frames()

    def _library_frames(self) -> list[bytes]:
        frames: list[bytes] = []
        for event in self._library.events_received():
            if not isinstance(event, Frame) or event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                continue
            self._parts.append(bytes(event.data))
            if event.fin:
                frames.append(b"".join(self._parts))
                self._parts.clear()
        return frames

    def _deliver(self, frames: list[bytes]) -> None:
        self.received += len(frames)
        messages = self.session.receive(frames, self._now(), self._loop.time())
        self.put(messages)
        if self._inbox.crowded and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
            self._loop.call_later(CROWDED_CHECK_S, self._resume)

    def put(self, messages: list[Message]) -> None:
        """Hand messages over; at speed `max` each of them moves the clock first and takes its time from it."""
        put = self._inbox.put
        if not self._follow_venue:
            for message in messages:
                put(message)
            return
        for message in messages:
            self._clock.seen(message.ts_event)  # type: ignore[attr-defined]  # every stream message has it
            put(msgspec.structs.replace(message, ts=self._clock.now()))

    def _resume(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._inbox.crowded:
            self._loop.call_later(CROWDED_CHECK_S, self._resume)
            return
        self._paused = False
        self.session.excuse(self._loop.time())
        self._transport.resume_reading()

    # --- out and time

    def kick(self) -> None:
        """The session has something new to say."""
        if self._library.state is State.OPEN and self._reason is None:
            self._speak()

    def _turn(self) -> None:
        self._timer = self._loop.call_later(TURN_S, self._turn)
        if self._paused:
            self.session.excuse(self._loop.time())
        self._speak()
        self._after()

    def _speak(self) -> None:
        if self._library.state is not State.OPEN:
            return
        for frame in self.session.tick(self._loop.time()):
            self._library.send_text(frame.encode())
        self._flush_library()

    def _after(self) -> None:
        if self.session.open and not self.ready.done():
            self.ready.set_result(None)
            self._speak()
        self._look = not self.session.open
        if self.session.events:
            self._on_events(self)
        if self.session.fate is not None:
            self._end(self.session.fate)
        elif self._library.state in (State.CLOSING, State.CLOSED):
            close = self._library.close_rcvd or self._library.close_sent
            words = f"{int(close.code)} {close.reason}" if close is not None else "1006"
            self._end(Fate(f"closed {words}"[:80].strip(), "redial"))

    def _flush_library(self) -> None:
        if self._transport is None or self._transport.is_closing():
            self._library.data_to_send()
            return
        for data in self._library.data_to_send():
            if data:
                self._transport.write(data)

    # --- the end

    def _end(self, fate: Fate) -> None:
        """No waiting for a polite goodbye: the peer may never give it."""
        if self._reason is None:
            self._reason = fate
            if self._transport is not None:
                self._transport.abort()

    def _finish(self, fate: Fate) -> None:
        if not self.ready.done():
            self.ready.cancel()
        if not self.closed.done():
            self.closed.set_result(fate)

    def close(self, reason: str) -> None:
        """Say goodbye, and abort soon after whatever the peer does."""
        if self._reason is not None:
            return
        self._reason = Fate(reason, "redial")
        if self._transport is None:
            return
        if self._library.state is State.OPEN:
            self._library.send_close(1000)
            self._flush_library()
        self._loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)
        self._transport.close()

    def abort(self, reason: str) -> None:
        """Drop the socket now."""
        self._end(Fate(reason, "redial"))


def cut_plain(data: bytes, frames: list[bytes]) -> int:
    """Append the payloads of the whole plain frames at the head of `data`; returns where the first other byte is.

    Plain: a text frame with FIN, no reserved bits, unmasked, below 64 KiB.
    """
    append = frames.append
    at, end = 0, len(data)
    while end - at >= 4 and data[at] == 0x81:
        length = data[at + 1]
        start = at + 2
        if length == 126:
            length = data[at + 2] << 8 | data[at + 3]
            start = at + 4
        elif length > 126:
            break
        stop = start + length
        if stop > end:
            break
        append(data[start:stop])
        at = stop
    return at


def is_plain(head: bytes) -> bool:
    """True while the bytes at `head` can still become a plain frame."""
    return head[0] == 0x81 and (len(head) < 2 or head[1] <= 126)


def control_size(head: bytes) -> int | None:
    """Size in bytes of the control frame at `head` (close, ping, pong); None if it is none or an illegal one."""
    if head[0] not in (0x88, 0x89, 0x8A) or (len(head) >= 2 and head[1] > 125):
        return None
    return 2 + head[1] if len(head) >= 2 else 2


async def dial(
    make: Callable[[], Connection], url: str, *, context: ssl.SSLContext | None, timeout_s: float, welcome_s: float
) -> Connection:
    """Connect, upgrade and wait for the welcome. Raises FeedError with the reason; leaves nothing open behind it."""
    connection: Connection | None = None
    try:
        async with asyncio.timeout(timeout_s):
            connection = await _connect(make, url, context)
        async with asyncio.timeout(timeout_s + welcome_s):
            both: list[asyncio.Future[Any]] = [connection.ready, connection.closed]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        if connection is not None:
            connection.abort("no_welcome")
        raise FeedError("dial: no answer in time") from None
    except OSError as error:
        raise FeedError(f"dial: {error.strerror or type(error).__name__}") from None
    except asyncio.CancelledError:
        if connection is not None:
            connection.abort("stopped")
        raise
    if connection.closed.done():
        raise FeedError(connection.closed.result().reason)
    return connection


async def _connect(make: Callable[[], Connection], url: str, context: ssl.SSLContext | None) -> Connection:
    """The first of the host's addresses that takes us. Raises OSError."""
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    name, port = parts.hostname or "", parts.port or (443 if secure else 80)
    failure = OSError(f"no address for {name}")
    for address in await addresses(name, port):
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                make,
                address["host"],
                port,
                ssl=context if secure else None,
                server_hostname=name if secure else None,
            )
        except OSError as error:
            failure = error
        else:
            return connection
    raise failure
