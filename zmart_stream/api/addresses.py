"""Addresses that carry a secret: what is pasted into a program that can send no header."""

from __future__ import annotations

from collections.abc import Sequence

from zmart_stream.api.auth import is_loopback
from zmart_stream.api.calls import PREFIX
from zmart_stream.api.tokens import UrlScope

TRADINGVIEW = f"{PREFIX}/integrations/tradingview/"
"""The secret follows."""

FREQTRADE = "/api/v1/message/ws"
"""The secret is its `token`."""

SOME_HOST = "HOST"
"""Stands for a name of this machine where the settings give none."""


def secret_url(scope: UrlScope, secret: str, *, origin: str) -> str:
    """The whole address for a secret of that scope; `origin` is the daemon's, as `https://box.example`."""
    if scope == "tradingview":
        return f"{origin}{TRADINGVIEW}{secret}"
    return f"ws{origin.removeprefix('http')}{FREQTRADE}?token={secret}"


def origin_of(host: str, port: int, *, names: Sequence[str] = (), tls: bool = False, proxied: bool = False) -> str:
    """Scheme, name and port that others reach the daemon by, as far as `api.*` of the settings tell.

    A public name of `names` comes before the address listened on; a proxy's port is that of https.
    """
    public = [name for name in names if not is_loopback(name)]
    name = public[0] if public else SOME_HOST if proxied or host in ("0.0.0.0", "::") else host  # noqa: S104  compared
    name = f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name
    if proxied:
        return f"https://{name}"
    return f"{'https' if tls else 'http'}://{name}:{port}"
