"""Verbs on settings: check-config, show-config, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from zmart_stream.cli.running import Config, Sets
from zmart_stream.cli.tables import Column, aligned
from zmart_stream.domain.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command("check-config")(check_config)
    app.command("show-config")(show_config)
    app.command()(schema)


def check_config(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Settings file to check.")] = None,
    sets: Sets = None,
) -> None:
    """Report all that is wrong with the settings, and files and plug-ins they name that are no good; then exit 78."""
    from zmart_stream.app.compose.notifying import notify_problems  # noqa: PLC0415  off the asking verbs' start path
    from zmart_stream.app.compose.past import wrong_plugins  # noqa: PLC0415  off the start path of the asking verbs
    from zmart_stream.app.core_settings import core_settings  # noqa: PLC0415  off the start path of the asking verbs
    from zmart_stream.app.places import wrong_places  # noqa: PLC0415  off the start path of the asking verbs

    loaded = _load(file, sets)
    plugins = wrong_plugins(core_settings(loaded.settings, 1.0))
    if problems := [*wrong_places(loaded), *plugins, *notify_problems(loaded.settings.notify)]:
        raise ConfigError(problems)
    keys = sum(1 for key, _ in _leaves(loaded.settings.model_dump()) if loaded.origin(key) != "default")
    typer.echo(f"{loaded.file or 'no file'}: good; profile {loaded.settings.profile}, {keys} settings given")


def show_config(
    config: Config = None,
    origin: Annotated[bool, typer.Option("--origin", help="Tell where each value came from.")] = False,
    as_json: Json = False,
    sets: Sets = None,
) -> None:
    """The settings in force after all sources are merged."""
    from zmart_stream.app.configuration import masked  # noqa: PLC0415  off the start path of the asking verbs

    loaded = _load(config, sets)
    leaves = _leaves(loaded.settings.model_dump())
    rows = [(key, masked(".".join(key), value), loaded.origin(key)) for key, value in leaves]
    if as_json:
        shown = {".".join(key): {"value": value, "origin": place} if origin else value for key, value, place in rows}
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    cells = [[f"{'.'.join(key)} = {_toml(value)}", f"# {place}" if origin else ""] for key, value, place in rows]
    for line in aligned([Column(""), Column("")], cells)[1:]:
        typer.echo(line)


def schema() -> None:
    """JSON Schema of zmart.toml, for editors."""
    from zmart_stream.app.settings import Settings  # noqa: PLC0415  off the start path of the asking verbs

    typer.echo(json.dumps(Settings.model_json_schema(), indent=2, ensure_ascii=False))


def _load(file: Path | None, sets: list[str] | None) -> Any:
    from zmart_stream.app.config import Sources, load  # noqa: PLC0415  off the start path of the asking verbs

    return load(Sources(file=file, sets=tuple(sets or ())))


def _leaves(tree: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every setting by its key; an empty table is a value of its own."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in tree.items():
        key = (*above, name)
        found += _leaves(value, key) if isinstance(value, dict) and value else [(key, value)]
    return found


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
