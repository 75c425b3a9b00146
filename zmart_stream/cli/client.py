"""Asks a running daemon over HTTP, with nothing but the standard library, so that asking verbs start fast."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from zmart_stream.domain.errors import ConfigError, DaemonUnreachableError, RequestError, UsageError

DEFAULT_URL = "http://127.0.0.1:8420"
PREFIX = "/api/symbol-mgmt"
TIMEOUT_S = 60.0
_MAX_TOKEN_BYTES = 4096


class Pushed(NamedTuple):
    """One event of the stream; those about the stream itself have no id."""

    kind: str
    id: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Client:
    """One daemon and the caller's token, if any."""

    url: str
    token: str | None = None
    operator: str = ""
    """Who asks, for the record."""

    def get(self, *path: str, **query: object) -> dict[str, Any]:
        """The reply of a reading route. Raises DaemonUnreachableError and RequestError."""
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        return self._ask("GET", self._path(path) + (f"?{asked}" if asked else ""))

    def post(self, *path: str, **body: object) -> dict[str, Any]:
        """The reply of a writing route. Raises DaemonUnreachableError and RequestError."""
        return self._ask("POST", self._path(path), json.dumps(body).encode() if body else None)

    def events(self, after: str, **query: str | None) -> Iterator[Pushed | None]:
        """The stream's events after the one with this id, without any: from now on; None: it is still there.

        Ends where the daemon ends it. Raises DaemonUnreachableError and RequestError.
        """
        asked = urlencode({name: value for name, value in query.items() if value})
        path = self._path(("stream",)) + (f"?{asked}" if asked else "")
        headers = {**self._headers(None), "Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        connection = self._connection()
        try:
            connection.request("GET", self._base() + path, headers=headers)
            reply = connection.getresponse()
            if reply.status != 200 or reply.getheader("Content-Type", "").partition(";")[0] != "text/event-stream":
                _understood(self.url, max(reply.status, 400), reply.read())
            yield from _pushed(reply)
        except (OSError, http.client.HTTPException) as error:
            raise DaemonUnreachableError(f"no daemon answers at {self.url}: {_words(error)}") from None
        except ValueError:
            raise DaemonUnreachableError(f"what answers at {self.url} is not zmart-stream's stream") from None
        finally:
            connection.close()

    @staticmethod
    def _path(parts: tuple[str, ...]) -> str:
        if "" in parts:
            raise UsageError("an empty name names nothing")
        return "/".join((PREFIX, *(quote(part, safe="") for part in parts)))

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        connection = self._connection()
        if not (self.operator.isascii() and self.operator.isprintable()):
            raise UsageError("--as: a name is 1 to 64 printable ASCII characters")
        try:
            connection.request(method, self._base() + path, body, self._headers(body))
            reply = connection.getresponse()
            status, content = reply.status, reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise DaemonUnreachableError(f"no daemon answers at {self.url}: {_words(error)}") from None
        finally:
            connection.close()
        return _understood(self.url, status, content)

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        wrong = UsageError(f"--url {self.url}: write it as http://127.0.0.1:8420")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise wrong
        kind = http.client.HTTPConnection if parts.scheme == "http" else http.client.HTTPSConnection
        try:
            return kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
        except (ValueError, http.client.InvalidURL):
            raise wrong from None

    def _base(self) -> str:
        return urlsplit(self.url).path.rstrip("/")

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.operator:
            headers["Zmart-Operator"] = self.operator
        return headers


def token_from(given: str | None, file: Path | None) -> str | None:
    """The token given, that of $ZMART_TOKEN (as an option's default), or the content of a file. Raises ConfigError."""
    if given:
        return given
    named = file or (Path(os.environ["ZMART_TOKEN_FILE"]) if os.environ.get("ZMART_TOKEN_FILE") else None)
    if named is None:
        return None
    try:
        text = named.read_bytes()[:_MAX_TOKEN_BYTES].decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token file {named}: {getattr(error, 'strerror', None) or 'not a token'}") from None
    if not text or text.split() != [text]:
        raise ConfigError(f"token file {named}: holds no token; write the one that `token create` printed")
    return text


def _pushed(reply: http.client.HTTPResponse) -> Iterator[Pushed | None]:
    """Events of a stream; None for a line that is none, as the one that says that it is still there."""
    fields: dict[str, str] = {}
    while line := reply.readline():
        name, colon, value = line.decode().rstrip("\r\n").partition(":")
        if name and colon:
            fields[name] = value.removeprefix(" ")
        elif not name and not colon and "data" in fields:
            yield Pushed(fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"]))
            fields = {}
        elif colon or fields:
            fields = {}
            yield None


def _words(error: OSError | http.client.HTTPException) -> str:
    """What went wrong, for people."""
    if isinstance(error, TimeoutError):
        return f"no reply in {TIMEOUT_S:g} s"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
        return "the connection was closed without a reply"
    if isinstance(error, http.client.HTTPException):
        return "the reply is not HTTP (https instead of http, or another program?)"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'verify_message', '') or error.reason or 'is it plain http?'}"
    return error.strerror or "the connection failed"


def _understood(url: str, status: int, content: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise DaemonUnreachableError(f"what answers at {url} is not zmart-stream (HTTP {status})")
    if status >= 400:
        code = str(reply.get("code", status))
        lines = [f"{reply.get('detail', 'refused')} [{code}]", *_further(reply.get("problems"))]
        raise RequestError(code, "\n".join(lines))
    return reply


def _further(problems: object) -> list[str]:
    """Problems beyond the first where they are texts; others stand in the detail already."""
    return [text for text in problems[1:] if isinstance(text, str)] if isinstance(problems, list) else []
