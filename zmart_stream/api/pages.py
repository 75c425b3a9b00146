"""Pages that a browser shows: the API's description, drawn by our own script from `/openapi.json`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from zmart_stream import __version__
from zmart_stream.api.calls import Route
from zmart_stream.api.openapi import describe, described

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/docs": ("docs.html", "text/html"),
    "/docs/docs.js": ("docs.js", "text/javascript"),
    "/docs/docs.css": ("docs.css", "text/css"),
}
"""Paths served from files of the package; nothing of a request is ever part of a file's name."""


def add_pages(app: web.Application, routes: Sequence[Route]) -> None:
    """Serve the description and the page that shows it; they tell nothing of this daemon and need no token."""

    description = _Description(routes)

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=await description.get(), content_type="application/json")

    app.router.add_get("/openapi.json", openapi)
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _file(_STATIC / name, kind))


class _Description:
    """The OpenAPI description, made at its first reading: neither a start nor the event loop waits for it."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._turn = asyncio.Lock()
        self._made = b""

    async def get(self) -> bytes:
        """JSON."""
        async with self._turn:
            if not self._made:
                for model in described(self._routes):  # here: a model that validates meanwhile is not built twice
                    model.model_rebuild()
                    await asyncio.sleep(0)
                self._made = await asyncio.to_thread(self._make)
        return self._made

    def _make(self) -> bytes:
        return msgspec.json.encode(describe(self._routes, version=__version__))


def _file(path: Path, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = path.read_bytes()

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return serve
