"""One connection's subscriptions: what is wanted, asked for, acknowledged; frames out, acks and errors in. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from zmart_stream.domain.market import Topic
from zmart_stream.feeds.kucoin.wire import PREFIX

Key = tuple[Topic, str]
"""A subscription: topic and symbol; the symbol of the announcement topic is empty."""

Kind = Literal["subscribe", "unsubscribe"]


@dataclass(slots=True)
class Request:
    """A subscribe or unsubscribe frame on its way."""

    kind: Kind
    topic: Topic
    symbols: tuple[str, ...]
    tries: int = 0
    not_before: float = 0.0
    sent_at: float = 0.0
    again: bool = False  # belongs to a renewal: sent although the symbols are (still) wanted

    def frame(self, request_id: str) -> str:
        """The frame as text; ids, topics and symbols need no JSON escapes."""
        topic = f"{PREFIX[self.topic]}:{','.join(self.symbols)}" if self.symbols != ("",) else PREFIX[self.topic]
        return f'{{"id":"{request_id}","type":"{self.kind}","topic":"{topic}","privateChannel":false,"response":true}}'


class Subscriptions:
    """Keeps asking until everything wanted is acknowledged."""

    def __init__(self, *, per_frame: int, ack_timeout_s: float, tries: int) -> None:
        """`per_frame` symbols at most in one request, each sent at most `tries` times."""
        self.per_frame = max(1, per_frame)
        self.live: dict[Topic, dict[str, bool]] = {topic: {} for topic in PREFIX}  # symbol -> acknowledged
        self._ack_timeout_s = ack_timeout_s
        self._tries = tries
        self._queue: deque[Request] = deque()
        self._pending: dict[str, Request] = {}
        self._last_id = 0

    def next_id(self) -> str:
        """An id not used before on this connection."""
        self._last_id += 1
        return str(self._last_id)

    @property
    def wanted(self) -> list[Key]:
        """Everything this connection shall carry."""
        return [(topic, symbol) for topic, symbols in self.live.items() for symbol in symbols]

    @property
    def acknowledged(self) -> list[Key]:
        """What the venue has confirmed."""
        return [(topic, symbol) for topic, symbols in self.live.items() for symbol, acked in symbols.items() if acked]

    @property
    def complete(self) -> bool:
        """True when nothing is queued or unanswered."""
        return not self._queue and not self._pending

    def want(self, keys: Iterable[Key]) -> None:
        """Subscribe `keys`."""
        for topic, symbols in self._grouped(key for key in keys if key[1] not in self.live[key[0]]):
            self.live[topic].update(dict.fromkeys(symbols, False))
            self._enqueue("subscribe", topic, symbols)

    def unwant(self, keys: Iterable[Key]) -> None:
        """Unsubscribe `keys`."""
        for topic, symbols in self._grouped(key for key in keys if key[1] in self.live[key[0]]):
            for symbol in symbols:
                del self.live[topic][symbol]
            self._enqueue("unsubscribe", topic, symbols)

    def renew(self, keys: Iterable[Key]) -> None:
        """Unsubscribe and subscribe `keys` again."""
        for topic, symbols in self._grouped(key for key in keys if key[1] in self.live[key[0]]):
            self.live[topic].update(dict.fromkeys(symbols, False))
            self._enqueue("unsubscribe", topic, symbols, again=True)
            self._enqueue("subscribe", topic, symbols)

    def due(self, at: float, allowed: int) -> list[str]:
        """At most `allowed` frames to send now."""
        frames: list[str] = []
        for _ in range(len(self._queue)):
            if len(frames) >= allowed:
                break
            request = self._queue.popleft()
            if request.not_before > at:
                self._queue.append(request)
                continue
            self._keep_relevant(request)
            if request.symbols:
                frames.append(self._send(request, at))
        return frames

    def acked(self, request_id: str) -> tuple[Topic, tuple[str, ...]] | None:
        """The venue confirmed a request: what is complete from now on, if it was a subscription."""
        request = self._pending.pop(request_id, None)
        if request is None or request.kind == "unsubscribe":
            return None
        live = self.live[request.topic]
        symbols = tuple(symbol for symbol in request.symbols if symbol in live)
        live.update(dict.fromkeys(symbols, True))
        return (request.topic, symbols) if symbols else None

    def pending(self, request_id: str) -> bool:
        """True if the venue still owes an answer to this request."""
        return request_id in self._pending

    def refused(self, request_id: str) -> tuple[Topic, tuple[str, ...]] | None:
        """The venue refused a request: halve it to find the offender; a single symbol is given up and returned."""
        request = self._pending.pop(request_id)
        if len(request.symbols) > 1:
            self._requeue_halves(request)
            return None
        if request.kind == "subscribe":
            self.live[request.topic].pop(request.symbols[0], None)
        return request.topic, request.symbols

    def too_many(self, request_id: str) -> None:
        """The venue takes fewer symbols a frame than we thought: ask in halves from now on."""
        request = self._pending.pop(request_id)
        self.per_frame = max(1, min(self.per_frame, len(request.symbols)) // 2)
        self._requeue_halves(request)

    def later(self, request_id: str, not_before: float) -> None:
        """The venue is busy: ask again from `not_before` on."""
        request = self._pending.pop(request_id)
        request.not_before = not_before
        self._queue.append(request)

    def given_back(self, request_id: str) -> list[Key]:
        """The connection is full: give up what the request asked for and everything still queued; returns it."""
        requests = [self._pending.pop(request_id), *(r for r in self._queue if r.kind == "subscribe")]
        self._queue = deque(r for r in self._queue if r.kind == "unsubscribe")
        keys: list[Key] = [
            (r.topic, s) for r in requests for s in r.symbols if self.live[r.topic].pop(s, None) is False
        ]
        return keys

    def overdue(self, at: float) -> bool:
        """Ask again what was not answered in time; True when a request was tried often enough."""
        late = [key for key, request in self._pending.items() if at - request.sent_at > self._ack_timeout_s]
        for request_id in late:
            request = self._pending.pop(request_id)
            if request.tries >= self._tries:
                return True
            self._queue.append(request)
        return False

    def _send(self, request: Request, at: float) -> str:
        request_id = self.next_id()
        request.tries += 1
        request.sent_at = at
        self._pending[request_id] = request
        return request.frame(request_id)

    def _keep_relevant(self, request: Request) -> None:
        live = self.live[request.topic]
        if request.kind == "subscribe":
            request.symbols = tuple(symbol for symbol in request.symbols if symbol in live)
        elif not request.again:
            request.symbols = tuple(symbol for symbol in request.symbols if symbol not in live)

    def _requeue_halves(self, request: Request) -> None:
        half = (len(request.symbols) + 1) // 2
        for symbols in (request.symbols[:half], request.symbols[half:]):
            if symbols:
                self._queue.append(Request(request.kind, request.topic, symbols, again=request.again))

    def _enqueue(self, kind: Kind, topic: Topic, symbols: Sequence[str], *, again: bool = False) -> None:
        for start in range(0, len(symbols), self.per_frame):
            part = tuple(symbols[start : start + self.per_frame])
            self._queue.append(Request(kind, topic, part, again=again))

    @staticmethod
    def _grouped(keys: Iterable[Key]) -> list[tuple[Topic, list[str]]]:
        groups: dict[Topic, dict[str, None]] = {}
        for topic, symbol in keys:
            groups.setdefault(topic, {})[symbol] = None
        return [(topic, list(symbols)) for topic, symbols in groups.items()]
