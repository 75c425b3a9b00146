"""Who asks, and what they may: bearer tokens, what loopback grants, and the names this server goes by."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple, NoReturn

import msgspec
import structlog
from aiohttp import web

from zmart_stream.api.limits import Buckets
from zmart_stream.api.tokens import URL_SCOPES, Scope, TokenFile, TokenRecord, UrlScope
from zmart_stream.domain.errors import ConfigError, RequestError

IMPLIED: dict[Scope, frozenset[Scope]] = {
    "read": frozenset({"read"}),
    "signal": frozenset({"signal"}),
    "operate": frozenset({"read", "signal", "operate"}),
    "tradingview": frozenset({"tradingview"}),
    "freqtrade": frozenset({"freqtrade"}),
}
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
LOOPBACK = "loopback"
"""Owner of what callers on this machine send without a token."""

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""Headers by which a proxy tells that somebody else asks."""

_IN_QUERY = ("token", "access_token", "api_key")
_HOST = re.compile(r"^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$", re.IGNORECASE)
_BEARER = re.compile(r"^Bearer +([A-Za-z0-9._~+/=-]{1,256})$", re.IGNORECASE)

WHO = web.RequestKey("who", str)
"""Under this key a request tells who it turned out to come from: a token's name, `loopback` or `nobody`."""

_log = structlog.get_logger()


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How callers are judged; `api.*` of the settings."""

    host: str = "127.0.0.1"  # the address that is listened on
    open_loopback: bool = False
    behind_proxy: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    tradingview_addresses: tuple[str, ...] = ()  # addresses and networks; empty: any

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine's users can reach us."""
        return not self.behind_proxy and is_loopback(self.host)


class Caller(NamedTuple):
    """Who asks: `key` for limits, `name` for the record, what they may, and what of it their token says."""

    key: str
    name: str
    scopes: frozenset[Scope]
    own: frozenset[Scope] = frozenset()

    @property
    def owner(self) -> str:
        """Whose the sources of this caller's signals are: the token's id, or loopback as a whole."""
        kind, _, which = self.key.partition(":")
        return which if kind == "token" else LOOPBACK

    def need(self, scope: Scope, *, token_only: bool = False) -> None:
        """Raises RequestError when the scope is not among the caller's, or with `token_only` among the token's."""
        if scope in (self.own if token_only else self.scopes):
            return
        if self.key.startswith("token:"):
            raise RequestError("scope_missing", f"this needs the scope {scope}", scope=scope)
        raise RequestError("unauthorised", f"this needs a token with the scope {scope}: Authorization: Bearer ...")


