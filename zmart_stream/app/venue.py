"""Which venue is in use: a real one, a sandbox that we started, or one that somebody else did."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec

from zmart_stream.app.settings import Settings
from zmart_stream.app.venue_process import VenueProcess
from zmart_stream.domain.errors import ConfigError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PROBE_S = 3.0
CHILD_PROBES = 10
"""A venue that we started has told its address: it answers, however busy the machine is."""

PAUSE_S = 0.25
SANDBOX = "sandbox "
"""How the identity of a sandbox begins; no host name has a blank."""


class Venue(msgspec.Struct, frozen=True):
    """What everything else needs to know of the venue; `identity` names it in the database.

    `is_known` is False while a loopback address has not answered: it may be a sandbox, or stand for a real venue.
    """

    rest_url: str
    allowed_hosts: tuple[str, ...]
    ca_file: str | None
    speed: float | Literal["max"]
    quota_factor: float
    identity: str
    is_sandbox: bool
    is_known: bool = True

    def named(self, identity: str | None) -> Venue:
        """This venue by the name that its database keeps, as long as it does not say its own."""
        if self.is_known or identity is None:
            return self
        return msgspec.structs.replace(self, identity=identity, is_sandbox=identity.startswith(SANDBOX))


def sandbox_values(settings: Settings, folder: Path, last_ts: int | None) -> dict[str, Any]:
    """The sandbox's settings as a child's argument; on a state folder with a past (`last_ts` ns) it starts after it."""
    table = settings.sandbox
    return {
        "seed": table.seed,
        "contracts": table.contracts,
        "market": table.market,
        "history": table.history / 86400,
        "speed": table.speed,
        "quota_factor": table.quota_factor,
        "tls": table.tls,
        "ca_dir": str(folder) if table.tls else None,
        "scenario": table.scenario or None,
        "start": None if last_ts is None else last_ts // 1_000_000 + 1,
    }


async def find_venue(settings: Settings, child: VenueProcess | None) -> Venue:
    """The venue of the settings, or the child. A loopback address is asked whether it is a sandbox.

    Raises ConfigError if `venue.ca_file` cannot be used.
    """
    url = child.url if child else settings.venue.rest_url
    host = str(urlsplit(url).hostname)
    ca_file = (child.ca_file if child else settings.venue.ca_file) or None
    if ca_file:
        _check_authority(ca_file)
    venue = Venue(
        rest_url=url,
        allowed_hosts=("127.0.0.1",) if child else tuple(settings.venue.allowed_hosts),
        ca_file=ca_file,
        speed=settings.sandbox.speed if child else settings.venue.speed,
        quota_factor=settings.sandbox.quota_factor if child else settings.venue.quota_factor,
        identity=host,
        is_sandbox=False,
        is_known=host not in LOOPBACK,
    )
    if child:
        return await _ask_child(venue)
    return venue if venue.is_known else await ask_venue(venue)


async def _ask_child(venue: Venue) -> Venue:
    """As `ask_venue`, again and again: a start that did not know its own sandbox would keep it waiting at the door."""
    for _ in range(CHILD_PROBES):
        found = await ask_venue(venue)
        if found.is_known:
            return found
        await asyncio.sleep(PAUSE_S)
    return venue


def _check_authority(ca_file: str) -> None:
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"venue.ca_file: {ca_file} cannot be used: {error.strerror or error}") from None


async def ask_venue(venue: Venue) -> Venue:
    """The venue as it says itself; unchanged if nobody answers."""
    timeout = aiohttp.ClientTimeout(total=PROBE_S)
    try:
        trust: ssl.SSLContext | bool = ssl.create_default_context(cafile=venue.ca_file) if venue.ca_file else True
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"{venue.rest_url}/_sandbox/state", ssl=trust) as reply,
        ):
            found = _decoded(await reply.read())
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return venue
    host = str(urlsplit(venue.rest_url).hostname)
    if "market" not in found or "seed" not in found:
        return msgspec.structs.replace(venue, identity=host, is_sandbox=False, is_known=True)
    identity = f"{SANDBOX}{found['market']} seed {found['seed']}"
    return msgspec.structs.replace(venue, identity=identity, is_sandbox=True, is_known=True)


def _decoded(body: bytes) -> Mapping[str, Any]:
    """What a sandbox says of itself; empty if these are not its words."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
