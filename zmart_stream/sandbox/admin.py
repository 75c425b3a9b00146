"""The sandbox's own paths, beside the venue's: state, faults and the clock. Loopback callers only."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
from aiohttp import web

from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.fault_kinds import read_fault
from zmart_stream.sandbox.faults import Faults, decode_fault
from zmart_stream.sandbox.floor import Floor
from zmart_stream.sandbox.gateway import Gateway
from zmart_stream.sandbox.rest import Handler
from zmart_stream.sandbox.venue import Venue


class Admin:
    """`GET /_sandbox/state`, `POST /_sandbox/fault`, `POST /_sandbox/clock`."""

    def __init__(self, venue: Venue, floor: Floor, faults: Faults, gateway: Gateway) -> None:
        """Looks at, and acts on, the parts it is given."""
        self._venue = venue
        self._floor = floor
        self._faults = faults
        self._gateway = gateway

    def route(self, app: web.Application) -> None:
        """Add the paths."""
        app.router.add_get("/_sandbox/state", _loopback(self._state))
        app.router.add_post("/_sandbox/fault", _loopback(self._fault))
        app.router.add_post("/_sandbox/clock", _loopback(self._clock))

    async def _state(self, _request: web.Request) -> web.Response:
        return _json(self.state())

    def state(self) -> dict[str, Any]:
        """What the venue knows about itself; `venue_time` is ns."""
        market, clock = self._venue.market, self._venue.clock
        return {
            "market": market.name,
            "seed": market.seed,
            "start": clock.start,
            "speed": clock.speed,
            "venue_time": clock.now(),
            "held": clock.held,
            "ended": clock.ended,
            "status": self._venue.status,
            "contracts": len(self._venue.symbols()),
            "weight_used": self._gateway.weight_used(),
            "weight_most": self._gateway.weight_most(),
            "connections": self._floor.state(),
            "faults": self._faults.state(),
            "book_sequences": {symbol: book.sequence for symbol, book in self._venue.books.items()},
        }

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            await self._faults.now(read_fault(decode_fault(await request.read())))
        except ConfigError as error:
            return _json({"error": str(error)}, 400)
        return _json({"ok": True})

    async def _clock(self, request: web.Request) -> web.Response:
        """`{"hold": true}` stops venue time, `{"hold": false}` lets it go on."""
        try:
            body = decode_fault(await request.read())
        except ConfigError as error:
            return _json({"error": str(error)}, 400)
        if not isinstance(body, dict) or not isinstance(body.get("hold"), bool):
            return _json({"error": "hold is true or false"}, 400)
        self._venue.clock.hold(body["hold"])
        return _json({"ok": True, "venue_time": self._venue.clock.now()})


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


def _loopback(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        try:
            local = ipaddress.ip_address(request.remote or "").is_loopback
        except ValueError:
            local = False
        return await handler(request) if local else _json({"error": "loopback only"}, 403)

    return answer