class Authenticator:
    """Turns a request into its caller. Raises RequestError."""

    def __init__(self, settings: AuthSettings, tokens: TokenFile, failures: Buckets) -> None:
        """`failures` counts wrong tokens by address."""
        self._settings = settings
        self._tokens = tokens
        self._failures = failures
        self._networks = [ipaddress.ip_network(network) for network in settings.tradingview_addresses]

    def caller(self, request: web.Request) -> Caller:
        """The caller; one without a token has what a loopback address grants, or nothing."""
        address = self.address(request)
        granted = self._granted(request, address)
        headers = request.headers.getall("Authorization", [])
        if headers:
            found = self._holder(headers, address, granted)
        else:
            found = Caller(f"address:{address}", LOOPBACK if granted else "nobody", granted)
        request[WHO] = found.name
        return found

    def holder_of(self, request: web.Request, secret: str, scope: UrlScope) -> Caller:
        """The caller of a route whose secret stands in its address; they have that scope and nothing else.

        Wrong, revoked and of another scope are one answer, and count as wrong tokens do. Raises RequestError
        unauthorised or rate_limited, and address_refused before the secret is looked at.
        """
        if scope == "tradingview" and self._networks and not self._is_allowed(self.address(request)):
            raise RequestError("address_refused", "this address may not call here; see api.tradingview_addresses")
        record = self._find(secret)
        if record is None or record.scopes != (scope,):
            self._refuse(self.address(request), f"wrong {scope} secret", "the token is not valid")
        request[WHO] = record.name
        return Caller(f"token:{record.id}", record.name, IMPLIED[scope], IMPLIED[scope])

    def address(self, request: web.Request) -> str:
        """Where the request comes from; behind a proxy, as the proxy says."""
        forwarded = request.headers.get("X-Forwarded-For", "") if self._settings.behind_proxy else ""
        said = forwarded.rpartition(",")[2].strip()
        return said[:64] or request.remote or "unknown"

    def _is_allowed(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)

    def _granted(self, request: web.Request, address: str) -> frozenset[Scope]:
        """What needs no token. Behind a proxy of this machine that nobody told us of, everybody has its address."""
        if not self._settings.is_loopback or not is_loopback(address):
            return frozenset()
        if any(name in request.headers for name in FORWARDED):
            return frozenset()
        return IMPLIED["operate"] if self._settings.open_loopback else IMPLIED["read"]

    def _holder(self, headers: list[str], address: str, granted: frozenset[Scope]) -> Caller:
        match = _BEARER.match(headers[0]) if len(headers) == 1 else None
        record = self._find(match[1]) if match else None
        if record is None:
            reason = "wrong token" if match else "bad header"
            detail = "the token is not valid" if match else "one header: Bearer and the token"
            self._refuse(address, reason, detail)
        scopes = frozenset[Scope]().union(*(IMPLIED[scope] for scope in record.scopes))
        if scopes.intersection(URL_SCOPES):
            granted = frozenset()  # such a secret may be seen by others: it opens its own route, even on loopback
        return Caller(f"token:{record.id}", record.name, granted | scopes, scopes)

    def _refuse(self, address: str, reason: str, detail: str) -> NoReturn:
        self._failures.take(address, "wrong tokens of one address")
        _log.warning("api.unauthorised", reason=reason, address=address)
        raise RequestError("unauthorised", detail)

    def _find(self, token: str) -> TokenRecord | None:
        """The record of a token that is in force, of the file as it is now."""
        self._refresh()
        return self._tokens.find(token)

    def _refresh(self) -> None:
        try:
            self._tokens.refresh()
        except ConfigError as error:
            _log.error("api.token_file", reason=str(error), kept=len(self._tokens.records))


class Names:
    """The names this server answers to, and the web pages it answers."""

    def __init__(self, settings: AuthSettings) -> None:
        """Loopback names, the address listened on, and what the settings add."""
        own = () if settings.host in ("0.0.0.0", "::") else (settings.host,)  # noqa: S104  refused as a name, not bound
        self._hosts = {_bare(name) for name in (*LOOPBACK_NAMES, *own, *settings.allowed_hosts)}
        self._origins = {origin.lower().rstrip("/") for origin in settings.allowed_origins}

    def check(self, request: web.Request) -> None:
        """Raises RequestError for a name that is not ours, or a page that has no business here."""
        hosts = request.headers.getall("Host", [])
        match = _HOST.match(hosts[0]) if len(hosts) == 1 else None
        # a target may have a host of its own, which proxies go by
        if match is None or not {_bare(match[1]), _bare(request.host or "")} <= self._hosts:
            raise RequestError("wrong_host", "the Host header names another server; see api.allowed_hosts")
        own = f"://{hosts[0]}".lower()
        for origin in request.headers.getall("Origin", []):
            said = origin.lower()
            if said not in (f"http{own}", f"https{own}") and said not in self._origins:
                raise RequestError("origin_refused", "this page may not ask here; see api.allowed_origins")


def refuse_token_in_query(request: web.Request) -> None:
    """Raises RequestError unauthorised, whether the token is right or wrong."""
    if any(name in request.query for name in _IN_QUERY):
        raise RequestError("unauthorised", "a token does not belong in the address: Authorization: Bearer ...")


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether an address or name can only be this machine; every request asks, mostly of the same few."""
    if address.lower() == "localhost":
        return True
    try:
        found = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback or (mapped is not None and mapped.is_loopback)


def _bare(name: str) -> str:
    """A host name without port and brackets, in lower case."""
    match = _HOST.match(name)
    return (match[1] if match else name).strip("[]").lower()
