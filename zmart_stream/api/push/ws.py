"""A websocket on which the client says what it wants, and hears it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from zmart_stream.api import problems
from zmart_stream.api.push.batches import Batch
from zmart_stream.api.push.ring import text_frame
from zmart_stream.api.push.socket import Socket
from zmart_stream.api.push.wants import TYPES, Wants
from zmart_stream.domain.errors import RequestError

MOST_SYMBOLS = 1000

Word = Annotated[str, msgspec.Meta(max_length=64)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may say; no types: all of them, no symbols: all contracts."""

    action: Literal["subscribe", "unsubscribe", "ping"]
    types: Annotated[list[Word], msgspec.Meta(max_length=len(TYPES))] = []
    symbols: Annotated[list[Word], msgspec.Meta(max_length=MOST_SYMBOLS)] = []


_decoder = msgspec.json.Decoder(Asked)


@dataclass(kw_only=True)
class Session(Socket):
    """One connection; it wants nothing until it says so."""

    wants: Wants
    symbol: Callable[[str], str]
    """The contract meant. Raises RequestError."""

    async def began(self) -> None:
        """Say where events are missing."""
        if self.listener.reset is not None:
            await self._send("reset", self.listener.reset._asdict())

    async def heard(self, text: str) -> None:
        """Answer; what is wrong gets a problem."""
        try:
            reply = self._answer(text)
        except RequestError as error:
            reply = ("error", problems.problem(error.code, str(error), error.facts))
        await self._send(*reply)

    def told(self, batch: Batch, /) -> bool:
        """Pass on."""
        if batch.dropped:
            return self.send(text_frame(_event("dropped", {"count": batch.dropped})) + batch.frames)
        return self.send(batch.frames)

    def _answer(self, text: str) -> tuple[str, dict[str, Any]]:
        try:
            asked = _decoder.decode(text)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise RequestError("bad_request", str(error)[:200] or "not JSON") from None
        if asked.action == "ping":
            return "pong", {}
        change = self.wants.add if asked.action == "subscribe" else self.wants.remove
        change(asked.types, [self.symbol(word) for word in asked.symbols])
        return "subscribed", self.wants.told()

    async def _send(self, kind: str, content: dict[str, Any]) -> None:
        await self.write(_event(kind, content).decode())


def _event(kind: str, content: dict[str, Any]) -> bytes:
    """An event of this connection alone: it has no id."""
    return msgspec.json.encode({"event": kind, "data": content})
