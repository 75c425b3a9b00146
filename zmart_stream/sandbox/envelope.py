"""REST replies as the venue words them: success and failure envelopes, status codes, bodies that are not JSON."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import msgspec
from aiohttp import web

JSON = "application/json"
_GZIP_ABOVE = 1024
_GZIP_OFF_LOOP = 262_144


def ok(data: Any) -> web.Response:
    """Success around `data`; bytes are taken as already encoded JSON."""
    body = data if isinstance(data, bytes) else msgspec.json.encode(data)
    return web.Response(body=b'{"code":"200000","data":' + body + b"}", content_type=JSON, charset="utf-8")


def refused(code: str, message: str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Failure; most business errors come with HTTP 200."""
    body = msgspec.json.encode({"code": code, "msg": message})
    return web.Response(status=status, body=body, content_type=JSON, charset="utf-8", headers=headers)


def invalid_symbol() -> web.Response:
    """An unknown symbol on ticker and book paths."""
    return refused("200003", "Invalid symbol.")


def bad_parameter(text: str) -> web.Response:
    """A missing or unreadable query parameter."""
    return refused("400100", text)


def unknown_path() -> web.Response:
    """No such path."""
    body = {"code": "404", "msg": "Not Found", "retry": False, "success": False}
    return web.Response(status=404, body=msgspec.json.encode(body), content_type=JSON, charset="utf-8")


def unknown_depth() -> web.Response:
    """A book depth that does not exist."""
    return refused("404", "not exist", 404)


def unsigned() -> web.Response:
    """A signed path called without KC-API headers."""
    names = "KC-API-SIGN, KC-API-TIMESTAMP, KC-API-KEY, KC-API-PASSPHRASE"
    return refused("400001", f"Please check the header of your request for {names}", 400)


def over_quota(headers: dict[str, str]) -> web.Response:
    """The caller's own weight is used up."""
    return refused("429000", "Too Many Requests", 429, headers)


def overloaded() -> web.Response:
    """The venue is overloaded; not the caller's quota, so no gateway headers."""
    return refused("429000", "Too many requests. System-level rate limit exceeded.", 429)


def blocked(form: str) -> web.Response:
    """The front's block of an address, as HTML, plain text or JSON."""
    if form == "json":
        return refused("1015", "You are being rate limited", 429)
    text = "error code: 1015"
    if form == "html":
        text = f"<!DOCTYPE html><html><head><title>Access denied</title></head><body><h1>{text}</h1></body></html>"
    return web.Response(status=429, text=text, content_type=f"text/{'html' if form == 'html' else 'plain'}")


async def squeeze(request: web.Request, response: web.Response) -> None:
    """Compress a body if the client asked for gzip; a large one off the loop."""
    body = response.body
    if "gzip" not in request.headers.get("Accept-Encoding", "") or not isinstance(body, bytes):
        return
    if len(body) > _GZIP_OFF_LOOP:
        response.body = await asyncio.to_thread(gzip.compress, body, 1)
    elif len(body) > _GZIP_ABOVE:
        response.body = gzip.compress(body, 1)
    else:
        return
    response.headers["Content-Encoding"] = "gzip"
