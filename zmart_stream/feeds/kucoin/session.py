"""The websocket session without I/O: frames and time in, frames, messages and events out."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Literal, NamedTuple

from zmart_stream.domain.errors import MalformedMessageError
from zmart_stream.domain.market import Depth, FundingEstimate, FundingSettled, MarkIndex, Ticker, Topic, Trade
from zmart_stream.domain.message import Message
from zmart_stream.feeds.kucoin.budget import SlidingWindow
from zmart_stream.feeds.kucoin.frames import Control
from zmart_stream.feeds.kucoin.sequences import Sequences
from zmart_stream.feeds.kucoin.settings import FeedSettings
from zmart_stream.feeds.kucoin.subscriptions import Key, Subscriptions
from zmart_stream.feeds.kucoin.wire import Wire

PINGS_KEPT = 5
"""Client messages of each window that subscriptions leave to pings."""

SLOW = frozenset({"permits", "busy", "sessions"})
"""Reasons after which the venue wants us to slow down before the next dial."""

BUSY_WAIT_S = 5.0
MOST_PING_S = 18.0


class Fate(NamedTuple):
    """Why the connection must end, and how to go on: redial at once, or slow down first."""

    reason: str
    advice: Literal["redial", "slow"]


class Subscribed(NamedTuple):
    """The venue confirmed a subscription."""

    topic: Topic
    symbols: tuple[str, ...]


class Refused(NamedTuple):
    """The venue does not know this topic or symbol; it was given up."""

    topic: Topic
    symbols: tuple[str, ...]
    code: int
    detail: str


class Overfull(NamedTuple):
    """The connection takes no more: these must go elsewhere, and `held` is what it can carry."""

    keys: list[Key]
    held: int


class Malformed(NamedTuple):
    """A frame that cannot be believed."""

    reason: str
    detail: str
    sample: bytes


Event = Subscribed | Refused | Overfull | Malformed


class Session:
    """One conversation with the venue. Times `at` are monotonic seconds, `now` is market time in ns."""

    def __init__(
        self, *, settings: FeedSettings, wire: Wire, sequences: Sequences, at: float, ping_s: float, pong_s: float
    ) -> None:
        """`ping_s` and `pong_s` are the token reply's pingInterval and pingTimeout in seconds."""
        self.subscriptions = Subscriptions(
            per_frame=settings.symbols_per_frame, ack_timeout_s=settings.ack_timeout_s, tries=settings.ack_tries
        )
        self.open = False
        self.fate: Fate | None = None
        self.events: deque[Event] = deque()
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._wire = wire
        self._sequences = sequences
        self._ping_s = max(1.0, min(settings.ping_every_s, ping_s * 0.95, MOST_PING_S * 0.95))
        self._pong_s = max(1.0, min(settings.pong_timeout_s, pong_s))
        self._messages = SlidingWindow(int(settings.client_messages_per_10s * settings.quota_factor), 10.0)
        self._born = at
        self.heard_at = at  # monotonic s of the last frame
        self.spoke_of: Message | None = None  # the last message of the last frames that had any
        self._pinged_at = at
        self._ping_id: str | None = None
        self._held: list[Trade] | None = None

    # --- in

    def receive(self, frames: Iterable[bytes], now: int, at: float) -> list[Message]:
        """The messages in `frames`, in order, without repetitions; control frames act on the session."""
        self.heard_at = at
        decode = self._wire.decode
        fresh, fresh_trade, tickers = self._sequences.fresh, self._sequences.fresh_trade, self._sequences.tickers
        live = self.subscriptions.live
        live_tickers, live_trades = live["ticker"], live["execution"]
        out: list[Message] = []
        for frame in frames:
            try:
                message = decode(frame, now)
            except MalformedMessageError as error:
                self.counts["malformed"] += 1
                self.events.append(Malformed(error.reason, error.detail[:120], frame[:200]))
                continue
            if type(message) is Ticker:
                symbol = message.symbol
                if symbol in live_tickers and fresh(tickers, symbol, message.sequence, message.ts_event):
                    out.append(message)
            elif type(message) is Trade:
                if message.symbol not in live_trades:
                    continue
                if self._held is not None:
                    self._held.append(message)
                elif fresh_trade(message.symbol, message.sequence, message.ts_event):
                    out.append(message)
            elif isinstance(message, Control):
                self._control(message, at)
            elif message is not None and self._is_new(message):
                out.append(message)
        if out:
            self.spoke_of = out[-1]
        return out

    def _is_new(self, message: Message) -> bool:
        live = self.subscriptions.live
        if isinstance(message, Depth):
            return message.symbol in live["depth"] and self._sequences.fresh_depth(message)
        if isinstance(message, MarkIndex | FundingEstimate):
            kind = "mark" if isinstance(message, MarkIndex) else "estimate"
            return message.symbol in live["instrument"] and self._sequences.fresh_time(
                kind, message.symbol, message.ts_event
            )
        return isinstance(message, FundingSettled) and self._sequences.fresh_settlement(message)

    # --- overlapping connections

    def hold_trades(self) -> None:
        """Keep trades back: another connection still delivers them, perhaps a moment later than this one."""
        self._held = []

    def release_trades(self) -> list[Message]:
        """The other connection is done: what it did not deliver, in order. Later trades pass at once."""
        held, self._held = self._held or [], None
        return [t for t in held if self._sequences.fresh_trade(t.symbol, t.sequence, t.ts_event)]

    # --- out

    def tick(self, at: float) -> list[str]:
        """Frames to send now: pings, subscriptions within the message budget. May end the session (`fate`)."""
        if self.fate is not None:
            return []
        if not self.open:
            if at - self._born > self._settings.welcome_timeout_s:
                self.fate = Fate("no_welcome", "redial")
            return []
        out = self._heartbeat(at)
        if self.subscriptions.overdue(at):
            self.fate = Fate("no_ack", "redial")
        allowed = self._messages.free(at) - min(PINGS_KEPT, self._messages.most // 2)
        for frame in self.subscriptions.due(at, max(0, allowed)):
            self._messages.take(at)
            out.append(frame)
        return out

    def excuse(self, at: float) -> None:
        """We did not read the socket: silence up to `at` is ours, not the venue's."""
        self.heard_at = at
        if self._ping_id is not None:
            self._pinged_at = at

    def _heartbeat(self, at: float) -> list[str]:
        quiet = at - self.heard_at
        waited = at - self._pinged_at
        if self._ping_id is not None:
            if waited > self._pong_s:
                self.fate = Fate("no_pong", "redial")
            elif waited > self._settings.quiet_drop_s and quiet > waited and quiet > self._settings.quiet_probe_s:
                self.fate = Fate("silent", "redial")
            return []
        # a quiet market is no dead line: before giving up, ask
        if (waited < self._ping_s and quiet < self._settings.quiet_probe_s) or not self._messages.free(at):
            return []
        self._ping_id = self.subscriptions.next_id()
        self._pinged_at = at
        self._messages.take(at)
        return [f'{{"id":"{self._ping_id}","type":"ping"}}']

    # --- control frames

    def _control(self, control: Control, at: float) -> None:
        self.counts[control.type] += 1
        if control.type == "pong":
            if control.id == self._ping_id:
                self._ping_id = None
        elif control.type == "ack":
            done = self.subscriptions.acked(control.id)
            if done is not None:
                self.events.append(Subscribed(*done))
        elif control.type == "welcome":
            if not self.open:
                self.open = True
                self._pinged_at = at
        elif control.type == "error":
            self._error(control, at)

    def _error(self, control: Control, at: float) -> None:
        text = control.detail.lower()
        if control.code == 401:
            self.fate = Fate("token", "redial")
        elif control.code == 400 and "ping timeout" in text:
            self.fate = Fate("ping_timeout", "redial")
        elif control.code == 509:
            self._limit(control, text, at)
        elif not self.subscriptions.pending(control.id):
            # connection-level ids are the venue's own; an ack that stays out is asked for again
            self.counts[f"error_{control.code}"] += 1
        elif control.code == 500:
            self.subscriptions.later(control.id, at + BUSY_WAIT_S)
        else:
            lost = self.subscriptions.refused(control.id)
            if lost is not None:
                self.events.append(Refused(*lost, control.code, control.detail))

    def _limit(self, control: Control, text: str, at: float) -> None:
        if "permits" in text:
            self.fate = Fate("permits", "slow")
        elif self.subscriptions.pending(control.id):
            if "per time" in text:
                self.subscriptions.too_many(control.id)
            elif "per session" in text:
                keys = self.subscriptions.given_back(control.id)
                self.events.append(Overfull(keys, len(self.subscriptions.wanted)))
            else:
                self.subscriptions.later(control.id, at + BUSY_WAIT_S)
        elif "subscription" not in text:
            self.fate = Fate("sessions" if "session count" in text else "busy", "slow")
        else:
            self.counts["error_509"] += 1
