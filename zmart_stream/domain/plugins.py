"""From a name or a dotted path to a plug-in's class, with words for every way to get it wrong."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from zmart_stream.domain.errors import ConfigError

Kinds = Mapping[str, type[Any]]


def resolve(name: str, path: str | None, *, what: str, where: str, known: tuple[Kinds, Kinds]) -> type[Any]:
    """The class of a plug-in: at `path`, else by `name` in one of the two tables (built-in, entry points).

    `what` is the kind's word (agent), `where` the place in the configuration. Raises ConfigError.
    """
    if path:
        return imported(path, where)
    built_in, extra = known
    kind = built_in.get(name) or extra.get(name)
    if kind is None:
        there = sorted([*built_in, *extra])
        raise ConfigError(f"{where}: name: no {what} {name!r}{nearest(name, there)}; there are {', '.join(there)}")
    return kind


def imported(path: str, where: str) -> type[Any]:
    """The class at `package.module:Class`. Raises ConfigError."""
    module, _, name = path.partition(":")
    if not module or not name:
        raise ConfigError(f"{where}: path: {path!r} is not of the form package.module:Class")
    try:
        kind: type[Any] = getattr(import_module(module), name)
    except Exception as error:  # the plug-in boundary: its module runs its own code
        raise ConfigError(f"{where}: path: cannot import {path!r}: {error}") from error
    return kind


def option_names(kind: type[Any]) -> list[str]:
    """What a plug-in's constructor takes by keyword only: its options."""
    parameters = inspect.signature(kind).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def constructed(kind: type[Any], name: str, options: Mapping[str, Any], where: str) -> Any:
    """A plug-in made with `options`. Raises ConfigError for an option it does not have or refuses."""
    check_names(where, "option", options, option_names(kind))
    try:
        return kind(**options)
    except Exception as error:  # the plug-in boundary: whatever its constructor raises is a wrong configuration
        raise ConfigError(f"{where}: {name} refuses its options: {error}") from error


def check_names(where: str, what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise ConfigError for every name given that is not known, with the nearest one that is."""
    wrong = [name for name in given if name not in known]
    if wrong:
        there = ", ".join(known) or "none"
        raise ConfigError([f"{where}: no {what} {name!r}{nearest(name, known)}; there are {there}" for name in wrong])


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint at the nearest known name, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
