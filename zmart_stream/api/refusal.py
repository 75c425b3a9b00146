"""What is said to a connection for which there is no room: in the form that its first line asks for, at little cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import unquote

import msgspec

from zmart_stream.api import problems

MOST_HEARD = 64
"""Connections without room whose first line is waited for at once; others are told without."""

HEAR_S = 1.0
MOST_LINE = 4096

BUSY = "try again in a moment"


def _reply(content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


_PROBLEM = _reply(problems.MEDIA_TYPE, msgspec.json.encode(problems.problem("busy", BUSY, {problems.RETRY_AFTER: 1})))
_TEXT = _reply("text/plain; charset=utf-8", f"busy: {BUSY}\n".encode())


class Office:
    """Where those without room are heard."""

    def __init__(self, plain: Sequence[str] = ()) -> None:
        """`plain` are paths on which nothing but text may tell an error."""
        self.plain = tuple(plain)
        self.heard = 0

    def answer(self, line: bytes) -> bytes:
        """The whole reply to a request that begins so; text also where nothing is known of it."""
        parts = line.split()
        known = len(parts) > 1 and not any(path in unquote(parts[1].decode("latin-1")) for path in self.plain)
        return _PROBLEM if known else _TEXT


class Refusal:
    """One connection without room, until it is told so."""

    def __init__(self, office: Office, transport: asyncio.Transport) -> None:
        """It has a moment to say what it wants, where not too many are heard already."""
        self._office = office
        self._transport = transport
        self._line = b""
        self._timer: asyncio.TimerHandle | None = None
        if office.heard < MOST_HEARD:
            office.heard += 1
            self._timer = asyncio.get_running_loop().call_later(HEAR_S, self._tell)
        else:
            transport.write(office.answer(b""))
            transport.close()

    def hear(self, data: bytes) -> None:
        """It said something."""
        if self._timer is None:
            return
        self._line += data[: MOST_LINE - len(self._line)]
        if b"\n" in self._line or len(self._line) >= MOST_LINE:
            self._tell()

    def end(self) -> None:
        """It is heard no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._office.heard -= 1

    def _tell(self) -> None:
        self.end()
        line, _, _ = self._line.partition(b"\n")
        self._transport.write(self._office.answer(line))
        self._transport.close()
