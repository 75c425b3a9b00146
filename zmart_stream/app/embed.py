"""The whole daemon within another program's event loop, for code that wants its methods rather than its HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zmart_stream.app import compose
from zmart_stream.app.config import Sources, load
from zmart_stream.app.facade import Facade
from zmart_stream.app.service import Service


@asynccontextmanager
async def running(sources: Sources) -> AsyncIterator[Facade]:
    """Run everything, the HTTP server included, until the block ends. Signals stay the caller's; logs are set up.

    Raises ZmartError where a daemon would not start; what ends one later ends the block, as an ExceptionGroup.
    """
    loaded = load(sources)
    compose.set_up_logs(loaded.settings)
    stop = asyncio.Event()
    system = await compose.build(loaded, sources, capture=None)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(Service(system, stop, asyncio.Event(), time.monotonic()).run(None))
            try:
                yield system.facade
            finally:
                stop.set()
    finally:
        await system.close()
