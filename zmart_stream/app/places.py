"""What settings point to: files that must exist, addresses that must be such. Asked before a start, by check-config."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from zmart_stream.app.config import Loaded
from zmart_stream.app.reload import value_of

FILES = (("venue", "ca_file"), ("api", "tls_cert"), ("api", "tls_key"), ("sandbox", "scenario"))
DATABASES = ("sqlite", "postgresql")


def wrong_places(loaded: Loaded) -> list[str]:
    """One line for each setting that names a file which is not there, or an address that is none."""
    problems = [_file(loaded, key) for key in FILES]
    market = loaded.settings.sandbox.market
    if market != "synthetic" and not Path(market).expanduser().exists():
        problems.append(_told(loaded, ("sandbox", "market"), f"there is no {market}"))
    problems += [_venue(loaded), _database(loaded)]
    return [problem for problem in problems if problem]


def _file(loaded: Loaded, key: tuple[str, ...]) -> str:
    name = value_of(loaded.settings, key)
    if not name or Path(name).expanduser().is_file():
        return ""
    return _told(loaded, key, f"there is no file {name}")


def _venue(loaded: Loaded) -> str:
    url = loaded.settings.venue.rest_url
    return "" if _is_address(url) else _told(loaded, ("venue", "rest_url"), f"{url} is no address of a server")


def _database(loaded: Loaded) -> str:
    """The address without its password, which stands nowhere else either."""
    url = loaded.settings.storage.url
    kind, separator, rest = url.partition("://")
    if not url or (separator and kind.partition("+")[0] in DATABASES and rest):
        return ""
    return _told(loaded, ("storage", "url"), "write it as sqlite:///file or postgresql+asyncpg://user@host/name")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _told(loaded: Loaded, key: tuple[str, ...], text: str) -> str:
    return f"{loaded.origin(key)}: {'.'.join(key)}: {text}"
