"""One log line a request: who asked for what, and what came of it; never a secret, and never too many."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from zmart_stream.api.auth import WHO
from zmart_stream.api.limits import Buckets
from zmart_stream.api.problems import CODE
from zmart_stream.domain.errors import RequestError

MOST_WRITES = 300
"""Lines a minute on requests that changed something; the next one tells how many were left out."""

MOST_PATH = 100
_READS = ("GET", "HEAD")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger()


class AccessLog:
    """Says what became of each request, by its route: what stands in the place of `{...}` is not told.

    Reads at level debug, what changed something at info, refusals and faults at warning, where a repeated one is
    written once in `log.repeat_every`.
    """

    def __init__(self, address: Callable[[web.Request], str], writes: Buckets | None = None) -> None:
        """`address` tells where a request comes from; `writes` keeps the lines on writes few."""
        self._address = address
        self._writes = writes or Buckets(MOST_WRITES)
        self._left_out = 0

    def middleware(self) -> Middleware:
        """What stands around everything that answers."""

        @web.middleware
        async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = asyncio.get_running_loop().time()
            try:
                reply = await handler(request)
            except (ConnectionError, asyncio.CancelledError):
                facts = self._facts(request, None, began)
                _log.debug("api.left", **facts)
                raise
            # a read that nobody wants to hear of costs no line either: there are hundreds a second
            if reply.status >= 400 or request.method not in _READS or _log.is_enabled_for(logging.DEBUG):
                self._tell(request, reply, self._facts(request, reply, began))
            return reply

        return told

    def _tell(self, request: web.Request, reply: web.StreamResponse, facts: dict[str, Any]) -> None:
        if reply.status >= 500:
            _log.warning("api.failed", code=reply.get(CODE, ""), **facts)
        elif reply.status >= 400:
            _log.warning("api.refused", code=reply.get(CODE, ""), **facts)
        elif request.method in _READS:
            _log.debug("api.read", **facts)
        else:
            self._wrote(facts)

    def _wrote(self, facts: dict[str, Any]) -> None:
        try:
            self._writes.take("", "lines")
        except RequestError:
            self._left_out += 1
            return
        if self._left_out:
            _log.info("api.wrote", suppressed=self._left_out, **facts)
            self._left_out = 0
        else:
            _log.info("api.wrote", **facts)

    def _facts(self, request: web.Request, reply: web.StreamResponse | None, began: float) -> dict[str, Any]:
        return {
            "method": request.method,
            "route": route_of(request),
            "status": 0 if reply is None else reply.status,
            "ms": round(1000.0 * (asyncio.get_running_loop().time() - began), 1),
            "bytes": reply.content_length or 0 if isinstance(reply, web.Response) else 0,
            "address": self._address(request),
            "who": request.get(WHO, ""),
        }


def route_of(request: web.BaseRequest) -> str:
    """The route as it is written down; of a request that has none its path, short and of harmless characters."""
    found = getattr(request, "match_info", None)
    resource = None if found is None else found.route.resource
    if resource is not None:
        return str(resource.canonical)
    return ascii(request.path[:MOST_PATH])[1:-1]
