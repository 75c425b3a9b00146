"""Names to addresses on threads that nobody waits for: a dead resolver must not hold up a stop.

The loop's own lookups run on its executor, whose threads are joined at exit, however long getaddrinfo hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from aiohttp.abc import AbstractResolver, ResolveResult

MOST_LOOKUPS = 64
"""Lookups that may hang at once; further ones fail."""

_running = threading.BoundedSemaphore(MOST_LOOKUPS)


async def addresses(host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
    """TCP addresses of `host` in the system's order of preference. Raises OSError."""
    if not _running.acquire(blocking=False):
        raise OSError("name resolution hangs")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

    def tell(found: list[ResolveResult] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def look_up() -> None:
        try:
            found: list[ResolveResult] | OSError = _look_up(host, port, family)
        except OSError as error:
            found = error
        finally:
            _running.release()
        # the loop may have ended meanwhile
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=look_up, name="resolver", daemon=True).start()
    return await answer


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return [
        ResolveResult(
            hostname=host, host=str(address[0]), port=int(address[1]), family=int(kind), proto=proto, flags=int(flags)
        )
        for kind, _, proto, _, address in infos
    ]


class Resolver(AbstractResolver):
    """The same for aiohttp."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of `host`. Raises OSError."""
        return await addresses(host, port, family)

    async def close(self) -> None:
        """Nothing to close: threads end by themselves."""
