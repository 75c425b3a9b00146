"""The venue's process: opens the market, serves until told to stop or its parent is gone."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop

from zmart_stream.domain.errors import ConfigError
from zmart_stream.sandbox.market import Market
from zmart_stream.sandbox.server import SandboxServer
from zmart_stream.sandbox.settings import SandboxSettings, settings_from
from zmart_stream.sandbox.synthetic import synthetic_market

_MS = 1_000_000
EXIT_CONFIG = 78
EXIT_PORT = 1


def say(line: str) -> None:
    """One start-up line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def open_market(settings: SandboxSettings) -> Market:
    """The market of the settings; a synthetic one begins now unless a start is given. Raises `ConfigError`."""
    start = settings.start_ns()
    if settings.market == "synthetic":
        begin = time.time_ns() // _MS * _MS if start is None else start
        return synthetic_market(seed=settings.seed, contracts=settings.contracts, start=begin)
    from zmart_stream.sandbox.recorded import recorded_market  # noqa: PLC0415 - Arrow stays off the synthetic start path

    return recorded_market(Path(settings.market), history_days=settings.history, seed=settings.seed, start=start)


async def serve(settings: SandboxSettings) -> None:
    """Run the venue until SIGINT, SIGTERM or, if asked for, the end of the parent."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if settings.end_with_parent:
        threading.Thread(target=_watch_parent, name="parent", daemon=True).start()
    market = open_market(settings)
    server = SandboxServer(settings, market, say)
    say(f"sandbox venue: market {market.name}, seed {market.seed}, {len(market.symbols(market.start))} contracts")
    begins = datetime.fromtimestamp(market.start / 1e9, UTC).isoformat(timespec="seconds")
    say(f"venue time starts at {begins}, speed {settings.speed}, quota factor {settings.quota_factor:g}")
    await server.start()
    gc.freeze()
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(server.failed())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if waits[1].done():
            waits[1].result()
    finally:
        for wait in waits:
            wait.cancel()
        await server.stop()


def run_sandbox(settings: SandboxSettings) -> None:
    """Run a venue in this process until it is stopped; raises `ConfigError`, and OSError if the port is taken."""
    uvloop.run(serve(settings.checked()))


def main(arguments: list[str]) -> int:
    """`python -m zmart_stream.sandbox '{"port": 8080}' [--end-with-parent]`; returns the exit code."""
    flag = "--end-with-parent"
    values = [argument for argument in arguments if argument != flag]
    if len(values) > 1 or any(value in ("-h", "--help") for value in values):
        say(f"usage: python -m zmart_stream.sandbox [JSON OBJECT OF SETTINGS] [{flag}]")
        return EXIT_CONFIG if len(values) > 1 else 0
    try:
        settings = settings_from(_decoded(values[0]) if values else {})
        if flag in arguments:
            settings = msgspec.structs.replace(settings, end_with_parent=True)
        run_sandbox(settings)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    except OSError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return EXIT_PORT
    return 0


def _decoded(text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise ConfigError(f"sandbox settings: {error}") from None


def _watch_parent() -> None:
    """Standard input closes when the parent ends, however it ended."""
    while os.read(0, 4096):
        pass
    os._exit(0)
