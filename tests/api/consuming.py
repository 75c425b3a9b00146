"""freqtrade's consumer of another bot's messages: what it sends, takes, calls an error, and when it comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.api.desk import SAFETY_S

KNOWN = frozenset(
    "status warning exception startup entry entry_fill entry_cancel exit exit_fill exit_cancel protection_trigger "
    "protection_trigger_global liquidation_warning strategy_msg whitelist analyzed_df new_candle".split()
)
OPENING = (
    {"type": "subscribe", "data": ["whitelist", "analyzed_df"]},
    {"type": "whitelist"},
    {"type": "analyzed_df", "data": {"limit": 1500, "pair": None}},
)
MOST_BYTES = 8 << 20


class Consumer:
    """Waits after a refusal, and comes back at once after anything else: the worst that is known of it."""

    def __init__(self, url: str, *, wait_s: float = 10.0) -> None:
        """`wait_s` after a refusal; freqtrade's are ten."""
        self.url = url
        self.wait_s = wait_s
        self.pairs: list[str] = []
        self.taken: list[list[str]] = []
        self.errors: list[str] = []
        self.dials = 0
        self.opened = 0
        self.refusals: list[int] = []
        """Statuses of handshakes; 0: nobody listened."""
        self.socket: ClientConnection | None = None

    async def run(self) -> None:
        """Connect for ever."""
        while True:
            self.dials += 1
            try:
                async with connect(
                    self.url, max_size=MOST_BYTES, open_timeout=SAFETY_S, ping_timeout=SAFETY_S, proxy=None
                ) as self.socket:
                    self.opened += 1
                    for message in OPENING:
                        await self.socket.send(json.dumps(message))
                    async for text in self.socket:
                        self.take(text)
            except websockets.InvalidStatus as error:
                self.refusals.append(error.response.status_code)
                await asyncio.sleep(self.wait_s)
            except ConnectionRefusedError:
                self.refusals.append(0)
                await asyncio.sleep(self.wait_s)
            except (websockets.WebSocketException, OSError):
                continue  # at once

    def take(self, text: str | bytes) -> None:
        """One message, by its rules."""
        try:
            said = json.loads(text)
            kind = said["type"]
        except (ValueError, TypeError, KeyError):
            self.errors.append(f"not a message: {text!r:.80}")
            return
        if kind not in KNOWN:
            self.errors.append(f"type {kind}")
        elif kind == "whitelist":
            self._list(said.get("data"))

    def _list(self, pairs: Any) -> None:
        if not isinstance(pairs, list) or not all(isinstance(name, str) for name in pairs):
            self.errors.append(f"a list of {pairs!r:.80}")
        elif not pairs:
            self.errors.append("an empty list")
        else:
            self.pairs = pairs
            self.taken.append(pairs)

    async def has(self, pairs: Sequence[str]) -> None:
        """Wait until it trades these."""
        await self.until(lambda: self.pairs == list(pairs))

    async def until(self, condition: Callable[[], bool], seconds: float = SAFETY_S) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what it waits for are counts, not events
                await asyncio.sleep(0.005)


@asynccontextmanager
async def consuming(url: str, *, wait_s: float = 10.0) -> AsyncIterator[Consumer]:
    """A consumer that runs until the block ends."""
    consumer = Consumer(url, wait_s=wait_s)
    running = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
