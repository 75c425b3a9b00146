"""From a request to a handler and back: routes as data, one way through for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from aiohttp import web
from pydantic import BaseModel

from zmart_stream.api.alert_meaning import AlertSettings
from zmart_stream.api.auth import Authenticator, Caller
from zmart_stream.api.intake import read_body, read_query, receive
from zmart_stream.api.kept import KeptReplies
from zmart_stream.api.limits import Buckets, Limits
from zmart_stream.api.models import Body, NoQuery, PageQuery, Query, is_symbol, is_uuid
from zmart_stream.api.names import meant_symbols
from zmart_stream.api.push.hub import Hub
from zmart_stream.api.tokens import Scope, TokenFile, UrlScope
from zmart_stream.domain.commands import Command
from zmart_stream.domain.errors import RequestError
from zmart_stream.domain.events import iso
from zmart_stream.domain.message import Message
from zmart_stream.domain.ports import Archive, Commander, Configuration, Notifications, Reader

PREFIX = "/api/symbol-mgmt"
OPERATOR = "Zmart-Operator"
"""Header by which a person says who they are; the record keeps the token's name beside it."""

JSON = "application/json"
MOST_NAME = 64
_STARTED = uuid4().hex
_numbers = count(1)
"""Ids of requests: once random, then numbered, as the system's randomness costs a call for each."""

_encode = msgspec.json.Encoder().encode

