"""The sandbox venue as a child process that ends with the daemon, however the daemon ends."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
import structlog

from zmart_stream.domain.errors import ConfigError, FeedError

START_S = 30.0
STOP_S = 2.0
EX_CONFIG = 78

log = structlog.get_logger("venue")


class VenueProcess:
    """`python -m zmart_stream.sandbox`, told to end when its standard input closes."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """`settings` as the sandbox's own settings name them."""
        self.url = ""
        self.ca_file = ""
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait for its address. Raises ConfigError if it refuses its settings, FeedError if it fails."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "zmart_stream.sandbox",
            msgspec.json.encode(self._settings).decode(),
            "--end-with-parent",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None,
            start_new_session=True,  # Ctrl-C is ours to handle, not the venue's
        )
        try:
            async with asyncio.timeout(START_S):
                await self._until_listening()
        except TimeoutError:
            await self.stop()
            raise FeedError(f"the sandbox venue did not start within {START_S:g} s") from None

    async def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        if self._process is None:
            return 0
        if self._process.stdout:
            while await self._process.stdout.readline():
                pass
        return await self._process.wait()

    async def stop(self) -> None:
        """End it."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _until_listening(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        while line := (await self._process.stdout.readline()).decode(errors="replace").strip():
            log.info("venue.says", line=line)
            if line.startswith("ca file: "):
                self.ca_file = line.removeprefix("ca file: ")
            if line.startswith("listening on "):
                self.url = line.removeprefix("listening on ")
                return
        code = await self._process.wait()
        if code == EX_CONFIG:
            raise ConfigError("sandbox.*: the venue cannot use these settings; its message is above")
        raise FeedError(f"the sandbox venue ended at once (exit {code}); its message is above")
