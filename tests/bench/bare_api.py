"""The control of the API: `aiohttp` on the same loop, handing out bytes that somebody else encoded.

`python -m tests.bench.bare_api '{"/path": "file with the reply's body", ...}'` prints its port and serves until its
standard input closes.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web


def handing(body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that knows one answer."""

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return serve


async def main(bodies: dict[str, str]) -> None:
    app = web.Application()
    for path, file in bodies.items():
        app.router.add_get(path, handing(Path(file).read_bytes()))  # noqa: ASYNC240 - before anything is served
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gc.collect()
    gc.freeze()  # as the daemon does
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(sys.argv[1])))
