"""Public REST of the venue, inside the weight pool; every failure is a FeedError with a short reason."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import aiohttp
import msgspec

from zmart_stream.domain.errors import FeedError, MalformedMessageError, VenueBusyError
from zmart_stream.domain.market import BarRow, Levels
from zmart_stream.feeds.kucoin import rows
from zmart_stream.feeds.kucoin.budget import Gate, Priority, WeightPool
from zmart_stream.feeds.kucoin.frames import DECODE_ERRORS, refused
from zmart_stream.feeds.kucoin.klines import Page, Span, gaps
from zmart_stream.feeds.kucoin.resolver import Resolver
from zmart_stream.feeds.kucoin.settings import LOOPBACK_HOSTS, FeedSettings

SUCCESS = "200000"
RATE_LIMITED = "429000"
BUSINESS_LIMIT = "200002"
CLOUD_BLOCK = "1015"
SERVER_FAULTS = frozenset({"500000", "503000"})
BLOCK_S = 30.0
BUSINESS_BLOCK_S = 10.0
DOWN_AFTER = 3
"""Failures in a row after which REST counts as down."""

T = TypeVar("T")
Health = Literal["up", "down", "degraded"]


class _Envelope(msgspec.Struct, gc=False):
    code: str | int = ""
    msg: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class Token(NamedTuple):
    """Where and how to open one websocket."""

    url: str
    ping_s: float
    pong_s: float


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The system's trust, and `ca_file`'s besides. Raises FeedError if the file cannot be used."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise FeedError(f"ca_file {ca_file}: {error}") from None
    return context


def allowed(url: str, hosts: tuple[str, ...]) -> bool:
    """May we open a websocket to `url`: wss on a host of `hosts` or below one, plain ws only on an allowed loopback."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    wanted = [name.lower().strip("[]").lstrip(".") for name in hosts]
    if parts.scheme not in ("ws", "wss") or not host or parts.username is not None:
        return False
    if host in LOOPBACK_HOSTS:
        return host in wanted
    return parts.scheme == "wss" and any(host == name or host.endswith(f".{name}") for name in wanted)


