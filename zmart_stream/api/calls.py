"""From a request to a handler and back: routes as data, one way through for all of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from pydantic import BaseModel, ValidationError

from zmart_stream.api.auth import Authenticator, Caller
from zmart_stream.api.limits import Buckets, Limits
from zmart_stream.api.models import Body, is_symbol, is_uuid
from zmart_stream.api.tokens import Scope
from zmart_stream.domain.commands import Command
from zmart_stream.domain.errors import RequestError
from zmart_stream.domain.message import Message
from zmart_stream.domain.ports import Commander, Reader

PREFIX = "/api/symbol-mgmt"
MAX_OFFSET = 1_000_000
MAX_LIMIT = 10_000
_DIGITS = re.compile(r"[0-9]{1,7}", re.ASCII)
_encode = msgspec.json.Encoder().encode

C = TypeVar("C", bound=Command)


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the API is handed: it knows nobody behind these."""

    reader: Reader
    commander: Commander
    now: Callable[[], int]  # market time, ns
    reload: Callable[[], Awaitable[dict[str, Any]]]  # what SIGHUP does; raises ConfigError with every problem
    not_ready: Callable[[], Sequence[str]]  # why fresh data is not served; empty: it is


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request on its way through a handler."""

    request: web.Request
    services: Services
    limits: Limits
    caller: Caller
    body: Body | None

    def said(self, model: type[B]) -> B:
        """The body, of the model that the route declares."""
        assert isinstance(self.body, model)  # noqa: S101  the route table pairs handler and model
        return self.body

    def number(self, name: str, *, default: int | None, most: int, least: int = 0) -> int | None:
        """A whole number of the query. Raises RequestError bad_query."""
        text = self.request.query.get(name)
        if text is None:
            return default
        if not _DIGITS.fullmatch(text) or not least <= int(text) <= most:
            raise RequestError("bad_query", f"{name} is a whole number from {least} to {most}", parameter=name)
        return int(text)

    def page(self, rows: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The asked-for rows (all without a limit), and what tells which they are."""
        limit = self.number("limit", default=None, least=1, most=MAX_LIMIT)
        offset = self.number("offset", default=0, most=MAX_OFFSET) or 0
        end = None if limit is None else offset + limit
        return rows[offset:end], {"total": len(rows), "limit": limit, "offset": offset}

    def symbol(self, reference: str) -> str:
        """The symbol meant by a symbol or an id. Raises RequestError."""
        if is_symbol(reference):
            return reference
        if not is_uuid(reference):
            raise RequestError("bad_symbol", "a symbol is 2 to 24 capital letters and digits, or a UUID")
        for row in self.services.reader.symbols():
            if row["symbol_id"] == reference.lower():
                return str(row["symbol"])
        raise unknown_symbol(reference)

    async def submit(self, command: type[C], **fields: Any) -> Sequence[Message]:
        """Give a command in the caller's name; its cascade once it is on disk. Raises RequestError no_answer."""
        order = command(ts=self.services.now(), request_id=str(uuid4()), who=self.caller.name, **fields)
        try:
            async with asyncio.timeout(self.limits.command_deadline_s):
                return await self.services.commander.submit(order)
        except TimeoutError:
            text = f"no answer in {self.limits.command_deadline_s:g} s; the change may still come"
            raise RequestError("no_answer", text, retry_after_s=5) from None


B = TypeVar("B", bound=Body)
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
    body: type[Body] | None = None


@dataclass(frozen=True, kw_only=True)
class Door:
    """What stands between the socket and every handler."""

    services: Services
    limits: Limits
    auth: Authenticator
    rates: Buckets


def endpoint(route: Route, door: Door) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The route as the HTTP library wants it."""

    async def serve(request: web.Request) -> web.Response:
        caller = door.auth.caller(request)
        door.rates.take(caller.key, "requests of one token or address")
        caller.need(route.scope)
        body = await read_body(request, route.body, door.limits) if route.method != "GET" else None
        call = Call(request=request, services=door.services, limits=door.limits, caller=caller, body=body)
        content = await route.handler(call)
        if "as_of" not in content:
            content = {**content, "as_of": iso(door.services.now())}
        return json_reply({"success": True, **content})

    return serve


async def read_body(request: web.Request, model: type[Body] | None, limits: Limits) -> Body | None:
    """The body, within its size, its time and its model. Raises RequestError."""
    raw = await _receive(request, limits) if request.body_exists else b""
    if model is None:
        return None
    try:
        value = msgspec.json.decode(raw) if raw.strip() else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise RequestError("bad_json", str(error)[:200] or "not JSON") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = [{"field": ".".join(map(str, item["loc"])), "problem": item["msg"]} for item in error.errors()[:20]]
        first = found[0]
        raise RequestError("bad_body", f"{first['field'] or 'body'}: {first['problem']}", errors=found) from None


async def _receive(request: web.Request, limits: Limits) -> bytes:
    most = limits.max_body_bytes
    if request.content_length is not None and request.content_length > most:
        raise RequestError("too_large", f"a body has at most {most} bytes")
    if request.content_type != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise RequestError("not_json", "send Content-Type: application/json, not compressed")
    try:
        async with asyncio.timeout(limits.body_deadline_s):
            return await request.read()
    except TimeoutError:
        raise RequestError("too_slow", f"a body has {limits.body_deadline_s:g} s to arrive") from None
    except HTTPRequestEntityTooLarge:
        raise RequestError("too_large", f"a body has at most {most} bytes") from None
    except web.RequestPayloadError as error:
        raise RequestError("bad_request", str(error)[:200] or "the body is broken") from None


def json_reply(content: dict[str, Any], status: int = 200) -> web.Response:
    """A reply of JSON; figures that are not finite become null."""
    return web.Response(body=_encode(content), status=status, content_type="application/json")


def unknown_symbol(reference: str) -> RequestError:
    """The error for a contract that is not listed."""
    return RequestError("unknown_symbol", f"no contract {reference} is listed", symbol=reference)


def iso(ns: int) -> str:
    """ISO 8601 UTC with milliseconds of a time in ns."""
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns % 1_000_000_000 // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
