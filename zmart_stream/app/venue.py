"""Which venue is in use: a real one, a sandbox that we started, or one that somebody else did."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec

from zmart_stream.app.settings import Settings
from zmart_stream.app.venue_process import VenueProcess

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PROBE_S = 3.0


class Venue(msgspec.Struct, frozen=True):
    """What everything else needs to know of the venue; `identity` names it in the database."""

    rest_url: str
    allowed_hosts: tuple[str, ...]
    ca_file: str | None
    speed: float | Literal["max"]
    quota_factor: float
    identity: str
    is_sandbox: bool


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
    """The venue of the settings, or the child. A loopback address is asked whether it is a sandbox."""
    url = child.url if child else settings.venue.rest_url
    ca_file = (child.ca_file if child else settings.venue.ca_file) or None
    probe = await _probe(url, ca_file) if urlsplit(url).hostname in LOOPBACK else None
    return Venue(
        rest_url=url,
        allowed_hosts=("127.0.0.1",) if child else tuple(settings.venue.allowed_hosts),
        ca_file=ca_file,
        speed=settings.sandbox.speed if child else settings.venue.speed,
        quota_factor=settings.sandbox.quota_factor if child else settings.venue.quota_factor,
        identity=f"sandbox {probe['market']} seed {probe['seed']}" if probe else str(urlsplit(url).hostname),
        is_sandbox=probe is not None,
    )


async def _probe(url: str, ca_file: str | None) -> Mapping[str, Any] | None:
    """What a sandbox says of itself; None if nobody answers in its words."""
    timeout = aiohttp.ClientTimeout(total=PROBE_S)
    try:
        trust: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"{url}/_sandbox/state", ssl=trust) as reply,
        ):
            found = await reply.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None
    return found if isinstance(found, dict) and "market" in found and "seed" in found else None