class KucoinRest:
    """The venue's public REST; also what `VenueRest` asks for. Use as an async context manager or call `close`."""

    def __init__(
        self, settings: FeedSettings, *, on_health: Callable[[Health, str], None] = lambda _state, _reason: None
    ) -> None:
        """`on_health` hears each change of state with its reason."""
        self.settings = settings
        self.pool = WeightPool(
            limit=settings.pool_weight * settings.quota_factor,
            window_s=settings.pool_window_s,
            share=settings.warmup_share,
            reserve=settings.reserve_share,
        )
        self.gate = Gate(self.pool, settings.parallel_requests)
        self.counts: Counter[str] = Counter()
        self.multipliers: dict[str, float] = {}
        self.health: Health = "up"
        self._on_health = on_health
        self._failures = 0
        self._took_s = 0.0  # the last exchange, without the wait for its turn
        self._http: aiohttp.ClientSession | None = None
        self._contract_rows = rows.ContractRows()
        self._klines = msgspec.json.Decoder(list[list[float | None]], strict=False).decode
        self._envelope = msgspec.json.Decoder(_Envelope).decode

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the HTTP connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    # --- what the venue offers

    async def contracts(self) -> tuple[list[rows.ContractRow], list[MalformedMessageError]]:
        """All listed contracts, and what is wrong with rows that were left out."""
        data = await self._get("/api/v1/contracts/active", 3, Priority.POLL)
        await asyncio.sleep(0)
        raws = self._judged(lambda: self._contract_rows.split(data))
        found: list[rows.ContractRow] = []
        errors: list[MalformedMessageError] = []
        for start in range(0, len(raws), rows.ROWS_AT_ONCE):
            await asyncio.sleep(0)
            some, wrong = self._contract_rows.read(raws[start : start + rows.ROWS_AT_ONCE])
            found += some
            errors += wrong
        self.multipliers.update((row.symbol, row.multiplier) for row in found)
        return found, errors

    async def status(self) -> rows.StatusReply:
        """The service status."""
        reply: rows.StatusReply = await self._typed("/api/v1/status", rows.StatusReply, 4, Priority.POLL)
        return reply

    async def server_time(self) -> int:
        """The venue's time in ns, as of now: what it said, and half of the time that the exchange took."""
        ms = await self._typed("/api/v1/timestamp", int, 2, Priority.POLL)
        took_s = self._took_s  # nothing was awaited since the reply came: it is this one's
        ns = rows.time_ns(ms)
        if ns is None:
            raise FeedError(f"timestamp: {ms}")
        return ns + (int(took_s / 2 * 1e9 * self.settings.speed) if self.settings.speed < float("inf") else 0)

    async def book(self, symbol: str, priority: Priority = Priority.DEPTH) -> tuple[rows.BookReply, Levels, Levels]:
        """The 20 best levels a side: the reply, bids, asks."""
        reply = await self._typed("/api/v1/level2/depth20", rows.BookReply, 5, priority, {"symbol": symbol})
        bids, asks = self._judged(lambda: rows.book_levels(reply))
        return reply, bids, asks

    async def funding_rates(self, symbol: str, since: int, until: int) -> tuple[tuple[int, float], ...]:
        """Settlements from `since` to `until` (ns), ascending."""
        params: dict[str, str | int] = {"symbol": symbol, "from": since // rows.MS, "to": until // rows.MS}
        reply = await self._typed(
            "/api/v1/contract/funding-rates", list[rows.FundingRow] | None, 5, Priority.FUNDING, params
        )
        return self._judged(lambda: rows.settlements(reply or ()))

    async def kline_page(self, symbol: str, interval_s: int, span: Span, priority: Priority) -> Page:
        """What one call returns of the bars with start in `span` (ns); the venue may cut it at either end."""
        params: dict[str, str | int] = {
            "symbol": symbol,
            "granularity": interval_s // 60,
            "from": span.since // rows.MS,
            "to": span.until // rows.MS,
        }
        data = await self._get("/api/v1/kline/query", 3, priority, params)

        def decode() -> Page:
            table = self._klines(data) if bytes(data) != b"null" else []
            bars = rows.bar_rows(table, self.multipliers.get(symbol, 1.0), interval_s * 1_000_000_000)
            return Page(tuple(bar for bar in bars if span.since <= bar[0] < span.until), len(table))

        return self._judged(decode)

    async def klines(
        self, symbol: str, interval_s: int, since: int, until: int, priority: Priority = Priority.REPAIR
    ) -> tuple[BarRow, ...]:
        """Bars with start in [since, until), ascending, in as many calls as it takes."""
        found: dict[int, BarRow] = {}
        open_spans = [Span(since, until)] if since < until else []
        while open_spans:
            span = open_spans.pop()
            page = await self.kline_page(symbol, interval_s, span, priority)
            found.update((bar[0], bar) for bar in page.rows)
            open_spans += gaps(page, span, interval_s)
        return tuple(found[start] for start in sorted(found))

    async def token(self) -> Token:
        """A new websocket token; its endpoint must be on an allowed host."""
        reply = await self._typed("/api/v1/bullet-public", rows.TokenReply, 10, Priority.POLL, method="POST")
        for server in reply.instanceServers:
            if allowed(server.endpoint, self.settings.allowed_hosts):
                joint = "&" if "?" in server.endpoint else "?"
                query = urlencode({"token": reply.token, "connectId": uuid4().hex})
                url = f"{server.endpoint}{joint}{query}"
                return Token(url, server.pingInterval / 1000, server.pingTimeout / 1000)
        raise FeedError("token: endpoint not on an allowed host")

    # --- requests

    async def _typed(
        self,
        path: str,
        kind: Any,
        weight: float,
        priority: Priority,
        params: Mapping[str, str | int] | None = None,
        *,
        method: str = "GET",
    ) -> Any:
        data = await self._get(path, weight, priority, params, method=method)
        return self._judged(lambda: msgspec.json.decode(data, type=kind, strict=False))

    def _judged(self, read: Callable[[], T]) -> T:
        """What `read` makes of a reply's data; a reply that cannot be believed is a failed request."""
        try:
            return read()
        except DECODE_ERRORS as error:
            self.counts[f"malformed_{refused(error).reason}"] += 1
            raise FeedError(f"malformed reply: {refused(error)}"[:200]) from None
        except MalformedMessageError as error:
            self.counts[f"malformed_{error.reason}"] += 1
            raise FeedError(f"malformed reply: {error}"[:200]) from None

    async def _get(
        self,
        path: str,
        weight: float,
        priority: Priority,
        params: Mapping[str, str | int] | None = None,
        *,
        method: str = "GET",
    ) -> msgspec.Raw:
        """The reply's `data`. Raises FeedError, VenueBusyError if asking again later may help."""
        await self.gate.enter(weight, priority)
        self.counts["requests"] += 1
        asked_at = self._now()
        try:
            status, headers, body = await self._exchange(method, path, params)
            self._took_s = self._now() - asked_at
            self._heed(headers)
            data = self._judge(status, headers, body)
        except FeedError as error:
            self._failed(str(error), busy=isinstance(error, VenueBusyError))
            raise
        finally:
            self.gate.leave(weight, priority)
        self._failures = 0
        self._set_health("up", "")
        return data

    async def _exchange(
        self, method: str, path: str, params: Mapping[str, str | int] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.settings.request_timeout_s),
                connector=aiohttp.TCPConnector(ssl=tls_context(self.settings.ca_file), limit=0, resolver=Resolver()),
            )
        url = self.settings.rest_url.rstrip("/") + path
        try:
            # a redirect is never followed: it could lead to another host
            async with self._http.request(method, url, params=params, allow_redirects=False) as reply:
                body = bytearray()
                async for chunk in reply.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > self.settings.max_reply_bytes:
                        raise FeedError("reply too large")
                return reply.status, reply.headers, bytes(body)
        except TimeoutError:
            raise FeedError("timeout") from None
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError) as error:
            raise VenueBusyError(f"connect: {type(error).__name__}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FeedError(f"http: {type(error).__name__}") from None

    def _heed(self, headers: Mapping[str, str]) -> None:
        try:
            limit, remaining, reset_ms = (
                int(headers[f"gw-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")
            )
        except (KeyError, ValueError):
            return
        self.pool.heard(self._now(), limit=limit, remaining=remaining, reset_s=reset_ms / 1000)

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes) -> msgspec.Raw:
        if 300 <= status < 400:
            raise FeedError(f"redirect refused ({status})")
        try:
            envelope = self._envelope(body)
        except DECODE_ERRORS:
            return self._judge_foreign(status, headers, body)
        code = str(envelope.code)
        if status == 429 or code == RATE_LIMITED:
            raise self._limited(headers)
        if code == SUCCESS:
            return envelope.data
        if code == CLOUD_BLOCK:
            raise self._blocked()
        words = f"{code or status} {envelope.msg or ''}"[:120].strip()
        if code == BUSINESS_LIMIT and "many" in (envelope.msg or "").lower():
            self.pool.block(self._now(), BUSINESS_BLOCK_S)
            raise VenueBusyError(words)
        if status >= 500 or code in SERVER_FAULTS:
            raise VenueBusyError(words)
        raise FeedError(words)

    def _judge_foreign(self, status: int, headers: Mapping[str, str], body: bytes) -> msgspec.Raw:
        """Not the venue's JSON: a proxy in front of it speaks."""
        if CLOUD_BLOCK.encode() in body[:65536] or status == 403:
            raise self._blocked()
        if status == 429:
            raise self._limited(headers)
        if status >= 500:
            raise VenueBusyError(f"http {status}")
        raise FeedError(f"not json ({status})")

    def _limited(self, headers: Mapping[str, str]) -> VenueBusyError:
        """429: with the pool's headers it is our quota and they say how long; without them the venue is overloaded."""
        self.counts["limited"] += 1
        try:
            wait = min(int(headers["gw-ratelimit-reset"]) / 1000, 2 * self.settings.pool_window_s)
        except (KeyError, ValueError):
            wait = random.uniform(0.5, min(30.0, 2.0 ** (1 + min(self._failures, 5))))
        self.pool.block(self._now(), max(0.1, wait))
        return VenueBusyError("429")

    def _blocked(self) -> VenueBusyError:
        self.counts["blocked"] += 1
        self.pool.block(self._now(), BLOCK_S * random.uniform(1.05, 1.5))
        return VenueBusyError(CLOUD_BLOCK)

    def _failed(self, reason: str, *, busy: bool) -> None:
        self.counts["failed"] += 1
        if not busy:
            self.counts[f"failed_{reason[:40]}"] += 1
            return
        self._failures += 1
        self.counts[f"failed_{reason[:40]}"] += 1
        self.pool.block(self._now(), random.uniform(0.1, min(10.0, 0.5 * 2.0 ** min(self._failures, 6))))
        self._set_health("down" if self._failures >= DOWN_AFTER else "degraded", reason)

    def _set_health(self, health: Health, reason: str) -> None:
        if health != self.health:
            self.health = health
            self._on_health(health, reason)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
