"""The HTTP application: its routes, what wraps every one of them, and the socket it listens on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from zmart_stream.api import problems
from zmart_stream.api.access import AccessLog, route_of
from zmart_stream.api.addresses import FREQTRADE
from zmart_stream.api.alert_meaning import AlertSettings
from zmart_stream.api.auth import Authenticator, AuthSettings, Names, refuse_token_in_query
from zmart_stream.api.calls import Door, Route, Services, endpoint, json_reply
from zmart_stream.api.connections import Gate, GatedHandler
from zmart_stream.api.exchange_names import Exchange
from zmart_stream.api.freqtrade_ws import add_freqtrade
from zmart_stream.api.limits import Buckets, Limits
from zmart_stream.api.pages import add_pages
from zmart_stream.api.pairlist import PATH as PAIR_LIST
from zmart_stream.api.pairlist import PairList
from zmart_stream.api.push.routes import add_push
from zmart_stream.api.routes import alerts as alert_routes
from zmart_stream.api.routes import (
    analytics,
    debug,
    notifications,
    portfolio,
    scoring,
    settings,
    signals,
    symbols,
    system,
    users,
)
from zmart_stream.api.tokens import TokenFile
from zmart_stream.domain.errors import CommandRefusedError, ConfigError, RequestError, StorageError

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *portfolio.ROUTES,
    *analytics.ROUTES,
    *scoring.ROUTES,
    *symbols.ROUTES,
    *signals.ROUTES,
    *alert_routes.ROUTES,
    *settings.ROUTES,
    *users.ROUTES,
    *notifications.ROUTES,
)
"""All but those of `api.debug`."""

CLOSE_S = 1.0
"""Longest wait for requests under way when the server closes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LIMITS = web.AppKey("limits", Limits)

ALERTS = AlertSettings()
"""How alerts are taken where nobody says otherwise."""

_log = structlog.get_logger()


def create_app(
    services: Services,
    *,
    auth: AuthSettings,
    tokens: TokenFile,
    limits: Limits,
    exchange: Exchange = "binance",
    alerts: AlertSettings = ALERTS,
) -> web.Application:
    """The application over whatever stands behind `services`; `exchange` is the one of freqtrade's consumers."""
    door = Door(
        services=services,
        limits=limits,
        auth=Authenticator(auth, tokens, Buckets(limits.failed_logins_per_minute)),
        rates=Buckets(limits.requests_per_minute),
        tokens=tokens,
        alerts=alerts,
    )
    pairs = PairList(door)
    access = AccessLog(door.auth.address)
    wrapped = [access.middleware(), pairs.middleware(), _texts(ROUTES), _outer(Names(auth))]
    app = web.Application(client_max_size=limits.max_body_bytes, middlewares=wrapped)
    app[LIMITS] = limits
    for route in (*ROUTES, *(debug.ROUTES if services.debug is not None else ())):
        if route.method == "GET":
            app.router.add_get(route.path, endpoint(route, door))  # HEAD is answered too
        else:
            app.router.add_route(route.method, route.path, endpoint(route, door))
    add_pages(app, ROUTES)
    add_push(app, door)
    add_freqtrade(app, door, exchange)
    app.router.add_get(PAIR_LIST, pairs.serve)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz(services))
    app.on_response_prepare.append(_sign)
    return app


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    port: int
    gate: Gate
    _server: asyncio.Server
    _runner: web.AppRunner

    async def close(self) -> None:
        """Stop listening, let requests under way end, close every connection; takes at most about CLOSE_S."""
        self._server.close()
        await self._runner.cleanup()


async def serve(
    app: web.Application, *, host: str, port: int, tls: ssl.SSLContext | None = None, backlog: int = 256
) -> Running:
    """Listen; port 0 takes a free one. Raises ConfigError when the address cannot be had."""
    gate = Gate(app[LIMITS], plain=[PAIR_LIST])
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=CLOSE_S)
    await runner.setup()
    loop = asyncio.get_running_loop()
    inner = runner.server
    assert inner is not None  # noqa: S101  setup has made it
    handshake_s = app[LIMITS].receive_deadline_s if tls else None
    try:
        server = await loop.create_server(
            lambda: GatedHandler(gate, inner, loop=loop),
            host,
            port,
            ssl=tls,
            backlog=backlog,
            ssl_handshake_timeout=handshake_s,
        )
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"api.host, api.port: cannot listen on {host}:{port}: {error.strerror or error}") from None
    return Running(server.sockets[0].getsockname()[1], gate, server, runner)


def tls_context(cert: str, key: str) -> ssl.SSLContext:
    """The server's TLS from two PEM files. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"api.tls_cert, api.tls_key: {error}") from None
    return context


def _outer(names: Names) -> Middleware:
    """What wraps every request: names, deadlines, and every error as a problem."""

    @web.middleware
    async def outer(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        if isinstance(connection, GatedHandler):
            connection.request_began()
        try:
            names.check(request)
            if request.path != FREQTRADE:
                refuse_token_in_query(request)
            return await handler(request)
        except (RequestError, CommandRefusedError, ConfigError, StorageError, web.HTTPException) as error:
            return problems.of_error(error)
        except ConnectionError:
            raise  # nobody is left to answer
        except Exception:  # noqa: BLE001  the API's outer handler: a caller gets a problem, never a traceback
            _log.exception("api.fault", method=request.method, route=route_of(request))
            if request.writer.output_size > 0:
                raise ConnectionError("a reply that has begun cannot become an error") from None
            return problems.response("fault", "the log says more")
        finally:
            if isinstance(connection, GatedHandler):
                connection.request_done()

    return outer


def _texts(routes: Sequence[Route]) -> Middleware:
    """Errors as text, on paths that answer in text."""
    paths = {route.path for route in routes if route.text is not None}

    @web.middleware
    async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
        reply = await handler(request)
        if request.path in paths and isinstance(reply, web.Response) and problems.CODE in reply:
            return problems.as_text(reply)
        return reply

    return told


async def _sign(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(problems.SECURITY_HEADERS)


async def _livez(_request: web.Request) -> web.Response:
    """Whoever gets this knows that the loop turns."""
    return json_reply({"success": True, "status": "alive"})


def _readyz(services: Services) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def readyz(_request: web.Request) -> web.Response:
        if reasons := list(services.not_ready()):
            return problems.response("not_ready", reasons[0], {"reasons": reasons, problems.RETRY_AFTER: 1})
        return json_reply({"success": True, "status": "ready"})

    return readyz
