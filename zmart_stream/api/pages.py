"""Pages that a browser shows: the API's description, drawn by our own script from `/openapi.json`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec
from aiohttp import web

from zmart_stream import __version__
from zmart_stream.api.calls import Route
from zmart_stream.api.openapi import describe

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/docs": ("docs.html", "text/html"),
    "/docs/docs.js": ("docs.js", "text/javascript"),
    "/docs/docs.css": ("docs.css", "text/css"),
}
"""Paths served from files of the package; nothing of a request is ever part of a file's name."""


def add_pages(app: web.Application, routes: Sequence[Route]) -> None:
    """Serve the description and the page that shows it; they tell nothing of this daemon and need no token."""

    @cache
    def description() -> bytes:
        """Made at its first reading: a start does not wait for it."""
        return msgspec.json.encode(describe(routes, version=__version__))

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=description(), content_type="application/json")

    app.router.add_get("/openapi.json", openapi)
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _file(_STATIC / name, kind))


def _file(path: Path, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = path.read_bytes()

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return serve
