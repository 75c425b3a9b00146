"""The websocket side: who may connect, the open sessions, and what they follow."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from aiohttp import WSMsgType, web

from zmart_stream.sandbox import envelope
from zmart_stream.sandbox.control import Refusal, Target
from zmart_stream.sandbox.faults import Faults
from zmart_stream.sandbox.hub import Hub
from zmart_stream.sandbox.pacer import Pacer
from zmart_stream.sandbox.publisher import Publisher
from zmart_stream.sandbox.quota import RateCounter
from zmart_stream.sandbox.session import Rules, Session
from zmart_stream.sandbox.tokens import Tokens
from zmart_stream.sandbox.venue import Venue
from zmart_stream.sandbox.wsframe import frame

_CLIENT_FRAME_BYTES = 1_048_576


class Floor:
    """Opens, feeds and forgets sessions."""

    def __init__(self, *, venue: Venue, hub: Hub, publisher: Publisher, tokens: Tokens, rules: Rules) -> None:
        """No session. The owner sets `faults` and `pacer` before the first connection."""
        self._venue = venue
        self._hub = hub
        self._publisher = publisher
        self._tokens = tokens
        self._rules = rules
        self._dials: dict[str, RateCounter] = {}
        self._opened = 0
        self._addresses: dict[int, str] = {}
        self.sessions: dict[int, Session] = {}
        self.faults: Faults
        self.pacer: Pacer

    def open_sessions(self) -> list[Session]:
        """Every open session in order of opening."""
        return list(self.sessions.values())

    def venue_us(self) -> int:
        """Venue time in µs."""
        return self._venue.clock.now() // 1000

    def subscribe(self, session: Session, target: Target, tunnel: str | None) -> None:
        """Add `session` to a topic; a second subscribe changes nothing, an unknown symbol stays silent."""
        channel = self._hub.channel(target.topic, target.kind, target.symbol)
        first = not channel.subscribers
        channel.subscribers[session.index] = session
        if tunnel is not None:
            channel.tunnels[session.index] = tunnel
        session.channels[target.topic] = channel
        if first:
            self._publisher.opened(channel)
        if target.kind == "execution":
            for payload in self._publisher.replay(channel, self.faults.replayed()):
                session.out.append(frame(payload))

    def unsubscribe(self, session: Session, target: Target) -> None:
        """Take `session` off a topic."""
        channel = session.channels.pop(target.topic, None)
        if channel is None:
            return
        channel.subscribers.pop(session.index, None)
        channel.tunnels.pop(session.index, None)
        if not channel.subscribers:
            self._publisher.closed(channel)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one websocket connection from upgrade to end."""
        if self.faults.blocked():
            return envelope.blocked(self._rules.unknowns.block_body)
        refusal = self._door(request)
        if refusal is not None and self._refuses_by_http(refusal):
            return envelope.refused(str(refusal.code), refusal.text, 401 if refusal.code == 401 else 429)
        ws = web.WebSocketResponse(autoping=False, autoclose=False, compress=True, max_msg_size=_CLIENT_FRAME_BYTES)
        await ws.prepare(request)
        transport = request.transport
        if transport is None:
            return ws
        connect_id = request.query.get("connectId") or uuid.uuid4().hex
        session = Session(self._opened, connect_id, transport, self._rules, self)
        self._opened += 1
        session.window_bits = int(ws.compress) if int(ws.compress) > 1 else 0
        if refusal is not None:
            session.error(refusal, None)
            session.close(1000, "Bye")
            await self._listen(ws, session)
            return ws
        self.sessions[session.index] = session
        self._addresses[session.index] = request.remote or ""
        await self._serve(ws, session)
        return ws

    async def _serve(self, ws: web.WebSocketResponse, session: Session) -> None:
        welcome = asyncio.get_running_loop().call_later(self._rules.transport.welcome_delay_s, session.open)
        try:
            await self._listen(ws, session)
        finally:
            welcome.cancel()
            session.ended()
            self.sessions.pop(session.index, None)
            self._addresses.pop(session.index, None)
            for channel in self._hub.drop(session):
                self._publisher.closed(channel)

    async def _listen(self, ws: web.WebSocketResponse, session: Session) -> None:
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                session.receive(message.data)
            elif message.type is WSMsgType.BINARY:
                session.receive(message.data.decode(errors="replace"))
            elif message.type is WSMsgType.PING:
                session.control(message.data)
            elif message.type is WSMsgType.PONG:
                self.pacer.confirmed(session, message.data)
        await session.finish()

    def _door(self, request: web.Request) -> Refusal | None:
        """Why the connection is refused, if it is."""
        address = request.remote or ""
        now = time.monotonic()
        limits = self._rules.limits
        dials = self._dials.setdefault(address, RateCounter(limits.dials, limits.dials_window_s))
        if self.faults.busy() or not dials.admit(now):
            return Refusal(509, "service busy, please retry later")
        if sum(held == address for held in self._addresses.values()) >= limits.connections:
            return Refusal(509, f"exceed max session count limitation of {limits.connections}")
        verdict = self._tokens.judge(request.query.get("token", ""), now)
        return None if verdict == "valid" else Refusal(401, f"token is {verdict}")

    def _refuses_by_http(self, refusal: Refusal) -> bool:
        unknowns = self._rules.unknowns
        form = unknowns.malformed_token if refusal.code == 401 else unknowns.excess_connection
        return form == "http" and refusal.text != "token is expired"

    def state(self) -> list[dict[str, Any]]:
        """Every open connection, for `/_sandbox/state`."""
        return [session.state() for session in self.sessions.values()]
