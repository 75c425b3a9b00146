"""The settings as operators see and change them: values, origins, and what is recorded over the file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel

from zmart_stream.app.config import Loaded, Sources, load, parse_value, setting_keys, wants_text
from zmart_stream.app.core_settings import BUILT_IN, needs_restart
from zmart_stream.app.reload import Record, Reload, value_of
from zmart_stream.app.settings import Settings
from zmart_stream.app.settings_scoring import ComponentTable
from zmart_stream.domain.errors import ConfigError

ALIASES = {"max_portfolio_symbols": "portfolio.max_symbols"}
"""Other names of settings: what older clients call them."""

_GUIDE_NAMES = {"market_structure": "structure"}
_SECRETS = ("storage.url",)
_WEBHOOKS = "notify.webhooks"


class RunningSettings:
    """Reads and changes of the settings in force; one per daemon."""

    def __init__(self, reload: Reload, record: Record) -> None:
        """`record` puts values that stand over the file on disk."""
        self._reload = reload
        self._record = record

    def settings(self) -> dict[str, Any]:
        """Every setting with value and origin, aliases, revision."""
        loaded, recorded = self._reload.loaded, self._reload.overrides
        rows = []
        for key in setting_keys():
            dotted = ".".join(key)
            value = value_of(loaded.settings, key)
            rows.append(
                {
                    "key": dotted,
                    "value": masked(dotted, _plain(value)),
                    "origin": loaded.origin(key),
                    "recorded": any(name == dotted or name.startswith(f"{dotted}.") for name in recorded),
                    "needs_restart": bool(needs_restart((dotted,))),
                }
            )
        return {"revision": self._reload.revision, "settings": rows, "aliases": dict(ALIASES)}

    def algorithms(self) -> list[dict[str, Any]]:
        """The scoring algorithms with their weights, built-in ones first."""
        scoring = self._reload.loaded.settings.scoring
        rows = []
        for name in BUILT_IN:
            table: ComponentTable = getattr(scoring, name)
            rows.append(_algorithm(name, name, table.weight, dict(table.parts)))
        rows += [_algorithm(plugin.name, "custom", plugin.weight, dict(plugin.parts)) for plugin in scoring.custom]
        return rows

    async def change(self, values: Mapping[str, Any], *, who: str) -> dict[str, Any]:
        """Record values over the file (None forgets a key) and use them. Raises ConfigError, and changes nothing."""
        wanted = {ALIASES.get(key, key): _typed(ALIASES.get(key, key), value) for key, value in values.items()}
        if problems := [text for key in wanted if (text := _refusal(key))]:
            raise ConfigError(problems)
        result = await self._reload.override(wanted, who, self._record)
        return {"recorded": sorted(wanted), "applied": result["applied"], "revision": result["revision"]}

    async def weigh(self, name: str, weight: float | None, parts: Mapping[str, float], *, who: str) -> dict[str, Any]:
        """Weights of a built-in algorithm, in the same way. Raises KeyError for another name, ConfigError."""
        known = _GUIDE_NAMES.get(name.lower(), name.lower())
        if known not in BUILT_IN:
            raise KeyError(name)
        table: ComponentTable = getattr(self._reload.loaded.settings.scoring, known)
        if unknown := sorted(set(parts) - set(table.parts)):
            raise ConfigError([f"{known} has no part {part}; it has {', '.join(table.parts)}" for part in unknown])
        values: dict[str, Any] = {f"scoring.{known}.parts.{part}": value for part, value in parts.items()}
        if weight is not None:
            values[f"scoring.{known}.weight"] = weight
        return await self.change(values, who=who)

    async def reload(self) -> dict[str, Any]:
        """What SIGHUP does. Raises ConfigError, and changes nothing."""
        return await self._reload.run()


def masked(key: str, value: Any) -> Any:
    """A value that may be shown: a database's address without its password, webhooks' without their paths."""
    if key == _WEBHOOKS and isinstance(value, list):
        return [{**webhook, "url": _origin(webhook["url"])} for webhook in value]
    if key not in _SECRETS or not isinstance(value, str):
        return value
    password = urlsplit(value).password
    return value.replace(f":{password}@", ":***@") if password else value


def _origin(url: str) -> str:
    """An address as far as it tells nobody how to post there."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{'***' if path else ''}"


def _algorithm(name: str, kind: str, weight: float, parts: dict[str, float]) -> dict[str, Any]:
    return {
        "algorithm_name": name,
        "algorithm_type": kind,
        "weight": weight,
        "parameters": {"weights": parts},
        "is_active": weight > 0,
    }


def with_recorded(sources: Sources, recorded: Mapping[str, Any]) -> tuple[Loaded, Sources, list[str]]:
    """The settings with what is recorded over the file; records that cannot be used any more are left out, and named.

    Raises ConfigError where the file itself is wrong.
    """
    problems: list[str] = []
    used: dict[str, Any] = {}
    try:
        whole = sources._replace(overrides=dict(recorded))
        return load(whole), whole, problems
    except ConfigError:
        load(sources)
    for key, value in recorded.items():
        try:
            load(sources._replace(overrides={**used, key: value}))
            used[key] = value
        except ConfigError as error:
            problems += error.problems
    kept = sources._replace(overrides=used)
    return load(kept), kept, problems


def loads_code(key: str) -> bool:
    """Whether a setting lists tables, as those of plug-ins: the file alone may name code, a token never."""
    return any(key == listing or key.startswith(f"{listing}.") for listing in _listings())


@cache
def _listings() -> tuple[str, ...]:
    found = []
    for key in setting_keys():
        model: Any = Settings
        for name in key[:-1]:
            model = model.model_fields[name].annotation
        inner = get_args(model.model_fields[key[-1]].annotation)
        if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in inner):
            found.append(".".join(key))
    return tuple(found)


def _refusal(key: str) -> str:
    if loads_code(key):
        return f"{key}: it can load code, so it is set in the file alone"
    return f"{key}: only a restart applies it; set it in the file" if needs_restart((key,)) else ""


def _typed(key: str, value: Any) -> Any:
    """Clients may send any value as text, as a settings file's figure or the text itself."""
    if not isinstance(value, str) or wants_text(tuple(key.split("."))):
        return value
    return parse_value(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
