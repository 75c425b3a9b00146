"""The sandbox venue as a server: REST and websocket on one port, started and stopped as a whole."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.admin import Admin
from zmart_stream.sandbox.clock import VenueClock
from zmart_stream.sandbox.fault_kinds import read_scenario
from zmart_stream.sandbox.faults import Faults
from zmart_stream.sandbox.floor import Floor
from zmart_stream.sandbox.gateway import Gateway
from zmart_stream.sandbox.hub import Hub
from zmart_stream.sandbox.market import Market
from zmart_stream.sandbox.pacer import Pacer
from zmart_stream.sandbox.publisher import Publisher
from zmart_stream.sandbox.rest import Rest
from zmart_stream.sandbox.rest_series import RestSeries
from zmart_stream.sandbox.session import Rules
from zmart_stream.sandbox.settings import SandboxSettings
from zmart_stream.sandbox.tokens import Tokens
from zmart_stream.sandbox.venue import Venue

_STOP_S = 2.0


class SandboxServer:
    """One venue over one market.

    `start` binds the port and tells lines such as `listening on http://127.0.0.1:8080` to `say`; `stop` ends all.
    """

    def __init__(self, settings: SandboxSettings, market: Market, say: Callable[[str], None]) -> None:
        """Put the parts together; nothing runs yet."""
        self.settings = settings
        self._say = say
        limits = settings.limits.scaled(settings.quota_factor)
        self.clock = VenueClock(market.start, settings.speed, getattr(market, "end", None))
        self.venue = Venue(market, self.clock, settings)
        hub, tokens = Hub(), Tokens(settings.transport.token_life_s, settings.seed)
        publisher = Publisher(self.venue, hub, settings.cadence)
        rules = Rules(limits, settings.transport, settings.unknowns)
        self.floor = Floor(venue=self.venue, hub=hub, publisher=publisher, tokens=tokens, rules=rules)
        sessions = self.floor.open_sessions
        self.faults = Faults(venue=self.venue, hub=hub, publisher=publisher, tokens=tokens, sessions=sessions)
        self.floor.faults = self.faults
        self._pacer = self.floor.pacer = Pacer(self.clock, publisher, sessions, settings.cadence)
        self._gateway = Gateway(limits, settings.unknowns, self.faults)
        self._rest = Rest(self.venue, tokens, self._endpoint)
        self.faults.outage = self._outage
        self.faults.changed = self._rest.invalidate
        self.admin = Admin(self.venue, self.floor, self.faults, self._gateway)
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._ssl: ssl.SSLContext | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.port = settings.port

    @property
    def url(self) -> str:
        """Base URL of the REST side."""
        return f"{'https' if self.settings.tls else 'http'}://{_bracketed(self.settings.host)}:{self.port}"

    async def start(self) -> None:
        """Bind, start the beat and the scenario; raises OSError if the port is taken, `ConfigError` for files."""
        scenario = read_scenario(Path(self.settings.scenario)) if self.settings.scenario else []
        self._ssl = self._tls_context() if self.settings.tls else None
        app = web.Application(client_max_size=1 << 20)
        self.admin.route(app)
        app.router.add_get("/", self._connect)
        self._gateway.route(app, self._rest, RestSeries(self.venue))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_STOP_S)
        await self._runner.setup()
        await self._listen()
        self.faults.script(scenario)
        self._tasks = [asyncio.create_task(self._pacer.run()), asyncio.create_task(self.faults.run())]
        self._say(f"listening on {self.url}")

    async def failed(self) -> None:
        """Wait until a part of the venue ends by an error, and raise it."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Close every connection and the port."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in self.floor.open_sessions():
            session.close(1000, "Bye")
        self._cut_all()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=404, text="not found")
        return await self.floor.connect(request)

    async def _listen(self) -> None:
        if self._runner is None:
            return
        self._site = web.TCPSite(
            self._runner, self.settings.host, self.port, ssl_context=self._ssl, backlog=512, reuse_address=True
        )
        await self._site.start()
        self.port = int(self._runner.addresses[0][1])

    async def _outage(self, begins: bool) -> None:
        if not begins:
            await self._listen()
            return
        if self._site is not None:
            await self._site.stop()
            self._site = None
        self._cut_all()

    def _cut_all(self) -> None:
        for session in self.floor.open_sessions():
            session.reset()
        server = self._runner.server if self._runner is not None else None
        for connection in list(server.connections) if server is not None else []:
            if connection.transport is not None:
                connection.transport.abort()

    def _tls_context(self) -> ssl.SSLContext:
        if self.settings.cert is not None and self.settings.key is not None:
            return _server_context(self.settings.cert, self.settings.key)
        try:
            from zmart_stream.sandbox.tls import make_authority  # noqa: PLC0415  needs the extra [tls], which others do without
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"sandbox: tls needs {error.name}: install zmart-stream[tls], or give cert and key"
            ) from None
        ca, cert, key = make_authority(self.settings.ca_dir, self.settings.host)
        self._say(f"ca file: {ca}")
        return _server_context(str(cert), str(key))

    def _endpoint(self) -> dict[str, Any]:
        scheme = "wss" if self.settings.tls else "ws"
        return {
            "endpoint": f"{scheme}://{_bracketed(self.settings.host)}:{self.port}/",
            "encrypt": self.settings.tls,
            "protocol": "websocket",
            "pingInterval": self.settings.transport.ping_interval_ms,
            "pingTimeout": self.settings.transport.ping_timeout_ms,
        }


def _server_context(cert: str, key: str) -> ssl.SSLContext:
    """A TLS server context from PEM files; raises `ConfigError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"sandbox: certificate {cert} with key {key}: {error}") from None
    return context


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
