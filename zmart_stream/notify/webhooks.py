"""One attempt at a webhook: signed, to a checked address, without redirects, within a deadline."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from zmart_stream import __version__
from zmart_stream.domain.outbox import OutboxEntry
from zmart_stream.notify.guard import Guard, GuardedResolver, Resolve
from zmart_stream.notify.sending import Outcome
from zmart_stream.notify.settings import NotifySettings, Webhook
from zmart_stream.notify.signing import headers

MOST_BODY = 64 << 10
"""Bytes of a reply that are read, and thrown away."""

MOST_WAIT_S = 3600.0
"""The longest Retry-After that is followed."""

_NEVER = frozenset({HTTPStatus.GONE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})
"""What a receiver says that will never take this message; anything else may be mended."""


class WebhookSender:
    """Posts to one address."""

    kind = "webhook"

    def __init__(self, webhook: Webhook, settings: NotifySettings, resolve: Resolve) -> None:
        self._webhook = webhook
        self._guard = Guard(allow_loopback=settings.allow_loopback, networks=settings.allowed_networks)
        self._resolver = GuardedResolver(self._guard, resolve)
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, entry: OutboxEntry) -> Outcome:
        """One attempt."""
        if problem := self._guard.problem(self._webhook.url):
            return Outcome(problem)
        body, url = entry.payload.encode(), self._webhook.url
        signed = headers(self._webhook.keys, entry.event_id, time.time_ns() // 1_000_000_000, body)
        try:
            async with self._client().post(url, data=body, headers=signed, allow_redirects=False) as reply:
                judged = _judged(reply)
                await _discard(reply)
                return judged
        except TimeoutError:
            return Outcome(f"no answer in {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Outcome(_words(error))

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        """Made once there is a loop; its connector asks our resolver, and connects to what that answered."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._resolver, use_dns_cache=False, limit=1),
                timeout=self._timeout,
                headers={"Content-Type": "application/json", "User-Agent": f"zmart-stream/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


async def _discard(reply: aiohttp.ClientResponse) -> None:
    """Read what is small, so that the connection can be used again; cut what is not, or does not come."""
    read = 0
    try:
        async for chunk in reply.content.iter_chunked(4096):
            read += len(chunk)
            if read > MOST_BODY:
                break
        else:
            return
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # what it said of the message was said before
    reply.close()


def _judged(reply: aiohttp.ClientResponse) -> Outcome:
    if 200 <= reply.status < 300:
        return Outcome()
    if 300 <= reply.status < 400:
        return Outcome(f"answered {reply.status}: redirects are not followed")
    return Outcome(f"answered {reply.status}", reply.status in _NEVER, _wait(reply.headers.get("Retry-After", "")))


def _wait(text: str) -> float:
    """Seconds until the end of a Retry-After, which is a number of them or a date; 0 for what is neither."""
    if text.isascii() and text.isdigit():
        return min(float(text[:7]), MOST_WAIT_S)
    try:
        until = parsedate_to_datetime(text)
        seconds = until.replace(tzinfo=until.tzinfo or UTC).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), MOST_WAIT_S)


def _words(error: Exception) -> str:
    """What went wrong, without the address, which may hold a secret."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "TLS failed: the certificate is not trusted, or does not fit the name"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return cause.strerror or str(cause) or "cannot connect"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "the connection was closed without an answer"
    if isinstance(error, aiohttp.ClientError):
        return "the answer is not HTTP"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