C = TypeVar("C", bound=Command)
B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the API is handed: it knows nobody behind these."""

    reader: Reader
    commander: Commander
    archive: Archive
    configuration: Configuration
    now: Callable[[], int]  # market time, ns
    not_ready: Callable[[], Sequence[str]]  # why fresh data is not served; empty: it is
    debug: Callable[[], Awaitable[dict[str, Any]]] | None = None  # memory and database, where `api.debug` is on
    told: Callable[[], int] | None = None  # moves with all that is told but figures; without it no reply is kept
    push: Hub = field(default_factory=Hub)
    notifications: Notifications | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request on its way through a handler."""

    request: web.Request
    services: Services
    limits: Limits
    caller: Caller
    query: Query
    body: Body | None
    tokens: TokenFile
    who: str
    """The caller's name for the record."""

    alerts: AlertSettings = AlertSettings()

    def said(self, model: type[B]) -> B:
        """The body, of the model that the route declares."""
        assert isinstance(self.body, model)  # noqa: S101  the route table pairs handler and model
        return self.body

    def asked(self, model: type[Q]) -> Q:
        """The query parameters, of the model that the route declares."""
        assert isinstance(self.query, model)  # noqa: S101  the route table pairs handler and model
        return self.query

    def page(self, rows: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The asked-for rows (all without a limit), and what tells which they are."""
        asked = self.asked(PageQuery)
        end = None if asked.limit is None else asked.offset + asked.limit
        return rows[asked.offset : end], {"total": len(rows), "limit": asked.limit, "offset": asked.offset}

    def symbol(self, reference: str) -> str:
        """The listed contract meant by a symbol or an id. Raises RequestError."""
        if not is_symbol(reference) and not is_uuid(reference):
            raise RequestError("bad_symbol", "a symbol is 2 to 24 capital letters and digits, or a UUID")
        listed = self.services.reader.listed()
        if reference in listed:
            return reference
        for symbol, identity in listed.items():
            if identity == reference.lower():
                return symbol
        raise self.unknown_symbol(reference)

    def unknown_symbol(self, reference: str) -> RequestError:
        """The error for a contract that is not listed, with those that may have been meant."""
        near = meant_symbols(reference, self.services.reader.listed())
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        text = f"no contract {reference} is listed{hint}"
        return RequestError("unknown_symbol", text, symbol=reference, suggestions=near)

    async def submit(self, command: type[C], *, within_s: float | None = None, **fields: Any) -> Sequence[Message]:
        """Give a command in the caller's name; its cascade once it is on disk. Raises RequestError no_answer.

        Waits `within_s`, else the limit that every command has; the command itself is not taken back.
        """
        wait_s = self.limits.command_deadline_s if within_s is None else within_s
        order = command(ts=self.services.now(), request_id=f"{_STARTED}-{next(_numbers)}", who=self.who, **fields)
        try:
            async with asyncio.timeout(wait_s):
                return await self.services.commander.submit(order)
        except TimeoutError:
            text = f"no answer in {wait_s:g} s; the change may still come"
            raise RequestError("no_answer", text, retry_after_s=5) from None


async def in_turns(steps: Generator[None, None, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What steps come to; whoever else waits for the loop has it between them."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            rows: list[dict[str, Any]] = done.value
            return rows
        await asyncio.sleep(0)


Handler = Callable[[Call], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one path: who may call it, what it takes, what it gives."""

    method: str
    path: str
    handler: Handler
    reply: type[BaseModel]
    summary: str
    scope: Scope = "read"
    query: type[Query] = NoQuery
    body: type[Body] | None = None
    demands_body: bool = False
    """Whether a body without any member is refused although none of them is required alone."""
    errors: tuple[str, ...] = ()
    """Codes of `problems` beyond those that every route may answer with."""
    secret: UrlScope | None = None
    """Scope of the secret that stands in the path as `{secret}`, in place of a token in a header."""

    reads: Callable[[bytes], Body] | None = None
    """Makes the body of bytes, whatever content type they have; without it they are JSON of the model `body`."""

    takes: tuple[str, ...] = (JSON,)
    """Content types of the body, for the description."""

    status: int = 200
    text: Callable[[dict[str, Any]], str] | None = None
    """Makes the reply a text; then errors are text too."""

    kept_s: float = 0.0
    """How long (real seconds) a reply may be given again, to whoever asks, while nothing but figures is told."""

    token_only: bool = False
    """Whether a caller needs a token even where loopback callers may do everything else."""


@dataclass(frozen=True, kw_only=True)
class Door:
    """What stands between the socket and every handler."""

    services: Services
    limits: Limits
    auth: Authenticator
    rates: Buckets
    tokens: TokenFile
    alerts: AlertSettings = AlertSettings()


def endpoint(route: Route, door: Door) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The route as the HTTP library wants it."""

    kept = KeptReplies(door.services.told, route.kept_s) if route.kept_s and door.services.told else None

    async def serve(request: web.Request) -> web.Response:
        caller = _caller(request, route, door.auth)
        door.rates.take(caller.key, "requests of one token or address")
        caller.need(route.scope, token_only=route.token_only)
        who = _who(request, caller)
        if kept is not None:
            body = await kept.get(request.raw_path, lambda: content(request, caller, who))
        else:
            body = await content(request, caller, who)
        if route.text is not None:
            return web.Response(body=body, status=route.status, content_type="text/plain", charset="utf-8")
        return web.Response(body=body, status=route.status, content_type=JSON)

    async def content(request: web.Request, caller: Caller, who: str) -> bytes:
        call = Call(
            request=request,
            services=door.services,
            limits=door.limits,
            caller=caller,
            query=read_query(request, route.query),
            body=await _body(request, route, door.limits),
            tokens=door.tokens,
            who=who,
            alerts=door.alerts,
        )
        told = await route.handler(call)
        if "as_of" not in told:
            told = {**told, "as_of": iso(door.services.now())}
        return route.text(told).encode() if route.text is not None else _encode({"success": True, **told})

    return serve


def _caller(request: web.Request, route: Route, auth: Authenticator) -> Caller:
    """Who asks: by a header, or by the secret in the path. Raises RequestError."""
    if route.secret is None:
        return auth.caller(request)
    return auth.holder_of(request, request.match_info["secret"], route.secret)


async def _body(request: web.Request, route: Route, limits: Limits) -> Body | None:
    if route.method == "GET":
        return None
    if route.reads is None:
        return await read_body(request, route.body, limits)
    return route.reads(await receive(request, limits, any_type=True) if request.body_exists else b"")


def _who(request: web.Request, caller: Caller) -> str:
    """A person who says their name comes before the token it is said with. Raises RequestError."""
    said = request.headers.get(OPERATOR, "").strip()
    if not said:
        return caller.name
    if len(said) > MOST_NAME or not said.isascii() or not said.isprintable():
        raise RequestError("bad_request", f"{OPERATOR}: a name is 1 to {MOST_NAME} printable ASCII characters")
    return f"{said} ({caller.name})"


def json_reply(content: dict[str, Any], status: int = 200) -> web.Response:
    """A reply of JSON; figures that are not finite become null."""
    return web.Response(body=_encode(content), status=status, content_type="application/json")
