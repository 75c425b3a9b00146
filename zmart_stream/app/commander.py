"""How the API's commands reach the core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from zmart_stream.app.runner import Runner
from zmart_stream.domain.commands import Command
from zmart_stream.domain.errors import CommandRefusedError
from zmart_stream.domain.message import Message
from zmart_stream.engine.engine import Engine

LOOK_EVERY_S = 0.1
SAMPLE_S = 110.0
"""Longest wait for a sandbox's history: below what HTTP clients allow a request."""


class RunnerCommander:
    """Puts commands into the inbox and waits for what they brought."""

    def __init__(self, runner: Runner, engine: Engine, *, is_sandbox: Callable[[], bool]) -> None:
        """`is_sandbox`: whether sample data may be asked for."""
        self._runner = runner
        self._engine = engine
        self._is_sandbox = is_sandbox

    async def submit(self, command: Command) -> Sequence[Message]:
        """Its cascade, once what must be on disk is. Raises CommandRefusedError."""
        return await self._runner.submit(command)

    async def load_sample_data(self) -> dict[str, Any]:
        """Wait for the sandbox's contracts, history and prices; nothing happens twice. Raises CommandRefusedError."""
        if not self._is_sandbox():
            raise CommandRefusedError("not_a_sandbox", "sample data exists on a sandbox venue only: run --sandbox")
        loop = asyncio.get_running_loop()
        until = loop.time() + SAMPLE_S
        while not _complete(status := self._engine.status()) and loop.time() < until:  # noqa: ASYNC110 - the core raises no events, it is read
            await asyncio.sleep(LOOK_EVERY_S)
        return {
            "success": True,
            "symbols": status["contracts"],
            "scored": status["scored"],
            "complete": _complete(status),
        }


def _complete(status: dict[str, Any]) -> bool:
    """History may be there before the first subscription is confirmed: until then no contract may enter the book."""
    return bool(status["warm_up"]["ended"] and not status["hold"]["reason"].startswith("universe_live"))
