"""Which addresses a webhook may reach: a name is resolved, every answer is judged, and only those are connected to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int, socket.AddressFamily], Awaitable[list[ResolveResult]]]
"""TCP addresses of a host; raises OSError."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[Network, ...] = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments, RFC 6890
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4, RFC 7526
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # NAT64 of one's own, RFC 8215
    ipaddress.IPv6Network("3fff::/20"),  # documentation, RFC 9637
    ipaddress.IPv6Network("fec0::/10"),  # site-local, RFC 3879
)
"""What not every Python knows to be no public address."""

_MOST_URL = 2000


class Guard:
    """Public addresses pass; others only where the operator lists them."""

    def __init__(self, *, allow_loopback: bool = False, networks: Sequence[Network] = ()) -> None:
        """`networks` are allowed besides what is public."""
        self._loopback = allow_loopback
        self._networks = tuple(networks)

    def problem(self, url: str) -> str:
        """Why an endpoint's URL cannot be used; empty: it can. Says nothing of what its name stands for."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "that is no address"
        if not parts.hostname or port == 0 or len(url) > _MOST_URL or not url.isascii() or not url.isprintable():
            return "that is no address"
        if parts.username is not None or parts.password is not None:
            return "names and passwords do not belong into an address; the signature says who we are"
        if parts.fragment:
            return "a fragment is not sent; leave it out"
        return self._scheme_problem(parts, parts.hostname)

    def _scheme_problem(self, parts: SplitResult, host: str) -> str:
        literal = literal_of(host)
        if literal is None and host.rstrip(".").rpartition(".")[2].isdigit():
            return "that is no address"  # no name ends so: some take it for figures of an address all the same
        if parts.scheme == "http" and not is_loopback_name(host):
            return "https is wanted; plain http goes to this machine alone, with notify.allow_loopback"
        if parts.scheme not in ("http", "https"):
            return "an https address is wanted"
        if is_loopback_name(host) and not self._loopback:
            return "this machine is allowed with notify.allow_loopback = true only"
        if literal is not None and not self.allows(literal):
            return f"{literal} is not public; notify.allowed_networks may list it"
        return ""

    def allows(self, address: Address) -> bool:
        """Whether a connection may be made to it; what is hidden in an IPv6 address counts as itself."""
        return all(self._allowed(inner) for inner in _layers(address))

    def _allowed(self, address: Address) -> bool:
        if any(address in network for network in self._networks if network.version == address.version):
            return True
        if address.is_loopback:
            return self._loopback
        special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
        unlisted = any(address in network for network in _NOT_PUBLIC if network.version == address.version)
        return address.is_global and not address.is_private and not special and not unlisted


class GuardedResolver(AbstractResolver):
    """Names to addresses that may be connected to; the HTTP client connects to these, and to no other."""

    def __init__(self, guard: Guard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of `host`. Raises OSError where there is none, or where any of them is not allowed."""
        found = await self._resolve(host, port, family)
        for answer in found:
            address = ipaddress.ip_address(answer["host"].partition("%")[0])
            if not self._guard.allows(address):
                raise OSError(f"{host} stands for {address}, which is not allowed")
        return found

    async def close(self) -> None:
        """Nothing is open."""


def literal_of(host: str) -> Address | None:
    """The address that a host is written as, in any of the forms that resolvers take; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001, 2130706433: the C library takes them for addresses
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def is_loopback_name(host: str) -> bool:
    """Whether a host is this machine by its very name."""
    literal = literal_of(host)
    return host == "localhost" if literal is None else literal.is_loopback


def _layers(address: Address) -> Iterator[Address]:
    """An address, and the one that is reached through it."""
    yield address
    if isinstance(address, IPv6Address):
        teredo = address.teredo
        inner = address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            yield inner
