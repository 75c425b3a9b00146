"""The front of the REST side: faults first, then the caller's weight, then the answer with its headers."""

from __future__ import annotations

import time

from aiohttp import web

from zmart_stream.sandbox import envelope
from zmart_stream.sandbox.faults import Faults
from zmart_stream.sandbox.quota import MARKET_WEIGHTS, WeightPool
from zmart_stream.sandbox.rest import Handler, Rest
from zmart_stream.sandbox.rest_series import RestSeries
from zmart_stream.sandbox.settings import Limits, Unknowns

PREFIX = "/api/v1/"
_POOLS = 10_000


class Gateway:
    """Weighs and routes every REST call."""

    def __init__(self, limits: Limits, unknowns: Unknowns, faults: Faults) -> None:
        """`limits` are the multiplied ones."""
        self._limits = limits
        self._weights = {**MARKET_WEIGHTS, "level2/depth100": unknowns.depth100_weight}
        self._faults = faults
        self._pools: dict[str, WeightPool] = {}

    def route(self, app: web.Application, rest: Rest, series: RestSeries) -> None:
        """Add every path, and the reply for all others."""
        gets = {**rest.handlers(), **series.handlers()}
        for path in sorted(gets, key=lambda path: path.count("{")):
            name, handler = gets[path]
            app.router.add_get(PREFIX + path, self._weighed(name, handler))
        for path, (name, handler) in rest.posts().items():
            app.router.add_post(PREFIX + path, self._weighed(name, handler))
        app.router.add_route("*", "/{rest:.+}", self._weighed("status", self._unknown))

    def weight_used(self) -> dict[str, int]:
        """Weight used in the present window by client address."""
        return {address: pool.used for address, pool in self._pools.items()}

    def weight_most(self) -> dict[str, int]:
        """The most weight that any window saw, by client address."""
        return {address: pool.most for address, pool in self._pools.items()}

    async def _unknown(self, _request: web.Request) -> web.Response:
        return envelope.unknown_path()

    def _weighed(self, name: str, handler: Handler) -> Handler:
        weight = self._weights[name]

        async def answer(request: web.Request) -> web.Response:
            wrong = await self._faults.before(request)
            if wrong is not None:
                return wrong
            charge = self._pool(request.remote or "").charge(weight, time.monotonic())
            if not charge.allowed:
                return envelope.over_quota(charge.headers())
            response = await handler(request)
            if name != "timestamp":
                response.headers.update(charge.headers())
            await envelope.squeeze(request, response)
            return response

        return answer

    def _pool(self, address: str) -> WeightPool:
        pool = self._pools.get(address)
        if pool is None:
            if len(self._pools) >= _POOLS:
                self._pools.pop(next(iter(self._pools)))
            pool = self._pools[address] = WeightPool(self._limits.pool_weight, self._limits.pool_window_s)
        return pool
