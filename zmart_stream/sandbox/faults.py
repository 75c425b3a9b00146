"""Puts faults into force, on connections, topics, REST calls and the venue itself, and ends them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from aiohttp import web

from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox import envelope
from zmart_stream.sandbox.fault_kinds import Fault
from zmart_stream.sandbox.hostile import BREAKING, FORMS, hostile_bytes
from zmart_stream.sandbox.hub import Channel, Hub, Listener
from zmart_stream.sandbox.publisher import Publisher
from zmart_stream.sandbox.session import Session
from zmart_stream.sandbox.settings import parse_time
from zmart_stream.sandbox.tokens import Tokens
from zmart_stream.sandbox.venue import Venue

_STREAM = ("silent", "drop", "duplicate", "late")
_REST = ("storm_429", "block_1015", "error_body", "slow_rest")
_INSTANT = ("token_expiry", "reset", "close", "zero_price", "hostile", "list", "delist")  # over once done
_POLL_S = 0.02
_OUTAGE_NOTICE_S = 0.05  # so that the reply to a posted outage still gets out


class Active:
    """A fault in force."""

    def __init__(self, fault: Fault, until: float) -> None:
        """`until` is a monotonic second, inf for ever."""
        self.fault = fault
        self.until = until
        self.hits: dict[str, int] = {}

    def strikes(self, listener: Listener, channel: Channel) -> bool:
        """True if this push is one of those the fault is about."""
        fault = self.fault
        if fault.connection is not None and fault.connection != listener.index:
            return False
        if fault.symbols and channel.symbol not in fault.symbols:
            return False
        if fault.topics and not any(fnmatchcase(channel.topic, topic) for topic in fault.topics):
            return False
        key = f"{listener.index} {channel.topic}"
        self.hits[key] = self.hits.get(key, 0) + 1
        return self.hits[key] % fault.every == 0


class Faults:
    """The scenario's executor, and the place that requests and pushes ask what is wrong today."""

    def __init__(
        self, *, venue: Venue, hub: Hub, publisher: Publisher, tokens: Tokens, sessions: Callable[[], list[Session]]
    ) -> None:
        """Nothing is wrong. The owner sets `outage` and `changed`."""
        self._venue = venue
        self._hub = hub
        self._publisher = publisher
        self._tokens = tokens
        self._sessions = sessions
        self._waiting: list[tuple[float, int, Fault]] = []
        self.active: list[Active] = []
        self.outage: Callable[[bool], Awaitable[None]] | None = None
        self.changed: Callable[[], None] = lambda: None

    def script(self, faults: Iterable[Fault]) -> None:
        """Plan the faults of a scenario, which starts now; contracts to be listed are hidden until then."""
        for fault in faults:
            self.plan(fault)
            if fault.kind == "list":
                self._venue.hidden.update(dict.fromkeys(fault.symbols))

    def plan(self, fault: Fault) -> None:
        """Put `fault` into force when its time comes; raises `ConfigError` if its fields cannot be used."""
        self._check(fault)
        venue_ns = 0 if fault.venue_at is None else parse_time(fault.venue_at)
        delay = max(fault.at, _OUTAGE_NOTICE_S if fault.kind == "outage" else 0.0)
        self._waiting.append((time.monotonic() + delay, venue_ns, fault))

    async def now(self, fault: Fault) -> None:
        """Put `fault` into force at once, or plan it if it names a time; raises `ConfigError`."""
        self.plan(fault)
        await self._begin_due()

    async def run(self) -> None:
        """Begin and end faults in time, until cancelled."""
        while True:
            await self._begin_due()
            real = time.monotonic()
            for active in [active for active in self.active if active.until <= real]:
                self.active.remove(active)
                await self._end(active.fault)
            self._arm()
            await asyncio.sleep(_POLL_S)

    def replayed(self) -> int:
        """How many trades a subscribe to execution gets again."""
        counts = [active.fault.count for active in self.active if active.fault.kind == "replay_trades"]
        return max([self._venue.settings.unknowns.replayed_trades, *counts])

    def busy(self) -> bool:
        """True while new connections are turned away."""
        return self._any("service_busy")

    def blocked(self) -> bool:
        """True while the front blocks the address."""
        return self._any("block_1015")

    async def before(self, request: web.Request) -> web.Response | None:
        """What a REST call gets in place of its answer; None if all is well. May take its time."""
        for active in self.active:
            fault = active.fault
            path = request.path.removeprefix("/api/v1/")
            if fault.kind not in _REST or not any(fnmatchcase(path, wanted) for wanted in fault.paths):
                continue
            if fault.kind == "slow_rest":
                await asyncio.sleep(fault.delay)
            elif fault.kind == "storm_429":
                return self._storm(fault)
            elif fault.kind == "block_1015":
                return envelope.blocked(self._venue.settings.unknowns.block_body)
            else:
                return envelope.refused(fault.code, fault.message)
        return None

    def state(self) -> list[dict[str, Any]]:
        """The faults in force, for `/_sandbox/state`."""
        real = time.monotonic()
        return [
            {"kind": active.fault.kind, "left_s": None if math.isinf(active.until) else round(active.until - real, 3)}
            for active in self.active
        ]

    def _storm(self, fault: Fault) -> web.Response:
        if not fault.headers:
            return envelope.overloaded()
        limit = str(self._venue.settings.limits.pool_weight)
        reset = str(int(min(fault.duration or 30.0, 30.0) * 1000))
        return envelope.over_quota(
            {"gw-ratelimit-limit": limit, "gw-ratelimit-remaining": "0", "gw-ratelimit-reset": reset}
        )

    def _check(self, fault: Fault) -> None:
        if fault.kind == "hostile" and fault.form not in FORMS:
            raise ConfigError(f"fault: form {fault.form!r} is none of {', '.join(FORMS)}")
        if fault.kind == "service_status" and fault.status not in ("open", "close", "cancelonly"):
            raise ConfigError("fault: status is open, close or cancelonly")
        if fault.venue_at is not None:
            parse_time(fault.venue_at)

    async def _begin_due(self) -> None:
        real, venue = time.monotonic(), self._venue.clock.now()
        due = [entry for entry in self._waiting if entry[0] <= real and entry[1] <= venue]
        self._waiting = [entry for entry in self._waiting if entry not in due]
        for _, _, fault in due:
            if fault.kind not in _INSTANT:
                until = math.inf if fault.duration is None else real + fault.duration
                self.active.append(Active(fault, until))
            await self._begin(fault)
        self._arm()

    def _arm(self) -> None:
        stream = any(active.fault.kind in _STREAM for active in self.active)
        self._hub.disturb = self._disturb if stream else None

    def _any(self, kind: str) -> bool:
        return any(active.fault.kind == kind for active in self.active)

    def _targets(self, fault: Fault) -> list[Session]:
        sessions = self._sessions()
        if fault.connection is None:
            return sessions
        if fault.connection == -1:
            return sessions[-1:]
        return [session for session in sessions if session.index == fault.connection]

    def _disturb(self, listener: Listener, channel: Channel, data: bytes) -> None:
        copies = 1
        for active in self.active:
            if active.fault.kind not in _STREAM or not active.strikes(listener, channel):
                continue
            match active.fault.kind:
                case "duplicate":
                    copies += 1
                case "late":
                    asyncio.get_running_loop().call_later(active.fault.delay, listener.out.append, data)
                    return
                case _:
                    return
        listener.out.extend([data] * copies)

    async def _begin(self, fault: Fault) -> None:
        if fault.kind == "outage" and self.outage is not None:
            await self.outage(True)
        elif fault.kind == "token_expiry":
            self._tokens.expire_all()
        elif fault.kind == "service_status":
            self._venue.status = fault.status
        for session in self._targets(fault):
            self._strike(session, fault)
        for symbol in fault.symbols:
            self._mark(symbol, fault)
        self.changed()

    def _strike(self, session: Session, fault: Fault) -> None:
        match fault.kind:
            case "no_pong":
                session.mute_pong = True
            case "half_open":
                session.frozen = True
            case "reset":
                session.reset()
            case "close":
                session.close(int(fault.code) if 1000 <= int(fault.code) <= 4999 else 1000, "Bye")
            case "hostile":
                symbol = next(iter(fault.symbols or self._venue.symbols()), "XBTUSDTM")
                session.write_raw(hostile_bytes(fault.form, symbol))
                session.closing = session.stalled = fault.form in BREAKING
            case _:
                return

    def _mark(self, symbol: str, fault: Fault) -> None:
        venue = self._venue
        match fault.kind:
            case "pause":
                venue.paused[symbol] = None
            case "null_funding":
                venue.without_funding[symbol] = None
            case "stale_book" if venue.known(symbol):
                venue.freeze_book(symbol)
            case "zero_price":
                self._publisher.skip_sequence(symbol, venue.clock.now())
            case "list":
                venue.hidden.pop(symbol, None)
                venue.listed[symbol] = venue.now_ms()
                self._restart(symbol)
            case "delist":
                venue.delisting[symbol] = venue.now_ms() + int(fault.delay * 1000 * self._speed())
                gone = Fault(kind="vanish", symbols=(symbol,), duration=fault.duration)
                self._waiting.append((time.monotonic() + fault.delay, 0, gone))
            case "vanish":
                venue.hidden[symbol] = None
            case _:
                return

    async def _end(self, fault: Fault) -> None:
        venue = self._venue
        if fault.kind == "outage" and self.outage is not None:
            await self.outage(False)
            for symbol in venue.books:
                self._restart(symbol)
        elif fault.kind == "service_status":
            venue.status = "open"
        for session in self._targets(fault):
            session.mute_pong = session.mute_pong and fault.kind != "no_pong"
            session.frozen = session.frozen and fault.kind != "half_open"
        held: dict[str, list[dict[str, Any]]] = {
            "pause": [venue.paused],
            "null_funding": [venue.without_funding],
            "stale_book": [venue.stale_books],
            "vanish": [venue.hidden, venue.delisting],
        }
        for symbol in fault.symbols:
            for marks in held.get(fault.kind, []):
                marks.pop(symbol, None)
        self.changed()

    def _restart(self, symbol: str) -> None:
        if self._venue.settings.unknowns.sequence_restart and symbol in self._venue.books:
            self._venue.books[symbol].restart()

    def _speed(self) -> float:
        speed = self._venue.clock.speed
        return 1.0 if speed == "max" else float(speed)


def decode_fault(body: bytes) -> Any:
    """The JSON of a posted fault; raises `ConfigError`."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"fault: {error}") from None
